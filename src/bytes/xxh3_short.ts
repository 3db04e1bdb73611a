/**
 * XXH3-64 of up to 240 bytes: one formula per class of length.
 * @module
 */
import {
  addToSum,
  finishSum,
  foldProduct,
  FROM_BYTE_3,
  multiply,
  result,
  secret,
  startSum,
  sum,
} from "./xxh3_arithmetic.ts";

/** Longest input that {@linkcode hashShort} takes. */
export const SHORT_BYTES_MAX = 240;

/** Hashes `length` bytes (0 to 240) of a view from `start` on; the digest is left in `result`. */
export function hashShort(view: DataView, start: number, length: number): void {
  if (length > 16) {
    if (length > 128) hashUpTo240(view, start, length);
    else hashUpTo128(view, start, length);
  } else if (length > 8) {
    hashUpTo16(view, start, length);
  } else if (length >= 4) {
    hashUpTo8(view.getInt32(start, true), view.getInt32(start + length - 4, true), length);
  } else {
    hashUpTo3(view, start, length);
  }
}

/**
 * Hashes the eight little-endian bytes of an integer, given as its two 32-bit halves; the digest is left in `result`.
 */
export function hashInteger(low: number, high: number): void {
  hashUpTo8(low, high, 8);
}

/** Takes the first and the last four bytes of four to eight. */
function hashUpTo8(first: number, last: number, length: number): void {
  const low = last ^ secret[2]! ^ secret[4]!;
  const high = first ^ secret[3]! ^ secret[5]!;
  result[0] = low ^ ((high << 17) | (low >>> 15)) ^ ((low << 24) | (high >>> 8));
  result[1] = high ^ ((low << 17) | (high >>> 15)) ^ ((high << 24) | (low >>> 8));
  multiply(0x1e98df25, 0x9fb21c65);
  result[0]! ^= (result[1]! >>> 3) + length;
  multiply(0x1e98df25, 0x9fb21c65);
  const mixed = result[1]!;
  result[0]! ^= (result[0]! >>> 28) | (mixed << 4);
  result[1] = mixed ^ (mixed >>> 28);
}

function hashUpTo3(view: DataView, start: number, length: number): void {
  if (length === 0) {
    result[0] = secret[14]! ^ secret[16]!;
    result[1] = secret[15]! ^ secret[17]!;
  } else {
    const middle = view.getUint8(start + (length >> 1));
    const word = (view.getUint8(start) << 16) | (middle << 24) | view.getUint8(start + length - 1) | (length << 8);
    result[0] = word ^ secret[0]! ^ secret[1]!;
    result[1] = 0;
  }
  result[0]! ^= result[1]! >>> 1;
  multiply(0x27d4eb4f, 0xc2b2ae3d);
  const high = result[1]!;
  result[0]! ^= (result[0]! >>> 29) | (high << 3);
  result[1] = high ^ (high >>> 29);
  multiply(0x9e3779f9, 0x165667b1);
  result[0]! ^= result[1]!;
}

function hashUpTo16(view: DataView, start: number, length: number): void {
  const end = start + length;
  const firstLow = view.getInt32(start, true) ^ secret[6]! ^ secret[8]!;
  const firstHigh = view.getInt32(start + 4, true) ^ secret[7]! ^ secret[9]!;
  const lastLow = view.getInt32(end - 8, true) ^ secret[10]! ^ secret[12]!;
  const lastHigh = view.getInt32(end - 4, true) ^ secret[11]! ^ secret[13]!;
  sum[0] = length;
  sum[1] = 0;
  addToSum(reversed(firstHigh), reversed(firstLow));
  addToSum(lastLow, lastHigh);
  result[0] = firstLow;
  result[1] = firstHigh;
  foldProduct(lastLow, lastHigh);
  addToSum(result[0]!, result[1]!);
  finishSum();
}

/** The word with its four bytes in reverse order. */
function reversed(word: number): number {
  return (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24);
}

/** Adds 16 bytes to the sum, under the secret from a word of it on. */
function mix(view: DataView, at: number, key: number): void {
  result[0] = view.getInt32(at, true) ^ secret[key]!;
  result[1] = view.getInt32(at + 4, true) ^ secret[key + 1]!;
  foldProduct(view.getInt32(at + 8, true) ^ secret[key + 2]!, view.getInt32(at + 12, true) ^ secret[key + 3]!);
  addToSum(result[0]!, result[1]!);
}

/** Takes 16 bytes in turn from the front and from the back; they overlap in the middle. */
function hashUpTo128(view: DataView, start: number, length: number): void {
  const end = start + length;
  startSum(length);
  for (let round = 0; round < length / 32; round++) {
    mix(view, start + 16 * round, 8 * round);
    mix(view, end - 16 * round - 16, 8 * round + 4);
  }
  finishSum();
}

/** Eight times 16 bytes, an avalanche, the rest by 16 bytes under a shifted secret, and the last 16 bytes. */
function hashUpTo240(view: DataView, start: number, length: number): void {
  const end = start + length;
  startSum(length);
  for (let round = 0; round < 8; round++) mix(view, start + 16 * round, 4 * round);
  finishSum();
  sum[0] = result[0]!;
  sum[1] = result[1]!;
  let key = FROM_BYTE_3;
  for (let at = start + 128; at + 16 <= end; at += 16) {
    mix(view, at, key);
    key += 4;
  }
  // Byte 119 of the secret: 17 before the end of its first 136.
  mix(view, end - 16, FROM_BYTE_3 + 29);
  finishSum();
}
