/**
 * Rows to records: the payload format of SQLite's cells (section 2.1 of the file format).
 *
 * A record is a header (its length, then one serial type per column, all varints) and the columns' bytes. Serial types:
 * 0 NULL, 1…6 big-endian integers of 1, 2, 3, 4, 6, 8 bytes, 7 a float64, 8 and 9 the constants 0 and 1,
 * `12 + 2n` a blob of n bytes, `13 + 2n` a text of n bytes.
 * @module
 */
import { putVarint, varintBytes } from "./format.ts";
import type { SqlValue } from "./record.ts";

/** The record of a row. A `number` that is whole is stored as an integer, as SQLite does for integer columns. */
export function encodeRecord(values: readonly (SqlValue | Uint8Array)[]): Uint8Array {
  const columns = values.map(encodeColumn);
  const typesBytes = columns.reduce((sum, { serialType }) => sum + varintBytes(serialType), 0);
  let headerBytes = typesBytes + 1;
  if (varintBytes(headerBytes) > 1) headerBytes = typesBytes + varintBytes(typesBytes + 2);
  const record = new Uint8Array(columns.reduce((sum, { bytes }) => sum + bytes.length, headerBytes));
  let at = putVarint(record, 0, headerBytes);
  for (const { serialType } of columns) at = putVarint(record, at, serialType);
  for (const { bytes } of columns) {
    record.set(bytes, at);
    at += bytes.length;
  }
  return record;
}

const NOTHING = new Uint8Array(0);

function encodeColumn(value: SqlValue | Uint8Array): { serialType: number; bytes: Uint8Array } {
  if (value === null) return { serialType: 0, bytes: NOTHING };
  if (typeof value === "string") {
    const bytes = new TextEncoder().encode(value);
    return { serialType: 13 + 2 * bytes.length, bytes };
  }
  if (value instanceof Uint8Array) return { serialType: 12 + 2 * value.length, bytes: value };
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value);
    return { serialType: 7, bytes };
  }
  return encodeInteger(BigInt(value));
}

function encodeInteger(value: bigint): { serialType: number; bytes: Uint8Array } {
  if (value === 0n) return { serialType: 8, bytes: NOTHING };
  if (value === 1n) return { serialType: 9, bytes: NOTHING };
  const widths = [1, 2, 3, 4, 6, 8];
  const index = widths.findIndex((width) => BigInt.asIntN(8 * width, value) === value);
  if (index < 0) throw new RangeError(`Cannot store ${value} as a SQLite integer as it must fit 64 bits`);
  const wide = new Uint8Array(8);
  new DataView(wide.buffer).setBigInt64(0, value);
  return { serialType: index + 1, bytes: wide.subarray(8 - widths[index]!) };
}

/** Where a cell's head is put together; a `TreeWriter` is one. */
export interface CellHead {
  readonly head: Uint8Array;
  headBytes: number;
  varintBytes: number;
}

/**
 * Prepares the head of a cell of an index b-tree whose record is two blobs, a key and a value: payload size, then the
 * record's header. It serves all rows of these lengths.
 */
export function putKeyValueHead(cell: CellHead, keyLength: number, valueLength: number): void {
  const { head } = cell;
  const keyType = 12 + 2 * keyLength;
  const valueType = 12 + 2 * valueLength;
  const headerBytes = 1 + varintBytes(keyType) + varintBytes(valueType);
  cell.varintBytes = putVarint(head, 0, headerBytes + keyLength + valueLength);
  head[cell.varintBytes] = headerBytes;
  cell.headBytes = putVarint(head, putVarint(head, cell.varintBytes + 1, keyType), valueType);
}
