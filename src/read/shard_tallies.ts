/**
 * What was asked of each shard.
 * @module
 */
import type { ShardTally } from "../backends/backend.ts";
import type { Traffic } from "./requests.ts";

/** Counts of one shard, since the reader was opened. */
export interface ShardStats extends Readonly<Traffic>, Readonly<ShardTally> {}

/** Beyond so many shards the counts of others fall together, so that memory stays bounded. */
const SHARDS_MAX = 10_000;

/** Counts by the number of the shard, over all snapshots of a reader. */
export class ShardTallies {
  readonly #byShard = new Map<number, Traffic & ShardTally>();
  readonly #others = newTally();

  /** The counts of a shard, to be raised. */
  of(shardId: number): Traffic & ShardTally {
    const found = this.#byShard.get(shardId);
    if (found !== undefined) return found;
    if (this.#byShard.size >= SHARDS_MAX) return this.#others;
    const tally = newTally();
    this.#byShard.set(shardId, tally);
    return tally;
  }

  /** Copies of all counts. */
  snapshot(): Map<number, ShardStats> {
    return new Map(Array.from(this.#byShard, ([shardId, tally]) => [shardId, { ...tally }]));
  }

  /** What all shards count together, beside requests. */
  total(): ShardTally {
    const total = { cacheHits: 0, filterHits: 0 };
    for (const { cacheHits, filterHits } of [...this.#byShard.values(), this.#others]) {
      total.cacheHits += cacheHits;
      total.filterHits += filterHits;
    }
    return total;
  }
}

function newTally(): Traffic & ShardTally {
  return { requests: 0, bytesRead: 0, cacheHits: 0, filterHits: 0 };
}
