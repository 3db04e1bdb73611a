/**
 * The object `shard.guard` beside `shard.db`: with one GET a reader knows which keys are absent, and has a checksum of
 * every page, so that pages read one by one are as safe as a whole file (P7).
 *
 * ```text
 *      0 u8[4] magic "SGRD"                         8 u32 pages in shard.db, n
 *      4 u8    version, 1                          12 u32 blocks of the filter, b; 0: there is no filter
 *      5 u8    key encoding, 0 u64be, 1 u32be,     16 u64 rows in the shard
 *              2 utf8, 3 raw                       24 u64 digest of shard.db as its manifest records it
 *      6 u8    page size is 2 to the power of it
 *      7 u8    0
 *     32       filter, b blocks of 64 bytes (`bytes/membership_filter.ts`), each of 16 u32
 * 32+64b       n u32, XXH32 of the pages, page 1 first
 * 32+64b+4n    u64 XXH3-64 of all bytes before it
 * ```
 *
 * Integers are little-endian. The filter takes the XXH3-64 by which hash routing works, so of integers their eight
 * little-endian bytes, of other keys the stored bytes. `h` being its high half and `m` the exclusive or of both halves,
 * the block is `h × b >> 32`; six times over, `m` becomes `m × 0x9e3779b1` modulo 2^32 and its nine highest bits number
 * a bit of the block (bit `i % 32` of word `i / 32`). A key is absent when one of them is 0.
 *
 * Python's readers ignore the object.
 * @module
 */
import { FILTER_BLOCK_BYTES, filterContains } from "../bytes/membership_filter.ts";
import { hashInteger, hashView } from "../bytes/xxh3.ts";
import { result } from "../bytes/xxh3_arithmetic.ts";
import { xxh32 } from "../bytes/xxh32.ts";
import { CorruptFileError } from "../errors.ts";
import type { KeyEncoding } from "../routing/key.ts";
import { isPageSize } from "../sqlite/format.ts";

/** Name of the object below the shard's folder. */
export const GUARD_FILE = "shard.guard";
/** "SGRD" as a little-endian number. */
export const GUARD_MAGIC = 0x44524753;
/** The version that is written and read. */
export const GUARD_VERSION = 1;
/** Where the filter begins. */
export const GUARD_HEADER_BYTES = 32;
/** Key encodings; the place in the list is what is stored. */
export const GUARD_ENCODINGS: readonly KeyEncoding[] = ["u64be", "u32be", "utf8", "raw"];
/** Larger filters are not written, and not read. */
export const FILTER_BYTES_MAX: number = 1 << 26;

/** What is known of a shard before any of its pages is read. */
export interface Guard {
  readonly pageSizeBytes: number;
  readonly pageCount: number;
  /** Digest of the `shard.db` that the guard belongs to, 16 hex digits. */
  readonly shardXxh3: string;
  /** Memory that the guard holds. */
  readonly sizeBytes: number;
  /** False when the shard has certainly no such key, given as it is stored. Always true when there is no filter. */
  mayContain(key: Uint8Array): boolean;
  /** Whether a page, counted from 1, is what was written; false also for a wrong length or number. */
  isSound(pageNumber: number, page: Uint8Array): boolean;
}

/**
 * Opens a guard. Its bytes are kept, not copied, and must not change.
 *
 * Cost: one pass over the bytes, 0.5 ms a megabyte.
 *
 * @throws {CorruptFileError} when the bytes are no guard, of another version, or not those that were written.
 */
export function decodeGuard(bytes: Uint8Array): Guard {
  // The filter is read by words, which a view gives only at multiples of four.
  const own = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  const sizeBytes = own.byteLength;
  const view = new DataView(own.buffer, own.byteOffset, sizeBytes);
  const sumsEnd = sizeBytes - 8;
  if (sumsEnd < GUARD_HEADER_BYTES || view.getUint32(0, true) !== GUARD_MAGIC || view.getUint8(4) !== GUARD_VERSION) {
    throw corrupt(`it does not begin with "SGRD" and version ${GUARD_VERSION}`, 0);
  }
  hashView(view, 0, sumsEnd);
  if (result[0] !== view.getInt32(sumsEnd, true) || result[1] !== view.getInt32(sumsEnd + 4, true)) {
    throw corrupt("its own digest is wrong", -1);
  }
  // What is wrong from here on was written so.
  const encoding = GUARD_ENCODINGS[view.getUint8(5)];
  const pageSizeBytes = 2 ** view.getUint8(6);
  const pageCount = view.getUint32(8, true);
  const blockCount = view.getUint32(12, true);
  const filterSizeBytes = blockCount * FILTER_BLOCK_BYTES;
  const sumsStart = GUARD_HEADER_BYTES + filterSizeBytes;
  const isFilterPossible = filterSizeBytes <= FILTER_BYTES_MAX;
  if (!encoding || !isPageSize(pageSizeBytes) || !isFilterPossible || sumsEnd !== sumsStart + 4 * pageCount) {
    throw corrupt("its header is impossible", 5);
  }
  const hashKey = storedKeyHasher(encoding);
  const words = new Int32Array(own.buffer, own.byteOffset + GUARD_HEADER_BYTES, filterSizeBytes / 4);
  return {
    pageSizeBytes,
    pageCount,
    shardXxh3: view.getBigUint64(24, true).toString(16).padStart(16, "0"),
    sizeBytes,
    mayContain(key) {
      if (blockCount === 0) return true;
      hashKey(new DataView(key.buffer, key.byteOffset, key.byteLength), 0, key.byteLength);
      return filterContains(words, result[0]!, result[1]!);
    },
    isSound(pageNumber, page) {
      if (!(pageNumber >= 1 && pageNumber <= pageCount) || page.byteLength !== pageSizeBytes) return false;
      const checksum = xxh32(new DataView(page.buffer, page.byteOffset, pageSizeBytes), 0, pageSizeBytes);
      return checksum === view.getUint32(sumsStart + 4 * (pageNumber - 1), true);
    },
  };
}

function corrupt(reason: string, byteOffset: number): CorruptFileError {
  return new CorruptFileError(`Cannot use bytes as the guard of a shard as ${reason}`, byteOffset);
}

/**
 * What hashes stored keys of an encoding as hash routing does, and leaves the hash in the registers of
 * `xxh3_arithmetic.ts`. Integers from 2^63 up, which hash routing refuses, are hashed like the others, by their eight
 * bytes; keys of a length that the encoding does not have, as they are.
 */
export function storedKeyHasher(encoding: KeyEncoding): (view: DataView, start: number, length: number) => void {
  const integerBytes = storedIntegerBytes(encoding);
  return (view, start, length) => {
    if (length !== integerBytes) hashView(view, start, length);
    else hashInteger(view.getInt32(start + length - 4), length === 8 ? view.getInt32(start) : 0);
  };
}

/** Bytes of keys that are hashed as integers; -1 when an encoding has none. */
export function storedIntegerBytes(encoding: KeyEncoding): number {
  return encoding === "u64be" ? 8 : encoding === "u32be" ? 4 : -1;
}
