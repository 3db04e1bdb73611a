/**
 * Writes `shard.guard` while its shard is being written; `guard.ts` specifies the format.
 * @module
 */
import { addAllToFilter, FILTER_BLOCK_BYTES, filterBytes } from "../bytes/membership_filter.ts";
import { hashInteger, hashView } from "../bytes/xxh3.ts";
import { result } from "../bytes/xxh3_arithmetic.ts";
import { xxh32 } from "../bytes/xxh32.ts";
import type { KeyEncoding } from "../routing/key.ts";
import {
  FILTER_BYTES_MAX,
  GUARD_ENCODINGS,
  GUARD_HEADER_BYTES,
  GUARD_MAGIC,
  GUARD_VERSION,
  storedIntegerBytes,
} from "./guard.ts";

/** Hashes that are collected before they go into the filter. */
const HASHES_AT_ONCE = 2048;
/** Keys up to this length are copied to be hashed, which takes less time than making a view of them. */
const COPIED_BYTES_MAX = 64;

/** The shard that a guard is built for. */
export interface GuardBuilderOptions {
  /** At most so many distinct keys are added; more are known just as well, but more absent ones pass. */
  readonly rowCountMax: number;
  readonly pageSizeBytes: number;
  readonly keyEncoding: KeyEncoding;
}

/**
 * Takes keys and pages of one shard as they are written.
 *
 * Holds 1.4 bytes a row of `rowCountMax` and 4 bytes a page; `finish` needs the same again. Beyond 64 MiB, with more
 * than 48 million rows, there is no filter, and readers take every key for present. The bytes depend on `rowCountMax`,
 * not only on the rows.
 */
export class GuardBuilder {
  readonly #pageSizeBytes: number;
  readonly #keyEncoding: KeyEncoding;
  readonly #integerBytes: number;
  /** Empty when there is no filter. */
  readonly #filter: Int32Array<ArrayBuffer>;
  /** Halves of the hashes that are not in the filter yet. */
  readonly #hashes: Int32Array<ArrayBuffer>;
  #hashWords = 0;
  #rowCount = 0;
  /** Checksum of page `i + 1` at place `i`. */
  #checksums = new Uint32Array(1024);
  /** Pages from 2 on so far, and page 1, for which place is left. */
  #pageCount = 1;
  #hasFirstPage = false;
  readonly #copy = new Uint8Array(COPIED_BYTES_MAX);
  readonly #copyView = new DataView(this.#copy.buffer);

  /** @throws {RangeError} when the page size is no power of two from 512 to 65536. */
  constructor({ rowCountMax, pageSizeBytes, keyEncoding }: GuardBuilderOptions) {
    if (!Number.isInteger(Math.log2(pageSizeBytes)) || pageSizeBytes < 512 || pageSizeBytes > 65536) {
      throw new RangeError(`Cannot guard pages of ${pageSizeBytes} bytes`);
    }
    this.#pageSizeBytes = pageSizeBytes;
    this.#keyEncoding = keyEncoding;
    this.#integerBytes = storedIntegerBytes(keyEncoding);
    const sizeBytes = filterBytes(rowCountMax);
    this.#filter = new Int32Array(sizeBytes > FILTER_BYTES_MAX ? 0 : sizeBytes / 4);
    this.#hashes = new Int32Array(this.#filter.length === 0 ? 0 : 2 * HASHES_AT_ONCE);
  }

