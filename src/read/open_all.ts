/**
 * Opens all shards of a snapshot, some at a time: for files, which are fetched when they are opened.
 * @module
 */
import type { OpenAll } from "./generation.ts";

/** @throws the first failure, when the other requests have ended. */
export const openAll: OpenAll = async (readers, { shards, open, concurrencyMax, signal: given }) => {
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
  await Promise.all(Array.from({ length: Math.min(concurrencyMax, shards.length) }, work));
  signal.throwIfAborted();
};
