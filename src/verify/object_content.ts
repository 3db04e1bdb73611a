/**
 * The objects of shards, read and compared with what was recorded about them.
 *
 * A shard's file is read once, in one request: its digest and its pages' checksums are computed as it comes, and for
 * what needs the whole of it, it is kept: in memory up to a limit, beyond in a temporary file. Reading ranges instead
 * would need no disk, but take every byte of large shards over the network twice.
 * @module
 */
import type { ObjectDigest } from "../backends/backend.ts";
import type { Guard } from "../backends/guard.ts";
import { createDigest, rotatedDigest } from "../bytes/fast_digest.ts";
import { CorruptFileError, ObjectNotFoundError, StoreError } from "../errors.ts";
import { checkContent } from "../read/shard_content.ts";
import type { ShardObject } from "../read/shard_objects.ts";
import { memoryPages, type PageSource } from "../sqlite/page_source.ts";
import type { StoredObject } from "../stores/store.ts";
import type { ReportProblem } from "./row_check.ts";

/** Objects beside a shard's file are loaded whole: larger ones than this are none of ours. */
const COMPANION_BYTES_MAX = 1 << 28;
/** Pages of a temporary file that are kept in memory: a walk in order needs few. */
const FILE_CACHE_BYTES = 1 << 22;

/** A shard's file, whole. Dispose of it to remove what it takes. */
export interface KeptFile extends AsyncDisposable {
  readonly etag: string | null;
  /** Pages of the file as a database. @throws {CorruptFileError} when it is none. */
  pages(): Promise<PageSource & Partial<AsyncDisposable>>;
  /** The file as engines open it. */
  readonly file: { readonly kind: "memory"; readonly bytes: Uint8Array } | {
    readonly kind: "file";
    readonly path: string;
    readonly sizeBytes: number;
  };
}

/** What reading takes beside the object. */
export interface ContentMeans {
  readonly memoryBytesMax: number;
  readonly signal: AbortSignal;
  readonly onBytes: (count: number) => void;
}

/** The object; null when there is none, which is said by whoever asked. */
async function getOrNull({ store }: ShardObject, key: string, signal: AbortSignal): Promise<StoredObject | null> {
  try {
    return await store.get(key, { signal });
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return null;
    throw error;
  }
}

/**
 * Loads an object beside a shard's file and compares it with its record.
 *
 * @param record Undefined where nothing was recorded and the object may be missing.
 * @returns null when it is missing or not of the recorded length.
 */
export async function loadCompanion(
  object: ShardObject,
  { name, record, report }: { name: string; record: ObjectDigest | undefined; report: ReportProblem },
  { signal, onBytes }: ContentMeans,
): Promise<Uint8Array | null> {
  const key = `${object.key.slice(0, object.key.lastIndexOf("/") + 1)}${name}`;
  const stored = await getOrNull(object, key, signal);
  if (stored === null) {
    if (record !== undefined) report("missing", `the object is not there: it must be ${record.sizeBytes} bytes long`);
    return null;
  }
  const { sizeBytes } = stored;
  if (record !== undefined ? sizeBytes !== record.sizeBytes : sizeBytes > COMPANION_BYTES_MAX) {
    await stored.body.cancel();
    report("size", `it is ${sizeBytes} bytes long: ${record?.sizeBytes ?? `at most ${COMPANION_BYTES_MAX}`} are right`);
    return null;
  }
  const bytes = await stored.bytes();
  onBytes(bytes.length);
  if (record !== undefined && await rotatedDigest(bytes, record.rotatedBytes) !== record.xxh3) {
    report("digest", "its bytes do not have the recorded digest");
  }
  return bytes;
}

/**
 * Reads a shard's file: compares its length and its digest with what is recorded, and its pages with their checksums.
 *
 * @returns null when it is missing, or can be kept neither in memory nor on a disk.
 */
export async function readShardFile(
  object: ShardObject,
  { guard, report, note }: { guard: Guard | null; report: ReportProblem; note: (text: string) => void },
  means: ContentMeans,
): Promise<KeptFile | null> {
  const stored = await getOrNull(object, object.key, means.signal);
  if (stored === null) {
    report("missing", `the file is not there: it must be ${object.sizeBytes} bytes long`);
    return null;
  }
  const { sizeBytes } = stored;
  if (sizeBytes !== object.sizeBytes) {
    const at = Math.min(sizeBytes, object.sizeBytes);
    report("size", `the file is ${sizeBytes} bytes long: the manifest says ${object.sizeBytes}`, at);
  }
  const keeper = await keeperOf(sizeBytes, means.memoryBytesMax);
  if (keeper === null) note("rows and structure, as the file is too large for memory and there is no disk");
  try {
    const content = await checkContent(object, createDigest);
    const sums = guard === null ? null : new PageSums(guard, report);
    let seenBytes = 0;
    for await (const chunk of stored.body) {
      means.signal.throwIfAborted();
      if (seenBytes + chunk.length > sizeBytes) throw lengthError(object.url, [sizeBytes, seenBytes + chunk.length]);
      content.update(chunk);
      sums?.update(chunk);
      await keeper?.write(chunk, seenBytes);
      seenBytes += chunk.length;
      means.onBytes(chunk.length);
    }
    if (seenBytes !== sizeBytes) throw lengthError(object.url, [sizeBytes, seenBytes]);
    if (sizeBytes === object.sizeBytes) finishContent(content, report);
    return await keeper?.finish(stored.etag) ?? null;
  } catch (error) {
    await keeper?.[Symbol.asyncDispose]();
    throw error;
  }
}

