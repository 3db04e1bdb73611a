/**
 * Opens all shards of a snapshot, some at a time: for files, which are fetched when they are opened.
 * @module
 */
import type { ShardReader } from "../backends/backend.ts";
import type { OpenAll } from "./generation.ts";

/** Up to so many shards the array of readers has a place for each, also for empty ones. */
const DENSE_SHARDS_MAX = 1 << 20;

/** @throws the first failure, when the other requests have ended and what was opened is closed. */
export const openAll: OpenAll = async ({ shards, shardCount }, open, { concurrencyMax, signal: given }) => {
  // An absurd number of shards in a manifest must not cost memory: the array then has places for full shards only.
  const isDense = shardCount <= DENSE_SHARDS_MAX;
  const readers: (ShardReader | null)[] = isDense ? new Array(shardCount).fill(null) : [];
  const failed = new AbortController();
  const signal = given === undefined ? failed.signal : AbortSignal.any([given, failed.signal]);
  let next = 0;
  async function work(): Promise<void> {
    try {
      for (let shard = shards[next++]; shard !== undefined && !signal.aborted; shard = shards[next++]) {
        readers[shard.shardId] = await open(shard, signal);
      }
    } catch (error) {
      failed.abort(error);
    }
  }
  async function close(): Promise<void> {
    // Unlike a loop over all numbers, this skips places that are not there.
    const outcomes = await Promise.allSettled(Object.values(readers).map((reader) => reader?.[Symbol.asyncDispose]()));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }
  await Promise.all(Array.from({ length: Math.min(concurrencyMax, shards.length) }, work));
  if (signal.aborted) {
    await close().catch(() => {}); // The first failure is the one to tell.
    throw signal.reason;
  }
  return { readerAt: (shardId) => readers[shardId] ?? null, close };
};
