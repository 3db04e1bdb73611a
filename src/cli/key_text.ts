/**
 * Keys and values between the command line and the library.
 * @module
 */
import { Buffer } from "node:buffer";
import { UsageError } from "./cli_errors.ts";

export { keyOfText as keyOf } from "../routing/key_text.ts";

/** How values are printed. */
export const VALUE_ENCODINGS = Object.freeze(["base64", "hex", "utf8"] as const);

/** One of them. */
export type ValueEncoding = typeof VALUE_ENCODINGS[number];

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
