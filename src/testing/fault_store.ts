/**
 * A store around another one that counts requests, notes them, delays them and lets chosen ones fail.
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import { StoreError } from "../errors.ts";
import {
  type ByteRange,
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

/**
 * What a request does: `GET` for `get`, `getIfChanged` and `getRanges`, `COPY` for `copy`, `LIST` for each page of
 * `list`, for `listFolders` and `listUploads`, `DELETE` for both ways to delete and for `abortUpload`. An upload is
 * `UPLOAD` to begin, `PART` for each chunk, then `FINISH` or `ABORT`.
 */
export type RequestKind = "GET" | "PUT" | "COPY" | "LIST" | "DELETE" | "UPLOAD" | "PART" | "FINISH" | "ABORT";

/** One request, as it was noted when it began. */
export interface StoreRequest {
  /** From 1 up, over all kinds. */
  readonly requestNumber: number;
  /** From 1 up, among the requests of its kind. */
  readonly kindNumber: number;
  /** Which requests. */
  readonly kind: RequestKind;
  /** The key, or the prefix of `LIST` and `deletePrefix`. */
  readonly key: string;
}

/** How a request fails. */
export interface Fault {
  /** Before it did anything, or after it did everything, so that only the reply gets lost. */
  readonly moment: "before" | "after";
  /** Whether the error says that another try may help. @default {true} */
  readonly retryable?: boolean;
  /** Thrown instead of a `StoreError`. */
  readonly error?: unknown;
}

/** What happens to requests. */
export interface FaultPlan {
  /** Asked once for each request when it begins; `ABORT` never fails, as nobody could do anything about it. */
  readonly fault?: (request: StoreRequest) => Fault | null;
  /** How long each request takes before it does anything. @default {0} */
  readonly delayMs?: number;
  /** Time for the delays. @default {systemClock()} */
  readonly clock?: Clock;
}

/** A store that fails as planned, and what was asked of it. */
export interface FaultStore extends ObjectStore {
  /** All requests so far, in the order in which they began. */
  readonly requests: readonly StoreRequest[];
  /** How many requests of a kind there were so far. */
  count(kind: RequestKind): number;
}

/**
 * Wraps a store, so that tests see what is asked of it and what comes of failures.
 *
 * @example Sweep a failure over all requests of a piece of work
 * ```ts
 * import { faultStore } from "./fault_store.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 *
 * const store = faultStore(memoryStore(), {
 *   fault: ({ requestNumber }) => requestNumber === 2 ? { moment: "after" } : null,
 * });
 * await store.put("a", new Uint8Array(1));
 * const reply = await store.put("b", new Uint8Array(1)).then(() => "arrived", () => "lost");
 * const stored = await store.get("b");
 * if (reply !== "lost" || stored.sizeBytes !== 1 || store.count("PUT") !== 2) throw new Error("unexpected");
 * ```
 */
export function faultStore(inner: ObjectStore, plan: FaultPlan = {}): FaultStore {
  return new FaultyStore(inner, plan);
}

interface Asked {
  readonly kind: RequestKind;
  readonly key: string;
  readonly signal?: AbortSignal | undefined;
}

class FaultyStore implements FaultStore {
  readonly url: string;
  /** As of the store below. */
  readonly honoursPreconditions?: boolean;
  readonly requests: StoreRequest[] = [];
  /** Only where the store below has them. */
  readonly getIfChanged?: NonNullable<ObjectStore["getIfChanged"]>;
  readonly listUploads?: NonNullable<ObjectStore["listUploads"]>;
  readonly abortUpload?: NonNullable<ObjectStore["abortUpload"]>;
  readonly #inner: ObjectStore;
  readonly #plan: FaultPlan;
  readonly #clock: Clock;
  readonly #counts = new Map<RequestKind, number>();

