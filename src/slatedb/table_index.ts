/**
 * The index of a sorted table: where its blocks begin, and below which key none of their rows is.
 * @module
 */
import { compareBytes } from "../routing/key.ts";
import { FlatTable, type FlatTables } from "./flat_table.ts";

/** Blocks that follow each other: `from` up to and including `last`; none where `last` is smaller. */
export interface BlockSpan {
  readonly from: number;
  readonly last: number;
}

/** Looked at where it lies: nothing is unpacked, as tables may have many thousand blocks. */
export class TableIndex {
  readonly sizeBytes: number;
  readonly #blocks: FlatTables;
  /** Where the last block ends. */
  readonly #end: number;

  /** @throws {RangeError} when it is malformed. */
  constructor(bytes: Uint8Array, end: number) {
    this.sizeBytes = bytes.length;
    this.#blocks = FlatTable.root(bytes).tables(0);
    this.#end = end;
    this.#check();
  }

  get blockCount(): number {
    return this.#blocks.length;
  }

  /** Where a block begins; of the one behind the last where that ends. */
  offset(block: number): number {
    return block < this.#blocks.length ? this.#blocks.at(block).uint64(0) : this.#end;
  }

  /** Not above the first key of the block, and above all keys of the block before, or equal to its last one. */
  lowerBound(block: number): Uint8Array {
    const key = this.#blocks.at(block).bytes(1);
    if (key === undefined) throw new RangeError("a block has no key");
    return key;
  }

  /** The blocks that may have rows of a key: more than one where a bound is that very key. */
  blocksOf(key: Uint8Array): BlockSpan {
    const last = this.lastBlockFrom(key);
    let from = last;
    while (from > 0 && compareBytes(this.lowerBound(from), key) === 0) from--;
    return { from: Math.max(0, from), last };
  }

  /** The last block whose bound is not above the key; -1 when there is none. */
  lastBlockFrom(key: Uint8Array): number {
    let low = -1;
    let high = this.#blocks.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (compareBytes(this.lowerBound(middle), key) <= 0) low = middle;
      else high = middle;
    }
    return low;
  }

  #check(): void {
    let offset = -1;
    let bound: Uint8Array | undefined;
    for (let block = 0; block < this.#blocks.length; block++) {
      const next = this.offset(block);
      const key = this.lowerBound(block);
      const isFirst = bound === undefined;
      if (next <= offset || (isFirst && next !== 0)) throw new RangeError("blocks must ascend from the start");
      if (!isFirst && compareBytes(bound!, key) > 0) throw new RangeError("keys of blocks must ascend");
      offset = next;
      bound = key;
    }
    if (offset >= this.#end) throw new RangeError("blocks must end before the index");
  }
}
