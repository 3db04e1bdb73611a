/**
 * Which centroids are nearest to vectors: where vectors of a snapshot with cluster sharding go, and where they are
 * looked for.
 * @module
 */
import { type DistanceMetric, DistanceTable, rowCountOf, type VectorRows } from "./distance_table.ts";

/** What {@linkcode assignClusters} compares with. */
export interface ClusterOptions {
  /** What vectors are compared with. */
  readonly centroids: VectorRows;
  /** How far apart two vectors are. @default {"l2"} */
  readonly metric?: DistanceMetric | undefined;
}

/**
 * Nearest centroid of each vector.
 *
 * Shapes: `vectors` is `[rows × dim]`, the centroids are `[clusters × dim]`, the result is `[rows]`, all row-major. No
 * unit; both inputs share one scale. Ties go to the lower cluster, as `argmin` does in the Python package; with the
 * cosine, vectors of no length are equally far from all. Sums have the precision of the centroids. Cost:
 * `rows × clusters × dim` multiplications.
 *
 * Source: S. Lloyd, "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28(2), 1982.
 *
 * @throws {ConfigValidationError} when there are no centroids, or `dim` does not divide one of the lengths evenly.
 *
 * @example Two clusters on a line
 * ```ts
 * import { assignClusters } from "./clusters.ts";
 *
 * const centroids = { values: Float32Array.of(0, 1), dim: 1 };
 * const nearest = assignClusters(Float32Array.of(0.1, 0.9), { centroids });
 * if (nearest.join() !== "0,1") throw new Error("unexpected assignment");
 * ```
 */
export function assignClusters(vectors: Float32Array, { centroids, metric = "l2" }: ClusterOptions): Uint32Array {
  const { dim } = centroids;
  const table = new DistanceTable(centroids, metric);
  const nearest = new Uint32Array(vectors.length === 0 ? 0 : rowCountOf(vectors, dim, "vectors"));
  for (let row = 0; row < nearest.length; row++) nearest[row] = nearestRow(table, vectors, row * dim);
  return nearest;
}

/** Place of the nearest row of a table; the lowest of equally near ones. */
export function nearestRow(table: DistanceTable, vectors: Float32Array, start: number): number {
  table.measure(vectors, start);
  const { distances } = table;
  let nearest = 0;
  for (let row = 1; row < distances.length; row++) if (distances[row]! < distances[nearest]!) nearest = row;
  return nearest;
}

/**
 * The centroids nearest to one vector, nearest first; of equally near ones the lower first.
 *
 * @param query `[dim]`.
 * @param options.probes How many are wanted; all when there are not as many.
 * @throws {ConfigValidationError} when there are no centroids, or `query` is of another dimension.
 *
 * @example The two nearest of three clusters on a line
 * ```ts
 * import { nearestClusters } from "./clusters.ts";
 *
 * const centroids = { values: Float32Array.of(0, 1, 5), dim: 1 };
 * if (nearestClusters(Float32Array.of(2), { centroids, probes: 2 }).join() !== "1,0") throw new Error("unexpected");
 * ```
 */
export function nearestClusters(
  query: Float32Array,
  { centroids, metric = "l2", probes }: ClusterOptions & { readonly probes: number },
): number[] {
  const table = new DistanceTable(centroids, metric);
  if (rowCountOf(query, centroids.dim, "query") !== 1) rowCountOf([], centroids.dim, "query");
  table.measure(query, 0);
  const { distances } = table;
  return Array.from(distances, (_, row) => row)
    .sort((one, other) => distances[one]! - distances[other]!)
    .slice(0, probes);
}
