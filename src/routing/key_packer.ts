/**
 * Stores keys one behind the other in a larger array: the way of writers, who have many of them.
 * @module
 */
import { encodingError, surrogateError } from "./key_errors.ts";
import type { Key, KeyEncoding } from "./key.ts";

/**
 * Writes the stored form of a key into `target` from `offset` on, and gives the offset behind it. Gives -1, and leaves
 * `target` as it is, when there is less room than {@linkcode maxKeyBytes} says: make room and call again.
 *
 * @throws {ConfigValidationError} when the encoding does not take such a key.
 */
export type KeyPacker = (key: Key, target: Uint8Array, offset: number) => number;

/** Up to this length a loop in here beats the call of the engine's encoder, and of its `set`. */
const LOOP_LENGTH_MAX = 64;

const U64_MAX = 0xffff_ffff_ffff_ffffn;

const encoder = new TextEncoder();

/**
 * The packer of an encoding. Nothing is allocated for numbers, bytes, and strings of up to 64 ASCII characters.
 *
 * @example Two keys, eight bytes each
 * ```ts
 * import { keyPacker } from "./key_packer.ts";
 *
 * const pack = keyPacker("u64be");
 * const target = new Uint8Array(16);
 * const end = pack(2n ** 40n, target, pack(1, target, 0));
 * if (end !== 16 || pack(3, target, end) !== -1) throw new Error("unexpected offset");
 * ```
 */
export function keyPacker(encoding: KeyEncoding): KeyPacker {
  if (encoding === "u64be") return packU64;
  if (encoding === "u32be") return packU32;
  return textPacker(encoding);
}

/**
 * How much room the packer asks for: never less than the key takes, and three bytes per UTF-16 unit of a string.
 *
 * @throws {ConfigValidationError} when the encoding takes no keys of that type.
 */
export function maxKeyBytes(encoding: KeyEncoding, key: Key): number {
  if (encoding === "u64be") return 8;
  if (encoding === "u32be") return 4;
  if (typeof key === "string") return key.length * 3;
  if (key instanceof Uint8Array) return key.byteLength;
  throw encodingError(encoding, key);
}

function packU64(key: Key, target: Uint8Array, offset: number): number {
  let low: number;
  let high: number;
  if (typeof key === "number" && key >= 0 && Number.isSafeInteger(key)) {
    low = key >>> 0;
    high = Math.floor(key / 0x1_0000_0000);
  } else if (typeof key === "bigint" && key >= 0n && key <= U64_MAX) {
    low = Number(BigInt.asUintN(32, key));
    high = Number(key >> 32n);
  } else {
    throw encodingError("u64be", key);
  }
  if (target.length - offset < 8) return -1;
  writeU32(high, target, offset);
  writeU32(low, target, offset + 4);
  return offset + 8;
}

function packU32(key: Key, target: Uint8Array, offset: number): number {
  const word = typeof key === "bigint" && key >= 0n && key <= 0xffff_ffffn ? Number(key) : key;
  // Shifting gives a whole number of 32 bits, which only such a number equals.
  if (typeof word !== "number" || word >>> 0 !== word) throw encodingError("u32be", key);
  if (target.length - offset < 4) return -1;
  writeU32(word, target, offset);
  return offset + 4;
}

function writeU32(word: number, target: Uint8Array, offset: number): void {
  target[offset] = word >>> 24;
  target[offset + 1] = word >>> 16;
  target[offset + 2] = word >>> 8;
  target[offset + 3] = word;
}

function textPacker(encoding: "utf8" | "raw"): KeyPacker {
  return (key, target, offset) => {
    if (typeof key === "string") return packString(key, target, offset);
    if (key instanceof Uint8Array) return packBytes(key, target, offset);
    throw encodingError(encoding, key);
  };
}

function packString(key: string, target: Uint8Array, offset: number): number {
  const length = key.length;
  if (target.length - offset < length * 3) return -1;
  if (length <= LOOP_LENGTH_MAX) {
    let i = 0;
    for (; i < length; i++) {
      const unit = key.charCodeAt(i);
      if (unit > 0x7f) break;
      target[offset + i] = unit;
    }
    if (i === length) return offset + length;
  }
  if (!key.isWellFormed()) throw surrogateError(key);
  return offset + encoder.encodeInto(key, target.subarray(offset)).written;
}

function packBytes(key: Uint8Array, target: Uint8Array, offset: number): number {
  const length = key.byteLength;
  if (target.length - offset < length) return -1;
  if (length <= LOOP_LENGTH_MAX) {
    for (let i = 0; i < length; i++) target[offset + i] = key[i]!;
  } else {
    target.set(key, offset);
  }
  return offset + length;
}
