/**
 * Rows of several sources as one: in order, and of each key only what the newest source says.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { compareBytes } from "../routing/key.ts";
import type { Row } from "./block.ts";

/** Rows in ascending order of their keys, in pieces; of equal keys the newest first. */
export type RowPieces = AsyncIterator<readonly Row[], void, undefined>;

/** Where a source stands. */
class Head {
  row: Row | null = null;
  readonly #pieces: RowPieces;
  #piece: readonly Row[] = [];
  #at = 0;

  constructor(pieces: RowPieces) {
    this.#pieces = pieces;
  }

  /** Steps to the next row without waiting; false when more have to be fetched. */
  step(): boolean {
    if (this.#at >= this.#piece.length) return false;
    const before = this.row;
    this.row = this.#piece[this.#at++]!;
    if (before !== null && compareBytes(before.key, this.row.key) > 0) {
      throw new CorruptFileError("Cannot scan a sorted table as its keys must ascend", -1);
    }
    return true;
  }

  /** Fetches; leaves `row` null at the end. */
  async fill(): Promise<void> {
    while (!this.step()) {
      const { done, value } = await this.#pieces.next();
      if (done) {
        this.row = null;
        return;
      }
      this.#piece = value;
      this.#at = 0;
    }
  }

  async close(): Promise<void> {
    await this.#pieces.return?.();
  }
}

/** Merges sources, the newest first, into pieces of up to `rowsMax` rows. Deleted rows are passed on. */
export async function* mergedRows(
  sources: readonly RowPieces[],
  rowsMax: number,
): AsyncGenerator<Row[], void, undefined> {
  const heads = sources.map((source) => new Head(source));
  try {
    await Promise.all(heads.map((head) => head.fill()));
    let piece: Row[] = [];
    for (;;) {
      const first = lowest(heads);
      if (first === null) break;
      const { key } = first;
      piece.push(first);
      for (const head of heads) {
        while (head.row !== null && compareBytes(head.row.key, key) === 0) {
          if (!head.step()) await head.fill();
        }
      }
      if (piece.length < rowsMax) continue;
      yield piece;
      piece = [];
    }
    if (piece.length > 0) yield piece;
  } finally {
    await Promise.allSettled(heads.map((head) => head.close()));
  }
}

/** The row of the lowest key, of the newest source that has it. */
function lowest(heads: readonly Head[]): Row | null {
  let found: Row | null = null;
  for (const { row } of heads) {
    if (row !== null && (found === null || compareBytes(row.key, found.key) < 0)) found = row;
  }
  return found;
}
