/**
 * What came of the attempts to build shards, and which attempt of each shard is published.
 * @module
 */
import type { JsonObject } from "../bytes/python_json.ts";
import { ShardCoverageError } from "../errors.ts";
import type { ShardEntry } from "../snapshots/manifest.ts";

/** One attempt to build one shard. */
export interface ShardAttempt {
  /** Number of the shard, from 0. */
  readonly shardId: number;
  /** From 0. */
  readonly attempt: number;
  /** Number that a cluster gave the task; null outside of one. */
  readonly taskAttemptId: number | null;
  /** Folder of the attempt, without trailing slash; null when the shard got no rows. */
  readonly dbUrl: string | null;
  /** Rows offered: repeated keys count. */
  readonly rowCount: number;
  /** Size of the shard's file. */
  readonly dbBytes: number;
  /** Smallest key; null where it cannot be told. */
  readonly minKey: bigint | string | null;
  /** Largest key; null where it cannot be told. */
  readonly maxKey: bigint | string | null;
  /** What an engine calls this version of its database; null where it has none. */
  readonly checkpointId: string | null;
  /** What goes into the manifest about the writing. */
  readonly writerInfo: JsonObject;
}

/**
 * The attempt of each shard with the lowest `(attempt, taskAttemptId, dbUrl)`, ascending by shard. A task without
 * number comes after all that have one; an attempt without URL loses to one that has it, and shards where none has a
 * URL are empty and left out.
 *
 * @throws {ShardCoverageError} when an attempt is of a shard outside `0 … shardCount - 1`.
 */
export function pickWinners(attempts: readonly ShardAttempt[], shardCount: number): ShardEntry[] {
  const strays = attempts.map(({ shardId }) => shardId).filter((shardId) => !(shardId >= 0 && shardId < shardCount));
  if (strays.length > 0) {
    const ids = [...new Set(strays)].sort((left, right) => left - right);
    throw new ShardCoverageError(`Cannot publish shards ${ids.join(", ")} as there are only ${shardCount} shards`, ids);
  }
  const winners = new Map<number, ShardAttempt>();
  for (const attempt of attempts) {
    const best = winners.get(attempt.shardId);
    if (best === undefined || compareAttempts(attempt, best) < 0) winners.set(attempt.shardId, attempt);
  }
  return [...winners.values()]
    .filter(({ dbUrl }) => dbUrl !== null)
    .sort((left, right) => left.shardId - right.shardId)
    .map(({ taskAttemptId: _, ...entry }) => entry);
}

function compareAttempts(left: ShardAttempt, right: ShardAttempt): number {
  if ((left.dbUrl === null) !== (right.dbUrl === null)) return left.dbUrl === null ? 1 : -1;
  if (left.attempt !== right.attempt) return left.attempt - right.attempt;
  const leftTask = left.taskAttemptId ?? Infinity;
  const rightTask = right.taskAttemptId ?? Infinity;
  if (leftTask !== rightTask) return leftTask < rightTask ? -1 : 1;
  const leftUrl = left.dbUrl ?? "";
  const rightUrl = right.dbUrl ?? "";
  return leftUrl < rightUrl ? -1 : leftUrl > rightUrl ? 1 : 0;
}
