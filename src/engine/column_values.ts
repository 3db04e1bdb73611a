/**
 * Values of columns, as libraries for Arrow and Parquet give them, as values of JSON; bytes stay bytes.
 * @module
 */
import { Buffer } from "node:buffer";
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";
import { ConfigValidationError } from "../errors.ts";

/** Names a row in errors: `line 3 of rows.csv`. */
export type Where = () => string;

/** What a column may hold. */
export type ColumnValue = JsonValue | Uint8Array;

/** A row whose columns were read one by one. */
export type ColumnRow = Readonly<Record<string, ColumnValue>>;

/**
 * The value of a column. Times become texts (`2026-01-02T03:04:05.000Z`), lists and vectors arrays, structs and maps
 * objects; whole numbers stay exact.
 *
 * @throws {ConfigValidationError} for what JSON has no form for.
 */
export function columnValueOf(value: unknown, where: Where): ColumnValue {
  return value instanceof Uint8Array ? value : jsonValueOf(value, where);
}

/** The same with bytes as text in base64: for values that are JSON. */
export function jsonRowOf(row: ColumnRow): JsonObject {
  const entries = Object.entries(row).map((
    [name, value],
  ) => [name, value instanceof Uint8Array ? base64(value) : value]);
  return Object.fromEntries(entries);
}

function jsonValueOf(value: unknown, where: Where): JsonValue {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      if (Number.isFinite(value)) return value;
      throw new ConfigValidationError(`Cannot store ${value} in ${where()} as JSON has no such number`, "value");
    case "bigint":
      return BigInt(Number(value)) === value && Number.isSafeInteger(Number(value)) ? Number(value) : value;
    case "undefined":
      return null;
    case "object":
      return value === null ? null : objectOf(value, where);
    default:
      throw new ConfigValidationError(`Cannot store a ${typeof value} in ${where()} as JSON`, "value");
  }
}

function objectOf(value: object, where: Where): JsonValue {
  if (value instanceof Uint8Array) return base64(value);
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map((item) => jsonValueOf(item, where));
  if (ArrayBuffer.isView(value)) return Array.from(value as Float32Array, (item) => jsonValueOf(item, where));
  // Lists, structs and maps of Arrow.
  const { toJSON } = value as { toJSON?: unknown };
  if (typeof toJSON === "function") return jsonValueOf(toJSON.call(value), where);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, jsonValueOf(item, where)]));
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}
