/**
 * Reads ordinary tables: b-trees of kind "table", whose rows are found by row id.
 * @module
 */
import { isSameName, type TableDefinition } from "./create_table.ts";
import { INTERIOR_TABLE, LEAF_TABLE } from "./format.ts";
import { checkedPage, copyPart, loadTogether } from "./overflow.ts";
import { decodeRecord, type SqlValue } from "./record.ts";
import { corruptLink, corruptPage, DEPTH_MAX, payloadAt, type TreeShape, u16At, u32At } from "./tree_shape.ts";
import { signedVarintAt, varintAt, varintEnd } from "./varint.ts";

/** A row of an ordinary table. */
export interface RowidRow {
  readonly rowid: number | bigint;
  /** One value per column of the table, in the order of `columns`. */
  readonly values: readonly SqlValue[];
}

/** What a scan over rows takes. */
export interface RowsOptions {
  readonly signal?: AbortSignal | undefined;
}

/** How many sibling pages are loaded together, where the source can do that. */
const PAGES_AT_ONCE_MAX = 32;

/** A page of the tree, and where its cells begin in it. */
interface Page {
  readonly bytes: Uint8Array;
  readonly pageNumber: number;
  readonly isLeaf: boolean;
  readonly cells: readonly number[];
}

/** What a walk through the tree goes by. */
interface Walk {
  readonly signal: AbortSignal | undefined;
  /** Pages that may still be visited: the file has no more, so that damaged links cannot make a walk endless. */
  pagesLeft: number;
  /** The only row that is wanted, else all are. */
  readonly rowid?: number | bigint;
}

/** An ordinary table. */
export class RowidTable {
  /** Names of the columns, in the order of the `CREATE TABLE` statement. */
  readonly columns: readonly string[];
  /** Position in `columns` of the one that is another name of the row id; -1 without one. */
  readonly rowidColumn: number;
  readonly #shape: TreeShape;
  readonly #rootPage: number;
  readonly #definition: TableDefinition;

  constructor(shape: TreeShape, rootPage: number, definition: TableDefinition) {
    this.#shape = shape;
    this.#rootPage = rootPage;
    this.#definition = definition;
    this.columns = definition.columns.map((column) => column.name);
    this.rowidColumn = definition.rowidColumn;
  }

  /** Position of a column in `values`; -1 when there is none. Case does not matter, as in SQL. */
  columnIndex(name: string): number {
    return this.columns.findIndex((column) => isSameName(column, name));
  }

  /**
   * All rows in ascending order of their ids, in arrays: those of one page.
   *
   * @throws {CorruptFileError} as soon as damage is met; rows before it have been given.
   */
  async *rows({ signal }: RowsOptions = {}): AsyncGenerator<RowidRow[], void, undefined> {
    signal?.throwIfAborted();
    let last: number | bigint | undefined;
    for await (const page of this.#leaves([this.#rootPage], 1, { signal, pagesLeft: this.#shape.pageCount })) {
      const rows: RowidRow[] = [];
      for (const cell of page.cells) {
        const rowid = this.#rowid(page, cell);
        if (last !== undefined && rowid <= last) throw this.#corrupt(page, cell, "row ids must ascend");
        last = rowid;
        const row = this.#rowAt(page, cell, signal);
        rows.push(row instanceof Promise ? await row : row);
      }
      if (rows.length > 0) yield rows;
      signal?.throwIfAborted();
    }
  }

