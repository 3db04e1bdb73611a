/**
 * Objects as the files of a folder.
 * @module
 */
import { type FileHandle, open, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Clock, systemClock } from "../clock.ts";
import { ConfigValidationError, StoreError } from "../errors.ts";
import { shown } from "../options.ts";
import { removeDeadLock } from "./fs_lock.ts";
import {
  claimPathIn,
  etagOf,
  fsError,
  isMissing,
  nameInTemporary,
  type ObjectPath,
  objectPathOf,
  requirePortable,
} from "./fs_path.ts";
import { clearFolder, foldersWithObjects, removeEmptyFolders, temporaryFiles, walkObjects } from "./fs_walk.ts";
import { copyFileTo, putFile, removeFile, SweptFolders, uploadFile } from "./fs_write.ts";
import { requireFolder, requirePrefix } from "./object_key.ts";
import {
  type ByteRange,
  type CopyOptions,
  type ObjectEntry,
  type ObjectStore,
  type ObjectUpload,
  type ObjectVersion,
  type OpenUpload,
  type RequestOptions,
  requireSource,
  type StoredObject,
  type StoredRanges,
  type UploadOptions,
  type WriteOptions,
} from "./store.ts";
import { notFoundError, rangeError, requireHeadBytes, requireRanges, storedObject } from "./stored_object.ts";

const PAGE_ENTRIES = 1000;
/** Objects up to this length are read by `get` itself, from the very file that told the version. */
const EAGER_BYTES_MAX = 1 << 20;
const CHUNK_BYTES = 1 << 20;

/** Options of {@linkcode fsStore}. */
export interface FsStoreOptions {
  /** What the store calls itself, and thus what manifests name: the place that the folder will be synced to. */
  readonly url?: string;
  /** Time for waiting on locks of other processes. @default {systemClock()} */
  readonly clock?: Clock;
}

/**
 * A store whose objects are the files below a folder, which need not exist before the first write.
 *
 * Writes are atomic and survive a power cut: a temporary file beside the object, flushed to the disk, renamed.
 * Conditional writes hold between all processes that use such a store on the folder, also where hosts share it (a lock
 * file, see `fs_lock.ts`); programs that write the files by other means do not take part in that.
 *
 * Our own files begin with `.sf-` and are no objects. What a killed process leaves behind is never visible; the first
 * write of a store into a folder removes leftovers that are older than an hour, and `deletePrefix` those of any age, so
 * that uploads under way below such a prefix fail. Folders that deleting or giving up leaves empty are removed.
 *
 * Beyond what every store refuses, keys have no backslash, and no segment ends in `.tmp`. No key can be both an object
 * and a folder of objects. A `body` of more than 1 MiB fails when the object is replaced between
 * `get` and the first read; from then on it holds the file open and is of one version: read it to its end or cancel it.
 *
 * @param dir A path or a `file:` URL.
 * @throws {ConfigValidationError} when `dir` or `url` is empty or no folder's name.
 *
 * @example Write and read back
 * ```ts
 * import { mkdtemp, rm } from "node:fs/promises";
 * import { fsStore } from "./fs_store.ts";
 *
 * const dir = await mkdtemp("cities-");
 * const store = fsStore(dir);
 * await store.put("a/b", Uint8Array.of(1, 2, 3));
 * const bytes = await (await store.get("a/b")).bytes();
 * await rm(dir, { recursive: true });
 * if (bytes.join() !== "1,2,3") throw new Error("unexpected content");
 * ```
 */
export function fsStore(dir: string | URL, options: FsStoreOptions = {}): ObjectStore {
  const root = folderOf(dir);
  const url = (options.url ?? pathToFileURL(root).href).replace(/\/+$/, "");
  if (url === "") {
    throw new ConfigValidationError(`Cannot use option "url" as it must be a URL: current value is ""`, "url");
  }
  return new FsStore(root, url, options.clock ?? systemClock());
}

function folderOf(dir: string | URL): string {
  const isUrl = dir instanceof URL || /^file:/i.test(dir);
  if (isUrl && new URL(dir).protocol === "file:") return resolve(fileURLToPath(dir));
  if (!isUrl && dir !== "" && !dir.includes("\0")) return resolve(dir);
  throw new ConfigValidationError(
    `Cannot use dir as it must be a path or a "file:" URL: current value is ${shown(String(dir))}`,
    "dir",
  );
}

class FsStore implements ObjectStore {
  readonly url: string;
  readonly honoursPreconditions = true;
  readonly #root: string;
  readonly #clock: Clock;
  readonly #swept = new SweptFolders();

  constructor(root: string, url: string, clock: Clock) {
    this.#root = root;
    this.url = url;
    this.#clock = clock;
  }

