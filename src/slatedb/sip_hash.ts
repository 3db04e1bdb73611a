/**
 * SipHash-1-3 with the key 0, by which SlateDB's filters know keys. In halves of 32 bits, as `bigint` is slow.
 * @module
 */

let high0 = 0, low0 = 0, high1 = 0, low1 = 0, high2 = 0, low2 = 0, high3 = 0, low3 = 0;

/** The last hash: its upper and lower 32 bits. */
export const hash: { high: number; low: number } = { high: 0, low: 0 };

/** Hashes a part of the bytes into {@linkcode hash}. */
export function sipHash(bytes: Uint8Array, start: number, length: number): void {
  high0 = 0x736f6d65, low0 = 0x70736575;
  high1 = 0x646f7261, low1 = 0x6e646f6d;
  high2 = 0x6c796765, low2 = 0x6e657261;
  high3 = 0x74656462, low3 = 0x79746573;
  const end = start + length;
  let at = start;
  for (; at + 8 <= end; at += 8) absorb(word(bytes, at + 4), word(bytes, at));
  let high = length << 24;
  let low = 0;
  for (let i = 0; at + i < end; i++) {
    if (i < 4) low |= bytes[at + i]! << 8 * i;
    else high |= bytes[at + i]! << 8 * (i - 4);
  }
  absorb(high, low);
  low2 ^= 0xff;
  round();
  round();
  round();
  hash.high = (high0 ^ high1 ^ high2 ^ high3) >>> 0;
  hash.low = (low0 ^ low1 ^ low2 ^ low3) >>> 0;
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24;
}

function absorb(high: number, low: number): void {
  high3 ^= high, low3 ^= low;
  round();
  high0 ^= high, low0 ^= low;
}

function round(): void {
  // v0 += v1; v1 <<<= 13; v1 ^= v0; v0 <<<= 32
  let low = (low0 >>> 0) + (low1 >>> 0);
  high0 = high0 + high1 + (low > 0xffffffff ? 1 : 0) | 0;
  low0 = low | 0;
  let high = high1 << 13 | low1 >>> 19;
  low1 = (low1 << 13 | high1 >>> 19) ^ low0;
  high1 = high ^ high0;
  high = high0, high0 = low0, low0 = high;
  // v2 += v3; v3 <<<= 16; v3 ^= v2
  low = (low2 >>> 0) + (low3 >>> 0);
  high2 = high2 + high3 + (low > 0xffffffff ? 1 : 0) | 0;
  low2 = low | 0;
  high = high3 << 16 | low3 >>> 16;
  low3 = (low3 << 16 | high3 >>> 16) ^ low2;
  high3 = high ^ high2;
  // v0 += v3; v3 <<<= 21; v3 ^= v0
  low = (low0 >>> 0) + (low3 >>> 0);
  high0 = high0 + high3 + (low > 0xffffffff ? 1 : 0) | 0;
  low0 = low | 0;
  high = high3 << 21 | low3 >>> 11;
  low3 = (low3 << 21 | high3 >>> 11) ^ low0;
  high3 = high ^ high0;
  // v2 += v1; v1 <<<= 17; v1 ^= v2; v2 <<<= 32
  low = (low2 >>> 0) + (low1 >>> 0);
  high2 = high2 + high1 + (low > 0xffffffff ? 1 : 0) | 0;
  low2 = low | 0;
  high = high1 << 17 | low1 >>> 15;
  low1 = (low1 << 17 | high1 >>> 15) ^ low2;
  high1 = high ^ high2;
  high = high2, high2 = low2, low2 = high;
}
