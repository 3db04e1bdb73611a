/**
 * From collected rows to shards in the store: one attempt per shard that has rows.
 * @module
 */
import type { Backend, BuiltShard } from "../backends/backend.ts";
import type { ScratchSpace } from "../bytes/spool.ts";
import type { Clock } from "../clock.ts";
import { PreconditionFailedError, ShardWriteError, ShardyfusionError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import { type KeyEncoding, logicalKey } from "../routing/key.ts";
import { newHexId } from "../snapshots/layout.ts";
import { traced, type Tracer } from "../spans.ts";
import type { ObjectStore } from "../stores/store.ts";
import type { Reuse, ReusedShard } from "./reuse.ts";
import type { CollectedShard } from "./row_collector.ts";
import type { ShardAttempt } from "./winners.ts";

/** What building needs to know beside the rows. */
export interface BuildContext {
  readonly backend: Backend;
  readonly store: ObjectStore;
  /** Folder of a shard's attempt in the store, without trailing slash. */
  readonly attemptPrefix: (shardId: number, attempt: number) => string;
  readonly keyEncoding: KeyEncoding;
  /** Undefined: the first failure of a shard ends the write. */
  readonly retry: ShardRetry | undefined;
  /**
   * The lowest number from `from` on whose folder is free. Where it turns out to be taken after all the next one is
   * asked for, which is no failure. Undefined: each try has the next number.
   */
  readonly freeAttempt?: ((shardId: number, from: number) => Promise<number>) | undefined;
  /** Null: every shard is built. */
  readonly reuse: Reuse | null;
  readonly scratch: (() => Promise<ScratchSpace>) | null;
  readonly clock: Clock;
  /** When the write began, on the clock's monotonic scale: events count from there. */
  readonly startedMs: number;
  readonly signal: AbortSignal;
  readonly onEvent: EventSink;
  /** Whether rows have vectors and no values, of which other events tell as well. */
  readonly isVectorOnly?: boolean | undefined;
  readonly tracer?: Tracer | undefined;
  readonly onShardBuilt: () => void;
}

/** How often and when a shard is built again whose attempt failed. */
export interface ShardRetry {
  /** After the first attempt. */
  readonly retriesMax: number;
  /** Before the second attempt. */
  readonly initialBackoffMs: number;
  /** Of the delay, from one attempt to the next. */
  readonly multiplier: number;
}

/** Others that take the same attempt at the same moment: more of them are none, but a store that refuses to write. */
const TAKEN_MAX = 32;

/** Shards that a thread builds and uploads side by side: while one waits for the store, another one computes. */
const SHARDS_AT_ONCE = 2;

/**
 * Builds and uploads every shard; each frees its memory and temporary files as soon as it is done.
 *
 * With `retry` a shard whose attempt failed for a moment is built again, into a folder of its own. With `reuse` those
 * that would come out as they are in the current snapshot are taken over from there.
 *
 * @param threads Shards by the thread that builds them.
 * @throws the first failure, when all shards that had been begun have ended. Errors that are not ours come as
 * {@linkcode ShardWriteError}, and those of several shards of lost threads as one.
 */
export async function buildShards(
  threads: readonly (readonly CollectedShard[])[],
  context: BuildContext,
): Promise<ShardAttempt[]> {
  const attempts: ShardAttempt[] = [];
  const failures: unknown[] = [];
  async function work(queue: CollectedShard[]): Promise<void> {
    for (let shard = queue.shift(); shard !== undefined && failures.length === 0; shard = queue.shift()) {
      try {
        attempts.push(await buildShard(shard, context, () => failures.length > 0));
        context.onShardBuilt();
      } catch (cause) {
        failures.push(context.signal.aborted ? context.signal.reason : asShardError(cause, shard.shardId));
      }
    }
  }
  await Promise.all(threads.flatMap((shards) => {
    const queue = [...shards];
    return Array.from({ length: SHARDS_AT_ONCE }, () => work(queue));
  }));
  if (failures.length > 0) throw together(failures);
  return attempts;
}

/** One error for several lost threads, each of which names its shards; else the first of all. */
function together(failures: readonly unknown[]): unknown {
  const lost = [...new Set(failures)];
  if (lost.length === 1 || !lost.every((error) => error instanceof ShardWriteError)) return failures[0];
  const shardIds = [...new Set(lost.flatMap((error) => error.shardIds))].sort((left, right) => left - right);
  return new ShardWriteError(lost.map(({ message }) => message).join("; "), shardIds, {
    cause: new AggregateError(lost),
  });
}

async function buildShard(shard: CollectedShard, context: BuildContext, isOver: () => boolean): Promise<ShardAttempt> {
  const { retry, freeAttempt, clock, onEvent, startedMs, signal } = context;
  const { shardId } = shard;
  let failures = 0;
  let taken = 0;
  for (let attempt = 0;; attempt++) {
    try {
      attempt = await freeAttempt?.(shardId, attempt) ?? attempt;
      const attributes = { "db_id": shardId, attempt, "row_count": shard.rowsOffered };
      const result = await traced(
        context.tracer,
        { name: "shardyfusion.shard", attributes },
        () => attemptOf(shard, attempt, context),
      );
      await shard[Symbol.asyncDispose]();
      return result;
    } catch (cause) {
      signal.throwIfAborted();
      const error = asShardError(cause, shardId);
      const elapsed = { "elapsed_ms": Math.round(clock.monotonicMs() - startedMs), "db_id": shardId };
      // An object that is there already is this attempt's own, when the answer to its first request got lost.
      const isTaken = error instanceof PreconditionFailedError;
      if (isTaken && freeAttempt !== undefined && ++taken < TAKEN_MAX && !isOver()) continue;
      const isTransient = isTaken || (error instanceof ShardyfusionError && error.retryable);
      if (retry === undefined || !isTransient || isOver()) throw error;
      if (failures === retry.retriesMax) {
        onEvent({ name: "write.shard.retry_exhausted", payload: { ...elapsed, attempts: failures + 1 } });
        throw error;
      }
      const backoffMs = retry.initialBackoffMs * retry.multiplier ** failures++;
      const payload = { ...elapsed, attempt: attempt + 1, "backoff_s": backoffMs / 1000 };
      onEvent({ name: "write.shard.retried", payload });
      await clock.sleep(backoffMs, signal);
    }
  }
}

/** One attempt, with its events and what the manifest tells of it. */
async function attemptOf(shard: CollectedShard, attempt: number, context: BuildContext): Promise<ShardAttempt> {
  const { store, clock, onEvent, startedMs, keyEncoding, reuse } = context;
  const { shardId, rowsOffered } = shard;
  const beganMs = clock.monotonicMs();
  onEvent({ name: "write.shard.started", payload: { elapsed_ms: Math.round(beganMs - startedMs) } });
  const prefix = context.attemptPrefix(shardId, attempt);
  let outcome = await shard.attempt({ shardId, prefix, keyEncoding, known: reuse?.known(shardId) }, context);
  const reused = outcome.isUnchanged ? await reuse!.take(shardId, { store, prefix, attempt }) : null;
  if (outcome.isUnchanged && reused === null) outcome = await shard.attempt({ shardId, prefix, keyEncoding }, context);
  const { minKey, maxKey } = outcome;
  const { built } = reused ?? outcome;
  const endedMs = clock.monotonicMs();
  const durationMs = Math.round(endedMs - beganMs);
  onEvent({
    name: "write.shard.completed",
    payload: { elapsed_ms: Math.round(endedMs - startedMs), duration_ms: durationMs, row_count: rowsOffered },
  });
  if (context.isVectorOnly) {
    onEvent({ name: "vector.write.shard.completed", payload: { "db_id": shardId, "row_count": rowsOffered } });
  }
  return {
    shardId,
    attempt: reused?.attempt ?? attempt,
    taskAttemptId: null,
    dbUrl: `${store.url}/${reused?.prefix ?? prefix}`,
    rowCount: rowsOffered,
    dbBytes: built.dbBytes,
    minKey: minKey === undefined ? null : logicalKey(keyEncoding, minKey),
    maxKey: maxKey === undefined ? null : logicalKey(keyEncoding, maxKey),
    checkpointId: reused?.checkpointId ?? newHexId(),
    writerInfo: writerInfo(built, { attempt: reused?.attempt ?? attempt, durationMs, reused }),
  };
}

/** The four fields of the Python package, and ours beside them, which it ignores. */
function writerInfo(
  built: BuiltShard,
  { attempt, durationMs, reused }: { attempt: number; durationMs: number; reused: ReusedShard | null },
): ShardAttempt["writerInfo"] {
  const objects = built.objects.map(({ name, sizeBytes, xxh3, rotatedBytes }) => ({
    name,
    rotated_bytes: rotatedBytes,
    size_bytes: sizeBytes,
    xxh3_64: xxh3,
  }));
  return {
    attempt,
    duration_ms: durationMs,
    shardyfusion: { distinct_rows: built.rowCount, objects, ...(reused && { reused: reused.mode }) },
    stage_id: null,
    task_attempt_id: null,
  };
}

function asShardError(cause: unknown, shardId: number): unknown {
  if (cause instanceof ShardyfusionError) return cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new ShardWriteError(`Cannot build shard ${shardId}: ${reason}`, [shardId], { cause });
}
