/**
 * Keys: their types, how they are stored, and which bytes of them are hashed (WIRE_FORMATS 7 and 8).
 *
 * Stored keys have the order of the keys themselves: numbers by value, strings by code point, bytes by value. The
 * smallest and the largest key of a shard can therefore be found among stored keys.
 * @module
 */
import { encodingError, integerHashError, keyTypeError, storedLengthError, surrogateError } from "./key_errors.ts";
import { keyPacker } from "./key_packer.ts";

export { type KeyPacker, keyPacker, maxKeyBytes } from "./key_packer.ts";

/** A key as callers give it. A `number` must be a safe integer. */
export type Key = number | bigint | string | Uint8Array;

/** How keys are stored: 8 or 4 bytes big-endian, UTF-8, or as they are. */
export type KeyEncoding = "u64be" | "u32be" | "utf8" | "raw";

/** All encodings by name. */
export const keyEncodings: readonly KeyEncoding[] = Object.freeze(["u64be", "u32be", "utf8", "raw"] as const);

/**
 * The encoding for keys like this one: `u64be` for numbers, `utf8` for strings, `raw` for bytes.
 *
 * @throws {ConfigValidationError} when it is no key.
 */
export function defaultKeyEncoding(sampleKey: Key): KeyEncoding {
  if (typeof sampleKey === "number" || typeof sampleKey === "bigint") return "u64be";
  if (typeof sampleKey === "string") return "utf8";
  if (sampleKey instanceof Uint8Array) return "raw";
  throw keyTypeError(sampleKey);
}

/**
 * The stored form of one key; writers of many keys use {@linkcode keyPacker}.
 *
 * `utf8` and `raw` store strings as UTF-8 and bytes as they are, valid UTF-8 or not; bytes are given back uncopied.
 *
 * @throws {ConfigValidationError} when the encoding does not take such a key.
 *
 * @example Eight bytes, the highest first
 * ```ts
 * import { encodeKey } from "./key.ts";
 *
 * if (encodeKey("u64be", 258).join() !== "0,0,0,0,0,0,1,2") throw new Error("unexpected bytes");
 * ```
 */
export function encodeKey(encoding: KeyEncoding, key: Key): Uint8Array {
  if (encoding === "u64be" || encoding === "u32be") {
    const bytes = new Uint8Array(encoding === "u64be" ? 8 : 4);
    keyPacker(encoding)(key, bytes, 0);
    return bytes;
  }
  if (typeof key === "string") return utf8Bytes(key);
  if (key instanceof Uint8Array) return key;
  throw encodingError(encoding, key);
}

/**
 * What a key is hashed as: integers as eight bytes little-endian, two's complement; strings as UTF-8; bytes as they
 * are, uncopied.
 *
 * @throws {ConfigValidationError} when it is no key, or an integer below -2^63 or above 2^63 - 1.
 *
 * @example The number 5 and the string "5" are different keys
 * ```ts
 * import { canonicalBytes } from "./key.ts";
 *
 * if (canonicalBytes(5).join() !== "5,0,0,0,0,0,0,0") throw new Error("unexpected bytes");
 * if (canonicalBytes("5").join() !== "53") throw new Error("unexpected bytes");
 * ```
 */
export function canonicalBytes(key: Key): Uint8Array {
  if (typeof key === "string") return utf8Bytes(key);
  if (key instanceof Uint8Array) return key;
  checkHashable(key);
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, BigInt(key), true);
  return bytes;
}

/**
 * Refuses what is no integer, and integers that have no hash.
 *
 * @throws {ConfigValidationError} when it is neither a safe integer nor a bigint from -2^63 to 2^63 - 1.
 */
export function checkHashable(key: number | bigint): void {
  if (typeof key === "number" ? Number.isSafeInteger(key) : isSigned64(key)) return;
  throw typeof key === "number" || typeof key === "bigint" ? integerHashError(key) : keyTypeError(key);
}

function isSigned64(key: unknown): boolean {
  return typeof key === "bigint" && BigInt.asIntN(64, key) === key;
}

/**
 * The key that a stored key came from, as manifests state it: integers as bigint, all else as a string.
 *
 * @returns null for bytes that are not valid UTF-8, which manifests have no form for.
 * @throws {ConfigValidationError} when an integer does not have its 8 or 4 bytes.
 */
export function logicalKey(encoding: KeyEncoding, bytes: Uint8Array): bigint | string | null {
  if (encoding === "utf8" || encoding === "raw") return utf8Text(bytes);
  if (bytes.byteLength !== (encoding === "u64be" ? 8 : 4)) throw storedLengthError(encoding, bytes.byteLength);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return encoding === "u64be" ? view.getBigUint64(0) : BigInt(view.getUint32(0));
}

/** Below, at or above zero as `a` comes before `b`, equals it or comes after it, byte by byte. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.byteLength, b.byteLength);
  for (let i = 0; i < length; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.byteLength - b.byteLength;
}

function utf8Bytes(text: string): Uint8Array {
  if (!text.isWellFormed()) throw surrogateError(text);
  return new TextEncoder().encode(text);
}

function utf8Text(bytes: Uint8Array): string | null {
  try {
    // A byte order mark is part of the key.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}
