/**
 * A store in front of which stands the cache of a platform, such as that of Cloudflare's Workers.
 * @module
 */
import { StoreError } from "../errors.ts";
import { anyFunction, checkFields, integerFrom, objectOf, optional, refuseOption } from "../option_fields.ts";
import { SharedTask } from "../shared_task.ts";
import { encodedPath } from "./fetch_reads.ts";
import { requireKey } from "./object_key.ts";
import { rangesTogether } from "./range_reads.ts";
import type { ByteRange, ReadableStore, RequestOptions, StoredObject, StoredRanges } from "./store.ts";
import { rangeError, requireRanges, storedObject } from "./stored_object.ts";

/** What is used of the Cache API: `caches.default`, or what `caches.open` gives. */
export interface ResponseCache {
  /** What is kept for a URL. */
  match(url: string): Promise<Response | undefined>;
  /** Keeps an answer for a URL. */
  put(url: string, response: Response): Promise<void>;
}

/** What {@linkcode cachedStore} can be told. */
export interface CachedStoreOptions {
  /** Where pieces are kept. */
  readonly cache: ResponseCache;
  /** Length of the pieces in which objects are cached; a power of two suits pages best. @default {1048576} */
  readonly chunkBytes?: number | undefined;
  /**
   * Whether the object of a key never changes. Default: manifests, and what lies below the folder of a run; never the
   * pointer.
   */
  readonly isImmutable?: ((key: string) => boolean) | undefined;
  /** Where cached pieces lie. Two stores must not have the same. Default: an invented host and the store's `url`. */
  readonly cacheUrl?: string | undefined;
  /** Takes the writes into the cache, as `ctx.waitUntil` of a Worker does, so that no read waits for them. */
  readonly waitUntil?: ((promise: Promise<unknown>) => void) | undefined;
}

/**
 * A store that keeps the immutable objects of another one in the platform's cache, in pieces.
 *
 * Ranges are put together from pieces; what is missing is read as whole pieces and kept. The first read of an object
 * that nobody has cached begins a GET of the whole, to learn its size, and breaks it off after the first piece. Objects
 * of more than one piece pass by when they are read whole. A cache that fails counts as an empty one.
 *
 * Cost: one look into the cache for each piece touched, which a Worker's limit of subrequests counts as well.
 *
 * @throws {ConfigValidationError} when an option is wrong.
 *
 * @example
 * ```ts
 * import { cachedStore, type ResponseCache } from "./cached_store.ts";
 * import { memoryStore } from "./memory_store.ts";
 *
 * const pieces = new Map<string, Response>();
 * const cache: ResponseCache = {
 *   match: (url) => Promise.resolve(pieces.get(url)?.clone()),
 *   put: (url, response) => Promise.resolve(void pieces.set(url, response)),
 * };
 * const inner = memoryStore();
 * await inner.put("shards/run_id=1/a", new Uint8Array(10));
 * const store = cachedStore(inner, { cache });
 * await store.getRanges("shards/run_id=1/a", [{ offset: 2, lengthBytes: 3 }]);
 * if (pieces.size !== 1) throw new Error("nothing was cached");
 * ```
 */
export function cachedStore(inner: ReadableStore, options: CachedStoreOptions): ReadableStore {
  if (!(Object(inner) === inner && "getRanges" in inner)) refuseOption("cachedStore.inner", "a store", inner);
  checkFields(options, "cachedStore", {
    cache: objectOf("a cache with match and put", "match", "put"),
    chunkBytes: optional(integerFrom(1)),
    isImmutable: optional(anyFunction),
    cacheUrl: optional((value) => URL.canParse(String(value)) ? null : "a URL"),
    waitUntil: optional(anyFunction),
  });
  const { cacheUrl = `https://shardyfusion.invalid/${encodeURIComponent(inner.url)}` } = options;
  return new CachedStore(inner, {
    chunkBytes: 1 << 20,
    isImmutable: (key) => /^manifests\/|(?:^|\/)run_id=/.test(key),
    ...options,
    cacheUrl: cacheUrl.replace(/\/+$/, ""),
  } as CheckedOptions);
}

interface CheckedOptions extends Pick<CachedStoreOptions, "cache" | "waitUntil"> {
  readonly chunkBytes: number;
  readonly cacheUrl: string;
  isImmutable(key: string): boolean;
}