  async get(key: string, { signal }: RequestOptions = {}): Promise<StoredObject> {
    const target = this.#pathOf(key);
    return await this.#objectOf(target, await openObject(target, signal), signal);
  }

  async getIfChanged(key: string, etag: string, { signal }: RequestOptions = {}): Promise<StoredObject | null> {
    const target = this.#pathOf(key);
    const found = await openObject(target, signal);
    if (found.etag !== etag) return await this.#objectOf(target, found, signal);
    await found.handle.close();
    return null;
  }

  async #objectOf(target: ObjectPath, found: OpenObject, signal: AbortSignal | undefined): Promise<StoredObject> {
    const { handle, etag, sizeBytes } = found;
    const { url } = target;
    if (sizeBytes > EAGER_BYTES_MAX) {
      await handle.close();
      return storedObject({ etag, sizeBytes, url, signal, openBody: () => streamOf(target, found) });
    }
    const bytes = await closing(handle, target, () => readAt(handle, url, { offset: 0, lengthBytes: sizeBytes }));
    signal?.throwIfAborted();
    return storedObject({ etag, sizeBytes, url, signal, openBody: () => streamOfBytes(bytes) });
  }

  async getRanges(key: string, ranges: readonly ByteRange[], { signal }: RequestOptions = {}): Promise<StoredRanges> {
    requireRanges(ranges);
    const target = this.#pathOf(key);
    // One descriptor, so one file: replacing the object puts another file in its place and leaves this one as it is.
    const { handle, etag, sizeBytes } = await openObject(target, signal);
    return await closing(handle, target, async () => {
      const parts: Uint8Array<ArrayBuffer>[] = [];
      for (const range of ranges) {
        if (range.offset + range.lengthBytes > sizeBytes) throw rangeError(target.url, range, sizeBytes);
        parts.push(await readAt(handle, target.url, range));
        signal?.throwIfAborted();
      }
      return { etag, sizeBytes, parts };
    });
  }

  async put(key: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<ObjectVersion> {
    return await putFile(this.#pathOf(key), bytes, { ...options, clock: this.#clock, swept: this.#swept });
  }

  async upload(key: string, options: UploadOptions): Promise<ObjectUpload> {
    requireHeadBytes(options.headBytes);
    return await uploadFile(this.#pathOf(key), { ...options, clock: this.#clock, swept: this.#swept });
  }

  async copy(fromKey: string, toKey: string, options: CopyOptions = {}): Promise<ObjectVersion> {
    const source = this.#pathOf(fromKey);
    const target = this.#pathOf(toKey);
    const { handle, etag, sizeBytes } = await openObject(source, options.signal);
    await handle.close();
    requireSource(source.url, etag, options.sourceEtag);
    // The file is copied by its name, which may be another version's by now.
    const requireSame = async (): Promise<void> => await (await openSame(source, etag)).close();
    const writing = { ...options, clock: this.#clock, swept: this.#swept };
    return await copyFileTo(target, { path: source.path, sizeBytes, requireSame }, writing);
  }

  async *list(prefix: string, { signal }: RequestOptions = {}): AsyncGenerator<ObjectEntry[]> {
    requirePrefix(prefix);
    const keyPrefix = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    if (keyPrefix !== "") requirePortable(keyPrefix, "prefix");
    const folder = join(this.#root, keyPrefix);
    const start = { folder, keyPrefix, namePrefix: prefix.slice(keyPrefix.length) };
    let page: ObjectEntry[] = [];
    try {
      for await (const entry of walkObjects(start, signal)) {
        page.push(entry);
        if (page.length < PAGE_ENTRIES) continue;
        yield page;
        page = [];
      }
    } catch (error) {
      throw fsError("list", { path: folder, url: `${this.url}/${prefix}` }, error);
    }
    if (page.length > 0) yield page;
  }

  async listFolders(prefix: string, { signal }: RequestOptions = {}): Promise<string[]> {
    const folder = prefix === "" ? this.#root : this.#folderOf(prefix);
    signal?.throwIfAborted();
    try {
      return await foldersWithObjects(folder, signal);
    } catch (error) {
      throw fsError("list", { path: folder, url: `${this.url}/${prefix}` }, error);
    }
  }

  async delete(key: string, { signal }: RequestOptions = {}): Promise<void> {
    await removeFile(this.#pathOf(key), { clock: this.#clock, ...(signal && { signal }) });
  }

  async deletePrefix(prefix: string, { signal }: RequestOptions = {}): Promise<number> {
    const folder = this.#folderOf(prefix);
    const url = `${this.url}/${prefix}`;
    signal?.throwIfAborted();
    const clock = this.#clock;
    try {
      const removedCount = await clearFolder(folder, {
        signal,
        removeDeadLock: (below, name) =>
          removeDeadLock({
            url,
            clock,
            lockPath: join(below, name),
            claimPathOf: (token) => claimPathIn(below, token),
          }),
      });
      await removeEmptyFolders(dirname(folder), this.#root);
      return removedCount;
    } catch (error) {
      throw fsError("remove", { path: folder, url }, error);
    }
  }

  async listUploads(prefix: string, { signal }: RequestOptions = {}): Promise<OpenUpload[]> {
    requirePrefix(prefix);
    const keyPrefix = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    if (keyPrefix !== "") requirePortable(keyPrefix, "prefix");
    const folder = join(this.#root, keyPrefix);
    signal?.throwIfAborted();
    try {
      const found = await temporaryFiles(folder, keyPrefix, signal);
      return found.filter(({ key }) => key.startsWith(prefix));
    } catch (error) {
      throw fsError("list", { path: folder, url: `${this.url}/${prefix}` }, error);
    }
  }

  async abortUpload({ key, uploadId }: OpenUpload, { signal }: RequestOptions = {}): Promise<void> {
    const target = this.#pathOf(key);
    signal?.throwIfAborted();
    if (nameInTemporary(uploadId) === null || uploadId.includes("/")) return;
    try {
      await rm(join(target.folder, uploadId), { force: true });
    } catch (error) {
      throw fsError("remove", target, error);
    }
    await removeEmptyFolders(target.folder, target.root);
  }

  #pathOf(key: string): ObjectPath {
    return objectPathOf(this.#root, this.url, key);
  }

  #folderOf(prefix: string): string {
    const folder = requireFolder(prefix).slice(0, -1);
    requirePortable(folder, "prefix");
    return join(this.#root, folder);
  }
}

interface OpenObject {
  readonly handle: FileHandle;
  readonly etag: string;
  readonly sizeBytes: number;
}

async function openObject(target: ObjectPath, signal: AbortSignal | undefined): Promise<OpenObject> {
  signal?.throwIfAborted();
  let handle: FileHandle | undefined;
  try {
    handle = await open(target.path, "r");
    const stats = await handle.stat({ bigint: true });
    signal?.throwIfAborted();
    if (!stats.isFile()) throw notFoundError(target.url);
    return { handle, etag: etagOf(stats), sizeBytes: Number(stats.size) };
  } catch (error) {
    await handle?.close();
    if (isMissing(error)) throw notFoundError(target.url, error);
    throw fsError("read", target, error);
  }
}

async function closing<T>(handle: FileHandle, target: ObjectPath, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fsError("read", target, error);
  } finally {
    await handle.close();
  }
}

async function readAt(handle: FileHandle, url: string, range: ByteRange): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(range.lengthBytes);
  for (let done = 0; done < bytes.byteLength;) {
    const { bytesRead } = await handle.read(bytes, done, bytes.byteLength - done, range.offset + done);
    if (bytesRead === 0) throw new StoreError(`Cannot read "${url}" to its end: it was cut`, { url, retryable: true });
    done += bytesRead;
  }
  return bytes;
}

/**
 * The content of the version that was found, as long as it is the current one when the reading begins.
 *
 * The file is opened by the first read and not before, since a body that nobody reads would keep it open; Node ends the
 * process when it finds a forgotten handle.
 */
function streamOf(target: ObjectPath, version: OpenObject): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { sizeBytes, etag } = version;
  const { url } = target;
  let handle: FileHandle | undefined;
  let offset = 0;
  return new ReadableStream({
    async pull(controller) {
      try {
        handle ??= await openSame(target, etag);
        const lengthBytes = Math.min(CHUNK_BYTES, sizeBytes - offset);
        controller.enqueue(await readAt(handle, url, { offset, lengthBytes }));
        offset += lengthBytes;
        if (offset < sizeBytes) return;
        await handle.close();
        controller.close();
      } catch (error) {
        await handle?.close().catch(() => {});
        throw fsError("read", target, error);
      }
    },
    cancel: () => handle?.close(),
  }, { highWaterMark: 0 });
}

async function openSame(target: ObjectPath, etag: string): Promise<FileHandle> {
  const found = await openObject(target, undefined);
  if (found.etag === etag) return found.handle;
  await found.handle.close();
  const { url } = target;
  throw new StoreError(`Cannot read "${url}": the object changed before its body was read`, { url, retryable: true });
}

function streamOfBytes(bytes: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    start(controller) {
      if (bytes.byteLength > 0) controller.enqueue(bytes);
      controller.close();
    },
  });
}
