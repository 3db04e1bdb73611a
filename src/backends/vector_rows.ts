/**
 * The vector half of rows that carry vectors: what an engine of vectors is given when another one has the values.
 * @module
 */
import type { RowCursor, SortedRows } from "../rows.ts";
import { putNoValue, VectorCell } from "../vector/vector_cell.ts";

/** The rows that have a vector, less their values. */
export function vectorRows(rows: SortedRows): SortedRows {
  return { rowCountMax: rows.rowCountMax, open: async () => new VectorCursor(await rows.open()) };
}

class VectorCursor implements RowCursor {
  bytes: Uint8Array = new Uint8Array(1 << 12);
  readonly start = 0;
  keyLength = 0;
  valueLength = 0;
  readonly #rows: RowCursor;
  readonly #cell = new VectorCell();

  constructor(rows: RowCursor) {
    this.#rows = rows;
  }

  next(): boolean {
    const rows = this.#rows;
    const cell = this.#cell;
    while (rows.next()) {
      const keyEnd = rows.start + rows.keyLength;
      cell.read(rows.bytes, keyEnd + rows.valueLength);
      if (!cell.hasVector) continue;
      this.keyLength = rows.keyLength;
      this.valueLength = rows.valueLength - cell.valueBytes;
      if (this.bytes.length < this.keyLength + this.valueLength) {
        this.bytes = new Uint8Array(2 * (this.keyLength + this.valueLength));
      }
      // The value stands between the key and the rest.
      this.bytes.set(rows.bytes.subarray(rows.start, keyEnd));
      this.bytes.set(rows.bytes.subarray(keyEnd + cell.valueBytes, keyEnd + rows.valueLength), this.keyLength);
      putNoValue(this.bytes, this.keyLength + this.valueLength);
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
