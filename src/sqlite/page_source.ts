/**
 * Where pages of a database come from. The b-tree reader does no I/O: it asks a source.
 * @module
 */
import { parseFileHeader } from "./file_header.ts";

/** How a run of pages is loaded. */
export interface RunOptions {
  readonly signal?: AbortSignal | undefined;
  /** Room that the pages may be put into, if it is as long or longer; the caller does not need it any more. */
  readonly room?: Uint8Array<ArrayBuffer> | undefined;
}

/**
 * Pages of one database file that does not change. Pages are counted from 1; only numbers from 1 to `pageCount` are
 * asked for. Pages are exactly `pageSizeBytes` long and must never be written to again once they were given out.
 */
export interface PageSource {
  /** A power of two from 512 to 65536. */
  readonly pageSizeBytes: number;
  /** How many pages there are. */
  readonly pageCount: number;
  /**
   * The whole file, where it lies in memory in one piece: page `n` begins at `(n - 1) * pageSizeBytes`. Readers then
   * need no view per page.
   */
  readonly contiguous?: Uint8Array;
  /** The page, if it is at hand without waiting. */
  peek(pageNumber: number): Uint8Array | undefined;
  /** The page, however long it takes. Rejects with the signal's reason when aborted. */
  load(pageNumber: number, signal?: AbortSignal): Promise<Uint8Array>;
  /** Several distinct pages in few requests, in the order asked for. */
  loadMany?(pageNumbers: readonly number[], signal?: AbortSignal): Promise<Uint8Array[]>;
  /** Whether what `loadRun` gave may be handed back to it as room. */
  readonly canReuseRuns?: boolean;
  /** How many bytes are worth loading at once, where many are wanted. Default: several megabytes. */
  readonly runBytes?: number;
  /** Consecutive pages in one piece, for once: they are kept nowhere. Missing where that saves nothing. */
  loadRun?(firstPage: number, pageCount: number, options: RunOptions): Promise<Uint8Array>;
  /**
   * Pages that an overflow chain is likely to consist of, from its first page on: what is worth loading together. They
   * may be fewer or others than they turn out to be.
   */
  chain?(firstPage: number, pageCount: number): readonly number[];
}

/**
 * Pages of a file that lies in memory. Costs nothing per page; `bytes` must not change as long as it is read from.
 *
 * @throws {CorruptFileError} when `bytes` does not begin with a usable file header, or is cut short.
 *
 * @example A file is too short to be a database
 * ```ts
 * import { memoryPages } from "./page_source.ts";
 *
 * try {
 *   memoryPages(new Uint8Array(99));
 *   throw new Error("unexpected success");
 * } catch (error) {
 *   if ((error as { code?: string }).code !== "CORRUPT_FILE") throw error;
 * }
 * ```
 */
export function memoryPages(bytes: Uint8Array): PageSource {
  const { pageSizeBytes, pageCount } = parseFileHeader(bytes, bytes.byteLength);
  // Of a subclass such as Node's Buffer every access would be slower.
  const contiguous = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const peek = (pageNumber: number): Uint8Array =>
    contiguous.subarray((pageNumber - 1) * pageSizeBytes, pageNumber * pageSizeBytes);
  return { pageSizeBytes, pageCount, contiguous, peek, load: (pageNumber) => Promise.resolve(peek(pageNumber)) };
}
