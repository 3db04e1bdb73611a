/**
 * Sharding by vectors: the option `sharding` of writers of snapshots that have vectors and no keys to look up.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { checkFields, integerFrom, objectOf, optional, refuseOption, shown } from "../option_fields.ts";
import { type DistanceMetric, rowCountOf, type VectorRows } from "../vector/distance_table.ts";
import { HASH_BITS_MAX, randomHyperplanes } from "../vector/lsh.ts";
import { trainClusters } from "../vector/train_clusters.ts";
import type { VectorSpace } from "../vector/vector_cell.ts";
import type { RowAssigner } from "./cel_assigner.ts";
import { SHARDS_MAX } from "./sharding.ts";
import { clusterRouter, explicitRouter, lshRouter, type VectorRouter } from "./vector_router.ts";

/** Shards by the vectors of rows; made by a function such as {@linkcode clusterSharding}. */
export interface VectorSharding {
  readonly kind: "vectors";
  /** What decides about the shard of a vector. */
  readonly strategy: "cluster" | "lsh" | "explicit";
  /** How many vectors are looked at before the first one is routed, and the seed that chooses them; null for none. */
  readonly sample: { readonly rowsMax: number; readonly rowsMin: number; readonly seed: number } | null;
  /** Checks that vectors of this kind can be routed. @throws {ConfigValidationError} */
  check(space: VectorSpace): void;
  /**
   * The router; trains centroids where they are not given.
   *
   * @param sample `[rows × dim]`: vectors to train with.
   * @throws {ConfigValidationError} when there are fewer of them than shards.
   */
  routerFor(space: VectorSpace, sample: Float32Array, signal?: AbortSignal): Promise<VectorRouter>;
  /** How many shards there are. */
  readonly shardCount: number;
  /** Shard of a row, where the caller says it. */
  readonly shardOf?: (row: unknown) => number;
}

/** Vectors in rows: numbers one after the other (`Float64Array` keeps its precision), or an array for each. */
export type VectorTable = VectorRows | readonly ArrayLike<number>[];

/** Options of {@linkcode clusterSharding}: `shards`, to train centroids, or `centroids`. */
export interface ClusterShardingOptions {
  /** Number of shards. Default: as many as there are centroids. */
  readonly shards?: number | undefined;
  /** Centroids of the shards, in their order. */
  readonly centroids?: VectorTable | undefined;
  /** How centroids are trained. */
  readonly train?: ClusterTraining | undefined;
  /** Has to be the backend's. Default: the backend's. */
  readonly metric?: DistanceMetric | undefined;
  /** In how many shards readers look unless they say otherwise. @default {1} */
  readonly probes?: number | undefined;
}

/** How centroids are trained. */
export interface ClusterTraining {
  /**
   * How many vectors to train with, chosen from all. A quarter of `memory.bytesMax` is the limit. Default: 256 for each
   * shard, at least 10,000 and at most 100,000.
   */
  readonly sample?: number | undefined;
  /** Chooses the sample and the first centroids; the same rows give the same centroids. @default {42} */
  readonly seed?: number | undefined;
}

const vectorTable = objectOf("an array of vectors, or { values, dim }");
const seedCheck = (value: unknown): string | null => Number.isSafeInteger(value) ? null : "a whole number";

/**
 * Shards that hold vectors near to each other: each vector goes to the shard of the nearest centroid, and a search asks
 * the shards whose centroids are nearest to the query.
 *
 * Without `centroids` all rows are put aside on disk first, and centroids are trained with a sample of their vectors
 * (k-means++, then at most 100 of Lloyd's iterations). Centroids are stored with the snapshot. Each key may come once.
 *
 * @throws {ConfigValidationError} for wrong options; on writing when there are fewer vectors than shards.
 *
 * @example Two heaps of vectors
 * ```ts
 * import { sqliteVecBackend } from "../backends/sqlite_vec_backend.ts";
 * import { openSnapshot } from "../read/open_snapshot.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { writeSnapshot } from "../write/write_snapshot.ts";
 * import { clusterSharding } from "./vector_sharding.ts";
 *
 * const store = memoryStore();
 * await writeSnapshot([{ id: 1, at: [0, 0] }, { id: 2, at: [9, 9] }, { id: 3, at: [9, 8] }], {
 *   store,
 *   sharding: clusterSharding({ centroids: [[0, 1], [8, 8]] }),
 *   backend: sqliteVecBackend({ dim: 2, metric: "l2" }),
 *   key: (row) => row.id,
 *   vector: (row) => ({ vector: row.at }),
 * });
 * await using reader = await openSnapshot({ store });
 * const { results, shardsQueried } = await reader.search([9, 9], { topK: 2 });
 * if (results.map(({ id }) => id).join() !== "2,3" || shardsQueried !== 1) throw new Error("unexpected results");
 * ```
 */
