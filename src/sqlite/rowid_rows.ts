/**
 * Goes through the rows of ordinary tables: b-trees of kind "table".
 * @module
 */
import { INTERIOR_TABLE, LEAF_TABLE } from "./format.ts";
import { checkedPage, copyPart, loadTogether } from "./overflow.ts";
import { decodeRecord, type SqlValue } from "./record.ts";
import type { TableDefinition } from "./table_definition.ts";
import {
  checkLink,
  corruptPage,
  DEPTH_MAX,
  type Payload,
  payloadAt,
  type TreeShape,
  u16At,
  u32At,
} from "./tree_shape.ts";
import { signedVarintAt, varintAt, varintEnd } from "./varint.ts";

/** A row of an ordinary table. */
export interface RowidRow {
  /** Its number in the table. */
  readonly rowid: number | bigint;
  /** One value per column of the table, in the order of `columns`. */
  readonly values: readonly SqlValue[];
}

/** What a scan over rows takes. */
export interface RowsOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Where an ordinary table stands in its file, and what its statement says. */
export interface RowidTree {
  readonly shape: TreeShape;
  readonly rootPage: number;
  readonly definition: TableDefinition;
}

/** How many sibling pages are loaded together, where the source can do that. */
const PAGES_AT_ONCE_MAX = 32;

/** A page of the tree, and where its cells begin in it. */
export interface RowidPage {
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
}

/** An ordinary table, of which all rows are wanted. */
export class RowidRows {
  /** Names of the columns, in the order of the `CREATE TABLE` statement. */
  readonly columns: readonly string[];
  /** For those who search it. */
  readonly tree: RowidTree;

  constructor(tree: RowidTree) {
    this.tree = tree;
    this.columns = tree.definition.columns.map((column) => column.name);
  }

  /**
   * All rows in ascending order of their ids, in arrays: those of one page.
   *
   * @throws {CorruptFileError} as soon as damage is met; rows before it have been given.
   */
  async *rows({ signal }: RowsOptions = {}): AsyncGenerator<RowidRow[], void, undefined> {
    signal?.throwIfAborted();
    const { shape, rootPage, definition } = this.tree;
    let last: number | bigint | undefined;
    for await (const page of leavesUnder([rootPage], 1, { shape, signal, pagesLeft: shape.pageCount })) {
      const rows: RowidRow[] = [];
      for (const cell of page.cells) {
        const rowid = rowidAt(page, cell);
        if (last !== undefined && rowid <= last) throw corruptCell(page, cell, "row ids must ascend");
        last = rowid;
        const record = recordAt(page, cell, signal);
        const bytes = record instanceof Promise ? await record : record;
        rows.push(rowOf(definition, [page, cell], bytes));
      }
      if (rows.length > 0) yield rows;
      signal?.throwIfAborted();
    }
  }
}

/** A row by its record. */
export function rowOf(
  { columns, rowidColumn }: TableDefinition,
  [page, cell]: readonly [RowidPage, number],
  record: Uint8Array,
): RowidRow {
  const rowid = rowidAt(page, cell);
  const values = decodeRecord(record, (page.pageNumber - 1) * page.shape.pageSizeBytes + cell);
  // Rows written before ALTER TABLE … ADD COLUMN lack the new columns.
  for (let i = values.length; i < columns.length; i++) values.push(columns[i]!.defaultValue);
  if (rowidColumn >= 0 && values[rowidColumn] === null) values[rowidColumn] = rowid;
  return { rowid, values };
}

/** The leaves under some pages, in their order. */
async function* leavesUnder(
  pageNumbers: readonly number[],
  depth: number,
  walk: Walk,
): AsyncGenerator<RowidPage, void, undefined> {
  const { shape, signal } = walk;
  for (let i = 0; i < pageNumbers.length; i += PAGES_AT_ONCE_MAX) {
    const numbers = pageNumbers.slice(i, i + PAGES_AT_ONCE_MAX);
    const loaded = await loadTogether(shape, numbers, signal);
    for (const pageNumber of numbers) {
      if (--walk.pagesLeft < 0 || depth > DEPTH_MAX) {
        throw corruptPage(shape, [pageNumber, 0], "a page is reached more than once, or at too great a depth");
      }
      const page = rowidPageOf(shape, pageNumber, loaded.get(pageNumber)!);
      if (page.isLeaf) yield page;
      else {
        const children = Array.from({ length: page.cells.length + 1 }, (_, index) => childOf(page, index));
        yield* leavesUnder(children, depth + 1, walk);
      }
    }
  }
}

/** Reads where cells begin. @throws {CorruptFileError} when it is no page of such a tree. */
export function rowidPageOf(shape: TreeShape, pageNumber: number, bytes: Uint8Array): RowidPage {
  checkedPage(shape, pageNumber, bytes);
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

/** The page under an inner page that is before a cell, or behind the last one. */
export function childOf({ shape, bytes, pageNumber, cells }: RowidPage, index: number): number {
  return checkLink(shape, pageNumber, u32At(bytes, cells[index] ?? (pageNumber === 1 ? 108 : 8)));
}

/** The row id of a cell. */
export function rowidAt(page: RowidPage, cell: number): number | bigint {
  const at = page.isLeaf ? numberEnd(page, cell) : cell + 4;
  numberEnd(page, at);
  return signedVarintAt(page.bytes, at);
}

/** The record of a leaf's cell. */
export function recordAt(
  page: RowidPage,
  cell: number,
  signal: AbortSignal | undefined,
): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>> {
  const payload = payloadOf(page, cell);
  return copyPart(page.shape, payload, { span: [0, payload.sizeBytes], signal });
}

/** Where the record of a leaf's cell stands. */
export function payloadOf(page: RowidPage, cell: number): Payload {
  const { shape, bytes, pageNumber } = page;
  const start = numberEnd(page, numberEnd(page, cell));
  const sizeBytes = varintAt(bytes, cell);
  return payloadAt(shape, { bytes, pageStart: 0, pageNumber, start, sizeBytes, localMax: shape.tableLocalMax });
}

/** Where a number ends. */
function numberEnd(page: RowidPage, at: number): number {
  const end = varintEnd(page.bytes, at, page.shape.usableBytes);
  if (end < 0) throw corruptCell(page, at, "a number reaches past the end of the page");
  return end;
}

function corruptCell({ shape, pageNumber }: RowidPage, at: number, message: string): Error {
  return corruptPage(shape, [pageNumber, at], message);
}
