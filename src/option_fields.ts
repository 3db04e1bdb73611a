/**
 * Checks options by hand: for readers at the edge, whose bundles have no room for a schema library.
 * @module
 */
import { ConfigValidationError } from "./errors.ts";

/** Says what a value must be when it is not, e.g. `"a function"`; null when it is. */
export type FieldCheck = (value: unknown) => string | null;

/**
 * Checks an object of options, in the order of the checks and then for names that are not known.
 *
 * @param where Prefix of the option's path in errors, e.g. `limits`; empty for top-level options.
 * @param checks One for each option there is. A check is given `undefined` where the option is missing.
 * @throws {ConfigValidationError} at the first wrong option, naming it, what it must be and what it is.
 */
export function checkFields(input: unknown, where: string, checks: Readonly<Record<string, FieldCheck>>): void {
  if (typeof input !== "object" || input === null) refuseOption(where || "options", "an object", input);
  const path = (name: string): string => where ? `${where}.${name}` : name;
  for (const [name, check] of Object.entries(checks)) {
    const value = (input as Record<string, unknown>)[name];
    const expected = check(value);
    if (expected !== null) refuseOption(path(name), expected, value);
  }
  for (const name in input) {
    if (!Object.hasOwn(checks, name)) refuseUnknownOption(path(name));
  }
}

/** The check, passed by options that are left out as well. */
export function optional(check: FieldCheck): FieldCheck {
  return (value) => value === undefined ? null : check(value);
}

/** Passed by whole numbers from `least` up: for counts and sizes. */
export function integerFrom(least: number): FieldCheck {
  return (value) => Number.isSafeInteger(value) && Number(value) >= least ? null : `a whole number from ${least} up`;
}

/** Passed by finite numbers above 0: for rates and durations. */
export function numberAboveZero(value: unknown): string | null {
  return typeof value === "number" && value > 0 && value < Infinity ? null : "a number above 0";
}

/** Passed by functions. */
export function anyFunction(value: unknown): string | null {
  return typeof value === "function" ? null : "a function";
}

/** Passed by strings that are not empty. */
export function nonEmptyString(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? null : "a non-empty string";
}

/** Passed by objects that have the methods or fields named: for interfaces such as stores and backends. */
export function objectOf(expected: string, ...members: readonly string[]): FieldCheck {
  return (value) =>
    typeof value === "object" && value !== null && members.every((name) => name in value) ? null : expected;
}

/** Passed by signals. */
export function signalCheck(value: unknown): string | null {
  return value instanceof AbortSignal ? null : "an AbortSignal";
}

/** Passed by what is a clock. */
export const clockCheck: FieldCheck = objectOf("a clock", "nowMicros", "monotonicMs", "sleep");

/** Passed by stores that can be read. */
export const storeCheck: FieldCheck = objectOf("a store, such as fsStore(…)", "url", "get", "getRanges");

/** Throws what is said of every wrong option. @throws {ConfigValidationError} */
export function refuseOption(path: string, expected: string, value: unknown): never {
  throw new ConfigValidationError(`Cannot use option "${path}" as it must be ${expected}: ${stateOf(value)}`, path);
}

/** The end of a sentence about a wrong value. */
export function stateOf(value: unknown): string {
  return value === undefined ? "it is missing" : `current value is ${shown(value)}`;
}

/** Throws what is said of every option that does not exist. @throws {ConfigValidationError} */
export function refuseUnknownOption(path: string): never {
  throw new ConfigValidationError(`Cannot use option "${path}": there is no option of that name`, path);
}

/** A short rendering of any value for an error message; never throws, never long. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(shortened(value));
  if (typeof value === "bigint") return shortened(`${value}n`);
  if (typeof value === "function") return "a function";
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
