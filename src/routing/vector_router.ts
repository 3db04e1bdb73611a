/**
 * Routing by vectors: where vectors of snapshots without keys go, and in which shards their neighbours are looked for
 * (WIRE_FORMATS 13.3 to 13.6).
 *
 * Only loaded for such snapshots.
 * @module
 */
import type { JsonObject } from "../bytes/python_json.ts";
import { ConfigValidationError } from "../errors.ts";
import type { PackedRows } from "../rows.ts";
import { nearestClusters, nearestRow } from "../vector/clusters.ts";
import { type DistanceMetric, DistanceTable, rowCountOf, type VectorRows } from "../vector/distance_table.ts";
import { HyperplaneHash } from "../vector/lsh.ts";
import { PackedVectors } from "../vector/packed_vectors.ts";
import type { Router, RoutingColumns } from "./router.ts";

/** What a search says beside its query. */
export interface TargetOptions {
  /** How many shards to look in. Default: what the snapshot records. */
  readonly probes?: number | undefined;
  /** What a routing expression looks at. */
  readonly columns?: RoutingColumns | undefined;
}

/** Numbers that are stored beside the shards, in a file of their own. */
export interface VectorMeta {
  /** Name of the file. */
  readonly name: "centroids.npy" | "hyperplanes.npy";
  /** The field of the manifest that names it. */
  readonly field: "centroids_ref" | "hyperplanes_ref";
  readonly rows: VectorRows;
}

/** How vectors are spread over shards, and found again. */
export interface VectorRouting {
  readonly strategy: "cluster" | "lsh" | "explicit" | "cel" | "hash";
  /** What the manifest records of it, beside the reference to `meta`. */
  readonly fields: JsonObject;
  readonly meta: VectorMeta | null;
  /**
   * The shards to look in, the most promising first; null for all.
   *
   * @throws {ConfigValidationError} when the search has to name the shards, or the columns that tell them.
   */
  targets(query: Float32Array, options: TargetOptions): readonly number[] | null;
}

/** Routes vectors, and no keys: `route` throws `ConfigValidationError`. */
export interface VectorRouter extends Router {
  readonly vectors: VectorRouting;
}

/** What routes by centroids. */
export interface ClusterRouting {
  /** One for each shard. */
  readonly centroids: VectorRows;
  readonly metric: DistanceMetric;
  readonly probes: number;
}

/** A vector goes to the shard of the nearest centroid; of equally near ones to the lower. */
export function clusterRouter({ centroids, metric, probes }: ClusterRouting): VectorRouter {
  const shardCount = rowCountOf(centroids.values, centroids.dim, "centroids");
  const table = new DistanceTable(centroids, metric);
  return vectorRouter(shardCount, {
    strategy: "cluster",
    fields: { "num_probes": probes },
    meta: { name: "centroids.npy", field: "centroids_ref", rows: centroids },
    targets: (query, options) => nearestClusters(query, { centroids, metric, probes: options.probes ?? probes }),
  }, packedRouter(centroids.dim, (vector) => nearestRow(table, vector, 0)));
}

/** What routes by hyperplanes. */
export interface LshRouting {
  readonly hyperplanes: VectorRows;
  readonly shardCount: number;
  readonly probes: number;
}

/** A vector goes to the shard of its code, modulo the number of shards. */
export function lshRouter({ hyperplanes, shardCount, probes }: LshRouting): VectorRouter {
  const hash = new HyperplaneHash(hyperplanes);
  return vectorRouter(shardCount, {
    strategy: "lsh",
    fields: { "num_hash_bits": hyperplanes.values.length / hyperplanes.dim, "num_probes": probes },
    meta: { name: "hyperplanes.npy", field: "hyperplanes_ref", rows: hyperplanes },
    targets: (query, options) => hash.probe(query, { shardCount, probes: options.probes ?? probes }),
  }, packedRouter(hyperplanes.dim, (vector) => hash.shardOf(vector, 0, shardCount)));
}

/** The caller chooses the shard of each vector, and those that are searched. */
export function explicitRouter(shardCount: number): VectorRouter {
  return vectorRouter(shardCount, {
    strategy: "explicit",
    fields: { "num_probes": 1 },
    meta: null,
    targets() {
      throw new ConfigValidationError(
        'Cannot search without option "shards" as the shards of the vectors were chosen by whoever wrote them',
        "shards",
      );
    },
  });
}

/** Vectors were spread by the hash of their ids, so that their neighbours may be anywhere. */
export function scatteredRouter(shardCount: number): VectorRouter {
  return vectorRouter(shardCount, {
    strategy: "hash",
    fields: { "num_probes": 1 },
    meta: null,
    targets: () => null,
  });
}

/** An expression over columns tells the shard. */
export function columnsRouter(router: Router, fields: JsonObject): VectorRouter {
  return vectorRouter(router.shardCount, {
    strategy: "cel",
    fields: { ...fields, "num_probes": 1 },
    meta: null,
    targets: (_, { columns }) => [routeByColumns(router, columns)],
  });
}

/**
 * The shard that columns tell without a key.
 *
 * @throws {ConfigValidationError} when they are missing, or the key is among them and missing.
 */
export function routeByColumns(router: Router, columns: RoutingColumns | undefined): number {
  const { spec } = router;
  const key = columns?.["key"];
  if (columns === undefined || (spec.strategy === "cel" && "key" in spec.columns && key === undefined)) {
    throw new ConfigValidationError(
      'Cannot search without option "columns" as an expression over them tells the shard: ' +
        `give ${spec.strategy === "cel" ? Object.keys(spec.columns).join(", ") : "them"}, or option "shards"`,
      "columns",
    );
  }
  return router.route((key ?? "") as string, columns);
}

function vectorRouter(
  shardCount: number,
  vectors: VectorRouting,
  routePacked?: (rows: PackedRows, shardIds: Uint32Array) => void,
): VectorRouter {
  return Object.freeze({
    spec: Object.freeze({ strategy: "hash" }),
    shardCount,
    isKeyOnly: false,
    vectors: Object.freeze(vectors),
    ...(routePacked && { routePacked }),
    route(): never {
      throw new ConfigValidationError(
        "Cannot look up keys in a snapshot that has vectors only: search it",
        "key",
      );
    },
  });
}

function packedRouter(
  dim: number,
  shardOf: (vector: Float32Array) => number,
): (rows: PackedRows, shardIds: Uint32Array) => void {
  const vectors = new PackedVectors(dim);
  return (rows, shardIds) => {
    for (let row = 0; row < rows.rowCount; row++) {
      if (!vectors.load(rows, row)) {
        throw new ConfigValidationError("Cannot route a row by its vector as it has none", "vector");
      }
      shardIds[row] = shardOf(vectors.vector);
    }
  };
}
