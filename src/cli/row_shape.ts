/**
 * Which parts of an input's rows become keys and values.
 * @module
 */
import { type JsonObject, type JsonValue, parseJson } from "../bytes/python_json.ts";
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { Key, KeyEncoding } from "../routing/key.ts";
import { jsonValue } from "../write/values.ts";
import { type ColumnRow, jsonRowOf, type Where } from "../engine/column_values.ts";
import { columnOfText } from "../routing/key_text.ts";

/** A row as `build` hands it on. */
export interface Row {
  readonly key: Key;
  readonly value: string | Uint8Array;
  /** What CEL sharding looks at, but for the key. */
  readonly columns: Readonly<Record<string, unknown>>;
}

/** What is stored as the value of a row. */
export type ValueChoice =
  | { readonly kind: "row" }
  | { readonly kind: "column"; readonly column: string }
  | { readonly kind: "json"; readonly columns: readonly string[] };

/** The options `--key`, `--value` and `--key-encoding`. */
export interface RowShape {
  readonly keyColumn: string;
  readonly value: ValueChoice;
  /** Undefined: by the type of the first key. */
  readonly keyEncoding: KeyEncoding | undefined;
  /** Types by name of the columns that CEL sharding looks at, but for the key. */
  readonly celColumns: Readonly<Record<string, string>>;
}

const NO_COLUMNS = Object.freeze({});

export type { Where } from "../engine/column_values.ts";

/** The option `--value`: nothing, `column`, or `json:column,column`. */
export function parseValueChoice(text: string | undefined): ValueChoice {
  if (text === undefined) return { kind: "row" };
  if (!text.startsWith("json:")) return { kind: "column", column: text };
  return { kind: "json", columns: text.slice("json:".length).split(",").map((name) => name.trim()) };
}

/**
 * Makes rows of lines of NDJSON. Whole numbers of any size stay exact.
 *
 * @throws {ConfigValidationError} from the function, naming the line: no JSON object, no such column, no such key.
 */
export function ndjsonRowOf(shape: RowShape): (line: string, where: Where) => Row {
  const keyOf = keyReader(shape.keyEncoding);
  const { value, keyColumn } = shape;
  const celNames = Object.keys(shape.celColumns);
  const columnsOf = celNames.length === 0
    ? () => NO_COLUMNS
    : (row: JsonObject, where: Where) => Object.fromEntries(celNames.map((name) => [name, column(row, name, where)]));
  if (value.kind === "row") {
    const read = [keyColumn, ...celNames];
    return (line, where) => {
      const row = parsed(line, read, where);
      return { key: keyOf(column(row, keyColumn, where), where), value: line, columns: columnsOf(row, where) };
    };
  }
  const names = value.kind === "column" ? [value.column] : value.columns;
  const read = [keyColumn, ...names, ...celNames];
  const render = value.kind === "json" ? jsonValue(names) : null;
  return (line, where) => {
    const row = parsed(line, read, where);
    const key = keyOf(column(row, keyColumn, where), where);
    const picked = names.map((name) => column(row, name, where));
    const columns = columnsOf(row, where);
    return { key, value: render === null ? textOf(picked[0]!, where) : render(row), columns };
  };
}

/**
 * Makes rows of the records of a CSV file with this header.
 *
 * @throws {ConfigValidationError} at once when the header lacks a column or has it twice; from the function, naming the
 * line, for records of another length and for wrong keys.
 */
export function csvRowOf(shape: RowShape, header: readonly string[], where: Where): (
  record: readonly string[],
  where: Where,
) => Row {
  const place = (name: string): number => placeOf(header, name, where);
  const { value } = shape;
  const encoding = shape.keyEncoding ?? "utf8";
  const isNumeric = encoding === "u64be" || encoding === "u32be";
  const keyOf = keyReader(encoding);
  const keyAt = place(shape.keyColumn);
  const valueAt = value.kind === "column" ? place(value.column) : -1;
  const cel = Object.entries(shape.celColumns).map(([name, type]) => [name, place(name), type] as const);
  const columnsOf = (record: readonly string[]): Row["columns"] =>
    Object.fromEntries(cel.map(([name, at, type]) => [name, columnOfText(record[at]!, type)]));
  const names = value.kind === "json" ? value.columns : header;
  // The names are the same in every row: rendered once.
  const members = names.map((name) => [`${JSON.stringify(name)}:`, place(name)] as const);
  return (record, where) => {
    if (record.length !== header.length) {
      throw new ConfigValidationError(
        `Cannot read ${where()} as it must have ${header.length} fields as the header does: it has ${record.length}`,
        "value",
      );
    }
    const text = record[keyAt]!;
    const key = keyOf(isNumeric && /^-?\d+$/.test(text) ? wholeNumber(text) : text, where);
    const columns = cel.length === 0 ? NO_COLUMNS : columnsOf(record);
    if (valueAt >= 0) return { key, value: record[valueAt]!, columns };
    return { key, columns, value: `{${members.map(([name, at]) => name + JSON.stringify(record[at])).join(",")}}` };
  };
}

/**
 * Makes rows of objects whose columns were read one by one. Bytes are keys (`raw`) and values as they are, and text in
 * base64 where values are JSON.
 *
 * @throws {ConfigValidationError} from the function, naming the row: no such column, no such key.
 */
