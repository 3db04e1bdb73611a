/**
 * Options checked by hand say the same as options checked by valibot.
 * @module
 */
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import * as v from "valibot";
import {
  anyFunction,
  checkFields,
  integerFrom,
  nonEmptyString,
  numberAboveZero,
  objectOf,
  optional,
} from "../src/option_fields.ts";
import { functionOf, objectWith, parseOptions, positiveInteger, positiveNumber, wholeNumber } from "../src/options.ts";

const checks = {
  count: integerFrom(1),
  limit: optional(integerFrom(0)),
  rate: optional(numberAboveZero),
  name: optional(nonEmptyString),
  store: optional(objectOf("a store", "get", "url")),
  call: optional(anyFunction),
};
const schema = v.strictObject({
  count: positiveInteger,
  limit: v.optional(wholeNumber),
  rate: v.optional(positiveNumber),
  name: v.optional(v.pipe(v.string("a non-empty string"), v.minLength(1, "a non-empty string"))),
  store: v.optional(objectWith<{ get: unknown; url: unknown }>("a store", "get", "url")),
  call: v.optional(functionOf<() => void>()),
}) as unknown as v.GenericSchema<unknown, object>;

function outcomeOf(check: () => unknown): unknown {
  try {
    check();
    return "passed";
  } catch (error) {
    const { message, code, path } = error as { message: string; code?: string; path?: string };
    return { message, code, path };
  }
}

test("checkFields() passes and refuses what parseOptions() does, in the same words", () => {
  const wrong = [0, -1, 1.5, NaN, Infinity, 2 ** 53, "x", "", null, true, 7n, [], {}, { get: 1 }, () => 0, [1, 2]];
  const inputs: unknown[] = [{ count: undefined }, { count: 1, other: 2 }, { count: 3, store: { get: 1, url: 2 } }];
  for (const name of Object.keys(checks)) for (const value of wrong) inputs.push({ count: 1, [name]: value });
  for (const input of inputs) {
    for (const where of ["", "outer"]) {
      deepEqual(
        outcomeOf(() => checkFields(input, where, checks)),
        outcomeOf(() => parseOptions(schema, input, where)),
        `${where} ${JSON.stringify(input, (_, value) => typeof value === "bigint" ? String(value) : value)}`,
      );
    }
  }
});

test("checkFields() refuses what is no object", () => {
  const expected = 'Cannot use option "options" as it must be an object: current value is 5';
  equal((outcomeOf(() => checkFields(5, "", checks)) as Error).message, expected);
});

test("checkFields() says what a missing option must be", () => {
  const expected = 'Cannot use option "a.count" as it must be a whole number from 1 up: it is missing';
  equal((outcomeOf(() => checkFields({}, "a", checks)) as Error).message, expected);
});
