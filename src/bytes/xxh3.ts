/**
 * XXH3-64 with seed 0 in plain TypeScript: gives keys their shards, and files their digests where WebAssembly cannot be
 * compiled.
 *
 * On the hot path a hash function leaves its digest in registers of this module, which `hashModulo`, `hashBigint` and
 * `hashHex` read; nothing is allocated. Take the digest out before anything else is hashed.
 * @module
 */
import { result } from "./xxh3_arithmetic.ts";
import { BLOCK_BYTES, hashLong, STRIPE_BYTES, XxhLanes } from "./xxh3_long.ts";
import { hashShort, SHORT_BYTES_MAX } from "./xxh3_short.ts";

export { hashInteger } from "./xxh3_short.ts";

/** Hashes `length` bytes of a view from `start` on, and keeps the digest until the next call. */
export function hashView(view: DataView, start: number, length: number): void {
  if (length <= SHORT_BYTES_MAX) hashShort(view, start, length);
  else hashLong(view, start, length);
}

/**
 * Remainder of the last digest, as an unsigned number of 64 bits.
 *
 * Divides by way of doubles: `%` of numbers beyond 2^31 is a function call in the engines. A quotient of whole numbers
 * below 2^53 never rounds up to the next whole number, so `Math.floor` of it is exact.
 *
 * @param divisor Whole number from 1 to 2^31.
 */
export function hashModulo(divisor: number): number {
  const low = result[0]! >>> 0;
  const high = result[1]! >>> 0;
  const highRest = high - Math.floor(high / divisor) * divisor;
  // The remainder has to leave room for the bits that follow it.
  if (divisor <= 0x200000) {
    const whole = highRest * 0x100000000 + low;
    return whole - Math.floor(whole / divisor) * divisor;
  }
  const upper = highRest * 0x10000 + (low >>> 16);
  const lower = (upper - Math.floor(upper / divisor) * divisor) * 0x10000 + (low & 0xffff);
  return lower - Math.floor(lower / divisor) * divisor;
}

/** The last digest, from 0 to 2^64 - 1. */
export function hashBigint(): bigint {
  return (BigInt(result[1]! >>> 0) << 32n) | BigInt(result[0]! >>> 0);
}

/** The last digest as 16 lower-case hex digits, the highest first. */
export function hashHex(): string {
  return hexWord(result[1]!) + hexWord(result[0]!);
}

function hexWord(word: number): string {
  return (word >>> 0).toString(16).padStart(8, "0");
}

/**
 * XXH3-64 of bytes, seed 0, from 0 to 2^64 - 1.
 *
 * @example The digest that decides about the shard of a key
 * ```ts
 * import { xxh3 } from "./xxh3.ts";
 *
 * const digest = xxh3(new TextEncoder().encode("a"));
 * if (digest !== 16629034431890738719n) throw new Error("unexpected digest");
 * ```
 */
export function xxh3(bytes: Uint8Array): bigint {
  hashView(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength);
  return hashBigint();
}

/** XXH3-64 of bytes, seed 0, as 16 lower-case hex digits, the highest first. */
export function xxh3Hex(bytes: Uint8Array): string {
  hashView(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength);
  return hashHex();
}

/**
 * XXH3-64 of bytes that come in pieces, cut anywhere. Holds about 1 KiB.
 *
 * The last 64 bytes of the input are hashed in a way of their own, and so is a last block, full or not; therefore a
 * block is taken only when a byte that follows it has come, and the 64 bytes before it are kept.
 */
export class Xxh3 {
  readonly #lanes = new XxhLanes();
  /** The last 64 bytes that were taken, then what was not taken yet. */
  readonly #held = new Uint8Array(STRIPE_BYTES + BLOCK_BYTES);
  readonly #heldView = new DataView(this.#held.buffer);
  /** Bytes not taken yet, from 0 to 1,024. */
  #waitingBytes = 0;
  #totalBytes = 0;

  /** Appends bytes; they may be changed afterwards. */
  update(bytes: Uint8Array): void {
    const length = bytes.byteLength;
    this.#totalBytes += length;
    const room = BLOCK_BYTES - this.#waitingBytes;
    if (length <= room) {
      this.#held.set(bytes, STRIPE_BYTES + this.#waitingBytes);
      this.#waitingBytes += length;
      return;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, length);
    let at = 0;
    if (this.#waitingBytes > 0) {
      this.#held.set(bytes.subarray(0, room), STRIPE_BYTES + this.#waitingBytes);
      this.#lanes.addBlock(this.#heldView, STRIPE_BYTES);
      this.#held.copyWithin(0, BLOCK_BYTES);
      at = room;
    }
    const first = at;
    for (; length - at > BLOCK_BYTES; at += BLOCK_BYTES) this.#lanes.addBlock(view, at);
    if (at > first) this.#held.set(bytes.subarray(at - STRIPE_BYTES, at));
    this.#held.set(bytes.subarray(at), STRIPE_BYTES);
    this.#waitingBytes = length - at;
  }

  /** Digest of all bytes so far, as 16 lower-case hex digits; more may follow. */
  digestHex(): string {
    const waitingBytes = this.#waitingBytes;
    if (this.#totalBytes <= SHORT_BYTES_MAX) {
      hashShort(this.#heldView, STRIPE_BYTES, waitingBytes);
    } else {
      const lanes = new XxhLanes();
      lanes.copyFrom(this.#lanes);
      lanes.addStripes(this.#heldView, STRIPE_BYTES, Math.floor((waitingBytes - 1) / STRIPE_BYTES));
      lanes.addLast(this.#heldView, waitingBytes);
      lanes.finish(this.#totalBytes);
    }
    return hashHex();
  }
}
