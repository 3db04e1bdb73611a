/**
 * Bloom filters in blocks of 64 bytes: whether a key may be in a set, from its 64-bit hash and one cache line.
 *
 * The high half of the hash chooses the block, both halves together six bits in it; which bits of the hash all keys of
 * a shard have in common does therefore not matter. With eleven bits a key, 0.65 % of absent keys pass. Measured beside
 * it (bench/README.md): Parquet's split blocks, made for vector instructions, need a twentieth more room and more code;
 * a filter without blocks is a twentieth smaller and slower; a binary fuse filter is a quarter smaller, but needs all
 * hashes at once, and 10 times the time and 20 times the memory to be built.
 *
 * A filter is an array of 32-bit words, 16 a block, so that it can lie in a file as it is (little-endian).
 *
 * Source: F. Putze, P. Sanders, J. Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", WEA 2007.
 * @module
 */

/** Bytes of a block. */
export const FILTER_BLOCK_BYTES = 64;
const BITS_PER_KEY = 11;
const PROBES = 6;
/** Multiplying by it moves what differs in any bit to the high ones, of which nine are used. */
const FACTOR = 0x9e3779b1 | 0;

/** Bytes of a filter for so many keys; at least one block. */
export function filterBytes(keyCountMax: number): number {
  return Math.max(1, Math.ceil((keyCountMax * BITS_PER_KEY) / (8 * FILTER_BLOCK_BYTES))) * FILTER_BLOCK_BYTES;
}

/** Puts a hash, given as its halves, into a filter, which must not be empty. */
export function addToFilter(words: Int32Array, low: number, high: number): void {
  const start = blockStart(words, high);
  let mixed = low ^ high;
  for (let i = 0; i < PROBES; i++) {
    mixed = Math.imul(mixed, FACTOR);
    words[start + (mixed >>> 28)]! |= 1 << (mixed >>> 23);
  }
}

/**
 * Puts hashes, a low and a high half each, into a filter, which must not be empty.
 *
 * Many in a row are faster than one by one between other work: the processor waits for several blocks at the same time.
 */
export function addAllToFilter(words: Int32Array, halves: Int32Array, halfCount: number): void {
  for (let i = 0; i < halfCount; i += 2) addToFilter(words, halves[i]!, halves[i + 1]!);
}

/** False when the hash was certainly never put into the filter, which must not be empty. */
export function filterContains(words: Int32Array, low: number, high: number): boolean {
  const start = blockStart(words, high);
  let mixed = low ^ high;
  for (let i = 0; i < PROBES; i++) {
    mixed = Math.imul(mixed, FACTOR);
    if ((words[start + (mixed >>> 28)]! & (1 << (mixed >>> 23))) === 0) return false;
  }
  return true;
}

/** Where the block of a hash begins. The product is exact: a filter has less than 2^21 blocks. */
function blockStart(words: Int32Array, high: number): number {
  return Math.floor(((high >>> 0) * (words.length >>> 4)) / 0x100000000) << 4;
}
