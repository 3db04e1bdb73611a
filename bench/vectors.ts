/**
 * Builds a shard of vectors and searches it, beside the extension sqlite-vec in the same process. Runs on each runtime:
 * `deno run -A bench/vectors.ts [rows] [dim] [shards]`, `bun bench/vectors.ts`, `node bench/vectors.ts`.
 * @module
 */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { getLoadablePath } from "sqlite-vec";
import { sqliteVecBackend } from "../src/backends/sqlite_vec_backend.ts";
import type { ShardReader } from "../src/backends/backend.ts";
import { hashSharding } from "../src/routing/mod.ts";
import { fsStore } from "../src/stores/fs_store.ts";
import { writeSnapshot } from "../src/write/mod.ts";
import { peakMiB } from "./rows.ts";

const [rowCount = 100_000, dim = 64, shards = 1] = process.argv.slice(2).map(Number);
const SEARCHES = 20;
const METRIC = "l2";
const runtime = "Deno" in globalThis ? "Deno" : "Bun" in globalThis ? "Bun" : "Node";

/** Made up, one after the other, in one array that is used again. */
function vectorMaker(seed: number): () => Float32Array<ArrayBuffer> {
  const vector = new Float32Array(dim);
  let state = seed;
  return () => {
    for (let i = 0; i < dim; i++) {
      state = Math.imul(state, 1103515245) + 12345;
      vector[i] = state / 2 ** 31;
    }
    return vector;
  };
}

function* rows(): Generator<number> {
  for (let id = 0; id < rowCount; id++) yield id;
}

/** Begins to measure; call what it gives to print a line. By the processor's time, too, as machines may be busy. */
function stopwatch(): (what: string, count: number) => void {
  const startMs = performance.now();
  const startCpu = process.cpuUsage();
  return (what, count) => {
    const { user, system } = process.cpuUsage(startCpu);
    const rate = (seconds: number): string => `${Math.round(count / seconds * 10) / 10} /s`;
    const clock = rate((performance.now() - startMs) / 1000);
    console.log(
      `${runtime} | ${what} | ${clock} | ${rate((user + system) / 1e6)} of processor | peak ${peakMiB()} MiB`,
    );
  };
}

async function buildOurs(folder: string): Promise<string[]> {
  const next = vectorMaker(1);
  const show = stopwatch();
  const { winners } = await writeSnapshot(rows(), {
    store: fsStore(folder),
    sharding: hashSharding({ shards }),
    backend: sqliteVecBackend({ dim, metric: METRIC }),
    memory: { bytesMax: 128 << 20 },
    key: (id) => id,
    vector: () => ({ vector: next() }),
  });
  show(`build ${rowCount} × ${dim}, ${shards} shards`, rowCount);
  return winners.map(({ dbUrl }) => join(new URL(dbUrl!).pathname, "shard.db"));
}

function buildNative(path: string): void {
  const database = new DatabaseSync(path, { allowExtension: true });
  database.loadExtension(getLoadablePath());
  database.exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
  database.exec(`CREATE VIRTUAL TABLE vec_index USING vec0(embedding float[${dim}] distance_metric=${METRIC})`);
  const next = vectorMaker(1);
  const show = stopwatch();
  database.exec("BEGIN");
  const insert = database.prepare("INSERT INTO vec_index(rowid, embedding) VALUES (?, ?)");
  for (let id = 0; id < rowCount; id++) insert.run(BigInt(id), new Uint8Array(next().buffer));
  database.exec("COMMIT");
  show("plain inserts into one vec0 table", rowCount);
  database.close();
}

async function searchOurs(what: string, readers: readonly ShardReader[]): Promise<void> {
  const next = vectorMaker(99);
  for (const reader of readers) await reader.search!(next(), { topK: 10 });
  const show = stopwatch();
  for (let i = 0; i < SEARCHES; i++) for (const reader of readers) await reader.search!(next(), { topK: 10 });
  show(`search, ${what}`, SEARCHES);
}

function searchNative(paths: readonly string[]): void {
  const statements = paths.map((path) => {
    const database = new DatabaseSync(path, { allowExtension: true, readOnly: true });
    database.loadExtension(getLoadablePath());
    return database.prepare("SELECT rowid, distance FROM vec_index WHERE embedding MATCH ? AND k = 10");
  });
  const next = vectorMaker(99);
  for (const statement of statements) statement.all(new Uint8Array(next().buffer));
  const show = stopwatch();
  for (let i = 0; i < SEARCHES; i++) for (const statement of statements) statement.all(new Uint8Array(next().buffer));
  show("search, sqlite-vec on our file", SEARCHES);
}

const folder = mkdtempSync(join(tmpdir(), "vectors-bench-"));
try {
  const paths = await buildOurs(folder);
  const sizeBytes = paths.reduce((sum, path) => sum + statSync(path).size, 0);
  console.log(`${runtime} | ${Math.round(sizeBytes / 2 ** 20)} MiB of shards`);
  const backend = sqliteVecBackend({ dim, metric: METRIC });
  const opened = (kind: "memory" | "file") =>
    Promise.all(paths.map((path) =>
      backend.openShard(
        kind === "memory" ? { kind, bytes: readFileSync(path) } : { kind, path, sizeBytes: statSync(path).size },
      )
    ));
  buildNative(join(folder, "native.db"));
  searchNative(paths);
  await searchOurs("from a file", await opened("file"));
  await searchOurs("from memory", await opened("memory"));
} finally {
  rmSync(folder, { recursive: true });
}