/** The error for an answer that is not as long as it said: nothing is known of the object then. */
function lengthError(url: string, [sizeBytes, seenBytes]: readonly [number, number]): StoreError {
  const message = `Cannot read "${url}" as ${seenBytes} of ${sizeBytes} bytes arrived: read it anew`;
  return new StoreError(message, { url, retryable: true });
}

function finishContent(content: { finish(): void }, report: ReportProblem): void {
  try {
    content.finish();
  } catch (error) {
    if (!(error instanceof CorruptFileError)) throw error;
    report("digest", error.message);
  }
}

/** Compares pages with their checksums as they pass by; a part of a page at the end is no page. */
class PageSums {
  readonly #guard: Guard;
  readonly #report: ReportProblem;
  readonly #page: Uint8Array;
  #filled = 0;
  #pageNumber = 0;

  constructor(guard: Guard, report: ReportProblem) {
    this.#guard = guard;
    this.#report = report;
    this.#page = new Uint8Array(guard.pageSizeBytes);
  }

  update(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + this.#page.length - this.#filled);
      this.#page.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
      if (this.#filled < this.#page.length) return;
      this.#filled = 0;
      const pageNumber = ++this.#pageNumber;
      if (pageNumber > this.#guard.pageCount || this.#guard.isSound(pageNumber, this.#page)) continue;
      const offset = (pageNumber - 1) * this.#page.length;
      this.#report("page", `page ${pageNumber} does not have the checksum that the guard records`, offset);
    }
  }
}

/** Takes a file piece by piece. */
interface Keeper extends AsyncDisposable {
  write(chunk: Uint8Array, position: number): Promise<void> | void;
  finish(etag: string | null): Promise<KeptFile> | KeptFile;
}

async function keeperOf(sizeBytes: number, memoryBytesMax: number): Promise<Keeper | null> {
  if (sizeBytes <= memoryBytesMax) return memoryKeeper(sizeBytes);
  try {
    return await diskKeeper(sizeBytes);
  } catch (error) {
    // The runtime has no such modules; anything else is a disk that fails.
    if (error instanceof Error && "syscall" in error) throw error;
    return null;
  }
}

function memoryKeeper(sizeBytes: number): Keeper {
  const bytes = new Uint8Array(sizeBytes);
  const asyncDispose = () => Promise.resolve();
  return {
    write: (chunk, position) => bytes.set(chunk, position),
    finish: (etag) => ({
      etag,
      file: { kind: "memory", bytes },
      pages: () => Promise.resolve().then(() => memoryPages(bytes)),
      [Symbol.asyncDispose]: asyncDispose,
    }),
    [Symbol.asyncDispose]: asyncDispose,
  };
}

async function diskKeeper(sizeBytes: number): Promise<Keeper> {
  const [fs, { tmpdir }, { join }] = await Promise.all([
    import("node:fs/promises"),
    import("node:os"),
    import("node:path"),
  ]);
  const folder = await fs.mkdtemp(join(tmpdir(), "shardyfusion-verify-"));
  const path = join(folder, "shard");
  const handle = await fs.open(path, "w");
  let isOpen = true;
  async function close(): Promise<void> {
    if (isOpen) await handle.close();
    isOpen = false;
  }
  async function remove(): Promise<void> {
    await close();
    await fs.rm(folder, { recursive: true, force: true });
  }
  return {
    async write(chunk, position) {
      for (let at = 0; at < chunk.length;) {
        at += (await handle.write(chunk, at, chunk.length - at, position + at)).bytesWritten;
      }
    },
    async finish(etag) {
      await close();
      return {
        etag,
        file: { kind: "file", path, sizeBytes },
        async pages() {
          const { filePages } = await import("../backends/file_pages.ts");
          return await filePages(path, { cacheBytesMax: FILE_CACHE_BYTES });
        },
        [Symbol.asyncDispose]: remove,
      };
    },
    [Symbol.asyncDispose]: remove,
  };
}