export function clusterSharding(options: ClusterShardingOptions): VectorSharding {
  const name = "clusterSharding";
  checkFields(options, name, {
    shards: optional(shardsCheck),
    centroids: optional(vectorTable),
    train: optional(objectOf("{ sample?, seed? }")),
    metric: optional((value) =>
      ["cosine", "l2", "dot_product"].includes(value as string) ? null : '"cosine", "l2" or "dot_product"'
    ),
    probes: optional(integerFrom(1)),
  });
  const { train = {}, metric, probes = 1 } = options;
  checkFields(train, `${name}.train`, { sample: optional(integerFrom(1)), seed: optional(seedCheck) });
  const centroids = options.centroids && rowsOf(options.centroids, `${name}.centroids`);
  const shards = options.shards ?? (centroids && centroids.values.length / centroids.dim);
  if (shards === undefined) {
    return refuseOption(`${name}.shards`, "a whole number from 1 to 1,000,000, unless centroids are given", undefined);
  }
  if (centroids !== undefined) {
    if (options.train !== undefined) throw together(`${name}.train`, `${name}.centroids`);
    const count = centroids.values.length / centroids.dim;
    if (count !== shards) refuseOption(`${name}.shards`, `${count}, as there are so many centroids`, shards);
  }
  checkProbes(name, probes, shards);
  const { sample = Math.min(100_000, Math.max(10_000, 256 * shards)), seed = 42 } = train;
  if (sample < shards) refuseOption(`${name}.train.sample`, `${shards} at least, the number of shards`, sample);
  return Object.freeze({
    kind: "vectors",
    strategy: "cluster",
    shardCount: shards,
    sample: centroids === undefined ? { rowsMax: sample, rowsMin: shards, seed } : null,
    check(space: VectorSpace): void {
      if (metric !== undefined && metric !== space.metric) {
        refuseOption(`${name}.metric`, `"${space.metric}", as that of the backend`, metric);
      }
      if (centroids !== undefined) checkDim(`${name}.centroids`, centroids, space);
    },
    async routerFor(space: VectorSpace, sample: Float32Array, signal?: AbortSignal): Promise<VectorRouter> {
      const trained = centroids ?? await trainedCentroids(sample, { shards, seed, space, signal });
      return clusterRouter({ centroids: trained, metric: space.metric, probes });
    },
  });
}

/** Options of {@linkcode lshSharding}. */
export interface LshShardingOptions {
  /** Number of shards. */
  readonly shards: number;
  /** Bits of a code, from 1 to 48. @default {8} */
  readonly hashBits?: number | undefined;
  /** Normals of the hyperplanes, one for each bit. Default: random ones. */
  readonly hyperplanes?: VectorTable | undefined;
  /** Chooses random hyperplanes. @default {42} */
  readonly seed?: number | undefined;
  /** In how many shards readers look unless they say otherwise. @default {1} */
  readonly probes?: number | undefined;
}

/**
 * Shards by the sides of random hyperplanes that vectors lie on: locality-sensitive hashing. Needs no training and no
 * look at the data, and finds less than clusters do. A search asks the query's own shard, then those that it would be
 * in on the other side of one hyperplane. The hyperplanes are stored with the snapshot.
 *
 * @throws {ConfigValidationError} for wrong options.
 *
 * @example
 * ```ts
 * import { lshSharding } from "./vector_sharding.ts";
 *
 * const sharding = lshSharding({ shards: 4, hashBits: 6, probes: 2 });
 * const router = await sharding.routerFor({ dim: 3, metric: "cosine" }, new Float32Array());
 * if (router.shardCount !== 4) throw new Error("unexpected number");
 * ```
 */
export function lshSharding(options: LshShardingOptions): VectorSharding {
  const name = "lshSharding";
  checkFields(options, name, {
    shards: shardsCheck,
    hashBits: optional((value) =>
      integerFrom(1)(value) === null && (value as number) <= HASH_BITS_MAX ? null : "a whole number from 1 to 48"
    ),
    hyperplanes: optional(vectorTable),
    seed: optional(seedCheck),
    probes: optional(integerFrom(1)),
  });
  const { shards, probes = 1, seed = 42 } = options;
  const hyperplanes = options.hyperplanes && rowsOf(options.hyperplanes, `${name}.hyperplanes`);
  const bitsGiven = hyperplanes && hyperplanes.values.length / hyperplanes.dim;
  const { hashBits = bitsGiven ?? 8 } = options;
  if (bitsGiven !== undefined) {
    if (options.seed !== undefined) throw together(`${name}.seed`, `${name}.hyperplanes`);
    if (bitsGiven !== hashBits) refuseOption(`${name}.hashBits`, `${bitsGiven}, one for each hyperplane`, hashBits);
    if (bitsGiven > HASH_BITS_MAX) refuseOption(`${name}.hyperplanes`, "48 rows at most", options.hyperplanes);
  }
  checkProbes(name, probes, shards);
  return Object.freeze({
    kind: "vectors",
    strategy: "lsh",
    shardCount: shards,
    sample: null,
    check(space: VectorSpace): void {
      if (hyperplanes !== undefined) checkDim(`${name}.hyperplanes`, hyperplanes, space);
    },
    routerFor({ dim }: VectorSpace): Promise<VectorRouter> {
      const rows = hyperplanes ?? randomHyperplanes({ hashBits, dim, seed });
      return Promise.resolve(lshRouter({ hyperplanes: rows, shardCount: shards, probes }));
    },
  });
}

