/**
 * One attempt to build one shard: what runs beside the rows, in whichever thread these are.
 * @module
 */
import type { Backend, BuiltShard, ShardTarget } from "../backends/backend.ts";
import { ShardCoverageError } from "../errors.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { ShardRows } from "./shard_rows.ts";

/** What an attempt is told: plain data, as it may cross to another thread. */
export interface AttemptRequest {
  /** Folder of the attempt in the store, without trailing slash. */
  readonly prefix: string;
  readonly keyEncoding: KeyEncoding;
}

/** What came of an attempt: plain data. */
export interface AttemptOutcome {
  readonly built: BuiltShard;
  /** Encoded; undefined without rows. */
  readonly minKey: Uint8Array | undefined;
  /** Encoded; undefined without rows. */
  readonly maxKey: Uint8Array | undefined;
}

/** What an attempt works with. */
export type AttemptTools = Pick<ShardTarget, "store" | "scratch" | "clock" | "signal"> & { readonly backend: Backend };

/**
 * Sorts the rows, builds the shard and uploads it. Can be called again: the rows stay as they were collected.
 *
 * @throws {ShardCoverageError} when rows got lost on the way; the backend's and the store's errors.
 */
export async function attemptShard(
  rows: ShardRows,
  { prefix, keyEncoding }: AttemptRequest,
  { backend, store, scratch, clock, signal }: AttemptTools,
): Promise<AttemptOutcome> {
  signal.throwIfAborted();
  const { shardId, rowsOffered } = rows;
  const sorted = rows.sorted();
  const built = await backend.buildShard(sorted, { shardId, store, prefix, keyEncoding, scratch, clock, signal });
  if (built.rowCount > sorted.rowCountMax || (built.rowCount === 0) !== (rowsOffered === 0)) {
    throw new ShardCoverageError(
      `Cannot publish shard ${shardId} as its ${rowsOffered} rows became ${built.rowCount}`,
      [shardId],
    );
  }
  return { built, minKey: rows.minKey, maxKey: rows.maxKey };
}
