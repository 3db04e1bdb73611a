/**
 * Pages of a database file on this machine's disk.
 * @module
 */
import { CorruptFileError, ReaderStateError } from "../errors.ts";
import { PageCache } from "../sqlite/page_cache.ts";
import { parseFileHeader } from "../sqlite/file_header.ts";
import { FILE_HEADER_BYTES } from "../sqlite/format.ts";
import type { PageSource, RunOptions } from "../sqlite/page_source.ts";

/** How {@linkcode filePages} reads. */
export interface FilePagesOptions {
  /** Bytes of pages to keep in memory. @default {33554432} */
  readonly cacheBytesMax?: number;
}

/** Reads `lengthBytes` bytes at an offset, fewer only at the end of the file; into `room` if it has enough of it. */
type ReadAt = (offset: number, lengthBytes: number, room?: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>;

/** Pages of an open file. Close it when it is read no more; reading after that fails. */
export class FilePages implements PageSource, AsyncDisposable {
  readonly pageSizeBytes: number;
  readonly pageCount: number;
  /** More would be out of the processor's caches before it is used. */
  readonly runBytes: number = 1 << 20;
  readonly canReuseRuns = true;
  readonly #readAt: ReadAt;
  readonly #close: () => void;
  readonly #cache: PageCache;
  #isOpen = true;

  /** @param file What opening the file gave; use {@linkcode filePages}. */
  constructor(file: { readAt: ReadAt; sizeBytes: number; close: () => void }, cacheBytesMax: number) {
    const header = parseFileHeader(file.readAt(0, FILE_HEADER_BYTES), file.sizeBytes);
    this.pageSizeBytes = header.pageSizeBytes;
    this.pageCount = header.pageCount;
    this.#readAt = file.readAt;
    this.#close = file.close;
    this.#cache = new PageCache(cacheBytesMax);
  }

  /** The page, read from the file without waiting where it is not in memory. */
  peek(pageNumber: number): Uint8Array {
    const held = this.#cache.get(pageNumber);
    if (held !== undefined) return held;
    // The descriptor's number may be another file's by now.
    if (!this.#isOpen) throw new ReaderStateError("Cannot read a page of a file that was closed");
    const offset = (pageNumber - 1) * this.pageSizeBytes;
    const page = this.#readAt(offset, this.pageSizeBytes);
    if (page.byteLength < this.pageSizeBytes) {
      throw new CorruptFileError(
        `Cannot read page ${pageNumber} of the file: it ends after ${offset + page.byteLength} bytes`,
        offset + page.byteLength,
      );
    }
    this.#cache.set(pageNumber, page);
    return page;
  }

  // deno-lint-ignore require-await -- the interface is for sources that wait
  async load(pageNumber: number): Promise<Uint8Array> {
    return this.peek(pageNumber);
  }

  // deno-lint-ignore require-await -- the interface is for sources that wait
  async loadRun(firstPage: number, pageCount: number, { room }: RunOptions): Promise<Uint8Array> {
    if (!this.#isOpen) throw new ReaderStateError("Cannot read pages of a file that was closed");
    const offset = (firstPage - 1) * this.pageSizeBytes;
    const run = this.#readAt(offset, pageCount * this.pageSizeBytes, room);
    if (run.byteLength === pageCount * this.pageSizeBytes) return run;
    const end = offset + run.byteLength;
    throw new CorruptFileError(`Cannot read page ${firstPage} and more of the file: it ends after ${end} bytes`, end);
  }

  /** Closes the file; idempotent. */
  // deno-lint-ignore require-await -- the interface is for files that wait
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isOpen) this.#close();
    this.#isOpen = false;
    this.#cache.clear();
  }
}

/**
 * Opens a database file for reading by pages. Reads are synchronous, so that a look-up never has to wait; memory is
 * bounded by `cacheBytesMax`. The file must not change as long as it is open.
 *
 * @throws {CorruptFileError} when the file is no SQLite database, or is cut short; and what opening files throws.
 */
export async function filePages(path: string, options: FilePagesOptions = {}): Promise<FilePages> {
  const { closeSync, fstatSync, openSync, readSync } = await import("node:fs");
  const descriptor = openSync(path, "r");
  function readAt(offset: number, lengthBytes: number, room?: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const isEnough = room !== undefined && room.length >= lengthBytes;
    const bytes = isEnough ? room.subarray(0, lengthBytes) : new Uint8Array(lengthBytes);
    let filled = 0;
    while (filled < lengthBytes) {
      const count = readSync(descriptor, bytes, filled, lengthBytes - filled, offset + filled);
      if (count === 0) return bytes.slice(0, filled);
      filled += count;
    }
    return bytes;
  }
  try {
    const close = () => closeSync(descriptor);
    const file = { readAt, sizeBytes: fstatSync(descriptor).size, close };
    return new FilePages(file, options.cacheBytesMax ?? 1 << 25);
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}
