/**
 * From batches of rows that know their shards to attempts in the store: what a task does, for one shard or for several.
 * @module
 */
import type { ScratchSpace } from "../bytes/spool.ts";
import { systemClock } from "../clock.ts";
import { defaultBackend } from "../registry.ts";
import type { ShardBatch } from "../rows.ts";
import type { ObjectStore } from "../stores/store.ts";
import { attemptPrefix, dbPath, type ShardLayout } from "../snapshots/layout.ts";
import { buildShards } from "./build_shards.ts";
import { recordingStore } from "./created_objects.ts";
import { localCollector } from "./row_collector.ts";
import type { ShardAttempt } from "./winners.ts";
import { WriteEvents } from "./write_events.ts";
import type { WriteShardOptions } from "./write_shard.ts";

/** What building takes; the fields are those of `writeShard`. */
export interface BuildAttemptsOptions extends Omit<WriteShardOptions<never>, "shardId" | "key" | "value" | "vector"> {
  readonly isVectorOnly: boolean;
}

/**
 * Collects the batches, then sorts, builds and uploads each shard into the folder of its attempt. Nothing is left
 * behind when it throws.
 *
 * @returns One attempt for each shard that has rows, ascending.
 */
export async function buildAttempts(
  batches: ReadableStream<ShardBatch>,
  options: BuildAttemptsOptions,
): Promise<ShardAttempt[]> {
  const { store, runId, taskAttemptId = null, keyEncoding, isVectorOnly } = options;
  const { shardPrefix = "shards", dbPathTemplate = "db={db_id:05d}", clock = systemClock() } = options;
  const isNext = options.attempt === "next";
  const firstAttempt = options.attempt === "next" ? 0 : options.attempt ?? 0;
  const layout = { shardPrefix, dbPathTemplate, runId };
  const signal = options.signal ?? new AbortController().signal;
  let space: Promise<ScratchSpace> | undefined;
  const scratch = (): Promise<ScratchSpace> =>
    space ??= import("./file_scratch.ts").then(({ fileScratch }) => fileScratch(options.localRoot, runId));
  const { bytesMax = 256 << 20, rowsMax } = options.memory ?? {};
  const events = new WriteEvents({ ...options, clock });
  const recording = recordingStore(store, false);
  const collector = localCollector({ bytesMax, rowsMax }, scratch, { signal, clock });
  try {
    await events.observed(batches).pipeTo(collector.sink, { signal });
    const built = await buildShards(collector.threads((id) => id), {
      ...{ store: recording.store, backend: options.backend ?? defaultBackend(), keyEncoding, retry: options.retry },
      ...{ scratch, clock, signal, reuse: null, tracer: options.tracer, isVectorOnly },
      ...{ startedMs: events.startedMs, onEvent: events.emit },
      attemptPrefix: (shardId, attempt) => attemptPrefix(layout, { shardId, attempt: firstAttempt + attempt }),
      freeAttempt: isNext ? (shardId, from) => freeAttempt(store, layout, { shardId, from, signal }) : undefined,
      onShardBuilt() {},
    });
    return built.sort((left, right) => left.shardId - right.shardId).map((shard) => {
      const attempt = firstAttempt + shard.attempt;
      const writerInfo = { ...shard.writerInfo, attempt, "task_attempt_id": taskAttemptId };
      return { ...shard, attempt, taskAttemptId, writerInfo };
    });
  } catch (error) {
    await recording.removeCreated();
    throw error;
  } finally {
    await collector[Symbol.asyncDispose]();
    await (await space?.catch(() => undefined))?.[Symbol.asyncDispose]();
  }
}

/** The lowest number from `from` on of which nothing is there. */
async function freeAttempt(
  store: ObjectStore,
  layout: ShardLayout,
  { shardId, from, signal }: { readonly shardId: number; readonly from: number; readonly signal: AbortSignal },
): Promise<number> {
  const shardFolder = `${layout.shardPrefix}/run_id=${layout.runId}/${dbPath(layout.dbPathTemplate, shardId)}/`;
  const folders = new Set(await store.listFolders(shardFolder, { signal }));
  for (let attempt = from;; attempt++) {
    if (!folders.has(`${attemptPrefix(layout, { shardId, attempt }).slice(shardFolder.length)}/`)) return attempt;
  }
}
