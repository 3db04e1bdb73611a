/**
 * Rate limits by token bucket.
 * @module
 */
import type { Clock } from "./clock.ts";
import { type EventSink, guardedEventSink } from "./events.ts";

/** Outcome of asking without waiting. */
export interface Acquisition {
  readonly acquired: boolean;
  /** How long to wait until the same request would succeed, if nobody else asked; 0 when acquired. */
  readonly deficitSeconds: number;
}

/**
 * A bucket that holds at most one second's worth of tokens, full at first.
 *
 * A request for more than the bucket holds succeeds when the bucket is full and leaves it in debt, so that no request
 * waits for ever and the rate holds in the long run.
 */
export class TokenBucket {
  readonly #ratePerSecond: number;
  readonly #clock: Clock;
  #tokens: number;
  #updatedMs: number;

  constructor(ratePerSecond: number, clock: Clock) {
    this.#ratePerSecond = ratePerSecond;
    this.#clock = clock;
    this.#tokens = ratePerSecond;
    this.#updatedMs = clock.monotonicMs();
  }

  /** Takes `count` tokens if they are there. */
  tryAcquire(count: number): Acquisition {
    const deficitSeconds = this.deficitSeconds(count);
    if (deficitSeconds > 0) return { acquired: false, deficitSeconds };
    this.#tokens -= count;
    return { acquired: true, deficitSeconds: 0 };
  }

  /** Takes `count` tokens as soon as they are there; rejects with the signal's reason when it is aborted. */
  async acquire(count: number, signal?: AbortSignal): Promise<void> {
    for (;;) {
      const { acquired, deficitSeconds } = this.tryAcquire(count);
      if (acquired) return;
      // Whole milliseconds, as timers wait: a rounding error of a deficit might not move a clock at all.
      await this.#clock.sleep(Math.ceil(deficitSeconds * 1000), signal);
    }
  }

  /** Seconds until `count` tokens are there. */
  deficitSeconds(count: number): number {
    const nowMs = this.#clock.monotonicMs();
    this.#tokens = Math.min(
      this.#ratePerSecond,
      this.#tokens + ((nowMs - this.#updatedMs) / 1000) * this.#ratePerSecond,
    );
    this.#updatedMs = nowMs;
    const missing = Math.min(count, this.#ratePerSecond) - this.#tokens;
    return missing > 0 ? missing / this.#ratePerSecond : 0;
  }
}

/** Limits over all shards together. */
export interface RateLimit {
  /** Rows, however large. */
  readonly rowsPerSecond?: number | undefined;
  /** Keys and values together. */
  readonly bytesPerSecond?: number | undefined;
}

/** Both limits; an absent one never holds anything up. */
export class RateLimiter {
  readonly #buckets: { readonly bucket: TokenBucket; readonly type: "ops" | "bytes" }[] = [];
  readonly #onEvent: EventSink;

  constructor(limit: RateLimit, clock: Clock, onEvent?: EventSink) {
    const { rowsPerSecond, bytesPerSecond } = limit;
    if (rowsPerSecond !== undefined) this.#buckets.push({ bucket: new TokenBucket(rowsPerSecond, clock), type: "ops" });
    if (bytesPerSecond !== undefined) {
      this.#buckets.push({ bucket: new TokenBucket(bytesPerSecond, clock), type: "bytes" });
    }
    this.#onEvent = guardedEventSink(onEvent);
  }

  /** Takes rows and bytes if both are allowed now; otherwise takes neither. */
  tryAcquire(rowCount: number, sizeBytes: number): boolean {
    for (const { bucket, type } of this.#buckets) {
      const deficitSeconds = bucket.deficitSeconds(type === "ops" ? rowCount : sizeBytes);
      if (deficitSeconds === 0) continue;
      this.#onEvent({
        name: "rate_limiter.denied",
        payload: { deficit_seconds: deficitSeconds, limiter_type: type },
      });
      return false;
    }
    for (const { bucket, type } of this.#buckets) bucket.tryAcquire(type === "ops" ? rowCount : sizeBytes);
    return true;
  }

  /** Waits until rows and bytes are allowed, and takes them. */
  async acquire(rowCount: number, sizeBytes: number, signal?: AbortSignal): Promise<void> {
    for (const { bucket, type } of this.#buckets) {
      const count = type === "ops" ? rowCount : sizeBytes;
      const waitSeconds = bucket.deficitSeconds(count);
      if (waitSeconds > 0) {
        this.#onEvent({ name: "rate_limiter.throttled", payload: { wait_seconds: waitSeconds, limiter_type: type } });
      }
      await bucket.acquire(count, signal);
    }
  }
}