/** Options of {@linkcode explicitSharding}. */
export interface ExplicitShardingOptions<T> {
  /** Number of shards. */
  readonly shards: number;
  /** Shard of a row, from 0. */
  readonly shard: (row: T) => number;
}

/**
 * Shards that the caller chooses, row by row. A search has to name the shards that it asks.
 *
 * @throws {ConfigValidationError} for wrong options; on writing when a row is given to a shard that does not exist.
 *
 * @example
 * ```ts
 * import { explicitSharding } from "./vector_sharding.ts";
 *
 * const sharding = explicitSharding({ shards: 2, shard: (row: { isOld: boolean }) => row.isOld ? 1 : 0 });
 * if (sharding.strategy !== "explicit") throw new Error("unexpected strategy");
 * ```
 */
export function explicitSharding<T>(options: ExplicitShardingOptions<T>): VectorSharding {
  checkFields(options, "explicitSharding", {
    shards: shardsCheck,
    shard: (value) => typeof value === "function" ? null : "a function",
  });
  const { shards, shard } = options;
  const router = explicitRouter(shards);
  return Object.freeze({
    kind: "vectors",
    strategy: "explicit",
    shardCount: shards,
    sample: null,
    check() {},
    routerFor: () => Promise.resolve(router),
    shardOf: shard as (row: unknown) => number,
  });
}

/** Takes what `shardOf` gave for a row as the column `shard`. */
export function explicitAssigner(router: VectorRouter): RowAssigner {
  const { shardCount } = router;
  return {
    assign(_key, columns) {
      const shardId = columns?.["shard"];
      if (Number.isInteger(shardId) && (shardId as number) >= 0 && (shardId as number) < shardCount) {
        return shardId as number;
      }
      throw new ConfigValidationError(
        `Cannot give a row to a shard as its number must be from 0 to ${shardCount - 1}: ` +
          `current value is ${shown(shardId)}`,
        "explicitSharding.shard",
      );
    },
    finish: () => ({ router, shardIdOf: (shardId) => shardId }),
  };
}

async function trainedCentroids(
  sample: Float32Array,
  { shards, seed, space: { dim }, signal }: {
    readonly shards: number;
    readonly seed: number;
    readonly space: VectorSpace;
    readonly signal: AbortSignal | undefined;
  },
): Promise<VectorRows> {
  const rowCount = sample.length / dim;
  if (rowCount >= shards) return await trainClusters(sample, { dim, clusters: shards, seed, signal });
  throw new ConfigValidationError(
    `Cannot train the centroids of ${shards} shards with ${rowCount} vectors as there must be as many at least: ` +
      "ask for fewer shards, or give centroids",
    "clusterSharding.shards",
  );
}

function shardsCheck(value: unknown): string | null {
  const isCount = integerFrom(1)(value) === null && (value as number) <= SHARDS_MAX;
  return isCount ? null : "a whole number from 1 to 1,000,000";
}

/** Rows in one array, checked. @throws {ConfigValidationError} */
function rowsOf(table: VectorTable, path: string): VectorRows {
  const { values, dim } = Array.isArray(table) ? joined(table, path) : table as VectorRows;
  if (!(values instanceof Float32Array || values instanceof Float64Array)) {
    refuseOption(path, "an array of vectors, or { values, dim } with a Float32Array or Float64Array", values);
  }
  rowCountOf(values, dim, path);
  if (!values.every(Number.isFinite)) {
    refuseOption(
      path,
      "finite numbers",
      values.find((value) => !Number.isFinite(value)),
    );
  }
  return { values: values.slice(), dim };
}

function joined(table: readonly ArrayLike<number>[], path: string): VectorRows {
  const dim = table[0]?.length ?? 0;
  const values = new Float32Array(table.length * dim);
  table.forEach((row, index) => {
    if (row.length !== dim) refuseOption(path, `rows of equal length, ${dim} as the first`, row.length);
    values.set(Array.from(row, Number), index * dim);
  });
  return { values, dim };
}

function checkDim(path: string, rows: VectorRows, { dim }: VectorSpace): void {
  if (rows.dim !== dim) refuseOption(path, `rows of ${dim} numbers, as the backend's vectors`, rows.dim);
}

function checkProbes(name: string, probes: number, shards: number): void {
  if (probes > shards) {
    refuseOption(`${name}.probes`, `a whole number from 1 to ${shards}, the number of shards`, probes);
  }
}

function together(path: string, other: string): ConfigValidationError {
  return new ConfigValidationError(`Cannot use option "${path}" together with "${other}": give one of them`, path);
}
