/**
 * Shards with vectors beside their rows: SQLite files as the extension sqlite-vec keeps them, written and searched in
 * TypeScript, without native code, on every runtime and over ranges.
 * @module
 */
import * as v from "valibot";
import { parseOptions } from "../options.ts";
import type { SearchedMetric, SearchedSpace } from "../vector/distance.ts";
import type { Backend, BuiltShard, ShardTarget } from "./backend.ts";
import type { SortedRows } from "../rows.ts";
import { buildSqliteShard, SHARD_FILE } from "./build_sqlite_shard.ts";
import { copySqliteShard } from "./copy_sqlite_shard.ts";
import { keyValueRows } from "./key_value_rows.ts";
import { measurePageSize, recommendPageSize } from "./page_size.ts";
import { sidecarFields } from "./shard_companions.ts";
import { type SqliteBackendOptions, type SqliteLayout, sqliteOptionEntries } from "./sqlite_backend.ts";
import { openVectorShard } from "./vector_shard_reader.ts";
import { writeVectorTables } from "./vector_tables.ts";

export type { SearchedMetric };

/** sqlite-vec has no larger vectors. */
const DIM_MAX = 8192;

/** How shards with vectors are written. */
export interface SqliteVecBackendOptions extends SqliteBackendOptions {
  /** Numbers in each vector: 1 to 8192. */
  readonly dim: number;
  /** How far apart vectors are: `"cosine"`, 1 − cosine similarity, or `"l2"`, the Euclidean distance. */
  readonly metric: SearchedMetric;
}

const vecOptions: v.GenericSchema<SqliteVecBackendOptions, SqliteLayout & SearchedSpace> = v.strictObject({
  ...sqliteOptionEntries,
  dim: v.pipe(
    v.number(`a whole number from 1 to ${DIM_MAX}`),
    v.check((dim) => Number.isInteger(dim) && dim >= 1 && dim <= DIM_MAX, `a whole number from 1 to ${DIM_MAX}`),
  ),
  metric: v.picklist(["cosine", "l2"], '"cosine" or "l2"'),
}) as never;

/**
 * SQLite files that hold rows and their vectors. Rows are looked up as with `sqliteBackend`; `search` of a shard's
 * reader is exact: it goes through all vectors, 1024 at a time.
 *
 * Rows come with the option `vector` of a write, and without the option `value` the shards have vectors only. SQLite
 * with the extension sqlite-vec opens the files, too. The same rows give the same bytes.
 *
 * @throws {ConfigValidationError} when dimension, metric or page size are not among those named, or an option is
 * unknown. There is no dot product.
 *
 * @example
 * ```ts
 * import { hashSharding } from "../routing/mod.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { writeSnapshot } from "../write/mod.ts";
 * import { sqliteVecBackend } from "./sqlite_vec_backend.ts";
 *
 * const rows = [{ id: 1, text: "up", vector: [0, 1] }, { id: 2, text: "down", vector: [0, -1] }];
 * const result = await writeSnapshot(rows, {
 *   store: memoryStore(),
 *   sharding: hashSharding({ shards: 2 }),
 *   backend: sqliteVecBackend({ dim: 2, metric: "cosine" }),
 *   key: (row) => row.id,
 *   value: (row) => row.text,
 *   vector: (row) => ({ vector: row.vector, payload: { length: row.text.length } }),
 * });
 * if (result.stats.rowsWritten !== 2) throw new Error("rows are missing");
 * ```
 */
export function sqliteVecBackend(options: SqliteVecBackendOptions): Backend {
  const layout = parseOptions(vecOptions, options, "sqliteVecBackend");
  const { dim, metric, pageSizeBytes, sidecar } = layout;
  const unused = { "index_type": "hnsw", quantization: null };
  return {
    spec: { name: "sqlite-vec", options: { ...layout } },
    module: { url: import.meta.url, factory: "sqliteVecBackend" },
    vectors: { dim, metric },
    fileName: SHARD_FILE,
    opens: ["memory", "file", "remote"],
    customFields: {
      ...(sidecar ? sidecarFields(pageSizeBytes) : {}),
      vector: { backend: "sqlite-vec", "kv_backend": "sqlite-vec", dim, metric, ...unused, unified: true },
    },
    buildShard: (rows, target) => buildVectorShard(rows, target, layout),
    copyShard: copySqliteShard,
    openShard: openVectorShard,
  };
}

async function buildVectorShard(
  rows: SortedRows,
  target: ShardTarget,
  layout: SqliteLayout & SearchedSpace,
): Promise<BuiltShard> {
  const { dim, metric } = layout;
  const keyValues = await keyValueRows(rows);
  const pageSizeBytes = layout.pageSizeBytes === "auto"
    ? Math.max(await measurePageSize(keyValues), recommendPageSize(4 * dim + 16, 9))
    : layout.pageSizeBytes;
  let rowCount = 0;
  const built = await buildSqliteShard(keyValues, target, {
    ...layout,
    pageSizeBytes,
    async addTables(writer) {
      rowCount = await writeVectorTables(writer, { rows, space: { dim, metric }, signal: target.signal });
    },
  });
  return { ...built, rowCount };
}
