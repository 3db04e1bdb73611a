/**
 * Jobs for tests, and their stages over columns.
 * @module
 */
import type { ShardAttempt } from "../../src/write/winners.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import {
  buildStage,
  type BuildStageOptions,
  type Job,
  parseJob,
  type RoutedCounts,
  routeStage,
  type RouteStageOptions,
} from "../../src/engine/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { streamOf } from "../cli/run_shardy.ts";
import { arrowRowsIn, arrowStream, type Columns } from "./arrow_tables.ts";

const HASH = { strategy: "hash", "hash_algorithm": "xxh3_64" };

/** A job of three shards, keys of whole numbers in column `id`, values in column `body`. */
export function newJob(spec: Record<string, unknown> = {}): Job {
  const all = { keyColumn: "id", keyEncoding: "u64be", value: { column: "body" }, shardCount: 3, sharding: HASH };
  const text = JSON.stringify({
    ...{ format: 1, packageVersion: "1", runId: "run", currentUrl: "/x/_CURRENT" },
    spec: { ...all, ...spec },
  });
  return parseJob(text, { name: "job.json", packageVersion: "1" });
}

/** What a stage reads. */
export function inputOf(columns: Columns): { name: string; bytes: ReadableStream<Uint8Array<ArrayBuffer>> } {
  return { name: "stdin", bytes: streamOf(arrowStream(columns)) };
}

/** The route stage, and the rows that it gave. */
export async function routed(
  job: Job,
  columns: Columns,
  options: Partial<RouteStageOptions> = {},
): Promise<RoutedCounts & { rows: Record<string, unknown>[] }> {
  const pieces: Uint8Array[] = [];
  const write = (piece: Uint8Array): Promise<void> => Promise.resolve(void pieces.push(piece));
  const counts = await routeStage(job, { input: inputOf(columns), write, ...options });
  const bytes = new Uint8Array(await new Blob(pieces as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  return { ...counts, rows: arrowRowsIn(bytes) };
}

/** The build stage, into a store of its own unless one is given. */
export async function built(
  job: Job,
  columns: Columns,
  options: Partial<BuildStageOptions> = {},
): Promise<ShardAttempt[]> {
  const defaults = { store: memoryStore(), backend: sqliteBackend(), input: inputOf(columns) };
  return await buildStage(job, { ...defaults, ...options });
}

/** All keys. */
export async function keysIn(store: ReturnType<typeof memoryStore>, prefix = ""): Promise<string[]> {
  return (await Array.fromAsync(store.list(prefix))).flat().map(({ key }) => key);
}
