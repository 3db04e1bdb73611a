/**
 * The key-value half of rows that carry vectors: what a table of keys and values is built from.
 * @module
 */
import type { RowCursor, SortedRows } from "../rows.ts";
import { VectorCell } from "../vector/vector_cell.ts";

/** The rows that have a value, less their vectors; rows without one are stepped over. */
export async function keyValueRows(rows: SortedRows): Promise<SortedRows> {
  // A write has values in all rows or in none.
  await using first = new KeyValueCursor(await rows.open());
  let hasValues = first.next();
  while (!hasValues && await first.refill()) hasValues = first.next();
  return {
    rowCountMax: hasValues ? rows.rowCountMax : 0,
    open: async () => hasValues ? new KeyValueCursor(await rows.open()) : NO_ROWS,
  };
}

class KeyValueCursor implements RowCursor {
  bytes: Uint8Array;
  start = 0;
  keyLength = 0;
  valueLength = 0;
  readonly #rows: RowCursor;
  readonly #cell = new VectorCell();

  constructor(rows: RowCursor) {
    this.#rows = rows;
    this.bytes = rows.bytes;
  }

  next(): boolean {
    const rows = this.#rows;
    const cell = this.#cell;
    while (rows.next()) {
      const keyEnd = rows.start + rows.keyLength;
      cell.read(rows.bytes, keyEnd + rows.valueLength);
      if (!cell.hasValue) continue;
      this.bytes = rows.bytes;
      this.start = rows.start;
      this.keyLength = rows.keyLength;
      this.valueLength = cell.valueBytes;
      return true;
    }
    return false;
  }

  refill(): Promise<boolean> {
    return this.#rows.refill();
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#rows[Symbol.asyncDispose]();
  }
}

const NO_ROWS: RowCursor = {
  bytes: new Uint8Array(0),
  start: 0,
  keyLength: 0,
  valueLength: 0,
  next: () => false,
  refill: () => Promise.resolve(false),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};
