/**
 * Fifth stage of the write path: holds batches up until the rate limits allow them.
 * @module
 */
import type { ShardBatch } from "../rows.ts";
import type { RateLimiter } from "../token_bucket.ts";

/** Lets a batch pass when the limiter allows its rows and bytes; batches that were paid for pass at once. */
export class RateLimitStream extends TransformStream<ShardBatch, ShardBatch> {
  /** @param signal Ends the wait; the stream then fails with the signal's reason. */
  constructor(limiter: RateLimiter, signal?: AbortSignal) {
    super({
      async transform(batch, controller) {
        if (!batch.isPaid) await limiter.acquire(batch.rowCount, batch.starts[batch.rowCount]!, signal);
        controller.enqueue(batch);
      },
    });
  }
}
