/**
 * Reads ordinary tables, whose rows are found by row id.
 * @module
 */
import { loadTogether } from "./overflow.ts";
import type { SqlValue } from "./record.ts";
import { childOf, recordAt, rowidAt, type RowidPage, rowidPageOf, RowidRows, rowOf } from "./rowid_rows.ts";
import { isSameName } from "./table_definition.ts";
import { corruptPage, DEPTH_MAX } from "./tree_shape.ts";

export type { RowidRow, RowsOptions } from "./rowid_rows.ts";

/** An ordinary table. */
export class RowidTable extends RowidRows {
  /** Position in `columns` of the one that is another name of the row id; -1 without one. */
  get rowidColumn(): number {
    return this.tree.definition.rowidColumn;
  }

  /** Position of a column in `values`; -1 when there is none. Case does not matter, as in SQL. */
  columnIndex(name: string): number {
    return this.columns.findIndex((column) => isSameName(column, name));
  }

  /**
   * The values of one row, or null.
   *
   * @throws {CorruptFileError} when damage is met on the way to the row.
   */
  async getByRowid(rowid: number | bigint, signal?: AbortSignal): Promise<readonly SqlValue[] | null> {
    if (typeof rowid === "number" && !Number.isSafeInteger(rowid)) return null;
    const { shape, rootPage, definition } = this.tree;
    let pageNumber = rootPage;
    for (let depth = 1; depth <= DEPTH_MAX; depth++) {
      signal?.throwIfAborted();
      const bytes = shape.source.peek(pageNumber) ?? (await loadTogether(shape, [pageNumber], signal)).get(pageNumber)!;
      const page = rowidPageOf(shape, pageNumber, bytes);
      const index = cellIndexOf(page, rowid);
      const cell = page.cells[index];
      if (!page.isLeaf) {
        pageNumber = childOf(page, index);
        continue;
      }
      if (cell === undefined || rowidAt(page, cell) > rowid) return null;
      return rowOf(definition, [page, cell], await recordAt(page, cell, signal)).values;
    }
    throw corruptPage(shape, [pageNumber, 0], `the tree has more than ${DEPTH_MAX} levels`);
  }

  /**
   * The values of the rows that are there, by row id. Pages that are not at hand are loaded together, level by level.
   *
   * @throws {CorruptFileError} when damage is met on the way to one of the rows.
   */
  async getManyByRowid(
    rowids: Iterable<number | bigint>,
    signal?: AbortSignal,
  ): Promise<Map<number | bigint, readonly SqlValue[]>> {
    const { shape, rootPage, definition } = this.tree;
    const found = new Map<number | bigint, readonly SqlValue[]>();
    let level = new Map<number, (number | bigint)[]>([[rootPage, [...new Set(rowids)]]]);
    for (let depth = 1; level.size > 0; depth++) {
      if (depth > DEPTH_MAX) throw corruptPage(shape, [rootPage, 0], `the tree has more than ${DEPTH_MAX} levels`);
      signal?.throwIfAborted();
      const loaded = await loadTogether(shape, [...level.keys()].sort((one, other) => one - other), signal);
      const below = new Map<number, (number | bigint)[]>();
      for (const [pageNumber, wanted] of level) {
        const page = rowidPageOf(shape, pageNumber, loaded.get(pageNumber)!);
        for (const rowid of wanted) {
          const index = cellIndexOf(page, rowid);
          const cell = page.cells[index];
          if (!page.isLeaf) {
            const child = childOf(page, index);
            const together = below.get(child);
            if (together === undefined) below.set(child, [rowid]);
            else together.push(rowid);
          } else if (cell !== undefined && rowidAt(page, cell) === rowid) {
            const record = recordAt(page, cell, signal);
            const bytes = record instanceof Promise ? await record : record;
            found.set(rowid, rowOf(definition, [page, cell], bytes).values);
          }
        }
      }
      level = below;
    }
    return found;
  }
}

/** The first cell whose row id is not below this one; the number of cells when there is none. */
function cellIndexOf(page: RowidPage, rowid: number | bigint): number {
  let low = 0;
  let high = page.cells.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (rowidAt(page, page.cells[middle]!) < rowid) low = middle + 1;
    else high = middle;
  }
  return low;
}
