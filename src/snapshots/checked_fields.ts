/**
 * Fields by their names, checked while they are read: of JSON, and of rows.
 * @module
 */
import { type JsonObject, type JsonValue, parseJson } from "../bytes/python_json.ts";
import { parseStamp } from "../bytes/timestamps.ts";
import { ManifestParseError } from "../errors.ts";
import { stateOf } from "../option_fields.ts";
import type { SqlValue } from "../sqlite/record.ts";

/** Throws; `problem` completes the sentence "Cannot … as …", `path` names the column or the JSON field. */
export type Refuse = (problem: string, path: string) => never;

/** What a field may hold. */
export type FieldValue = SqlValue | JsonValue | undefined;

/** What a field must hold: how that is called, and how it is read, undefined when it is something else. */
export type Kind<T> = readonly [expected: string, read: (value: FieldValue) => T | undefined];

/** Any text. */
export const text: Kind<string> = ["text", (value) => typeof value === "string" ? value : undefined];
/** A date-time, read as microseconds since 1970. */
export const stamp: Kind<number> = ["a date-time", (value) => parseStamp(String(value)) ?? undefined];
/** The text of an object of JSON. */
export const jsonObject: Kind<JsonObject> = ["a JSON object", (value) => {
  const parsed = typeof value === "string" ? jsonOf(value) : undefined;
  return isJsonObject(parsed) ? parsed : undefined;
}];

/** A function that throws what is wrong with an object. */
export function refusing(what: "pointer" | "manifest" | "run record", ref: string): Refuse {
  return (problem) => {
    throw new ManifestParseError(`Cannot read the ${what} "${ref}" as ${problem}`, ref);
  };
}

/**
 * A function that reads fields by their names.
 *
 * @param where What stands in front of the names in errors.
 */
export function readerOf(
  row: Readonly<Record<string, FieldValue>>,
  refuse: Refuse,
  where: string,
): <T>(name: string, kind: Kind<T>) => T {
  return (name, [expected, read]) => {
    const value = row[name];
    const found = read(value);
    if (found !== undefined) return found;
    return refuse(`"${where}${name}" must be ${expected}: ${stateOf(value)}`, where + name);
  };
}

/** What a text of JSON says; undefined when it is none. */
export function jsonOf(value: FieldValue): JsonValue | undefined {
  try {
    return typeof value === "string" ? parseJson(value) : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a value of JSON is an object. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
