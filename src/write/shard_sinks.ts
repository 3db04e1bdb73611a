/**
 * Last stage of the write path before building: batches come in and wait, sorted runs go to disk beyond the ceiling.
 * @module
 */
import type { ScratchSpace } from "../bytes/spool.ts";
import type { Clock } from "../clock.ts";
import type { ShardBatch } from "../rows.ts";
import type { ArrayPool } from "./array_pool.ts";
import { ShardRows } from "./shard_rows.ts";

/** Ceiling over all shards together. */
export interface MemoryLimits {
  /** Keys and values, over all shards. */
  readonly bytesMax: number;
  /** Rows, over all shards. Default: any number. */
  readonly rowsMax?: number | undefined;
}

/** What {@linkcode ShardSinks} works with. */
export interface SinkTools {
  readonly signal: AbortSignal;
  /** Tells when it is others' turn. */
  readonly clock?: Clock | undefined;
  /** Is given the arrays of batches that went to disk. */
  readonly pool?: ArrayPool | undefined;
}

/**
 * Keeps the rows of every shard until the source ends. When they exceed the ceiling, the largest shards are sorted and
 * written to disk until a quarter of it is free again.
 */
export class ShardSinks extends WritableStream<ShardBatch> implements AsyncDisposable {
  readonly #shards: Map<number, ShardRows>;

  /** @param scratch Asked for a folder when the ceiling is reached for the first time. */
  constructor(limits: MemoryLimits, scratch: () => Promise<ScratchSpace>, { signal, pool, clock }: SinkTools) {
    const shards = new Map<number, ShardRows>();
    let heldBytes = 0;
    let heldRows = 0;
    async function relieve(): Promise<void> {
      const space = await scratch();
      const largestFirst = [...shards.values()].sort((left, right) => right.heldBytes - left.heldBytes);
      for (const shard of largestFirst) {
        if (heldBytes <= 0.75 * limits.bytesMax && heldRows <= 0.75 * (limits.rowsMax ?? Infinity)) return;
        signal.throwIfAborted();
        heldBytes -= shard.heldBytes;
        heldRows -= shard.heldRows;
        await shard.spill(() => space.openSpool(), pool);
      }
    }
    super({
      async write(batch) {
        let shard = shards.get(batch.shardId);
        if (shard === undefined) shards.set(batch.shardId, shard = new ShardRows(batch.shardId, clock));
        const heldBefore = shard.heldBytes;
        shard.add(batch);
        heldBytes += shard.heldBytes - heldBefore;
        heldRows += batch.rowCount;
        if (heldBytes > limits.bytesMax || heldRows > (limits.rowsMax ?? Infinity)) await relieve();
      },
    });
    this.#shards = shards;
  }

  /** The shards that were given rows, by number. Ask when the stream is closed. */
  shards(): ShardRows[] {
    return [...this.#shards.values()].sort((left, right) => left.shardId - right.shardId);
  }

  /** Forgets all rows. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const shard of this.#shards.values()) await shard[Symbol.asyncDispose]();
  }
}