export function objectRowOf(shape: RowShape): (row: ColumnRow, where: Where) => Row {
  const keyOf = keyReader(shape.keyEncoding);
  const { value, keyColumn } = shape;
  const celNames = Object.keys(shape.celColumns);
  const render = jsonValue(value.kind === "json" ? value.columns : undefined);
  return (row, where) => {
    const key = column(row, keyColumn, where);
    const picked = value.kind === "column" ? column(row, value.column, where) : null;
    for (const name of value.kind === "json" ? value.columns : []) column(row, name, where);
    return {
      key: key instanceof Uint8Array ? bytesKey(key, shape.keyEncoding, where) : keyOf(key, where),
      value: value.kind !== "column"
        ? render(jsonRowOf(row))
        : picked instanceof Uint8Array
        ? picked
        : textOf(picked, where),
      columns: Object.fromEntries(celNames.map((name) => [name, column(row, name, where)])),
    };
  };
}

/** The columns that are read; undefined: all. */
export function columnsOf({ keyColumn, value, celColumns }: RowShape): readonly string[] | undefined {
  if (value.kind === "row") return undefined;
  return [keyColumn, ...value.kind === "column" ? [value.column] : value.columns, ...Object.keys(celColumns)];
}

function bytesKey(key: Uint8Array, encoding: KeyEncoding | undefined, where: Where): Key {
  if (encoding === undefined || encoding === "raw") return key;
  throw new ConfigValidationError(`Cannot use bytes as the key of ${where()}: give --key-encoding raw`, "key");
}

function placeOf(header: readonly string[], name: string, where: Where): number {
  const at = header.indexOf(name);
  if (at < 0) throw missingColumn(name, header, where);
  if (header.lastIndexOf(name) === at) return at;
  throw new ConfigValidationError(`Cannot tell which column "${name}" is meant: ${where()} has it twice`, "value");
}

/** @param read Columns that will be read: only numbers in these have to be exact. */
function parsed(line: string, read: readonly string[], where: Where): JsonObject {
  let value: JsonValue;
  try {
    value = JSON.parse(line);
    // Exact numbers take several times as long, and few rows have any.
    const isObject = typeof value === "object" && value !== null;
    if (isObject && read.some((name) => mayBeRounded((value as JsonObject)[name]))) value = parseJson(line);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigValidationError(`Cannot read ${where()} as JSON: ${reason}`, "rows");
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw new ConfigValidationError(
    `Cannot read ${where()} as a row as it must be a JSON object: current value is ${shown(value)}`,
    "rows",
  );
}

function mayBeRounded(value: JsonValue | undefined): boolean {
  if (typeof value === "number") return Number.isInteger(value) && !Number.isSafeInteger(value);
  return typeof value === "object" && value !== null;
}

function column<T>(row: Readonly<Record<string, T>>, name: string, where: Where): T {
  if (Object.hasOwn(row, name)) return row[name] as T;
  throw missingColumn(name, Object.keys(row), where);
}

function missingColumn(name: string, names: readonly string[], where: Where): ConfigValidationError {
  const found = names.length === 0 ? "no columns" : `the columns ${names.slice(0, 20).join(", ")}`;
  return new ConfigValidationError(`Cannot find column "${name}" in ${where()}: it has ${found}`, "rows");
}

/** Strings as they are, all else as JSON. */
function textOf(value: JsonValue, where: Where): string {
  if (typeof value !== "string") return typeof value === "object" ? jsonValue()(value as JsonObject) : String(value);
  if (value.isWellFormed()) return value;
  throw new ConfigValidationError(`Cannot store the value of ${where()} as UTF-8 as it has a lone surrogate`, "value");
}

const INTEGERS = {
  u64be: { max: 2n ** 63n - 1n, text: "a whole number from 0 to 2^63 - 1" },
  u32be: { max: 2n ** 32n - 1n, text: "a whole number from 0 to 2^32 - 1" },
} as const;

/** Checks keys row by row, so that errors can name the line; the encoding may follow from the first key. */
function keyReader(given: KeyEncoding | undefined): (value: JsonValue, where: Where) => Key {
  let encoding = given;
  return (value, where) => {
    encoding ??= typeof value === "string" ? "utf8" : "u64be";
    if (encoding === "u64be" || encoding === "u32be") {
      const { max, text } = INTEGERS[encoding];
      if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= max) return value;
      if (typeof value === "bigint" && value >= 0n && value <= max) return value;
      const advice = typeof value === "string" ? "; for keys that are text give --key-encoding utf8" : "";
      throw wrongKey(value, where, `${text}${advice}`);
    }
    if (typeof value === "string" && value.isWellFormed()) return value;
    if (typeof value === "bigint" || Number.isSafeInteger(value)) return String(value);
    throw wrongKey(value, where, "a string without lone surrogates, or a whole number");
  };
}

function wrongKey(value: JsonValue, where: Where, expected: string): ConfigValidationError {
  const text = typeof value === "bigint" ? String(value) : shown(value);
  return new ConfigValidationError(`Cannot use ${text} as the key of ${where()} as it must be ${expected}`, "key");
}

function wholeNumber(digits: string): number | bigint {
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : BigInt(digits);
}
