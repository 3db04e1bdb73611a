/**
 * Turns what a caller passed into complete, checked options; valibot issues become our errors.
 * @module
 */
import * as v from "valibot";
import type { Clock } from "./clock.ts";
import { refuseOption, refuseUnknownOption } from "./option_fields.ts";

export { shown } from "./option_fields.ts";

/** A whole number from 1 up: for counts and size limits. */
export const positiveInteger: v.GenericSchema<number> = v.pipe(
  v.number("a whole number from 1 up"),
  v.safeInteger("a whole number from 1 up"),
  v.minValue(1, "a whole number from 1 up"),
);

/** A whole number from 0 up. */
export const wholeNumber: v.GenericSchema<number> = v.pipe(
  v.number("a whole number from 0 up"),
  v.safeInteger("a whole number from 0 up"),
  v.minValue(0, "a whole number from 0 up"),
);

/** A number above zero: for rates and durations. */
export const positiveNumber: v.GenericSchema<number> = v.pipe(
  v.number("a number above 0"),
  v.finite("a number above 0"),
  v.gtValue(0, "a number above 0"),
);

/** A string that is not empty: for names of objects. */
export const nonEmptyText: v.GenericSchema<string> = v.pipe(
  v.string("a non-empty string"),
  v.minLength(1, "a non-empty string"),
);

/** A function of any signature; the caller's annotation says which. */
export function functionOf<F>(): v.GenericSchema<F> {
  return v.function("a function") as unknown as v.GenericSchema<F>;
}

/** An object that has the methods or fields named: for interfaces such as stores and backends. */
export function objectWith<T>(expected: string, ...members: readonly (keyof T & string)[]): v.GenericSchema<T> {
  return v.custom<T>(
    (input) => typeof input === "object" && input !== null && members.every((name) => name in input),
    expected,
  );
}

/** A clock: for tests, which then own the time. */
export const clockOption: v.GenericSchema<Clock> = objectWith("a clock", "nowMicros", "monotonicMs", "sleep");

/** A signal. */
export const signalOption: v.GenericSchema<AbortSignal> = v.instance(AbortSignal, "an AbortSignal");

/**
 * Fills in defaults and freezes.
 *
 * @param where Prefix of the option's path in errors, e.g. `hashSharding`; empty for top-level options.
 * @throws {ConfigValidationError} at the first wrong option, naming it, what it must be and what it is.
 */
export function parseOptions<I, O extends object>(
  schema: v.GenericSchema<I, O>,
  input: I,
  where: string = "",
): Readonly<O> {
  const result = v.safeParse(schema, input, { abortEarly: true });
  if (result.success) return Object.freeze(result.output);
  const issue = result.issues[0];
  const dotPath = v.getDotPath(issue);
  const path = [where, dotPath].filter((part) => part).join(".") || "options";
  if (issue.type === "strict_object" && issue.expected === "never") refuseUnknownOption(path);
  const expected = issue.message.startsWith("Invalid ") ? (issue.expected ?? "valid") : issue.message;
  refuseOption(path, expected, issue.input);
}
