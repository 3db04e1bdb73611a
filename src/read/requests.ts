/**
 * Every GET of a reader passes here: counted, limited in number and time. Repeating failed ones is the store's.
 * @module
 */
import type { Clock } from "../clock.ts";
import { StoreError } from "../errors.ts";
import type { ReadableStore, RequestOptions, StoredObject, StoredRanges } from "../stores/store.ts";
import { Gate } from "./gate.ts";

/** Requests and bytes so far. */
export interface Traffic {
  requests: number;
  bytesRead: number;
}

/** What a reader allows itself. */
export interface RequestLimits {
  /** Range requests under way at the same time. */
  readonly concurrencyMax: number;
  /** Longest time of a request, its body and the store's repetitions included; undefined for the defaults. */
  readonly timeoutMs: number | undefined;
  /** When to ask a second time for a range that has not come; undefined for never. */
  readonly hedgeAfterMs: number | undefined;
  readonly clock: Clock;
}

/** What the requests of a store are for. */
export interface Purpose {
  /** Counts beside the totals. */
  readonly tally?: Traffic;
  /** Whether objects may be so long that only a limit set by the user makes sense. */
  readonly isBulk?: boolean;
  /** Whether no lookup waits for them: then ranges are asked for once, and are no measure of what lookups cost. */
  readonly isBackground?: boolean;
}

/** For all but whole shards: a connection that is stuck must not be waited for for ever. */
const TIMEOUT_MS_DEFAULT = 30_000;
/** Answers up to here show how long a request takes at least, longer ones how fast bytes come. */
const SMALL_BYTES = 1 << 16;
const GAP_BYTES_MAX = 1 << 18;
/** Weight of the newest answer in the averages. */
const NEWEST_PART = 0.2;

/** The requests of one reader. */
export class Requests {
  /** Of all stores together. */
  readonly traffic: Traffic = { requests: 0, bytesRead: 0 };
  readonly #limits: RequestLimits;
  readonly #gate: Gate;
  /** A guess to begin with: an object store in the same region. */
  #latencyMs = 10;
  #bytesPerMs = 10_000;

  constructor(limits: RequestLimits) {
    this.#limits = limits;
    this.#gate = new Gate(limits.concurrencyMax);
  }

  /** Bytes that arrive in the time that another request would take: so many are worth reading in vain. */
  gapBytesMax(): number {
    return Math.min(GAP_BYTES_MAX, this.#latencyMs * this.#bytesPerMs);
  }

  /** The same store, seen through the limits; all else that it can do, such as listing, is left out. */
  store(inner: ReadableStore, { tally, isBulk = false, isBackground = false }: Purpose = {}): ReadableStore {
    const count = (requests: number, bytesRead: number): void => {
      for (const traffic of tally === undefined ? [this.traffic] : [this.traffic, tally]) {
        traffic.requests += requests;
        traffic.bytesRead += bytesRead;
      }
    };
    const getLimited = async (
      key: string,
      options: RequestOptions,
      send: (options: RequestOptions) => Promise<StoredObject | null>,
    ): Promise<StoredObject | null> => {
      const limit = this.#limit(`${inner.url}/${key}`, options, isBulk);
      count(1, 0);
      const stored = await send(limit.options).catch(limit.fail);
      if (stored === null) limit.end();
      count(0, stored?.sizeBytes ?? 0);
      return stored === null ? null : withEnd(stored, limit.end);
    };
    return {
      url: inner.url,
      get: async (key, options = {}) => (await getLimited(key, options, (limited) => inner.get(key, limited)))!,
      ...(inner.getIfChanged === undefined ? {} : {
        getIfChanged: (key, etag, options = {}) =>
          getLimited(key, options, (limited) => inner.getIfChanged!(key, etag, limited)),
      }),
      getRanges: async (key, ranges, options = {}) => {
        const limit = this.#limit(`${inner.url}/${key}`, options, isBulk);
        const send = async (signal: AbortSignal | undefined): Promise<StoredRanges> => {
          count(ranges.length, 0);
          const stored = await inner.getRanges(key, ranges, { signal });
          count(0, stored.parts.reduce((sum, part) => sum + part.byteLength, 0));
          return stored;
        };
        try {
          return await this.#inTurn(send, limit.options.signal, isBackground);
        } finally {
          limit.end();
        }
      },
    };
  }

  /** Sends when a slot is free, measures, and asks a second time where that was wished for. */
  async #inTurn(
    send: (signal: AbortSignal | undefined) => Promise<StoredRanges>,
    signal: AbortSignal | undefined,
    isBackground: boolean,
  ): Promise<StoredRanges> {
    const leave = await this.#gate.enter(signal);
    try {
      if (isBackground) return await send(signal);
      const { clock, hedgeAfterMs } = this.#limits;
      const startedMs = clock.monotonicMs();
      const stored = hedgeAfterMs === undefined ? await send(signal) : await this.#hedged(send, signal, hedgeAfterMs);
      this.#learn(clock.monotonicMs() - startedMs, stored.parts.reduce((sum, part) => sum + part.byteLength, 0));
      return stored;
    } finally {
      leave();
    }
  }

