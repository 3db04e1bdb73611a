/**
 * Numbers and layouts of the SQLite file format. Source: https://www.sqlite.org/fileformat2.html
 *
 * File header (first 100 bytes of page 1; integers are big-endian):
 *
 * ```text
 *  0 16 bytes "SQLite format 3\0"          40 u32 schema cookie
 * 16 u16 page size, 1 means 65536          44 u32 schema format, 4
 * 18 u8  write version, 1 = rollback       48 u32 suggested cache size
 * 19 u8  read version, 1 = rollback        52 u32 largest root page (auto-vacuum), 0
 * 20 u8  reserved bytes per page           56 u32 text encoding, 1 = UTF-8
 * 21 u8  64, 22 u8 32, 23 u8 32            60 u32 user version
 * 24 u32 change counter                    64 u32 incremental vacuum
 * 28 u32 pages in the file                 68 u32 application id
 * 32 u32 first free list page              72 20 zero bytes
 * 36 u32 free list pages                   92 u32 change counter that 28 is valid for
 *                                          96 u32 version of SQLite that wrote the file
 * ```
 *
 * B-tree page header (at 100 on page 1, else at 0):
 *
 * ```text
 * 0 u8  kind: 2, 5, 10, 13      5 u16 start of cell contents, 0 means 65536
 * 1 u16 first free block        7 u8  fragmented bytes
 * 3 u16 cell count              8 u32 right child, on interior pages only
 * ```
 *
 * Cells: interior table `u32 child, varint rowid`; leaf table `varint payload size, varint rowid, payload`;
 * interior index `u32 child, varint payload size, payload`; leaf index `varint payload size, payload`. A payload
 * that does not fit is cut after its local part, and a u32 names the first of its overflow pages; each of those is
 * `u32 next page or 0`, then content.
 * @module
 */

/** Kinds of b-tree pages, as the first byte of the page header says. */
export const INTERIOR_INDEX = 2;
/** @see INTERIOR_INDEX */
export const INTERIOR_TABLE = 5;
/** @see INTERIOR_INDEX */
export const LEAF_INDEX = 10;
/** @see INTERIOR_INDEX */
export const LEAF_TABLE = 13;

/** Bytes of the header at the beginning of page 1. */
export const FILE_HEADER_BYTES = 100;
/** The page that begins here is never used: SQLite locks its bytes. */
export const LOCK_BYTE_OFFSET = 1 << 30;
/** Page sizes that we write. The reader takes every power of two from 512 to 65536. */
export const PAGE_SIZES: readonly number[] = [4096, 8192, 16384, 32768, 65536];

/** Whether pages can have this length: a power of two from 512 to 65536. */
export function isPageSize(sizeBytes: number): boolean {
  return sizeBytes >= 512 && sizeBytes <= 65536 && (sizeBytes & (sizeBytes - 1)) === 0;
}

/** Largest payload of an index cell that has no overflow chain (section 1.6). */
export function indexLocalMax(usableBytes: number): number {
  return Math.floor(((usableBytes - 12) * 64) / 255) - 23;
}

/** Largest payload of a table leaf cell that has no overflow chain. */
export function tableLocalMax(usableBytes: number): number {
  return usableBytes - 35;
}

/** How many payload bytes of a cell are on the b-tree page itself. */
export function localBytes(usableBytes: number, localMax: number, payloadBytes: number): number {
  if (payloadBytes <= localMax) return payloadBytes;
  const least = Math.floor(((usableBytes - 12) * 32) / 255) - 23;
  const split = least + ((payloadBytes - least) % (usableBytes - 4));
  return split <= localMax ? split : least;
}

/** Bytes of a varint (section 1.6). Takes whole numbers from 0 to 2^53-1. */
export function varintBytes(value: number): number {
  let length = 1;
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) length++;
  return length;
}

/** Writes a varint of at most 8 bytes and gives the offset after it. */
export function putVarint(target: Uint8Array, offset: number, value: number): number {
  if (value < 0x80) {
    target[offset] = value;
    return offset + 1;
  }
  if (value < 0x4000) {
    target[offset] = 0x80 | (value >>> 7);
    target[offset + 1] = value & 0x7f;
    return offset + 2;
  }
  const end = offset + varintBytes(value);
  let rest = value;
  for (let at = end - 1; at >= offset; at--) {
    target[at] = (rest % 128) | (at === end - 1 ? 0 : 0x80);
    rest = Math.floor(rest / 128);
  }
  return end;
}
