/**
 * Conversions between types, as the C++ library does them that Python's engine uses.
 * @module
 */
import type { Place } from "./ast.ts";
import { Fault, Refusal } from "./cel_error.ts";
import { canonical, type Integer, isInt64, isUint64 } from "./numbers.ts";
import { decodeText } from "./strings.ts";

const INTEGER = /^[\t-\r ]*([+-]?[0-9]+)[\t-\r ]*$/;
const DECIMAL = /^[\t-\r ]*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[\t-\r ]*$/;
const INFINITE = /^[\t-\r ]*([+-]?)inf(?:inity)?[\t-\r ]*$/i;
const NAN = /^[\t-\r ]*[+-]?nan[\t-\r ]*$/i;
/** Texts that C++ may read as numbers; which of them and how is not worth knowing. */
const STRANGE_NUMBER = /^[\t-\r ]*[+-]?(?:0x|nan)/i;

const MAX_UINT64_DOUBLE = 2 ** 64;
const MAX_INT64_DOUBLE = 2 ** 63;

/** `int(string)`. */
export function textToInt(text: string, place: Place): Integer {
  const digits = INTEGER.exec(text)?.[1];
  const value = digits === undefined ? null : BigInt(digits.replace("+", ""));
  if (value === null || !isInt64(value)) throw new Fault("cannot convert string to int", place);
  return canonical(value);
}

/** `uint(string)`. */
export function textToUint(text: string, place: Place): Integer {
  const digits = INTEGER.exec(text)?.[1];
  const value = digits === undefined || digits.startsWith("-") ? null : BigInt(digits.replace("+", ""));
  if (value === null || !isUint64(value)) throw new Fault("cannot convert string to uint", place);
  return canonical(value);
}

/** `int(double)`: towards zero; neither end of the range is part of it. */
export function doubleToInt(value: number, place: Place): Integer {
  if (value > -MAX_INT64_DOUBLE && value < MAX_INT64_DOUBLE) return truncated(value);
  throw new Fault("double out of int64 range", place);
}

/** `uint(double)`: towards zero. */
export function doubleToUint(value: number, place: Place): Integer {
  if (value >= 0 && value < MAX_UINT64_DOUBLE) return truncated(value);
  throw new Fault("double out of uint64 range", place);
}

function truncated(value: number): Integer {
  const whole = Math.trunc(value) + 0;
  return Number.isSafeInteger(whole) ? whole : BigInt(whole);
}

/** `int(uint)`. */
export function uintToInt(value: Integer, place: Place): Integer {
  if (typeof value === "number" || isInt64(value)) return value;
  throw new Fault("uint64 out of int64 range", place);
}

/** `uint(int)`. */
export function intToUint(value: Integer, place: Place): Integer {
  if (value >= 0) return value;
  throw new Fault("int64 out of uint64 range", place);
}

/** `double(string)`. */
export function textToDouble(text: string, place: Place): number {
  const decimal = DECIMAL.exec(text)?.[1];
  if (decimal !== undefined) return Number(decimal);
  const sign = INFINITE.exec(text)?.[1];
  if (sign !== undefined) return sign === "-" ? -Infinity : Infinity;
  if (NAN.test(text)) return NaN;
  if (STRANGE_NUMBER.test(text)) throw new Refusal("hexadecimal texts are not converted to double", place);
  throw new Fault("cannot convert string to double", place);
}

/** `bool(string)`. */
export function textToBool(text: string, place: Place): boolean {
  if (/^(?:true|True|TRUE|t|1)$/.test(text)) return true;
  if (/^(?:false|False|FALSE|f|0)$/.test(text)) return false;
  throw new Fault("cannot convert string to bool", place);
}

/** `string(bytes)`. */
export function bytesToText(bytes: Uint8Array, place: Place): string {
  const text = decodeText(bytes);
  if (text === null) throw new Fault("malformed UTF-8 bytes", place);
  return text;
}

/**
 * `string(double)`: the shortest digits that give the number again, laid out as `%g` of C does: `100000`, `1e+06`.
 *
 * The sign of a NaN, which C prints, cannot be seen from here.
 */
export function doubleToText(value: number, place: Place): string {
  if (Number.isNaN(value)) throw new Refusal("NaN has no certain text", place);
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 1e6) return String(value);
  if (value === 0) return Object.is(value, -0) ? "-0" : "0";
  const [digits, exponent] = value.toExponential().split("e") as [string, string];
  return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}
