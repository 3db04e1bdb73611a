/**
 * A store whose requests have a time limit, are repeated when they fail for a moment, and share a limit of bytes per
 * second: for all that a write does with its store.
 * @module
 */
import * as v from "valibot";
import type { Clock } from "../clock.ts";
import { PreconditionFailedError, StoreError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import { positiveInteger, positiveNumber, wholeNumber } from "../options.ts";
import {
  copyObject,
  type CopyOptions,
  type ObjectEntry,
  type ObjectStore,
  type ObjectUpload,
  type ObjectVersion,
  type RequestOptions,
  type StoredObject,
  type StoredRanges,
  type UploadOptions,
  type WriteOptions,
} from "../stores/store.ts";
import { TokenBucket } from "../token_bucket.ts";

/** How often a failing request is sent again. */
export interface RequestRetry {
  /** Tries in all. */
  readonly attemptsMax: number;
  /** Wait before the second try. */
  readonly initialBackoffMs: number;
  /** By what each further wait is longer than the one before. */
  readonly multiplier: number;
}

type RetryInput = { readonly [Name in keyof RequestRetry]?: number | undefined };

/** Checks a {@linkcode RequestRetry} and fills in the defaults. */
export const requestRetry: v.GenericSchema<RetryInput, RequestRetry> = v.strictObject({
  attemptsMax: v.optional(positiveInteger, 5),
  initialBackoffMs: v.optional(wholeNumber, 200),
  multiplier: v.optional(positiveNumber, 2),
});

/** What limits requests; what is left out does not. */
export interface RequestLimits {
  readonly timeoutMs?: number | undefined;
  readonly requestRetry?: RequestRetry | undefined;
  readonly uploadBytesPerSecond?: number | undefined;
  readonly clock: Clock;
  /** Takes the events of requests that are sent again; does not throw. */
  readonly onEvent?: EventSink | undefined;
}

/**
 * Wraps a store; gives the store itself where there is no limit.
 *
 * A time limit holds for each call, for each page of a listing, and for reading an object to its end by `bytes()`; for
 * an upload, each `write` and `finish` has it, not the whole. Repeated is what may be: of an upload only its beginning,
 * of a listing its first page, and not the body of an object. A conditional PUT whose repetition is refused has
 * succeeded if the object holds its bytes. Bytes are paid for before they are sent, each time, in the order in which
 * they came.
 */
export function limitedStore(inner: ObjectStore, limits: RequestLimits): ObjectStore {
  const { timeoutMs, requestRetry, uploadBytesPerSecond } = limits;
  const isLimited = [timeoutMs, requestRetry, uploadBytesPerSecond].some((limit) => limit !== undefined);
  return isLimited ? new LimitedStore(inner, limits) : inner;
}

/** One request, for messages. */
interface Sent {
  readonly verb: string;
  readonly key: string;
  readonly signal?: AbortSignal | undefined;
  /** Bytes that go up with it. */
  readonly sizeBytes?: number;
}

class LimitedStore implements ObjectStore {
  readonly url: string;
  /** These only where the store below has them. */
  readonly honoursPreconditions?: boolean;
  readonly getIfChanged?: NonNullable<ObjectStore["getIfChanged"]>;
  readonly listUploads?: NonNullable<ObjectStore["listUploads"]>;
  readonly abortUpload?: NonNullable<ObjectStore["abortUpload"]>;
  readonly #inner: ObjectStore;
  readonly #limits: RequestLimits;
  readonly #bucket: TokenBucket | undefined;
  #lastTurn: Promise<void> = Promise.resolve();

  constructor(inner: ObjectStore, limits: RequestLimits) {
    const { uploadBytesPerSecond, clock } = limits;
    this.url = inner.url;
    this.#inner = inner;
    this.#limits = limits;
    this.#bucket = uploadBytesPerSecond === undefined ? undefined : new TokenBucket(uploadBytesPerSecond, clock);
    if (inner.honoursPreconditions !== undefined) this.honoursPreconditions = inner.honoursPreconditions;
    if (inner.getIfChanged !== undefined) {
      this.getIfChanged = (key, etag, { signal } = {}) =>
        this.#read({ verb: "read", key, signal }, (request) => inner.getIfChanged!(key, etag, request));
    }
    if (inner.listUploads !== undefined) {
      this.listUploads = (prefix, { signal } = {}) =>
        this.#send({ verb: "list", key: prefix, signal }, (request) => inner.listUploads!(prefix, request));
    }
    if (inner.abortUpload !== undefined) {
      this.abortUpload = (upload, { signal } = {}) =>
        this.#send({ verb: "give up", key: upload.key, signal }, (request) => inner.abortUpload!(upload, request));
    }
  }

  get(key: string, { signal }: RequestOptions = {}): Promise<StoredObject> {
    return this.#read({ verb: "read", key, signal }, (request) => this.#inner.get(key, request));
  }

  getRanges(
    key: string,
    ranges: Parameters<ObjectStore["getRanges"]>[1],
    { signal }: RequestOptions = {},
  ): Promise<StoredRanges> {
    return this.#send({ verb: "read", key, signal }, (request) => this.#inner.getRanges(key, ranges, request));
  }

  put(key: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<ObjectVersion> {
    let tries = 0;
    const sent = { verb: "write", key, signal: options.signal, sizeBytes: bytes.length };
    return this.#send(sent, async (request) => {
      tries++;
      try {
        return await this.#inner.put(key, bytes, { ...options, ...request });
      } catch (error) {
        if (tries === 1 || !(error instanceof PreconditionFailedError)) throw error;
        // An earlier try may have arrived although its answer did not.
        const found = await this.#inner.get(key, request);
        const stored = await found.bytes();
        const isOurs = stored.length === bytes.length && stored.every((byte, at) => byte === bytes[at]);
        if (isOurs) return { etag: found.etag, sizeBytes: bytes.length };
        throw error;
      }
    });
  }

  copy(fromKey: string, toKey: string, options: CopyOptions = {}): Promise<ObjectVersion> {
    if (this.#inner.copy === undefined) {
      // Through this program: each of its requests is limited by itself.
      return copyObject(bound(this), { fromKey, toKey }, options);
    }
    const sent = { verb: "write", key: toKey, signal: options.signal };
    return this.#send(sent, (request) => this.#inner.copy!(fromKey, toKey, { ...options, ...request }));
  }

  async upload(key: string, options: UploadOptions): Promise<ObjectUpload> {
    const { signal } = options;
    const given = new AbortController();
    const upload = await this.#repeat(
      { verb: "write", key, signal },
      () => this.#inner.upload(key, { ...options, signal: eitherOf(signal, given.signal) }),
    );
    const call = async <T>(sizeBytes: number, request: () => Promise<T>): Promise<T> => {
      await this.#pay(sizeBytes, signal);
      return await this.#timed({ verb: "write", key, signal }, given, request);
    };
    return {
      write: (chunk) => call(chunk.length, () => upload.write(chunk)),
      finish: (head) => call(head.length, () => upload.finish(head)),
      abort: () => upload.abort(),
      [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
    };
  }

  async *list(prefix: string, { signal }: RequestOptions = {}): AsyncGenerator<ObjectEntry[], void, undefined> {
    const sent = { verb: "list", key: prefix, signal };
    const given = new AbortController();
    const { first, pages } = await this.#send(sent, async (request) => {
      const combined = eitherOf(request.signal, given.signal);
      const pages = this.#inner.list(prefix, { signal: combined })[Symbol.asyncIterator]();
      return { first: await pages.next(), pages };
    });
    try {
      for (let page = first; !page.done; page = await this.#timed(sent, given, () => pages.next())) yield page.value;
    } finally {
      await pages.return?.();
    }
  }

  listFolders(prefix: string, { signal }: RequestOptions = {}): Promise<string[]> {
    return this.#send({ verb: "list", key: prefix, signal }, (request) => this.#inner.listFolders(prefix, request));
  }

  delete(key: string, { signal }: RequestOptions = {}): Promise<void> {
    return this.#send({ verb: "delete", key, signal }, (request) => this.#inner.delete(key, request));
  }

  deletePrefix(prefix: string, { signal }: RequestOptions = {}): Promise<number> {
    return this.#send({ verb: "delete", key: prefix, signal }, (request) => this.#inner.deletePrefix(prefix, request));
  }

  async #read<T extends StoredObject | null>(
    sent: Sent,
    request: (options: RequestOptions) => Promise<T>,
  ): Promise<T> {
    return await this.#repeat(sent, async () => {
      const given = new AbortController();
      const signal = eitherOf(sent.signal, given.signal);
      const found = await this.#timed(sent, given, () => request({ signal }));
      if (found === null || this.#limits.timeoutMs === undefined) return found;
      const { etag, sizeBytes } = found;
      return {
        etag,
        sizeBytes,
        get body() {
          return found.body;
        },
        bytes: () => this.#timed(sent, given, () => found.bytes()),
      } as T;
    });
  }

  async #send<T>(sent: Sent, request: (options: RequestOptions) => Promise<T>): Promise<T> {
    return await this.#repeat(sent, async () => {
      const given = new AbortController();
      return await this.#timed(sent, given, () => request({ signal: eitherOf(sent.signal, given.signal) }));
    });
  }

  async #repeat<T>({ signal, sizeBytes = 0 }: Sent, request: () => Promise<T>): Promise<T> {
    const { clock, onEvent, requestRetry: { attemptsMax, initialBackoffMs, multiplier } = NO_RETRY } = this.#limits;
    for (let attempt = 1;; attempt++) {
      await this.#pay(sizeBytes, signal);
      try {
        return await request();
      } catch (error) {
        const mayPass = error instanceof StoreError && error.retryable && !signal?.aborted;
        if (!mayPass) throw error;
        if (attempt >= attemptsMax) {
          if (attemptsMax > 1) onEvent?.({ name: "s3.retry_exhausted", payload: { attempts: attempt } });
          throw error;
        }
        const backoffMs = initialBackoffMs * multiplier ** (attempt - 1);
        onEvent?.({ name: "s3.retry", payload: { attempt, "backoff_s": backoffMs / 1000 } });
        await clock.sleep(backoffMs, signal);
      }
    }
  }

  /** @param given Aborts the request when its time is over. */
  async #timed<T>({ verb, key }: Sent, given: AbortController, request: () => Promise<T>): Promise<T> {
    const { timeoutMs, clock } = this.#limits;
    if (timeoutMs === undefined) return await request();
    const ended = new AbortController();
    const expired = clock.sleep(timeoutMs, ended.signal).then((): never => {
      const url = `${this.url}/${key}`;
      const message =
        `Cannot ${verb} "${url}" within timeoutMs: ${timeoutMs} ms are over, raise it if that is too short`;
      const error = new StoreError(message, { url, retryable: true });
      given.abort(error);
      throw error;
    });
    expired.catch(() => {});
    try {
      // Not every store heeds a signal at once.
      return await Promise.race([request(), expired]);
    } finally {
      ended.abort();
    }
  }

  /** One after the other, as a large request would wait for ever if small ones could always overtake it. */
  async #pay(sizeBytes: number, signal: AbortSignal | undefined): Promise<void> {
    const bucket = this.#bucket;
    if (bucket === undefined || sizeBytes === 0) return;
    const turn = this.#lastTurn.then(() => bucket.acquire(sizeBytes, signal));
    this.#lastTurn = turn.catch(() => {});
    await turn;
  }
}

const NO_RETRY: RequestRetry = { attemptsMax: 1, initialBackoffMs: 0, multiplier: 1 };

function eitherOf(signal: AbortSignal | undefined, other: AbortSignal): AbortSignal {
  return signal === undefined ? other : AbortSignal.any([signal, other]);
}

/** What copying through the program takes. */
function bound(store: LimitedStore): ObjectStore {
  return {
    url: store.url,
    get: store.get.bind(store),
    getRanges: store.getRanges.bind(store),
    put: store.put.bind(store),
    upload: store.upload.bind(store),
    list: store.list.bind(store),
    listFolders: store.listFolders.bind(store),
    delete: store.delete.bind(store),
    deletePrefix: store.deletePrefix.bind(store),
  };
}
