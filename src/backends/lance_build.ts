/**
 * Builds a shard's Lance table in a folder on disk.
 * @module
 */
import { CorruptFileError, DbAdapterError, ShardyfusionError } from "../errors.ts";
import type { SortedRows } from "../rows.ts";
import type { VectorSpace } from "../vector/vector_cell.ts";
import type { ShardTarget } from "./backend.ts";
import { lanceTables, type LanceTally } from "./lance_batches.ts";
import { LANCE_FOLDER, LANCE_TABLE } from "./lance_folder.ts";
import { importLance, type LanceLibrary, type LanceTable } from "./lance_library.ts";
import { HINT_FILE, lanceManifestName, readLanceManifest } from "./lance_manifest.ts";
import { LANCE_METRICS } from "./lance_shard_reader.ts";
import type { LocalFolder } from "./upload_folder.ts";

/** How a table's index is built. */
export interface LanceIndexOptions {
  readonly index: "hnsw-sq" | "hnsw-pq" | "none";
  readonly m: number;
  readonly efConstruction: number;
}

/** What is built. */
export type LanceTableOptions = VectorSpace & LanceIndexOptions;

/** A table on disk; disposing removes it. */
export interface BuiltLanceTable extends LocalFolder, AsyncDisposable, Readonly<LanceTally> {}

/** With fewer vectors LanceDB trains no index. */
const INDEX_ROWS_MIN = 256;
/** Vectors in a part of the index: searches go through 20 parts. */
const PARTITION_ROWS = 1 << 16;
/** Numbers of a vector that share one byte of the index, with `"hnsw-pq"`. */
const SUB_VECTOR_NUMBERS = 4;

/**
 * Builds a table. Holds some thousand vectors at a time; LanceDB holds what its index takes, for one shard.
 *
 * @throws {MissingLibraryError} @throws {DbAdapterError} where there is no disk, or LanceDB fails.
 */
export async function buildLanceTable(
  rows: SortedRows,
  { scratch, signal }: ShardTarget,
  options: LanceTableOptions,
): Promise<BuiltLanceTable> {
  if (scratch === null) throw new DbAdapterError("Cannot build shards with lancedbBackend without a disk");
  const library = await importLance();
  const fs = await import("node:fs/promises");
  const path = await (await scratch()).makeFolder();
  const tally = { rowCount: 0, vectorCount: 0 };
  const remove = (): Promise<void> => fs.rm(path, { recursive: true, force: true });
  try {
    await fillTable(rows, { library, path, tally, signal, options });
    const names = tally.vectorCount === 0 ? [] : await namesOf(path);
    return { ...tally, path, names, [Symbol.asyncDispose]: remove };
  } catch (cause) {
    await remove();
    signal.throwIfAborted();
    if (cause instanceof ShardyfusionError) throw cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new DbAdapterError(`Cannot build a shard with LanceDB: ${message.split("\n")[0]}`, { cause });
  }
}

async function fillTable(
  rows: SortedRows,
  { library, path, tally, signal, options }: {
    library: LanceLibrary;
    path: string;
    tally: LanceTally;
    signal: AbortSignal;
    options: LanceTableOptions;
  },
): Promise<void> {
  const { dim } = options;
  const database = await library.connect(path);
  let table: LanceTable | null = null;
  try {
    for await (const batch of lanceTables(rows, { dim, tally, signal })) {
      if (table === null) table = await database.createTable(LANCE_TABLE, batch);
      else await table.add(batch);
      signal.throwIfAborted();
    }
    // Once, when all vectors are there: the Python package does it with each flush.
    if (table !== null && tally.vectorCount >= INDEX_ROWS_MIN && options.index !== "none") {
      const config = indexOf(library, options, tally.vectorCount);
      await table.createIndex("vector", { config });
      signal.throwIfAborted();
    }
  } finally {
    table?.close();
    database.close();
  }
}

function indexOf({ Index }: LanceLibrary, options: LanceTableOptions, vectorCount: number): unknown {
  const { index, metric, dim, m, efConstruction } = options;
  const graph = {
    distanceType: LANCE_METRICS[metric],
    numPartitions: Math.ceil(vectorCount / PARTITION_ROWS),
    m,
    efConstruction,
  };
  if (index === "hnsw-sq") return Index.hnswSq(graph);
  const isDivisible = dim % SUB_VECTOR_NUMBERS === 0;
  return Index.hnswPq({ ...graph, numSubVectors: isDivisible ? dim / SUB_VECTOR_NUMBERS : 1 });
}

/** What the last version is made of, in the order in which readers may see it: its manifest and the hint last. */
async function namesOf(path: string): Promise<string[]> {
  const fs = await import("node:fs/promises");
  const folder = `${path}/${LANCE_FOLDER}`;
  // Names count down: the newest version comes first.
  const names = (await fs.readdir(`${folder}/_versions`)).filter((name) => /^\d{20}\.manifest$/.test(name)).sort();
  const newest = names[0];
  if (newest === undefined) throw new CorruptFileError(`Cannot find a version of the table in "${folder}"`, -1);
  const { version, files } = readLanceManifest(await fs.readFile(`${folder}/_versions/${newest}`), folder);
  await fs.writeFile(`${folder}/${HINT_FILE}`, JSON.stringify({ version }));
  return [...files.map(({ name }) => name), lanceManifestName(version), HINT_FILE].map((name) =>
    `${LANCE_FOLDER}/${name}`
  );
}
