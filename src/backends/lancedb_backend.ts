/**
 * Shards of vectors as tables of LanceDB, built and searched by its native engine, the optional package
 * `@lancedb/lancedb`.
 * @module
 */
import * as v from "valibot";
import { DbAdapterError } from "../errors.ts";
import { parseOptions, positiveInteger } from "../options.ts";
import type { SortedRows } from "../rows.ts";
import type { VectorMetric, VectorSpace } from "../vector/vector_cell.ts";
import type { Backend, BuiltShard, ShardFile, ShardReader, ShardTarget } from "./backend.ts";
import { buildLanceTable, type LanceIndexOptions } from "./lance_build.ts";
import { LANCE_FILE } from "./lance_folder.ts";
import { LanceShardReader, type NativeLanceAccess } from "./lance_shard_reader.ts";
import { removeObjects, uploadFolder } from "./upload_folder.ts";

export type { LanceIndexOptions, NativeLanceAccess };

/** How shards of vectors are built and searched. */
export interface LancedbBackendOptions {
  /** Numbers in each vector. */
  readonly dim: number;
  /**
   * How far apart vectors are, and what scores of searches are: `"cosine"`, 1 − cosine similarity; `"l2"`, the
   * **squared** Euclidean distance; `"dot_product"`, 1 − the dot product. Smaller is nearer.
   */
  readonly metric: VectorMetric;
  /**
   * `"hnsw-sq"` keeps 8 bits for each number in a graph of neighbours, `"hnsw-pq"` a few bits, `"none"` builds none.
   * Shards with fewer than 256 vectors never have one. @default {"hnsw-sq"}
   */
  readonly index?: "hnsw-sq" | "hnsw-pq" | "none" | undefined;
  /** Neighbours of each vector in the graph. @default {20} */
  readonly m?: number | undefined;
  /** Candidates that are kept while the graph is built. @default {300} */
  readonly efConstruction?: number | undefined;
  /** How shards are read where they lie, instead of from a copy; never recorded. Default: from a copy. */
  readonly native?: NativeLanceAccess | undefined;
}

/** The options when all are given: what the manifest records. */
export type LanceLayout = VectorSpace & LanceIndexOptions;

const layoutEntries = {
  dim: positiveInteger,
  metric: v.picklist(["cosine", "l2", "dot_product"], '"cosine", "l2" or "dot_product"'),
  index: v.optional(v.picklist(["hnsw-sq", "hnsw-pq", "none"], '"hnsw-sq", "hnsw-pq" or "none"'), "hnsw-sq"),
  m: v.optional(positiveInteger, 20),
  efConstruction: v.optional(positiveInteger, 300),
};

const nativeAccess: v.GenericSchema<NativeLanceAccess> = v.strictObject({
  storageOptions: v.optional(v.record(v.string(), v.string())),
  urlOf: v.optional(v.custom((value) => typeof value === "function", "a function")),
}) as never;

const lanceOptions: v.GenericSchema<LancedbBackendOptions, LanceLayout & { native?: NativeLanceAccess }> = v
  .strictObject({ ...layoutEntries, native: v.optional(nativeAccess) }) as never;

/**
 * Tables of LanceDB with the columns `id`, `vector` and `payload`, as the Python package has them: vectors without
 * values. `compositeBackend` puts such tables beside the rows of another engine.
 *
 * Ids of vectors come back as texts, as LanceDB has no others. Up to 10,000 vectors of a shard a search measures all of
 * them; beyond, it asks the index, and measures four times as many vectors anew as are wanted.
 *
 * Reading makes a copy of the shard's table in the folder for temporary files, at its first search, each file checked
 * against its digest; with `native`, LanceDB itself reads the shard where it lies, which nothing checks.
 *
 * On Deno the package needs `--allow-env` and `--allow-ffi`, beside reading and writing of files.
 *
 * The bytes of the files differ from one build to the next, so that unchanged shards cannot be reused.
 *
 * @throws {ConfigValidationError} when an option is missing, unknown or out of range. Building and searching throw
 * `MissingLibraryError` where the package is not installed, or does not load.
 *
 * @example
 * ```ts
 * import { lancedbBackend } from "./lancedb_backend.ts";
 *
 * const backend = lancedbBackend({ dim: 384, metric: "cosine" });
 * if (backend.vectors?.dim !== 384) throw new Error("unexpected backend");
 * ```
 */
export function lancedbBackend(options: LancedbBackendOptions): Backend {
  const { native, ...layout } = parseOptions(lanceOptions, options, "lancedbBackend");
  const { dim, metric } = layout;
  return {
    spec: { name: "lancedb", options: layout },
    module: { url: import.meta.url, factory: "lancedbBackend" },
    vectors: { dim, metric },
    storesValues: false,
    isReproducible: false,
    fileName: LANCE_FILE,
    opens: ["remote"],
    buildShard: (rows, target) => buildLanceShard(rows, target, layout),
    openShard: (file) => Promise.resolve(openLanceShard(file, { dim, metric }, native)),
  };
}

function openLanceShard(file: ShardFile, space: VectorSpace, native: NativeLanceAccess | undefined): ShardReader {
  if (file.kind === "remote") return new LanceShardReader({ shard: file.shard, space, native });
  throw new DbAdapterError("Cannot open one file as a shard of LanceDB: it is a folder of files");
}

async function buildLanceShard(rows: SortedRows, target: ShardTarget, layout: LanceLayout): Promise<BuiltShard> {
  await using table = await buildLanceTable(rows, target, layout);
  const created: string[] = [];
  try {
    const objects = await uploadFolder(table, target, created);
    const [first, ...others] = objects.toReversed();
    const dbBytes = objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return { dbBytes, rowCount: table.rowCount, objects: first === undefined ? [] : [first, ...others] };
  } catch (error) {
    await removeObjects(target.store, created);
    throw error;
  }
}
