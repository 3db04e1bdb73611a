/**
 * Objects in memory: for tests, simulations, and snapshots that need not outlive the process.
 * @module
 */
import { compareUtf8, requireFolder, requireKey, requirePrefix } from "./object_key.ts";
import {
  type ByteRange,
  type CopyOptions,
  type ObjectEntry,
  type ObjectStore,
  type ObjectUpload,
  type ObjectVersion,
  type RequestOptions,
  requireSource,
  type StoredObject,
  type StoredRanges,
  type UploadOptions,
  type WriteOptions,
} from "./store.ts";
import {
  notFoundError,
  rangeError,
  requireHead,
  requireHeadBytes,
  requireRanges,
  requireState,
  storedObject,
  uploadEndedError,
} from "./stored_object.ts";

const PAGE_ENTRIES = 1000;

/**
 * Makes an empty store that lives as long as it is referenced.
 *
 * Bytes are copied on their way in and out. Each call takes effect at once, before its promise resolves, so runs with
 * the same calls are the same in every detail. ETags count the writes of this store.
 *
 * @param name What its `url` shows; two stores of one name share nothing.
 *
 * @example Write and read back
 * ```ts
 * import { memoryStore } from "./memory_store.ts";
 *
 * const store = memoryStore("cities");
 * await store.put("a/b", Uint8Array.of(1, 2, 3));
 * const bytes = await (await store.get("a/b")).bytes();
 * if (bytes.join() !== "1,2,3") throw new Error("unexpected content");
 * ```
 */
export function memoryStore(name: string = "store"): ObjectStore {
  return new MemoryStore(`memory:///${name}`);
}

interface Stored {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly etag: string;
}

class MemoryStore implements ObjectStore {
  readonly url: string;
  readonly honoursPreconditions = true;
  readonly #objects = new Map<string, Stored>();
  #writeCount = 0;

  constructor(url: string) {
    this.url = url;
  }

  // deno-lint-ignore require-await
  async get(key: string, { signal }: RequestOptions = {}): Promise<StoredObject> {
    return this.#objectOf(key, this.#find(key, signal), signal);
  }

  // deno-lint-ignore require-await
  async getIfChanged(key: string, etag: string, { signal }: RequestOptions = {}): Promise<StoredObject | null> {
    const stored = this.#find(key, signal);
    return stored.etag === etag ? null : this.#objectOf(key, stored, signal);
  }

