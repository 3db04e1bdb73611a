/**
 * Keys and values between the command line and the library.
 * @module
 */
import { Buffer } from "node:buffer";
import type { Key, KeyEncoding } from "../routing/key.ts";
import { UsageError } from "./cli_errors.ts";

/** How values are printed. */
export const VALUE_ENCODINGS = Object.freeze(["base64", "hex", "utf8"] as const);

/** One of them. */
export type ValueEncoding = typeof VALUE_ENCODINGS[number];

/** What is printed for a key that does not exist. */
export const NULL_TEXT = "null";

const BITS: Readonly<Partial<Record<KeyEncoding, number>>> = { u64be: 64, u32be: 32 };

/**
 * The key that a text stands for in a snapshot of this key encoding.
 *
 * @throws {Error} when it must be a whole number and is none, or one that is too large.
 */
export function keyOf(text: string, encoding: KeyEncoding): Key {
  if (encoding === "utf8") return text;
  if (encoding === "raw") return new TextEncoder().encode(text);
  const digits = text.trim();
  if (!/^[+-]?\d+$/.test(digits)) {
    throw new Error(`Key '${text}' is not a valid integer (required by ${encoding} encoding)`);
  }
  const key = BigInt(digits.replace(/^\+/, ""));
  const bits = BITS[encoding]!;
  if (BigInt.asUintN(bits, key) !== key) throw new Error(`${encoding} encoding requires value in [0, 2^${bits}-1]`);
  return key;
}

/** A value as text; `utf8` shows bytes that are no UTF-8 as U+FFFD. */
export function valueText(value: Uint8Array, encoding: ValueEncoding): string {
  if (encoding === "utf8") return new TextDecoder("utf-8", { ignoreBOM: true }).decode(value);
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString(encoding);
}

/** @throws {UsageError} when it has no `=`. */
export function splitPair(pair: string, option: string): [name: string, value: string] {
  const at = pair.indexOf("=");
  if (at < 0) throw new UsageError(`${option} must be KEY=VALUE, got: '${pair}'`);
  return [pair.slice(0, at), pair.slice(at + 1)];
}
