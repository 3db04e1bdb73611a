/**
 * Reading of variable-length integers: 1 to 9 bytes, big-endian, 7 bits a byte and 8 in the ninth.
 * Source: https://www.sqlite.org/fileformat2.html, section 1.6.
 * @module
 */

/**
 * Where the varint that begins at `at` ends, or -1 when it would reach `end`. Asked first; the value is asked
 * second, so that neither needs an object for two results.
 */
export function varintEnd(bytes: Uint8Array, at: number, end: number): number {
  const last = Math.min(at + 8, end - 1);
  for (let next = at; next <= last; next++) {
    if (bytes[next]! < 0x80 || next === at + 8) return next + 1;
  }
  return -1;
}

/**
 * The varint at `at` as an unsigned number, exact up to 2^53 and roughly right beyond: enough for sizes, which are
 * compared with the file's length next. Call {@linkcode varintEnd} first.
 */
export function varintAt(bytes: Uint8Array, at: number): number {
  let value = 0;
  for (let next = at; next < at + 8; next++) {
    const byte = bytes[next]!;
    value = value * 128 + (byte & 0x7f);
    if (byte < 0x80) return value;
  }
  return value * 256 + bytes[at + 8]!;
}

/** The varint at `at` as a signed 64-bit integer: a number where that is exact, else a bigint. */
export function signedVarintAt(bytes: Uint8Array, at: number): number | bigint {
  if (varintAt(bytes, at) <= Number.MAX_SAFE_INTEGER) return varintAt(bytes, at);
  let value = 0n;
  for (let next = at; next < at + 8; next++) {
    const byte = bytes[next]!;
    value = (value << 7n) | BigInt(byte & 0x7f);
    if (byte < 0x80) return value;
  }
  return exactInteger(BigInt.asIntN(64, (value << 8n) | BigInt(bytes[at + 8]!)));
}

/** A number where that is exact, else the bigint itself. */
export function exactInteger(value: bigint): number | bigint {
  const rounded = Number(value);
  return Number.isSafeInteger(rounded) ? rounded : value;
}
