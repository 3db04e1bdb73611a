/**
 * XXH3-64, the arithmetic: 64-bit words as pairs of 32-bit halves, in registers that are allocated once.
 *
 * A function that returned both halves would have to allocate, and so does `bigint`. Here every step works on
 * {@linkcode result}, as an accumulator machine does, and hashes of many words add up in {@linkcode sum}. Nothing
 * waits between the first step and the last, so that one set of registers serves everyone in a thread.
 *
 * Source: Y. Collet, xxHash specification, section XXH3.
 * @module
 */

/** The word at hand and in the end the digest: low half, then high half, as signed 32-bit numbers. */
export const result: Int32Array = new Int32Array(2);

/** Total of what was mixed so far: low half, then high half. */
export const sum: Int32Array = new Int32Array(2);

/** Where {@linkcode secret} begins again from its fourth byte on. */
export const FROM_BYTE_3 = 48;
/** Where {@linkcode secret} has the 16 words from its byte 121 on. */
export const FROM_BYTE_121 = 96;

/** The default secret of 192 bytes, as little-endian words; then parts of it that begin inside a word. */
export const secret: Int32Array = new Int32Array(112);
// deno-fmt-ignore
secret.set([
  0x396cfeb8, 0xbe4ba423, 0x2c81017c, 0x1cad21f7, 0xe96dd4de, 0xdb979083, 0xa4a44072, 0x1f67b3b7,
  0x4ee679cb, 0x78e5c0cc, 0x7dd05a82, 0x2172ffcc, 0x744608b8, 0x8e2443f7, 0xe69035e0, 0x4c263a81,
  0xbb52283c, 0xcb00c391, 0x8b65d088, 0xa32e531b, 0x97486471, 0x4ef90da2, 0x46ef1938, 0xd8acdea9,
  0x3f76faa8, 0x3f349ce3, 0xc7bbdcf9, 0x1d4f0bc7, 0x4be0518a, 0x3159b4cd, 0xc97e9fc8, 0x647378d9,
  0x83acc5ea, 0xc3ebd334, 0xffa081c5, 0xeb6313fa, 0x51dd0d17, 0x49daf0b7, 0x265516d3, 0x9e68d429,
  0x58be162b, 0xfca1477d, 0xd1b8f88f, 0xce31d07a, 0x8f3acb45, 0x28041695, 0xcafbd7af, 0x7e404bbb,
]);
for (let i = 0; i < 64; i++) {
  const word = i < 48 ? i : i - 18;
  secret[48 + i] = (secret[word]! >>> (i < 48 ? 24 : 8)) | (word < 47 ? secret[word + 1]! << (i < 48 ? 8 : 24) : 0);
}

const TO_HIGH = 2 ** -32;

/** High half of the product of two 32-bit words. */
export function highHalf(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const cross = aLow * bHigh;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16) + (cross & 0xffff);
  return (aHigh * bHigh + (cross >>> 16) + (middle >>> 16)) | 0;
}

/** `result = result * factor`, modulo 2^64. */
export function multiply(factorLow: number, factorHigh: number): void {
  const low = result[0]!;
  result[1] = highHalf(low, factorLow) + Math.imul(low, factorHigh) + Math.imul(result[1]!, factorLow);
  result[0] = Math.imul(low, factorLow);
}

/**
 * `result = low half ^ high half` of the 128-bit product of `result` and a factor.
 *
 * A product of two words as a double is off by 1,024 at most. With its low half known from `Math.imul`, what is left
 * is a multiple of 2^32 give or take 2,048, and rounding gives the high half exactly.
 */
export function foldProduct(factorLow: number, factorHigh: number): void {
  const low = result[0]!;
  const high = result[1]!;
  const lowDouble = low >>> 0;
  const highDouble = high >>> 0;
  const factorLowDouble = factorLow >>> 0;
  const factorHighDouble = factorHigh >>> 0;
  const low0 = Math.imul(low, factorLow);
  const left0 = Math.imul(high, factorLow) >>> 0;
  const right0 = Math.imul(low, factorHigh) >>> 0;
  const high0 = Math.imul(high, factorHigh) >>> 0;
  const low1 = ((lowDouble * factorLowDouble - (low0 >>> 0)) * TO_HIGH + 0.5) >>> 0;
  const left1 = ((highDouble * factorLowDouble - left0) * TO_HIGH + 0.5) >>> 0;
  const right1 = ((lowDouble * factorHighDouble - right0) * TO_HIGH + 0.5) >>> 0;
  const high1 = ((highDouble * factorHighDouble - high0) * TO_HIGH + 0.5) >>> 0;
  const word1 = low1 + left0 + right0;
  const word2 = left1 + right1 + high0 + (word1 >= 0x100000000 ? (word1 >= 0x200000000 ? 2 : 1) : 0);
  const word3 = high1 + (word2 >= 0x100000000 ? (word2 >= 0x200000000 ? 2 : 1) : 0);
  result[0] = low0 ^ word2;
  result[1] = word1 ^ word3;
}

/** `sum = sum + word`, modulo 2^64. */
export function addToSum(low: number, high: number): void {
  const total = (sum[0]! >>> 0) + (low >>> 0);
  sum[0] = total;
  sum[1] = sum[1]! + high + (total >= 0x100000000 ? 1 : 0);
}

/** `result = avalanche(sum)`: the last step of every hash of more than eight bytes. */
export function finishSum(): void {
  const high = sum[1]!;
  result[0] = sum[0]! ^ (high >>> 5);
  result[1] = high;
  multiply(0x9e3779f9, 0x16566791);
  result[0]! ^= result[1]!;
}

/** `sum = length * 2654435761…`, the start of every hash of more than 16 bytes. */
export function startSum(length: number): void {
  result[0] = length;
  result[1] = length * TO_HIGH;
  multiply(0x85ebca87, 0x9e3779b1);
  sum[0] = result[0]!;
  sum[1] = result[1]!;
}
