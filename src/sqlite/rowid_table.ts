/**
 * Reads ordinary tables: b-trees of kind "table", whose rows are found by row id.
 * @module
 */
import { isSameName, type TableDefinition } from "./create_table.ts";
import { copyPart, Cursor } from "./cursor.ts";
import { decodeRecord, type SqlValue } from "./record.ts";
import type { Payload, TreeShape } from "./tree_shape.ts";

/** A row of an ordinary table. */
export interface RowidRow {
  readonly rowid: number | bigint;
  /** One value per column of the table, in the order of `columns`. */
  readonly values: readonly SqlValue[];
}

/** What a scan over rows takes. */
export interface RowsOptions {
  readonly signal?: AbortSignal;
}

const BATCH_ROWS_MAX = 1024;
const BATCH_BYTES_MAX = 1 << 18;

/** An ordinary table. */
export class RowidTable {
  /** Names of the columns, in the order of the `CREATE TABLE` statement. */
  readonly columns: readonly string[];
  readonly #shape: TreeShape;
  readonly #rootPage: number;
  readonly #definition: TableDefinition;

  constructor(shape: TreeShape, rootPage: number, definition: TableDefinition) {
    this.#shape = shape;
    this.#rootPage = rootPage;
    this.#definition = definition;
    this.columns = definition.columns.map((column) => column.name);
  }

  /** Position of a column in `values`; -1 when there is none. Case does not matter, as in SQL. */
  columnIndex(name: string): number {
    return this.columns.findIndex((column) => isSameName(column, name));
  }

  /**
   * All rows in ascending order of their ids, in arrays of up to 1024 rows or about 256 KiB.
   *
   * @throws {CorruptFileError} as soon as damage is met; rows before it have been given.
   */
  async *rows(options: RowsOptions = {}): AsyncGenerator<RowidRow[], void, undefined> {
    const { signal } = options;
    const cursor = new Cursor(this.#shape, "table", this.#rootPage);
    let batch: RowidRow[] = [];
    let batchBytes = 0;
    let last: number | bigint | undefined;
    signal?.throwIfAborted();
    for (let step = cursor.step(); step !== "end"; step = cursor.step()) {
      if (step === "wait") {
        await cursor.wait(signal);
        continue;
      }
      const rowid = cursor.rowid();
      if (last !== undefined && rowid <= last) throw cursor.corruptRow("row ids must ascend");
      last = rowid;
      const payload = cursor.payload();
      const record = copyPart(this.#shape, payload, { span: [0, payload.sizeBytes], signal });
      const bytes = record instanceof Uint8Array ? record : await record;
      batch.push({ rowid, values: this.#valuesOf(bytes, [rowid, payload]) });
      batchBytes += bytes.byteLength;
      if (batch.length < BATCH_ROWS_MAX && batchBytes < BATCH_BYTES_MAX) continue;
      yield batch;
      signal?.throwIfAborted();
      batch = [];
      batchBytes = 0;
    }
    if (batch.length > 0) yield batch;
  }

  /**
   * The values of one row, or null.
   *
   * @throws {CorruptFileError} when damage is met on the way to the row.
   */
  async getByRowid(rowid: number | bigint, signal?: AbortSignal): Promise<readonly SqlValue[] | null> {
    if (typeof rowid === "number" && !Number.isSafeInteger(rowid)) return null;
    signal?.throwIfAborted();
    const cursor = new Cursor(this.#shape, "table", this.#rootPage);
    cursor.narrow(rowid);
    for (let step = cursor.step(); step !== "end"; step = cursor.step()) {
      if (step === "wait") {
        await cursor.wait(signal);
        continue;
      }
      const found = cursor.rowid();
      if (found > rowid || found < rowid) return null;
      const payload = cursor.payload();
      const bytes = await copyPart(this.#shape, payload, { span: [0, payload.sizeBytes], signal });
      return this.#valuesOf(bytes, [found, payload]);
    }
    return null;
  }

  #valuesOf(record: Uint8Array, [rowid, payload]: readonly [number | bigint, Payload]): SqlValue[] {
    const { columns, rowidColumn } = this.#definition;
    const byteOffset = (payload.pageNumber - 1) * this.#shape.pageSizeBytes + payload.offset;
    const values = decodeRecord(record, byteOffset);
    // Rows written before ALTER TABLE … ADD COLUMN lack the new columns.
    for (let i = values.length; i < columns.length; i++) values.push(columns[i]!.defaultValue);
    if (rowidColumn >= 0 && values[rowidColumn] === null) values[rowidColumn] = rowid;
    return values;
  }
}
