/**
 * What is said about wrong keys. Every message names the key, what it must be, and what to do.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { KeyEncoding } from "./key.ts";

const CONVERT = "convert it first";

/** What each encoding takes. */
const ACCEPTED: Readonly<Record<KeyEncoding, string>> = {
  u64be: "a whole number from 0 to 2^64 - 1 (2^63 - 1 where keys are hashed)",
  u32be: "a whole number from 0 to 2^32 - 1",
  utf8: "a string, or bytes",
  raw: "bytes, or a string",
};

/** The key is not one that the encoding stores. */
export function encodingError(encoding: KeyEncoding, key: unknown): ConfigValidationError {
  const fitting = typeof key === "string" ? "utf8" : key instanceof Uint8Array ? "raw" : "u64be";
  const isFit = fitting !== "u64be" || ((typeof key === "bigint" || Number.isInteger(key)) && Number(key) >= 0);
  const advice = isFit && fitting !== encoding ? `choose keyEncoding "${fitting}"` : CONVERT;
  return keyError(`store key ${shown(key)} as "${encoding}"`, ACCEPTED[encoding], adviceOn(key, advice));
}

/** The key has none of the four types. */
export function keyTypeError(key: unknown): ConfigValidationError {
  return keyError(`use ${shown(key)} as a key`, "a number, bigint, string or Uint8Array", CONVERT);
}

/** The key is a number that has no hash. */
export function integerHashError(key: number | bigint): ConfigValidationError {
  return keyError(`hash key ${shown(key)}`, "a whole number from -2^63 to 2^63 - 1", adviceOn(key, CONVERT));
}

/** The key is a string that has no UTF-8 form. */
export function surrogateError(key: string): ConfigValidationError {
  return keyError(`use key ${shown(key)} as UTF-8`, "free of lone surrogates", "pass what was never text as bytes");
}

/** Stored bytes are no integer of that encoding. */
export function storedLengthError(encoding: "u64be" | "u32be", lengthBytes: number): ConfigValidationError {
  return keyError(
    `read a stored key as "${encoding}"`,
    `${encoding === "u64be" ? 8 : 4} bytes long`,
    `current length is ${lengthBytes}, look for the row that was stored otherwise`,
  );
}

function keyError(what: string, expected: string, advice: string): ConfigValidationError {
  return new ConfigValidationError(`Cannot ${what} as it must be ${expected}: ${advice}`, "key");
}

/** An integer beyond 2^53 - 1 may stand for its neighbours as well. */
function adviceOn(key: unknown, advice: string): string {
  return Number.isInteger(key) && !Number.isSafeInteger(key)
    ? "a number beyond 2^53 - 1 is not exact, pass a bigint"
    : advice;
}
