/**
 * The rows that everything in this folder writes: 8-byte keys and 100-byte values, the same on every runtime.
 * @module
 */

/** Bytes of a value. */
export const VALUE_BYTES = 100;

/** In which order keys come. */
export type KeyOrder = "ascending" | "random";

/** The key of row `index`: a whole number below 2^53, each one once. */
export function keyAt(index: number, order: KeyOrder): number {
  if (order === "ascending") return index;
  // An odd factor permutes the 32-bit numbers; the lower half adds bits without making two keys equal.
  return (Math.imul(index, 0x9e3779b1) >>> 0) * 2 ** 21 + (Math.imul(index, 0x85ebca6b) >>> 11);
}

const values = Array.from({ length: 64 }, (_, i) => new Uint8Array(VALUE_BYTES).fill(i + 1));

/** The value of row `index`; the caller must not change it. */
export function valueAt(index: number): Uint8Array {
  return values[index & 63]!;
}

/** The key as eight bytes, the highest first: what is stored. */
export function keyBytes(key: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, Math.floor(key / 2 ** 32));
  view.setUint32(4, key >>> 0);
  return bytes;
}

/** Highest memory use of this process so far, in MiB. */
export function peakMiB(): number {
  return Math.round(process.resourceUsage().maxRSS / 1024);
}
