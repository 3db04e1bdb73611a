/**
 * Values of columns: read when an expression needs them, and checked then.
 *
 * What Python's binding takes is taken here, and means the same: booleans for numbers, whole numbers for doubles, valid
 * UTF-8 for strings. Python ends strings and bytes at their first NUL; {@linkcode NulRule} says what happens to them.
 * @module
 */
import type { CheckedNode } from "./ast.ts";
import { Fault, Refusal } from "./cel_error.ts";
import type { ColumnType } from "./checker.ts";
import { canonical, type Integer, isInt64, isUint64 } from "./numbers.ts";
import { decodeText } from "./strings.ts";

/**
 * What becomes of strings and bytes with a NUL in a column: `cut` ends them there, as Python does, whose rows can be
 * found only so; `refuse` makes the evaluation fail; `keep` takes them whole, where no Python is to read.
 */
export type NulRule = "cut" | "refuse" | "keep";

/** Where the values of a row lie. */
export interface RowSlots {
  /** One value for each column, in the order of the checked expression. */
  readonly slots: unknown[];
  readonly nul: NulRule;
}

/** A column in an expression. */
export type ColumnNode = CheckedNode & { readonly kind: "column" };

/** Gives the value of a column in the form that the language has for its type. */
export function columnReader(column: ColumnNode, row: RowSlots): () => unknown {
  switch (column.type as ColumnType) {
    case "int":
      return integerReader(column, row, false);
    case "uint":
      return integerReader(column, row, true);
    case "double":
      return doubleReader(column, row);
    case "bool":
      return boolReader(column, row);
    case "string":
      return stringReader(column, row);
    case "bytes":
      return bytesReader(column, row);
  }
}

function integerReader(column: ColumnNode, { slots }: RowSlots, isUint: boolean): () => Integer {
  const { slot } = column;
  const least = isUint ? 0 : Number.MIN_SAFE_INTEGER;
  const isInRange = isUint ? isUint64 : isInt64;
  return () => {
    const value = slots[slot];
    if (typeof value === "number" && value >= least && Number.isSafeInteger(value)) return value + 0;
    if (typeof value === "bigint") {
      const near = Number(value);
      if (near >= least && near <= Number.MAX_SAFE_INTEGER) return near;
      if (isInRange(value)) return canonical(value);
      throw new Fault(`the value of column "${column.name}" does not fit into ${column.type}: ${value}`, column);
    }
    if (typeof value === "boolean") return value ? 1 : 0;
    throw wrongValue(
      column,
      value,
      isUint ? "a whole number from 0 up, safe or bigint" : "a whole number, safe or bigint",
    );
  };
}

function doubleReader(column: ColumnNode, { slots }: RowSlots): () => number {
  return () => {
    const value = slots[column.slot];
    if (typeof value === "number") return value;
    if (typeof value === "boolean") return value ? 1 : 0;
    const converted = typeof value === "bigint" ? Number(value) : NaN;
    if (Number.isFinite(converted)) return converted;
    throw wrongValue(column, value, "a number");
  };
}

function boolReader(column: ColumnNode, { slots }: RowSlots): () => boolean {
  return () => {
    const value = slots[column.slot];
    if (typeof value === "boolean") return value;
    throw wrongValue(column, value, "a boolean");
  };
}

/** Up to this length a loop in here beats two calls of the engine. */
const LOOP_LENGTH_MAX = 32;

function stringReader(column: ColumnNode, { slots, nul }: RowSlots): () => string {
  const { slot } = column;
  return () => {
    const value = slots[slot];
    if (typeof value === "string" && value.length <= LOOP_LENGTH_MAX) {
      let i = 0;
      for (; i < value.length; i++) {
        const unit = value.charCodeAt(i);
        if (unit === 0 || (unit & 0xf800) === 0xd800) break;
      }
      if (i === value.length) return value;
    }
    return checkedText(column, typeof value === "string" ? value : textOfBytes(column, value, nul), nul);
  };
}

function checkedText(column: ColumnNode, text: string, nul: NulRule): string {
  if (!text.isWellFormed()) throw new Refusal(`column "${column.name}" has a lone surrogate`, column);
  const at = nul === "keep" ? -1 : text.indexOf("\0");
  return at < 0 ? text : text.slice(0, nulEnd(column, at, nul));
}

/** Bytes are cut before they are decoded: what follows a NUL need not be text. */
function textOfBytes(column: ColumnNode, value: unknown, nul: NulRule): string {
  if (!(value instanceof Uint8Array)) throw wrongValue(column, value, "a string");
  const text = decodeText(checkedBytes(column, value, nul));
  if (text === null) throw new Refusal(`column "${column.name}" has bytes that are not valid UTF-8`, column);
  return text;
}

function bytesReader(column: ColumnNode, { slots, nul }: RowSlots): () => Uint8Array {
  return () => {
    const value = slots[column.slot];
    if (value instanceof Uint8Array) return checkedBytes(column, value, nul);
    throw wrongValue(column, value, "a Uint8Array");
  };
}

function checkedBytes(column: ColumnNode, bytes: Uint8Array, nul: NulRule): Uint8Array {
  const at = nul === "keep" ? -1 : bytes.indexOf(0);
  return at < 0 ? bytes : bytes.subarray(0, nulEnd(column, at, nul));
}

/** Where a value ends that has its first NUL at `at`. */
function nulEnd(column: ColumnNode, at: number, nul: NulRule): number {
  if (nul === "cut") return at;
  throw new Refusal(`column "${column.name}" has a NUL, after which Python reads nothing`, column);
}

function wrongValue(column: ColumnNode, value: unknown, expected: string): Fault {
  if (value === undefined) return new Fault(`the row has no column "${column.name}"`, column);
  const found = typeof value === "number" || typeof value === "bigint" ? `: ${value}` : ` of type ${typeof value}`;
  return new Fault(`the value of column "${column.name}" must be ${expected}, current value is${found}`, column);
}
