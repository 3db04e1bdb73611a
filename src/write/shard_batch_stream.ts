/**
 * Fourth stage of the write path: routed rows come in, batches of one shard go out.
 * @module
 */
import * as v from "valibot";
import { parseOptions, positiveInteger } from "../options.ts";
import type { RoutedRows, ShardBatch } from "../rows.ts";
import { ArrayPool } from "./array_pool.ts";
import { PackedBuilder } from "./packed_builder.ts";
import type { RateLimiter } from "../token_bucket.ts";

/** A batch is full as soon as one of the limits is reached. */
export interface BatchLimits {
  /** Rows of a batch. @default {50000} */
  readonly rowsMax?: number | undefined;
  /** Keys and values together. @default {1048576} */
  readonly bytesMax?: number | undefined;
}

/** Checks {@linkcode BatchLimits} and fills in the defaults. */
export const batchLimits: v.GenericSchema<BatchLimits, { rowsMax: number; bytesMax: number }> = v.strictObject({
  rowsMax: v.optional(positiveInteger, 50_000),
  bytesMax: v.optional(positiveInteger, 1 << 20),
});

/** What a {@linkcode ShardBatchStream} works with. */
export interface BatchTools {
  /** Asked before a full batch leaves. */
  readonly limiter?: RateLimiter | undefined;
  /** Gives arrays for batches, and is given those of the chunks that come in: nobody else may use these then. */
  readonly pool?: ArrayPool | undefined;
  /**
   * What batches that fill up may hold together, as it is not known beforehand how many shards there are: the more of
   * them come, the earlier batches count as full, from 1 KiB on.
   */
  readonly heldBytesMax?: number | undefined;
}

/**
 * Collects rows by shard; full batches leave at once, the others when the source ends.
 *
 * With a limiter, a full batch first asks without waiting; when it is denied it goes on filling up to twice its size,
 * and then leaves unpaid, to wait in {@linkcode RateLimitStream}. Keeps the order of arrival within a shard. Holds at
 * most `shards × 2 × bytesMax`, plus what one incoming chunk adds.
 */
export class ShardBatchStream extends TransformStream<RoutedRows, ShardBatch> {
  /** @throws {ConfigValidationError} when a limit is not a whole number from 1 up. */
  constructor(limits: BatchLimits = {}, tools: BatchTools = {}) {
    const { limiter, pool = new ArrayPool() } = tools;
    const checked = parseOptions(batchLimits, limits, "batch");
    const { rowsMax } = checked;
    let { bytesMax } = checked;
    const { heldBytesMax = Infinity } = tools;
    let openCount = 0;
    let roomFor = Math.max(1, Math.floor(heldBytesMax / bytesMax));
    const open: (OpenBatch | undefined)[] = [];
    const isRecycling = tools.pool !== undefined;
    function leaves(batch: OpenBatch): boolean {
      if (batch.rowCount < batch.rowsMax && batch.usedBytes < batch.bytesMax) return false;
      if (limiter === undefined || batch.rowCount >= 2 * rowsMax || batch.usedBytes >= 2 * bytesMax) return true;
      batch.isPaid = limiter.tryAcquire(batch.rowCount, batch.usedBytes);
      if (batch.isPaid) return true;
      // Asked again after every further eighth: often enough to leave in time, too rarely to show in the cost.
      batch.rowsMax = Math.min(2 * rowsMax, batch.rowCount + Math.ceil(rowsMax / 8));
      batch.bytesMax = Math.min(2 * bytesMax, batch.usedBytes + Math.ceil(bytesMax / 8));
      return false;
    }
    type Controller = TransformStreamDefaultController<ShardBatch>;
    function begin(shardId: number, controller: Controller): OpenBatch {
      if (++openCount > roomFor && bytesMax > BYTES_MAX_LEAST) {
        roomFor *= 2;
        bytesMax = Math.max(BYTES_MAX_LEAST, Math.floor(heldBytesMax / roomFor));
        open.forEach((batch) => batch!.bytesMax = Math.min(batch!.bytesMax, bytesMax));
        open.forEach((batch) => release(batch!, controller));
      }
      return open[shardId] = new OpenBatch(shardId, { rowsMax, bytesMax }, { pool });
    }
    function release(batch: OpenBatch, controller: Controller): void {
      if (!leaves(batch)) return;
      open[batch.shardId] = batch.successor({ rowsMax, bytesMax }, pool);
      controller.enqueue(batch);
    }
    super({
      transform(rows, controller) {
        const { bytes, starts, keyLengths, shardIds } = rows;
        for (let i = 0; i < rows.rowCount; i++) {
          const shardId = shardIds[i]!;
          const batch = open[shardId] ?? begin(shardId, controller);
          batch.append(bytes, starts[i]!, { keyLength: keyLengths[i]!, rowBytes: starts[i + 1]! - starts[i]! });
          release(batch, controller);
        }
        if (isRecycling) pool.give(rows);
      },
      flush(controller) {
        open.forEach((batch) => batch!.rowCount > 0 && controller.enqueue(batch!));
      },
    });
  }
}

/** Smaller batches cost more than they hold. */
const BYTES_MAX_LEAST = 1024;

class OpenBatch extends PackedBuilder implements ShardBatch {
  readonly shardId: number;
  isPaid = false;
  rowsMax: number;
  bytesMax: number;

  constructor(
    shardId: number,
    limits: { rowsMax: number; bytesMax: number },
    { rows = 8, bytes = 256, pool }: { rows?: number; bytes?: number; pool: ArrayPool },
  ) {
    super({ rows, bytes }, pool);
    this.shardId = shardId;
    this.rowsMax = limits.rowsMax;
    this.bytesMax = limits.bytesMax;
  }

  /** An empty batch of the same shard that will hardly have to grow. */
  successor(limits: { rowsMax: number; bytesMax: number }, pool: ArrayPool): OpenBatch {
    const rows = Math.min(limits.rowsMax, this.rowCount + (this.rowCount >> 5));
    const bytes = Math.min(limits.bytesMax, this.usedBytes) + 256;
    return new OpenBatch(this.shardId, limits, { rows, bytes, pool });
  }
}
