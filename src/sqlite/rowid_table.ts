/**
 * Reads ordinary tables: b-trees of kind "table", whose rows are found by row id.
 * @module
 */
import { INTERIOR_TABLE, LEAF_TABLE } from "./format.ts";
import { checkedPage, copyPart, loadTogether } from "./overflow.ts";
import { decodeRecord, type SqlValue } from "./record.ts";
import { isSameName, type TableDefinition } from "./table_definition.ts";
import { checkLink, corruptPage, DEPTH_MAX, payloadAt, type TreeShape, u16At, u32At } from "./tree_shape.ts";
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
  readonly shape: TreeShape;
  readonly bytes: Uint8Array;
  readonly pageNumber: number;
  readonly isLeaf: boolean;
  readonly cells: readonly number[];
}

/** What a walk through the tree goes by. */
interface Walk {
  readonly shape: TreeShape;
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
    for await (const page of this.#leaves({ signal })) {
      const rows: RowidRow[] = [];
      for (const cell of page.cells) {
        const rowid = rowidAt(page, cell);
        if (last !== undefined && rowid <= last) throw corruptCell(page, cell, "row ids must ascend");
        last = rowid;
        const record = recordAt(page, cell, signal);
        rows.push(this.#rowOf(page, cell, record instanceof Promise ? await record : record));
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
    for await (const page of this.#leaves({ signal, rowid })) {
      const cell = page.cells[cellIndexOf(page, rowid)];
      if (cell === undefined || rowidAt(page, cell) > rowid) return null;
      return this.#rowOf(page, cell, await recordAt(page, cell, signal)).values;
    }
    return null;
  }

  #leaves(walk: Pick<Walk, "signal" | "rowid">): AsyncGenerator<Page, void, undefined> {
    const shape = this.#shape;
    return leavesUnder([this.#rootPage], 1, { ...walk, shape, pagesLeft: shape.pageCount });
  }

  #rowOf(page: Page, cell: number, record: Uint8Array): RowidRow {
    const { columns, rowidColumn } = this.#definition;
    const rowid = rowidAt(page, cell);
    const values = decodeRecord(record, (page.pageNumber - 1) * this.#shape.pageSizeBytes + cell);
    // Rows written before ALTER TABLE … ADD COLUMN lack the new columns.
    for (let i = values.length; i < columns.length; i++) values.push(columns[i]!.defaultValue);
    if (rowidColumn >= 0 && values[rowidColumn] === null) values[rowidColumn] = rowid;
    return { rowid, values };
  }
}

/** The leaves under some pages, in their order; of an inner page only the child that a wanted row would be under. */
async function* leavesUnder(
  pageNumbers: readonly number[],
  depth: number,
  walk: Walk,
): AsyncGenerator<Page, void, undefined> {
  const { shape, signal, rowid } = walk;
  for (let i = 0; i < pageNumbers.length; i += PAGES_AT_ONCE_MAX) {
    const numbers = pageNumbers.slice(i, i + PAGES_AT_ONCE_MAX);
    const loaded = await loadTogether(shape, numbers, signal);
    for (const pageNumber of numbers) {
      if (--walk.pagesLeft < 0 || depth > DEPTH_MAX) {
        throw corruptPage(shape, [pageNumber, 0], "a page is reached more than once, or at too great a depth");
      }
      const page = pageOf(shape, pageNumber, checkedPage(shape, pageNumber, loaded.get(pageNumber)!));
      if (page.isLeaf) yield page;
      else yield* leavesUnder(childrenOf(page, rowid), depth + 1, walk);
    }
  }
}

function pageOf(shape: TreeShape, pageNumber: number, bytes: Uint8Array): Page {
  const head = pageNumber === 1 ? 100 : 0;
  const isLeaf = bytes[head] === LEAF_TABLE;
  const pointers = head + (isLeaf ? 8 : 12);
  const cellCount = u16At(bytes, head + 3);
  const cellMin = pointers + 2 * cellCount;
  // The shortest cell is that of a leaf with a record of no columns.
  const cellMax = shape.usableBytes - (isLeaf ? 3 : 5);
  const cells = Array.from({ length: cellCount }, (_, index) => u16At(bytes, pointers + 2 * index));
  const wrong = !isLeaf && bytes[head] !== INTERIOR_TABLE
    ? "it must be a page of a table"
    : cells.some((cell) => cell < cellMin || cell > cellMax)
    ? "a cell must lie inside the page"
    : "";
  if (wrong !== "") throw corruptPage(shape, [pageNumber, head], wrong);
  return { shape, bytes, pageNumber, isLeaf, cells };
}

function childrenOf(page: Page, rowid: number | bigint | undefined): number[] {
  const { shape, bytes, pageNumber, cells } = page;
  const children = [...cells, pageNumber === 1 ? 108 : 8];
  const wanted = rowid === undefined ? children : [children[cellIndexOf(page, rowid)]!];
  return wanted.map((at) => checkLink(shape, pageNumber, u32At(bytes, at)));
}

/** The first cell whose row id is not below this one; the number of cells when there is none. */
function cellIndexOf(page: Page, rowid: number | bigint): number {
  let low = 0;
  let high = page.cells.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (rowidAt(page, page.cells[middle]!) < rowid) low = middle + 1;
    else high = middle;
  }
  return low;
}

function rowidAt(page: Page, cell: number): number | bigint {
  const at = page.isLeaf ? numberEnd(page, cell) : cell + 4;
  numberEnd(page, at);
  return signedVarintAt(page.bytes, at);
}

function recordAt(
  page: Page,
  cell: number,
  signal: AbortSignal | undefined,
): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>> {
  const { shape, bytes, pageNumber } = page;
  const start = numberEnd(page, numberEnd(page, cell));
  const sizeBytes = varintAt(bytes, cell);
  const localMax = shape.tableLocalMax;
  const payload = payloadAt(shape, { bytes, pageStart: 0, pageNumber, start, sizeBytes, localMax });
  return copyPart(shape, payload, { span: [0, sizeBytes], signal });
}

/** Where a number ends. */
function numberEnd(page: Page, at: number): number {
  const end = varintEnd(page.bytes, at, page.shape.usableBytes);
  if (end < 0) throw corruptCell(page, at, "a number reaches past the end of the page");
  return end;
}

function corruptCell({ shape, pageNumber }: Page, at: number, message: string): Error {
  return corruptPage(shape, [pageNumber, at], message);
}
