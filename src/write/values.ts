/**
 * Ready-made encoders for the option `value`.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";

/** A row as an object of columns. */
export type ColumnRow = Readonly<Record<string, unknown>>;

/**
 * The row, or some of its columns, as a JSON object. Whole numbers beyond 2^53 (bigint) are written as digits.
 *
 * @param columns Which ones, in this order. Default: all that the row has.
 * @throws {ConfigValidationError} from the encoder, when a row lacks a column or cannot be JSON.
 *
 * @example
 * ```ts
 * import { jsonValue } from "./values.ts";
 *
 * const encode = jsonValue(["name"]);
 * if (encode({ id: 1, name: "Ada" }) !== '{"name":"Ada"}') throw new Error("unexpected JSON");
 * ```
 */
export function jsonValue(columns?: readonly string[]): (row: ColumnRow) => string {
  return (row) => {
    const picked = columns === undefined ? row : Object.fromEntries(columns.map((name) => [name, column(row, name)]));
    try {
      return JSON.stringify(picked, (_, value) => typeof value === "bigint" ? rawJson(`${value}`) : value);
    } catch (cause) {
      throw new ConfigValidationError("Cannot store a row as JSON", "value", { cause });
    }
  };
}

/**
 * A column that holds bytes or text, as it is.
 *
 * @throws {ConfigValidationError} from the encoder, when a row lacks the column or has something else in it.
 *
 * @example
 * ```ts
 * import { bytesValue } from "./values.ts";
 *
 * const encode = bytesValue("blob");
 * if (encode({ blob: Uint8Array.of(1, 2) }).length !== 2) throw new Error("unexpected bytes");
 * ```
 */
export function bytesValue(name: string): (row: ColumnRow) => string | Uint8Array {
  return (row) => {
    const value = column(row, name);
    if (typeof value === "string" || value instanceof Uint8Array) return value;
    throw new ConfigValidationError(
      `Cannot store column "${name}" as it must be bytes or a string: current value is ${shown(value)}`,
      "value",
    );
  };
}

/** Digits as they are. TypeScript does not know this function of JSON yet. */
function rawJson(digits: string): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(digits);
}

function column(row: ColumnRow, name: string): unknown {
  if (Object.hasOwn(row, name)) return row[name];
  throw new ConfigValidationError(
    `Cannot find column "${name}" in a row that has ${Object.keys(row).join(", ")}`,
    "value",
  );
}
