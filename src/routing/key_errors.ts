/**
 * What is said about wrong keys. Every message names the key, what it must be, and what to do.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { KeyEncoding } from "./key.ts";

const SHOWN_CHARACTERS_MAX = 60;

/** What each encoding takes. */
const ACCEPTED: Readonly<Record<KeyEncoding, string>> = {
  u64be: "a whole number from 0 to 2^64 - 1 (2^63 - 1 where keys are hashed)",
  u32be: "a whole number from 0 to 2^32 - 1",
  utf8: "a string, or bytes",
  raw: "bytes, or a string",
};

/** The key is not one that the encoding stores. */
export function encodingError(encoding: KeyEncoding, key: unknown): ConfigValidationError {
  return keyError(
    `Cannot store key ${shownKey(key)} as "${encoding}"`,
    ACCEPTED[encoding],
    encodingAdvice(encoding, key),
  );
}

function encodingAdvice(encoding: KeyEncoding, key: unknown): string {
  if (isRoundedInteger(key)) return "a number beyond 2^53 - 1 is not exact, pass a bigint";
  const isInteger = typeof key === "bigint" || Number.isSafeInteger(key);
  if (isInteger && (encoding === "utf8" || encoding === "raw")) {
    return 'convert it to a string, or choose keyEncoding "u64be"';
  }
  if (isInteger && encoding === "u32be" && key as number | bigint > 0) return 'choose keyEncoding "u64be"';
  if (typeof key === "string") return 'convert it to a number, or choose keyEncoding "utf8"';
  if (key instanceof Uint8Array) return 'convert it to a number, or choose keyEncoding "raw"';
  return "convert it first";
}

/** The key has none of the four types. */
export function keyTypeError(key: unknown): ConfigValidationError {
  return keyError(`Cannot use ${shownKey(key)} as a key`, "a number, bigint, string or Uint8Array", "convert it first");
}

/** The key is a number that has no hash. */
export function integerHashError(key: number | bigint): ConfigValidationError {
  const advice = isRoundedInteger(key)
    ? "a number beyond 2^53 - 1 is not exact, pass a bigint"
    : "convert it to a string, or choose other keys";
  return keyError(`Cannot hash key ${shownKey(key)}`, "a whole number from -2^63 to 2^63 - 1", advice);
}

/** The key is a string that has no UTF-8 form. */
export function surrogateError(key: string): ConfigValidationError {
  return keyError(
    `Cannot use key ${shownKey(key)} as UTF-8`,
    "free of lone surrogates",
    "the string was cut inside a character, or was never text: pass bytes instead",
  );
}

/** Stored bytes are no integer of that encoding. */
export function storedLengthError(encoding: "u64be" | "u32be", lengthBytes: number): ConfigValidationError {
  const expected = encoding === "u64be" ? 8 : 4;
  return keyError(
    `Cannot read a stored key as "${encoding}"`,
    `${expected} bytes long`,
    `current length is ${lengthBytes}, look for the row that was stored otherwise`,
  );
}

function keyError(what: string, expected: string, advice: string): ConfigValidationError {
  return new ConfigValidationError(`${what} as it must be ${expected}: ${advice}`, "key");
}

/** An integer that may stand for its neighbours as well. */
function isRoundedInteger(key: unknown): boolean {
  return Number.isInteger(key) && !Number.isSafeInteger(key);
}

function shownKey(key: unknown): string {
  const text = shown(key);
  return text.length > SHOWN_CHARACTERS_MAX + 10 ? `${text.slice(0, SHOWN_CHARACTERS_MAX)}...` : text;
}