  /** The first answer of two, where one is late and a slot is free; the other one is given up. */
  async #hedged(
    send: (signal: AbortSignal) => Promise<StoredRanges>,
    signal: AbortSignal | undefined,
    hedgeAfterMs: number,
  ): Promise<StoredRanges> {
    const over = new AbortController();
    const either = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]);
    const first = send(either);
    const second = this.#limits.clock.sleep(hedgeAfterMs, either).then(() => {
      const leave = this.#gate.tryEnter();
      if (leave === null) return first;
      return send(either).finally(leave);
    });
    try {
      // A failure of the first one is told at once; the second one is for those that are late.
      return await Promise.race([first, second.catch(() => first)]);
    } finally {
      first.catch(() => {});
      over.abort(new DOMException("another answer came first", "AbortError"));
    }
  }

  #learn(ms: number, bytes: number): void {
    if (bytes <= SMALL_BYTES) this.#latencyMs += (ms - this.#latencyMs) * NEWEST_PART;
    else this.#bytesPerMs += (bytes / Math.max(0.1, ms - this.#latencyMs) - this.#bytesPerMs) * NEWEST_PART;
  }

  // Not `AbortSignal.timeout`, which keeps Deno from exiting until its time is over.
  #limit(url: string, options: RequestOptions, isBulk: boolean): TimeLimit {
    const { timeoutMs = isBulk ? undefined : TIMEOUT_MS_DEFAULT } = this.#limits;
    if (timeoutMs === undefined) return { options, end() {}, fail };
    const late = new AbortController();
    const timer = setTimeout(() => {
      // Stores reject with the signal's reason, so it must be an error of ours.
      late.abort(new StoreError(`Cannot read "${url}" within ${timeoutMs} ms`, { url, retryable: true }));
    }, timeoutMs);
    const { signal } = options;
    const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
    const end = (): void => clearTimeout(timer);
    return {
      options: { ...options, signal: either },
      end,
      fail(error) {
        end();
        throw error;
      },
    };
  }
}

/** Options for a request that is aborted when its time is over, unless `end` comes first. */
interface TimeLimit {
  readonly options: RequestOptions;
  end(): void;
  fail(error: unknown): never;
}

function fail(error: unknown): never {
  throw error;
}

/** The same object; `end` is called when its content was read or given up. */
function withEnd(stored: StoredObject, end: () => void): StoredObject {
  let body: StoredObject["body"] | undefined;
  return {
    etag: stored.etag,
    sizeBytes: stored.sizeBytes,
    get body() {
      return body ??= streamWithEnd(stored.body, end);
    },
    bytes: () => stored.bytes().finally(end),
  };
}

function streamWithEnd(stream: StoredObject["body"], end: () => void): StoredObject["body"] {
  const chunks = stream.getReader();
  return new ReadableStream({
    async pull(controller) {
      try {
        const { value, done } = await chunks.read();
        if (!done) return controller.enqueue(value);
        controller.close();
      } catch (error) {
        controller.error(error);
      }
      end();
    },
    async cancel(reason) {
      end();
      await chunks.cancel(reason);
    },
  }, { highWaterMark: 0 });
}
