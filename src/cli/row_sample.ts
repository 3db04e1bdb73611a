/**
 * Some rows of an input, chosen by their keys, to look for in what was built of it.
 * @module
 */
import type { Row } from "./row_shape.ts";

interface Chosen {
  readonly rank: number;
  readonly row: Row;
}

/**
 * Keeps the rows of those keys whose ranks, a number that the key decides, are the smallest: spread over all of the
 * input, and the last row of each key, as in a snapshot. Holds at most twice as many rows as it is to choose.
 */
export class RowSample {
  readonly #rowsMax: number;
  #chosen = new Map<string, Chosen>();
  #rankMax = Infinity;

  constructor(rowsMax: number) {
    this.#rowsMax = rowsMax;
  }

  /** Passes rows on, and chooses among them. */
  watcher(): TransformStream<Row[], Row[]> {
    return new TransformStream({
      transform: (rows, controller) => {
        for (const row of rows) this.#add(row);
        controller.enqueue(rows);
      },
    });
  }

  /** The chosen rows. */
  *[Symbol.iterator](): Generator<Row, void, undefined> {
    this.#shrink();
    for (const { row } of this.#chosen.values()) yield row;
  }

  #add(row: Row): void {
    const text = String(row.key);
    const rank = rankOf(text);
    if (rank > this.#rankMax) return;
    this.#chosen.set(text, { rank, row });
    if (this.#chosen.size >= 2 * this.#rowsMax) this.#shrink();
  }

  #shrink(): void {
    if (this.#chosen.size <= this.#rowsMax) return;
    const best = [...this.#chosen].sort(([, one], [, other]) => one.rank - other.rank).slice(0, this.#rowsMax);
    this.#chosen = new Map(best);
    this.#rankMax = best.at(-1)![1].rank;
  }
}

/** FNV-1a of the characters, and then stirred, as keys that count up differ in their last characters only. */
function rankOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
