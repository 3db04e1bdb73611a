// Packs rows without the code under test.
import type { PackedRows } from "../../src/rows.ts";

export type Row = readonly [key: string, value: string];

/** Rows as packed bytes; characters are bytes. */
export function packed(rows: readonly Row[]): PackedRows {
  const starts = new Uint32Array(rows.length + 1);
  const keyLengths = new Uint32Array(rows.length);
  rows.forEach(([key, value], index) => {
    keyLengths[index] = key.length;
    starts[index + 1] = starts[index]! + key.length + value.length;
  });
  const bytes = new Uint8Array(Buffer.from(rows.map((row) => row.join("")).join(""), "latin1"));
  return { rowCount: rows.length, starts, keyLengths, bytes };
}

/** The rows of packed bytes. */
export function unpacked(rows: PackedRows): Row[] {
  return Array.from({ length: rows.rowCount }, (_, index) => {
    const text = Buffer.from(rows.bytes.subarray(rows.starts[index], rows.starts[index + 1])).toString("latin1");
    return [text.slice(0, rows.keyLengths[index]), text.slice(rows.keyLengths[index])] as const;
  });
}
