/**
 * Builds the key index of a table a little at a time: each look-up that the tree has to answer brings it forward, so
 * that no look-up takes much longer than others, and readers of a few keys pay nothing.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { Cursor } from "./cursor.ts";
import { INTERIOR_INDEX, LEAF_INDEX } from "./format.ts";
import { hashKeyBytes, type KeyHash, KeyIndex } from "./key_index.ts";
import { columnsOf } from "./key_value_columns.ts";
import type { KeyValueTree } from "./lookup.ts";
import { type Payload, u16At } from "./tree_shape.ts";

/**
 * One look-up for so many bytes of file goes by before work begins. With rows of 100 bytes that is one for 20 rows,
 * and the look-ups have then taken about as long as the building will.
 */
const BYTES_PER_FREE_LOOK_UP = 2048;
/** How much one look-up does: about 20 µs. */
const PAGES_COUNTED_AT_ONCE = 128;
const ROWS_ADDED_AT_ONCE = 64;
/** Cells are at least 4 bytes long, and each has a pointer of 2 bytes. */
const CELL_BYTES_MIN = 6;
/** More rows have no index, which would be larger than this times 6.4 bytes. */
const ROWS_MAX = 100_000_000;

/** Counts rows, then adds them in the order of the tree. */
export class KeyIndexBuilder {
  /** Nothing is left to do: `index` has all rows, or there will be none. */
  isDone = false;
  /** The index, as soon as it is complete; null before, and for tables that can have none. */
  index: KeyIndex | null = null;

  readonly #tree: KeyValueTree;
  readonly #bytes: Uint8Array;
  readonly #hash: KeyHash;
  #freeLookUps: number;
  #pagesCounted = 1;
  #rowsMax = 0;
  #unfinished: KeyIndex | null = null;
  readonly #cursor: Cursor;
  /** Where the key of the last row stands, as far as it is on its page. */
  #lastStart = 0;
  #lastEnd = 0;
  #lastKeyBytes = -1;

  /** Use {@linkcode keyIndexBuilder}. */
  constructor(tree: KeyValueTree, bytes: Uint8Array, hash: KeyHash) {
    this.#tree = tree;
    this.#bytes = bytes;
    this.#hash = hash;
    this.#freeLookUps = Math.ceil(bytes.byteLength / BYTES_PER_FREE_LOOK_UP);
    this.#cursor = new Cursor(tree.shape, tree.rootPage);
  }

  /**
   * Does the part of the work that falls to one look-up. A damaged table gets no index: look-ups then go on to find
   * the damage if they meet it, so that no answer depends on how many were asked for before.
   */
  step(): void {
    if (this.isDone || this.#freeLookUps-- > 0) return;
    try {
      if (this.#unfinished === null) this.#countRows();
      else this.#addRows(this.#unfinished);
    } catch (error) {
      if (!(error instanceof CorruptFileError)) throw error;
      this.isDone = true;
    }
  }

  /** An upper bound: rows of other trees are counted too. */
  #countRows(): void {
    const { pageCount, pageSizeBytes, usableBytes, indexLocalMax } = this.#tree.shape;
    const end = Math.min(this.#pagesCounted + PAGES_COUNTED_AT_ONCE, pageCount);
    for (; this.#pagesCounted < end; this.#pagesCounted++) {
      const head = this.#pagesCounted * pageSizeBytes;
      const kind = this.#bytes[head];
      if (kind !== LEAF_INDEX && kind !== INTERIOR_INDEX) continue;
      this.#rowsMax += Math.min(u16At(this.#bytes, head + 3), Math.floor(usableBytes / CELL_BYTES_MIN));
    }
    if (this.#rowsMax > ROWS_MAX) this.isDone = true;
    else if (end === pageCount) {
      this.#unfinished = new KeyIndex(this.#bytes, indexLocalMax, { rowsMax: this.#rowsMax, hash: this.#hash });
    }
  }

  #addRows(index: KeyIndex): void {
    for (let count = 0; count < ROWS_ADDED_AT_ONCE; count++) {
      if (this.#cursor.step() === "end") {
        this.index = index;
        this.isDone = true;
        return;
      }
      if (this.#addRow(index, this.#cursor.payload())) continue;
      this.isDone = true;
      return;
    }
  }

  /** False when the table can have no index. */
  #addRow(index: KeyIndex, payload: Payload): boolean {
    const { key: [from, keyBytes] } = columnsOf(this.#tree, payload);
    const keyStart = payload.start + from;
    const keyEnd = payload.start + Math.min(from + keyBytes, payload.localBytes);
    // Headers of two bytes' length and more are for tables of dozens of columns.
    if (this.#bytes[payload.start]! > 0x7f) return false;
    if (!this.#ascends([keyStart, keyEnd], keyBytes)) return false;
    this.#lastStart = keyStart;
    this.#lastEnd = keyEnd;
    this.#lastKeyBytes = keyBytes;
    if (keyEnd - keyStart === keyBytes) return index.add(this.#cursor.cell(), [keyStart, keyEnd]);
    index.leaveOut(keyBytes);
    return true;
  }

  /**
   * Whether the key comes after the last one; false also where pages behind these two would decide. Keys that ascend
   * through the whole tree are what makes the index find what a search in the tree finds.
   */
  #ascends([keyStart, keyEnd]: readonly [number, number], keyBytes: number): boolean {
    const bytes = this.#bytes;
    const lastLength = this.#lastEnd - this.#lastStart;
    const shared = Math.min(lastLength, keyEnd - keyStart);
    for (let i = 0; i < shared; i++) {
      const one = bytes[this.#lastStart + i]!;
      const other = bytes[keyStart + i]!;
      if (one !== other) return one < other;
    }
    return shared === lastLength && lastLength >= this.#lastKeyBytes && this.#lastKeyBytes < keyBytes;
  }
}

/** Null when the table can have no index: its file is not in memory, is too large, or has a column in between. */
export function keyIndexBuilder(tree: KeyValueTree, hash: KeyHash = hashKeyBytes): KeyIndexBuilder | null {
  const bytes = tree.shape.source.contiguous;
  if (bytes === undefined || bytes.byteLength >= 2 ** 32 || tree.valueColumn !== 1) return null;
  return new KeyIndexBuilder(tree, bytes, hash);
}