  /**
   * The values of one row, or null.
   *
   * @throws {CorruptFileError} when damage is met on the way to the row.
   */
  async getByRowid(rowid: number | bigint, signal?: AbortSignal): Promise<readonly SqlValue[] | null> {
    if (typeof rowid === "number" && !Number.isSafeInteger(rowid)) return null;
    signal?.throwIfAborted();
    const walk = { signal, pagesLeft: this.#shape.pageCount, rowid };
    for await (const page of this.#leaves([this.#rootPage], 1, walk)) {
      const cell = page.cells[this.#indexOf(page, rowid)];
      if (cell === undefined || this.#rowid(page, cell) > rowid) return null;
      return (await this.#rowAt(page, cell, signal)).values;
    }
    return null;
  }

  /** The leaves under some pages, in their order; of an inner page only the child that a wanted row would be under. */
  async *#leaves(pageNumbers: readonly number[], depth: number, walk: Walk): AsyncGenerator<Page, void, undefined> {
    const shape = this.#shape;
    for (let i = 0; i < pageNumbers.length; i += PAGES_AT_ONCE_MAX) {
      const numbers = pageNumbers.slice(i, i + PAGES_AT_ONCE_MAX);
      const missing = numbers.filter((pageNumber) => shape.source.peek(pageNumber) === undefined);
      const loaded = missing.length > 0 ? await loadTogether(shape, missing, walk.signal) : new Map();
      for (const pageNumber of numbers) {
        if (--walk.pagesLeft < 0 || depth > DEPTH_MAX) {
          throw corruptPage(shape, [pageNumber, 0], "a page is reached more than once, or at too great a depth");
        }
        const bytes = loaded.get(pageNumber) ?? shape.source.peek(pageNumber) ??
          await shape.source.load(pageNumber, walk.signal);
        const page = this.#pageOf(checkedPage(shape, pageNumber, bytes), pageNumber);
        if (page.isLeaf) yield page;
        else yield* this.#leaves(this.#childrenOf(page, walk.rowid), depth + 1, walk);
      }
    }
  }

  #pageOf(bytes: Uint8Array, pageNumber: number): Page {
    const head = pageNumber === 1 ? 100 : 0;
    const kind = bytes[head];
    const isLeaf = kind === LEAF_TABLE;
    const pointers = head + (isLeaf ? 8 : 12);
    const cellCount = u16At(bytes, head + 3);
    const cellMin = pointers + 2 * cellCount;
    const { usableBytes } = this.#shape;
    const cells = Array.from({ length: cellCount }, (_, index) => u16At(bytes, pointers + 2 * index));
    const wrong = !isLeaf && kind !== INTERIOR_TABLE
      ? "it must be a page of a table"
      : cellMin > usableBytes
      ? "its cells must fit the page"
      // The shortest cell is that of a leaf with a record of no columns.
      : cells.some((cell) => cell < cellMin || cell > usableBytes - (isLeaf ? 3 : 5))
      ? "a cell must lie inside the page"
      : "";
    if (wrong !== "") throw corruptPage(this.#shape, [pageNumber, head], wrong);
    return { bytes, pageNumber, isLeaf, cells };
  }

  #childrenOf(page: Page, rowid: number | bigint | undefined): number[] {
    const { bytes, pageNumber, cells } = page;
    const children = [...cells, pageNumber === 1 ? 108 : 8];
    const wanted = rowid === undefined ? children : [children[this.#indexOf(page, rowid)]!];
    return wanted.map((at) => {
      const child = u32At(bytes, at);
      if (child < 2 || child > this.#shape.pageCount) throw corruptLink(this.#shape, pageNumber, child);
      return child;
    });
  }

  /** The first cell whose row id is not below this one; the number of cells when there is none. */
  #indexOf(page: Page, rowid: number | bigint): number {
    let low = 0;
    let high = page.cells.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#rowid(page, page.cells[middle]!) < rowid) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #rowid(page: Page, cell: number): number | bigint {
    const at = page.isLeaf ? this.#varintEnd(page, cell) : cell + 4;
    this.#varintEnd(page, at);
    return signedVarintAt(page.bytes, at);
  }

  #rowAt(page: Page, cell: number, signal: AbortSignal | undefined): RowidRow | Promise<RowidRow> {
    const shape = this.#shape;
    const { bytes, pageNumber } = page;
    const start = this.#varintEnd(page, this.#varintEnd(page, cell));
    const sizeBytes = varintAt(bytes, cell);
    const localMax = shape.tableLocalMax;
    const payload = payloadAt(shape, { bytes, pageStart: 0, pageNumber, start, sizeBytes, localMax });
    const record = copyPart(shape, payload, { span: [0, sizeBytes], signal });
    const rowOf = (record: Uint8Array): RowidRow => {
      const rowid = this.#rowid(page, cell);
      const { columns, rowidColumn } = this.#definition;
      const values = decodeRecord(record, (pageNumber - 1) * shape.pageSizeBytes + start);
      // Rows written before ALTER TABLE … ADD COLUMN lack the new columns.
      for (let i = values.length; i < columns.length; i++) values.push(columns[i]!.defaultValue);
      if (rowidColumn >= 0 && values[rowidColumn] === null) values[rowidColumn] = rowid;
      return { rowid, values };
    };
    return record instanceof Promise ? record.then(rowOf) : rowOf(record);
  }

  #varintEnd(page: Page, at: number): number {
    const end = varintEnd(page.bytes, at, this.#shape.usableBytes);
    if (end < 0) throw this.#corrupt(page, at, "a number reaches past the end of the page");
    return end;
  }

  #corrupt({ pageNumber }: Page, at: number, message: string): Error {
    return corruptPage(this.#shape, [pageNumber, at], message);
  }
}