  constructor(inner: ObjectStore, plan: FaultPlan) {
    this.url = inner.url;
    if (inner.honoursPreconditions !== undefined) this.honoursPreconditions = inner.honoursPreconditions;
    this.#inner = inner;
    this.#plan = plan;
    this.#clock = plan.clock ?? systemClock();
    if (inner.getIfChanged !== undefined) {
      this.getIfChanged = (key, etag, options = {}) =>
        this.#send({ kind: "GET", key, signal: options.signal }, () => inner.getIfChanged!(key, etag, options));
    }
    if (inner.listUploads === undefined || inner.abortUpload === undefined) return;
    this.listUploads = (prefix, options = {}) =>
      this.#send({ kind: "LIST", key: prefix, signal: options.signal }, () => inner.listUploads!(prefix, options));
    this.abortUpload = (upload, options = {}) =>
      this.#send(
        { kind: "DELETE", key: upload.key, signal: options.signal },
        () => inner.abortUpload!(upload, options),
      );
  }

  count(kind: RequestKind): number {
    return this.#counts.get(kind) ?? 0;
  }

  get(key: string, options: RequestOptions = {}): Promise<StoredObject> {
    return this.#send({ kind: "GET", key, signal: options.signal }, () => this.#inner.get(key, options));
  }

  getRanges(key: string, ranges: readonly ByteRange[], options: RequestOptions = {}): Promise<StoredRanges> {
    const asked = { kind: "GET", key, signal: options.signal } as const;
    return this.#send(asked, () => this.#inner.getRanges(key, ranges, options));
  }

  put(key: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<ObjectVersion> {
    return this.#send({ kind: "PUT", key, signal: options.signal }, () => this.#inner.put(key, bytes, options));
  }

  /** Noted under the key of the copy. */
  copy(fromKey: string, toKey: string, options: CopyOptions = {}): Promise<ObjectVersion> {
    const asked = { kind: "COPY", key: toKey, signal: options.signal } as const;
    return this.#send(asked, () => copyObject(this.#inner, { fromKey, toKey }, options));
  }

  async upload(key: string, options: UploadOptions): Promise<ObjectUpload> {
    const { signal } = options;
    let begun: ObjectUpload | undefined;
    try {
      await this.#send({ kind: "UPLOAD", key, signal }, async () => {
        begun = await this.#inner.upload(key, options);
      });
    } catch (error) {
      // The caller never learns of it, so it must not stay open.
      await begun?.abort();
      throw error;
    }
    const upload = begun!;
    const abort = async (): Promise<void> => {
      this.#note("ABORT", key);
      await upload.abort();
    };
    return {
      write: (chunk) => this.#send({ kind: "PART", key, signal }, () => upload.write(chunk)),
      finish: (head) => this.#send({ kind: "FINISH", key, signal }, () => upload.finish(head)),
      abort,
      [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
    };
  }

  async *list(prefix: string, options: RequestOptions = {}): AsyncGenerator<ObjectEntry[]> {
    const pages = this.#inner.list(prefix, options)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const page = await this.#send({ kind: "LIST", key: prefix, signal: options.signal }, () => pages.next());
        if (page.done) return;
        yield page.value;
      }
    } finally {
      await pages.return?.();
    }
  }

  listFolders(prefix: string, options: RequestOptions = {}): Promise<string[]> {
    const asked = { kind: "LIST", key: prefix, signal: options.signal } as const;
    return this.#send(asked, () => this.#inner.listFolders(prefix, options));
  }

  delete(key: string, options: RequestOptions = {}): Promise<void> {
    return this.#send({ kind: "DELETE", key, signal: options.signal }, () => this.#inner.delete(key, options));
  }

  deletePrefix(prefix: string, options: RequestOptions = {}): Promise<number> {
    const asked = { kind: "DELETE", key: prefix, signal: options.signal } as const;
    return this.#send(asked, () => this.#inner.deletePrefix(prefix, options));
  }

  #note(kind: RequestKind, key: string): StoreRequest {
    const kindNumber = this.count(kind) + 1;
    this.#counts.set(kind, kindNumber);
    const noted = { requestNumber: this.requests.length + 1, kindNumber, kind, key };
    this.requests.push(noted);
    return noted;
  }

  async #send<T>({ kind, key, signal }: Asked, effect: () => Promise<T>): Promise<T> {
    const noted = this.#note(kind, key);
    const fault = this.#plan.fault?.(noted) ?? null;
    const { delayMs = 0 } = this.#plan;
    if (delayMs > 0) await this.#clock.sleep(delayMs, signal);
    if (fault?.moment === "before") throw this.#errorOf(fault, noted);
    const result = await effect();
    if (fault?.moment === "after") throw this.#errorOf(fault, noted);
    return result;
  }

  #errorOf({ moment, retryable = true, error }: Fault, { requestNumber, kind, key }: StoreRequest): unknown {
    const what = moment === "before" ? "the request was lost" : "the reply was lost";
    const message = `Cannot ${kind} "${this.url}/${key}": ${what}, as planned for request ${requestNumber}`;
    return error ?? new StoreError(message, { url: `${this.url}/${key}`, retryable });
  }
}
