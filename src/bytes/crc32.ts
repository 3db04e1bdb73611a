/**
 * CRC-32 as zlib, PNG and SlateDB have it: polynomial 0xedb88320, reflected.
 * @module
 */

/** Four tables of 256 entries, for four bytes at a time; made when first needed. */
let tables: Uint32Array | undefined;

/** The checksum of bytes, from 0 up to 2^32 - 1. */
export function crc32(bytes: Uint8Array): number {
  const table = tables ??= makeTables();
  const length = bytes.length;
  let crc = -1;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    crc ^= bytes[i]! | bytes[i + 1]! << 8 | bytes[i + 2]! << 16 | bytes[i + 3]! << 24;
    crc = table[768 + (crc & 255)]! ^ table[512 + (crc >>> 8 & 255)]! ^ table[256 + (crc >>> 16 & 255)]! ^
      table[crc >>> 24]!;
  }
  for (; i < length; i++) crc = crc >>> 8 ^ table[(crc ^ bytes[i]!) & 255]!;
  return ~crc >>> 0;
}

function makeTables(): Uint32Array {
  const table = new Uint32Array(1024);
  for (let i = 0; i < 256; i++) {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ 0xedb88320 : crc >>> 1;
    table[i] = crc;
  }
  for (let i = 256; i < 1024; i++) table[i] = table[i - 256]! >>> 8 ^ table[table[i - 256]! & 255]!;
  return table;
}