interface Chunk {
  readonly etag: string | null;
  /** Length of the whole object. */
  readonly sizeBytes: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Objects whose size is remembered; beyond it all are forgotten. */
const SIZES_MAX = 10_000;
const ETAG_HEADER = "x-object-etag";
const SIZE_HEADER = "x-object-size";

class CachedStore implements ReadableStore {
  readonly url: string;
  readonly getIfChanged?: NonNullable<ReadableStore["getIfChanged"]>;
  readonly #inner: ReadableStore;
  readonly #options: CheckedOptions;
  readonly #sizes = new Map<string, number>();
  readonly #underWay = new Map<string, SharedTask<Chunk>>();

  constructor(inner: ReadableStore, options: CheckedOptions) {
    this.url = inner.url;
    this.#inner = inner;
    this.#options = options;
    // Only of the pointer does anybody ask whether it has changed.
    if (inner.getIfChanged) this.getIfChanged = inner.getIfChanged.bind(inner);
  }

  async get(key: string, options: RequestOptions = {}): Promise<StoredObject> {
    requireKey(key);
    if (!this.#options.isImmutable(key)) return await this.#inner.get(key, options);
    const { signal } = options;
    signal?.throwIfAborted();
    const first = await unlessAborted(() => this.#cached(key, 0), signal);
    if (first !== null && first.sizeBytes === first.bytes.byteLength) return this.#objectOf(key, first, signal);
    const object = await this.#inner.get(key, options);
    const { etag, sizeBytes } = object;
    if (sizeBytes > this.#options.chunkBytes) return object;
    const chunk = { etag, sizeBytes, bytes: await object.bytes() };
    await unlessAborted(() => this.#keep(key, 0, chunk), signal);
    return this.#objectOf(key, chunk, signal);
  }

  async getRanges(
    key: string,
    ranges: readonly ByteRange[],
    options: RequestOptions = {},
  ): Promise<StoredRanges> {
    requireRanges(ranges);
    requireKey(key);
    if (ranges.length === 0 || !this.#options.isImmutable(key)) {
      return await this.#inner.getRanges(key, ranges, options);
    }
    const { signal } = options;
    const { chunkBytes } = this.#options;
    const url = `${this.url}/${key}`;
    const chunks = new Map<number, Chunk>();
    const load = async (index: number, signal?: AbortSignal): Promise<Chunk> => {
      const chunk = chunks.get(index) ?? await this.#chunk(key, index, signal);
      chunks.set(index, chunk);
      return chunk;
    };
    // The first tells how long the object is, so that no other reaches past its end.
    const { etag, sizeBytes } = await load(Math.floor(ranges[0]!.offset / chunkBytes), signal);
    for (const range of ranges) {
      if (range.offset + range.lengthBytes > sizeBytes) throw rangeError(url, range, sizeBytes);
    }
    const indices = [...new Set(ranges.flatMap((range) => indicesOf(range, chunkBytes)))];
    try {
      const places = indices.map((index) => ({ offset: index, lengthBytes: 1 }));
      await rangesTogether(url, places, { signal, readOne: ({ offset }, signal) => load(offset, signal) });
    } catch (error) {
      // What was thought to be immutable was replaced, or its size was told wrongly: the cache is of no use for it.
      const isOneVersion = Array.from(chunks.values()).every((chunk) => isSame(chunk, { etag, sizeBytes }));
      if (isOneVersion && !(error instanceof StoreError && error.status === 416)) throw error;
      this.#sizes.delete(key);
      return await this.#inner.getRanges(key, ranges, options);
    }
    return { etag, sizeBytes, parts: ranges.map((range) => partOf(range, chunks, chunkBytes)) };
  }

  /** From the cache, else from the store; by one request for all who want it at the same time. */
  async #chunk(key: string, index: number, signal: AbortSignal | undefined): Promise<Chunk> {
    const url = this.#chunkUrl(key, index);
    let task = this.#underWay.get(url);
    if (task === undefined || task.isAborted) {
      const begun: SharedTask<Chunk> = new SharedTask((signal) =>
        this.#load(key, index, signal).finally(() => {
          if (this.#underWay.get(url) === begun) this.#underWay.delete(url);
        })
      );
      this.#underWay.set(url, begun);
      task = begun;
    }
    return await task.join(signal);
  }

  async #load(key: string, index: number, signal: AbortSignal): Promise<Chunk> {
    const cached = await this.#cached(key, index);
    if (cached !== null) return cached;
    const { chunkBytes } = this.#options;
    let sizeBytes = this.#sizes.get(key);
    if (sizeBytes === undefined) {
      const object = await this.#inner.get(key, { signal });
      sizeBytes = object.sizeBytes;
      this.#remember(key, sizeBytes);
      if (index === 0) {
        const bytes = await beginningOf(object.body, {
          lengthBytes: Math.min(chunkBytes, sizeBytes),
          url: `${this.url}/${key}`,
        });
        return await this.#keep(key, 0, { etag: object.etag, sizeBytes, bytes });
      }
      object.body.cancel().catch(() => {});
    }
    const offset = index * chunkBytes;
    // The caller's range is past the end, which is the caller's to tell.
    if (offset >= sizeBytes) return { etag: null, sizeBytes, bytes: new Uint8Array() };
    const range = { offset, lengthBytes: Math.min(chunkBytes, sizeBytes - offset) };
    const { etag, parts } = await this.#inner.getRanges(key, [range], { signal });
    return await this.#keep(key, index, { etag, sizeBytes, bytes: parts[0]! });
  }

  async #cached(key: string, index: number): Promise<Chunk | null> {
    const { cache, chunkBytes } = this.#options;
    try {
      const hit = await cache.match(this.#chunkUrl(key, index));
      if (hit === undefined) return null;
      const sizeBytes = Number(hit.headers.get(SIZE_HEADER) ?? NaN);
      const bytes = new Uint8Array(await hit.arrayBuffer());
      if (bytes.byteLength !== Math.min(chunkBytes, sizeBytes - index * chunkBytes)) return null;
      this.#remember(key, sizeBytes);
      return { etag: hit.headers.get(ETAG_HEADER), sizeBytes, bytes };
    } catch {
      return null;
    }
  }

  async #keep(key: string, index: number, chunk: Chunk): Promise<Chunk> {
    const { cache, waitUntil } = this.#options;
    // As a whole answer, as caches keep no partial ones.
    const headers = {
      "cache-control": "public, max-age=31536000, immutable",
      "content-type": "application/octet-stream",
      "content-length": String(chunk.bytes.byteLength),
      [SIZE_HEADER]: String(chunk.sizeBytes),
      ...(chunk.etag !== null && { [ETAG_HEADER]: chunk.etag }),
    };
    const kept = Promise.resolve(cache.put(this.#chunkUrl(key, index), new Response(chunk.bytes, { headers })))
      .catch(() => {});
    if (waitUntil === undefined) await kept;
    else waitUntil(kept);
    return chunk;
  }

  #remember(key: string, sizeBytes: number): void {
    if (this.#sizes.size >= SIZES_MAX) this.#sizes.clear();
    this.#sizes.set(key, sizeBytes);
  }

  #chunkUrl(key: string, index: number): string {
    const { cacheUrl, chunkBytes } = this.#options;
    return `${cacheUrl}/${encodedPath(key)}?chunk=${index}&bytes=${chunkBytes}`;
  }

  #objectOf(key: string, { etag, bytes }: Chunk, signal: AbortSignal | undefined): StoredObject {
    const url = `${this.url}/${key}`;
    const openBody = (): StoredObject["body"] => new Blob([bytes]).stream();
    return storedObject({ etag, sizeBytes: bytes.byteLength, url, signal, openBody });
  }
}

/** The Cache API knows no signal: the caller stops waiting, the work goes on. */
function unlessAborted<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return new SharedTask(work).join(signal);
}

