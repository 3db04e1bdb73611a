/**
 * Arithmetic on vectors: which shard they go to and where they are looked for, for programs that do it on their own.
 *
 * @example Train, assign, probe
 * ```ts
 * import { assignClusters, nearestClusters, trainClusters } from "./mod.ts";
 *
 * const vectors = Float32Array.of(0, 0, 0, 1, 9, 9, 9, 8);
 * const centroids = await trainClusters(vectors, { dim: 2, clusters: 2 });
 * const [first, second, third] = assignClusters(vectors, { centroids });
 * if (first !== second || first === third) throw new Error("unexpected clusters");
 * const [nearest] = nearestClusters(Float32Array.of(8, 8), { centroids, probes: 1 });
 * if (nearest !== third) throw new Error("unexpected probe");
 * ```
 * @module
 */
export { assignClusters, type ClusterOptions, nearestClusters } from "./clusters.ts";
export { type DistanceMetric, DistanceTable, type VectorRows } from "./distance_table.ts";
export { HyperplaneHash, type HyperplaneOptions, randomHyperplanes } from "./lsh.ts";
export { type NpyArray, readNpy, writeNpy } from "./npy.ts";
export { mergeMatches } from "./top_matches.ts";
export { trainClusters, type TrainOptions } from "./train_clusters.ts";
export type { VectorEntry, VectorId, VectorMetric, VectorSpace } from "./vector_cell.ts";