  // deno-lint-ignore require-await
  async getRanges(key: string, ranges: readonly ByteRange[], { signal }: RequestOptions = {}): Promise<StoredRanges> {
    requireRanges(ranges);
    const { bytes, etag } = this.#find(key, signal);
    const sizeBytes = bytes.byteLength;
    const parts = ranges.map((range) => {
      const end = range.offset + range.lengthBytes;
      if (end > sizeBytes) throw rangeError(this.#urlOf(key), range, sizeBytes);
      return bytes.slice(range.offset, end);
    });
    return { etag, sizeBytes, parts };
  }

  // deno-lint-ignore require-await
  async put(key: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<ObjectVersion> {
    requireKey(key);
    return this.#store(key, new Uint8Array(bytes), options);
  }

  // deno-lint-ignore require-await
  async upload(key: string, options: UploadOptions): Promise<ObjectUpload> {
    requireKey(key);
    requireHeadBytes(options.headBytes);
    options.signal?.throwIfAborted();
    return new MemoryUpload(this.#urlOf(key), options, (bytes) => this.#store(key, bytes, options));
  }

  // deno-lint-ignore require-await
  async copy(fromKey: string, toKey: string, options: CopyOptions = {}): Promise<ObjectVersion> {
    requireKey(toKey);
    const { bytes, etag } = this.#find(fromKey, options.signal);
    requireSource(this.#urlOf(fromKey), etag, options.sourceEtag);
    return this.#store(toKey, bytes, options);
  }

  async *list(prefix: string, { signal }: RequestOptions = {}): AsyncGenerator<ObjectEntry[]> {
    requirePrefix(prefix);
    signal?.throwIfAborted();
    const keys = this.#keys(prefix);
    for (let start = 0; start < keys.length; start += PAGE_ENTRIES) {
      signal?.throwIfAborted();
      yield keys.slice(start, start + PAGE_ENTRIES).flatMap((key) => {
        const stored = this.#objects.get(key);
        return stored === undefined ? [] : [{ key, sizeBytes: stored.bytes.byteLength, etag: stored.etag }];
      });
    }
  }

  // deno-lint-ignore require-await
  async listFolders(prefix: string, { signal }: RequestOptions = {}): Promise<string[]> {
    const folder = prefix === "" ? "" : requireFolder(prefix);
    signal?.throwIfAborted();
    const below = this.#keys(folder).map((key) => key.slice(folder.length)).filter((rest) => rest.includes("/"));
    return [...new Set(below.map((rest) => rest.slice(0, rest.indexOf("/"))))].sort(compareUtf8);
  }

  // deno-lint-ignore require-await
  async delete(key: string, { signal }: RequestOptions = {}): Promise<void> {
    requireKey(key);
    signal?.throwIfAborted();
    this.#objects.delete(key);
  }

  // deno-lint-ignore require-await
  async deletePrefix(prefix: string, { signal }: RequestOptions = {}): Promise<number> {
    const folder = requireFolder(prefix);
    signal?.throwIfAborted();
    const keys = this.#keys(folder);
    for (const key of keys) this.#objects.delete(key);
    return keys.length;
  }

  #objectOf(key: string, { bytes, etag }: Stored, signal: AbortSignal | undefined): StoredObject {
    const openBody = (): ReadableStream<Uint8Array<ArrayBuffer>> => streamOf(bytes);
    return storedObject({ etag, sizeBytes: bytes.byteLength, url: this.#urlOf(key), signal, openBody });
  }

  #find(key: string, signal: AbortSignal | undefined): Stored {
    requireKey(key);
    signal?.throwIfAborted();
    const stored = this.#objects.get(key);
    if (stored === undefined) throw notFoundError(this.#urlOf(key));
    return stored;
  }

  /** Keeps `bytes` itself: the callers have made the copy. */
  #store(key: string, bytes: Uint8Array<ArrayBuffer>, { signal, precondition }: WriteOptions): ObjectVersion {
    signal?.throwIfAborted();
    requireState(this.#urlOf(key), precondition, this.#objects.get(key)?.etag ?? null);
    const etag = `"${++this.#writeCount}"`;
    this.#objects.set(key, { bytes, etag });
    return { etag, sizeBytes: bytes.byteLength };
  }

  #keys(prefix: string): string[] {
    return [...this.#objects.keys()].filter((key) => key.startsWith(prefix)).sort(compareUtf8);
  }

  #urlOf(key: string): string {
    return `${this.url}/${key}`;
  }
}

class MemoryUpload implements ObjectUpload {
  readonly #url: string;
  readonly #options: UploadOptions;
  readonly #store: (bytes: Uint8Array<ArrayBuffer>) => ObjectVersion;
  #chunks: Uint8Array[] = [];
  #isOpen = true;

  constructor(url: string, options: UploadOptions, store: (bytes: Uint8Array<ArrayBuffer>) => ObjectVersion) {
    this.#url = url;
    this.#options = options;
    this.#store = store;
  }

  // deno-lint-ignore require-await
  async write(chunk: Uint8Array): Promise<void> {
    this.#requireOpen();
    this.#chunks.push(new Uint8Array(chunk));
  }

  // deno-lint-ignore require-await
  async finish(head: Uint8Array): Promise<ObjectVersion> {
    this.#requireOpen();
    requireHead(this.#url, head, this.#options.headBytes);
    const chunks = [head, ...this.#chunks];
    const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
    let offset = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, offset);
      offset += chunk.byteLength;
    }
    this.#end();
    return this.#store(bytes);
  }

  // deno-lint-ignore require-await
  async abort(): Promise<void> {
    this.#end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  #requireOpen(): void {
    this.#options.signal?.throwIfAborted();
    if (!this.#isOpen) throw uploadEndedError(this.#url);
  }

  #end(): void {
    this.#isOpen = false;
    this.#chunks = [];
  }
}

// Copies when read, not before, so that a chunk that the caller changes never belongs to the store.
function streamOf(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    pull(controller) {
      if (bytes.byteLength > 0) controller.enqueue(bytes.slice());
      controller.close();
    },
  });
}
