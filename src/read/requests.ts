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

/** Sends a request for a range. */
export type SendRanges = (signal: AbortSignal | undefined) => Promise<StoredRanges>;

/** What a reader allows itself. */
export interface RequestLimits {
  /** Requests under way at the same time, but for whole shards. */
  readonly concurrencyMax: number;
  /** Longest time of a request, its body and the store's repetitions included; undefined for the defaults. */
  readonly timeoutMs: number | undefined;
  /** Sends a request for a range, and a second one if the first is late; undefined: never a second one. */
  readonly hedged:
    | ((send: SendRanges, signal: AbortSignal | undefined, gate: Gate) => Promise<StoredRanges>)
    | undefined;
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
      // Whole shards are limited by those who open them.
      const leave = isBulk ? () => {} : await this.#gate.enter(options.signal);
      const limit = this.#limit(`${inner.url}/${key}`, options, { isBulk, leave });
      count(1, 0);
      const stored = await send(limit.options).catch(limit.fail);
      if (stored === null) limit.end();
      // What is given up, as that of a manifest that is too long, does not count.
      return stored === null ? null : withEnd(stored, { end: limit.end, read: (bytes) => count(0, bytes) });
    };
    return {
      url: inner.url,
      get: async (key, options = {}) => (await getLimited(key, options, (limited) => inner.get(key, limited)))!,
      ...(inner.getIfChanged === undefined ? {} : {
        getIfChanged: (key, etag, options = {}) =>
          getLimited(key, options, (limited) => inner.getIfChanged!(key, etag, limited)),
      }),
      getRanges: async (key, ranges, options = {}) => {
        const leave = await this.#gate.enter(options.signal);
        const limit = this.#limit(`${inner.url}/${key}`, options, { isBulk, leave });
        const send: SendRanges = async (signal) => {
          count(ranges.length, 0);
          const stored = await inner.getRanges(key, ranges, { signal });
          count(0, stored.parts.reduce((sum, part) => sum + part.byteLength, 0));
          return stored;
        };
        try {
          return await this.#measured(send, limit.options.signal, isBackground);
        } finally {
          limit.end();
        }
      },
    };
  }

  /** Sends, measures, and asks a second time where that was wished for. */
  async #measured(
    send: SendRanges,
    signal: AbortSignal | undefined,
    isBackground: boolean,
  ): Promise<StoredRanges> {
    if (isBackground) return await send(signal);
    const { clock, hedged } = this.#limits;
    const startedMs = clock.monotonicMs();
    const stored = await (hedged === undefined ? send(signal) : hedged(send, signal, this.#gate));
    this.#learn(clock.monotonicMs() - startedMs, stored.parts.reduce((sum, part) => sum + part.byteLength, 0));
    return stored;
  }

  #learn(ms: number, bytes: number): void {
    if (bytes <= SMALL_BYTES) this.#latencyMs += (ms - this.#latencyMs) * NEWEST_PART;
    else this.#bytesPerMs += (bytes / Math.max(0.1, ms - this.#latencyMs) - this.#bytesPerMs) * NEWEST_PART;
  }

  // The time that a request waits for its slot is not the server's, so it does not count.
  // Not `AbortSignal.timeout`, which keeps Deno from exiting until its time is over.
  #limit(
    url: string,
    options: RequestOptions,
    { isBulk, leave }: { readonly isBulk: boolean; readonly leave: () => void },
  ): TimeLimit {
    const { timeoutMs = isBulk ? undefined : TIMEOUT_MS_DEFAULT } = this.#limits;
    const late = new AbortController();
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => {
      // Stores reject with the signal's reason, so it must be an error of ours.
      late.abort(new StoreError(`Cannot read "${url}" within ${timeoutMs} ms`, { url, retryable: true }));
      end();
    }, timeoutMs);
    let isOver = false;
    function end(): void {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      leave();
    }
    const { signal } = options;
    const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
    return {
      options: timer === undefined ? options : { ...options, signal: either },
      end,
      fail(error) {
        end();
        throw error;
      },
    };
  }
}

/** Options for a request that is aborted when its time is over, unless `end` comes first, which frees its slot. */
interface TimeLimit {
  readonly options: RequestOptions;
  end(): void;
  fail(error: unknown): never;
}

/** What is told about the content of an object. */
interface Watch {
  /** It was read, or given up. */
  end(): void;
  /** Bytes of it were read. */
  read(bytes: number): void;
}

/** The same object, watched. */
function withEnd(stored: StoredObject, watch: Watch): StoredObject {
  let body: StoredObject["body"] | undefined;
  return {
    etag: stored.etag,
    sizeBytes: stored.sizeBytes,
    get body() {
      return body ??= streamWithEnd(stored.body, watch);
    },
    bytes() {
      watch.read(stored.sizeBytes);
      return stored.bytes().finally(watch.end);
    },
  };
}

function streamWithEnd(stream: StoredObject["body"], { end, read }: Watch): StoredObject["body"] {
  const chunks = stream.getReader();
  return new ReadableStream({
    async pull(controller) {
      try {
        const { value, done } = await chunks.read();
        if (!done) {
          read(value.byteLength);
          return controller.enqueue(value);
        }
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
