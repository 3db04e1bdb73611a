/**
 * Builds a snapshot of vectors under a ceiling of memory and searches it, beside the extension sqlite-vec in the same
 * run: `vectors.ts [ROWS] [DIM] [SHARDS] [MEMORY_MIB] [WORKERS]`. Prints one line of JSON.
 *
 * `peakMiB` is the process's after the build, before anything else. Making vectors takes time, too, which both builds
 * spend: `madePerCpu` tells how much. What ends in `Cpu` is by the processor's time, of all threads, as machines may be
 * busy with other things.
 * @module
 */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { getLoadablePath } from "sqlite-vec";
import { sqliteVecBackend } from "../src/backends/sqlite_vec_backend.ts";
import type { ShardReader } from "../src/backends/backend.ts";
import { hashSharding } from "../src/routing/mod.ts";
import { fsStore } from "../src/stores/fs_store.ts";
import { writeSnapshot } from "../src/write/mod.ts";
import { clusteredVectors } from "./clustered_vectors.ts";
import { peakMiB } from "./rows.ts";

const [rowCount = 200_000, dim = 384, shards = 8, memoryMiB = 128, workers = 0] = process.argv.slice(2).map(Number);
const SEARCHES = 20;
const METRIC = "l2";
const backend = sqliteVecBackend({ dim, metric: METRIC });

function* rows(): Generator<number> {
  for (let id = 0; id < rowCount; id++) yield id;
}

interface Rates {
  readonly perSecond: number;
  readonly perCpu: number;
}

/** Begins to measure; tells how many of something were done in a second, and in one of the processor's time. */
function stopwatch(): (count: number) => Rates {
  const startMs = performance.now();
  const startCpu = process.cpuUsage();
  return (count) => {
    const { user, system } = process.cpuUsage(startCpu);
    const perSecond = rounded(count / (performance.now() - startMs) * 1000);
    return { perSecond, perCpu: rounded(count / (user + system) * 1e6) };
  };
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}

async function buildOurs(folder: string): Promise<{ paths: string[]; built: Rates }> {
  const next = clusteredVectors(dim, 1);
  const rate = stopwatch();
  const { winners } = await writeSnapshot(rows(), {
    store: fsStore(folder),
    sharding: hashSharding({ shards }),
    backend,
    memory: { bytesMax: memoryMiB << 20 },
    workers,
    key: (id) => id,
    vector: () => ({ vector: next() }),
  });
  const built = rate(rowCount);
  return { paths: winners.map(({ dbUrl }) => join(new URL(dbUrl!).pathname, "shard.db")), built };
}

/** Plain inserts in one transaction, without a journal and without waiting for the disk. */
function buildNative(path: string): Rates {
  const database = new DatabaseSync(path, { allowExtension: true });
  database.loadExtension(getLoadablePath());
  database.exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
  database.exec(`CREATE VIRTUAL TABLE vec_index USING vec0(embedding float[${dim}] distance_metric=${METRIC})`);
  const next = clusteredVectors(dim, 1);
  const rate = stopwatch();
  database.exec("BEGIN");
  const insert = database.prepare("INSERT INTO vec_index(rowid, embedding) VALUES (?, ?)");
  for (let id = 0; id < rowCount; id++) insert.run(BigInt(id), new Uint8Array(next().buffer));
  database.exec("COMMIT");
  const rates = rate(rowCount);
  database.close();
  return rates;
}

/** Milliseconds of the processor for a search for ten in all shards, one shard after the other. */
async function searchMs(search: (query: Float32Array<ArrayBuffer>) => Promise<void> | void): Promise<number> {
  const next = clusteredVectors(dim, 99);
  await search(next());
  const rate = stopwatch();
  for (let i = 0; i < SEARCHES; i++) await search(next());
  return rounded(1000 / rate(SEARCHES).perCpu);
}

function nativeSearch(paths: readonly string[]): (query: Float32Array<ArrayBuffer>) => void {
  const statements = paths.map((path) => {
    const database = new DatabaseSync(path, { allowExtension: true, readOnly: true });
    database.loadExtension(getLoadablePath());
    return database.prepare("SELECT rowid, distance FROM vec_index WHERE embedding MATCH ? AND k = 10");
  });
  return (query) => {
    for (const statement of statements) statement.all(new Uint8Array(query.buffer));
  };
}

async function ourSearch(
  paths: readonly string[],
  kind: "memory" | "file",
): Promise<(query: Float32Array) => Promise<void>> {
  const readers: ShardReader[] = [];
  for (const path of paths) {
    const file = kind === "memory"
      ? { kind, bytes: readFileSync(path) }
      : { kind, path, sizeBytes: statSync(path).size };
    readers.push(await backend.openShard(file));
  }
  return async (query) => {
    for (const reader of readers) await reader.search!(query, { topK: 10 });
  };
}

const folder = mkdtempSync(join(tmpdir(), "vectors-bench-"));
try {
  const { paths, built } = await buildOurs(folder);
  const buildPeakMiB = peakMiB();
  const next = clusteredVectors(dim, 1);
  const made = stopwatch();
  for (let id = 0; id < rowCount; id++) next();
  const madePerCpu = made(rowCount).perCpu;
  const native = buildNative(join(folder, "native.db"));
  const figures = {
    rowsPerSecond: built.perSecond,
    rowsPerCpu: built.perCpu,
    peakMiB: buildPeakMiB,
    nativePerSecond: native.perSecond,
    nativePerCpu: native.perCpu,
    madePerCpu,
    shardsMiB: Math.round(paths.reduce((sum, path) => sum + statSync(path).size, 0) / 2 ** 20),
    nativeSearchMs: await searchMs(nativeSearch(paths)),
    fileSearchMs: await searchMs(await ourSearch(paths, "file")),
    memorySearchMs: await searchMs(await ourSearch(paths, "memory")),
  };
  console.log(JSON.stringify(figures));
} finally {
  rmSync(folder, { recursive: true });
}