  /** Adds a key as it is stored: `length` bytes from `start` on. */
  addKey(bytes: Uint8Array, start: number, length: number): void {
    this.#rowCount++;
    if (this.#filter.length === 0) return;
    if (length === this.#integerBytes) {
      hashInteger(wordAt(bytes, start + length - 4), length === 8 ? wordAt(bytes, start) : 0);
    } else {
      this.#hashBytes(bytes, start, length);
    }
    const hashes = this.#hashes;
    hashes[this.#hashWords] = result[0]!;
    hashes[this.#hashWords + 1] = result[1]!;
    this.#hashWords += 2;
    if (this.#hashWords === hashes.length) this.#fillFilter();
  }

  /**
   * Adds whole pages in the order of the file from page 2 on, the one that SQLite locks among them; then page 1.
   *
   * @throws {RangeError} when pages are cut, missing or repeated.
   */
  addPages(firstPageNumber: number, pages: Uint8Array): void {
    const size = this.#pageSizeBytes;
    const count = pages.byteLength / size;
    const isNext = firstPageNumber === 1 ? count === 1 : firstPageNumber === this.#pageCount + 1;
    if (!isNext || !Number.isInteger(count) || this.#hasFirstPage) {
      throw new RangeError(
        `Cannot add ${pages.byteLength} bytes as pages from ${firstPageNumber} on after ${this.#pageCount} pages`,
      );
    }
    const view = new DataView(pages.buffer, pages.byteOffset, pages.byteLength);
    if (firstPageNumber === 1) {
      this.#hasFirstPage = true;
      this.#checksums[0] = xxh32(view, 0, size);
      return;
    }
    this.#makeRoom(this.#pageCount + count);
    for (let at = 0; at < pages.byteLength; at += size) this.#checksums[this.#pageCount++] = xxh32(view, at, size);
  }

  /**
   * The guard, for the shard of this digest (16 hex digits).
   *
   * @throws {RangeError} when page 1 was not added.
   */
  finish({ shardXxh3 }: { readonly shardXxh3: string }): Uint8Array<ArrayBuffer> {
    if (!this.#hasFirstPage) throw new RangeError("Cannot finish a guard without page 1");
    this.#fillFilter();
    const filterStart = GUARD_HEADER_BYTES;
    const sumsStart = filterStart + this.#filter.byteLength;
    const end = sumsStart + 4 * this.#pageCount;
    const bytes = new Uint8Array(end + 8);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, GUARD_MAGIC, true);
    view.setUint8(4, GUARD_VERSION);
    view.setUint8(5, GUARD_ENCODINGS.indexOf(this.#keyEncoding));
    view.setUint8(6, Math.log2(this.#pageSizeBytes));
    view.setUint32(8, this.#pageCount, true);
    view.setUint32(12, this.#filter.byteLength / FILTER_BLOCK_BYTES, true);
    view.setBigUint64(16, BigInt(this.#rowCount), true);
    view.setBigUint64(24, BigInt(`0x${shardXxh3}`), true);
    new Int32Array(bytes.buffer, filterStart, this.#filter.length).set(this.#filter);
    new Uint32Array(bytes.buffer, sumsStart, this.#pageCount).set(this.#checksums.subarray(0, this.#pageCount));
    hashView(view, 0, end);
    view.setInt32(end, result[0]!, true);
    view.setInt32(end + 4, result[1]!, true);
    return bytes;
  }

  /** Neighbours by key come from anywhere in memory, so that a view could hardly ever be used again. */
  #hashBytes(bytes: Uint8Array, start: number, length: number): void {
    if (length > COPIED_BYTES_MAX) {
      hashView(new DataView(bytes.buffer, bytes.byteOffset + start, length), 0, length);
      return;
    }
    const copy = this.#copy;
    for (let i = 0; i < length; i++) copy[i] = bytes[start + i]!;
    hashView(this.#copyView, 0, length);
  }

  #fillFilter(): void {
    addAllToFilter(this.#filter, this.#hashes, this.#hashWords);
    this.#hashWords = 0;
  }

  #makeRoom(pageCount: number): void {
    if (pageCount <= this.#checksums.length) return;
    const larger = new Uint32Array(Math.max(pageCount, 2 * this.#checksums.length));
    larger.set(this.#checksums);
    this.#checksums = larger;
  }
}

/** Four bytes, the highest first. */
function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