function indicesOf({ offset, lengthBytes }: ByteRange, chunkBytes: number): number[] {
  const first = Math.floor(offset / chunkBytes);
  const last = Math.floor((offset + lengthBytes - 1) / chunkBytes);
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function isSame(one: Omit<Chunk, "bytes">, other: Omit<Chunk, "bytes">): boolean {
  return one.etag === other.etag && one.sizeBytes === other.sizeBytes;
}

function partOf(
  range: ByteRange,
  chunks: ReadonlyMap<number, Chunk>,
  chunkBytes: number,
): Uint8Array<ArrayBuffer> {
  const part = new Uint8Array(range.lengthBytes);
  for (const index of indicesOf(range, chunkBytes)) {
    const start = index * chunkBytes;
    const from = Math.max(range.offset - start, 0);
    const piece = chunks.get(index)!.bytes.subarray(from, range.offset + range.lengthBytes - start);
    part.set(piece, start + from - range.offset);
  }
  return part;
}

/** Reads so many bytes, then breaks the body off. */
async function beginningOf(
  body: StoredObject["body"],
  { lengthBytes, url }: { lengthBytes: number; url: string },
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(lengthBytes);
  const reader = body.getReader();
  let filled = 0;
  while (filled < lengthBytes) {
    const { done, value } = await reader.read();
    if (done) throw new StoreError(`Cannot read "${url}" to its end`, { url, retryable: true });
    bytes.set(value.subarray(0, lengthBytes - filled), filled);
    filled += value.byteLength;
  }
  reader.cancel().catch(() => {});
  return bytes;
}
