/**
 * One search for a key in an index b-tree: the hot path of every point read.
 *
 * Rows of a WITHOUT ROWID table stand on interior pages too, so that a search can end on any level. The search is a
 * state machine that is given pages: whoever has them at hand runs it in one go, whoever has not waits in between.
 * @module
 */
import { INTERIOR_INDEX, LEAF_INDEX, localBytes } from "./format.ts";
import { type PageConsumer, type PayloadCopy, payloadCopy } from "./overflow.ts";
import { serialBytes } from "./record.ts";
import { checkLink, copyOf, corruptPage, DEPTH_MAX, payloadAt, type TreeShape, u16At, u32At } from "./tree_shape.ts";
import { varintAt, varintEnd } from "./varint.ts";

const NO_BYTES = new Uint8Array(0);
/** Said instead of an order when a key begins like that of a cell, of which the rest is elsewhere. */
const UNDECIDED = 2;

/** An index tree whose records begin with a blob key and have a blob value somewhere behind it. */
export interface KeyValueTree {
  readonly shape: TreeShape;
  /** From 2 up: page 1 is the schema's, and begins with the file header. */
  readonly rootPage: number;
  /** Position of the value in the record, from 1 up; the key is at 0. */
  readonly valueColumn: number;
}

/** Where a search came by on one level of the tree. */
export interface PathStep {
  readonly bytes: Uint8Array;
  /** Where the page begins in `bytes`. */
  readonly pageStart: number;
  readonly pageNumber: number;
  /** First cell whose key is not below the key searched for; the cell count when there is none. */
  readonly cellIndex: number;
}

/** A search that can be used again after it ended. Allocates the result and nothing else, unless rows overflow. */
export class Lookup implements PageConsumer {
  /** The page to give next; 0 when the search has ended. */
  wanted = 0;
  /** What was found; null before the end, and when the key is absent. */
  value: Uint8Array<ArrayBuffer> | null = null;
  /** Whether the key is there. */
  isFound = false;
  /** Gets the levels that the search comes by, root first, where one is put here; no value is read then. */
  path: PathStep[] | null = null;

  readonly #tree: KeyValueTree;
  readonly #usableBytes: number;
  readonly #localMax: number;
  #key: Uint8Array = NO_BYTES;
  #depth = 0;
  /** The page being searched, and the cells in question: below `low` all keys are lower, from `high` on none is. */
  #bytes: Uint8Array = NO_BYTES;
  #pageStart = 0;
  #pageEnd = 0;
  #pageNumber = 0;
  #low = 0;
  #high = 0;
  /** The last row whose key begins as ours: its payload, and where the key and the types behind the key's stand. */
  #start = 0;
  #sizeBytes = 0;
  #localBytes = 0;
  #typesStart = 0;
  #keyStart = 0;
  #keyBytes = 0;
  /** What is read from its overflow chain: of its key to compare it, then its value. */
  #copy: PayloadCopy | null = null;

  constructor(tree: KeyValueTree) {
    this.#tree = tree;
    this.#usableBytes = tree.shape.usableBytes;
    this.#localMax = tree.shape.indexLocalMax;
  }

  get chainPages(): number {
    return this.#copy?.chainPages ?? 1;
  }

  /** Begins a search. */
  begin(key: Uint8Array): this {
    this.#key = key;
    this.#depth = 0;
    this.wanted = this.#tree.rootPage;
    this.value = null;
    this.isFound = false;
    this.#copy = null;
    return this;
  }

  /** Lets go of key and value, which otherwise live until the next search. */
  release(): void {
    this.#key = NO_BYTES;
    this.value = null;
  }

  /** @throws {CorruptFileError} when the page cannot be what it should be. */
  advance(bytes: Uint8Array, pageStart: number): void {
    const copy = this.#copy;
    if (copy !== null) {
      copy.advance(bytes, pageStart);
      this.wanted = copy.wanted;
      if (this.wanted === 0) this.#useCopy(copy.bytes);
      return;
    }
    this.#bytes = bytes;
    this.#pageStart = pageStart;
    this.#pageEnd = pageStart + this.#usableBytes;
    this.#pageNumber = this.wanted;
    this.#low = 0;
    this.#high = u16At(bytes, pageStart + 3);
    if (++this.#depth > DEPTH_MAX) throw this.#corrupt(pageStart, `the tree has more than ${DEPTH_MAX} levels`);
    this.#search();
  }

  /** Binary search on one page, from where it was left. */
  #search(): void {
    const bytes = this.#bytes;
    const pageStart = this.#pageStart;
    const pageNumber = this.#pageNumber;
    const isLeaf = bytes[pageStart] === LEAF_INDEX;
    if (!isLeaf && bytes[pageStart] !== INTERIOR_INDEX) {
      throw this.#corrupt(pageStart, "it must be a page of an index tree");
    }
    const childBytes = isLeaf ? 0 : 4;
    const pointers = pageStart + 8 + childBytes;
    const cellMin = pointers + 2 * u16At(bytes, pageStart + 3);
    const cellMax = this.#pageEnd - 4 - childBytes;
    if (cellMin > this.#pageEnd) throw this.#corrupt(pageStart + 3, "its cells must fit the page");
    while (this.#low < this.#high) {
      const pointer = pointers + 2 * ((this.#low + this.#high) >>> 1);
      const cell = pageStart + u16At(bytes, pointer);
      if (cell < cellMin || cell > cellMax) throw this.#corrupt(pointer, "a cell must lie inside the page");
      const order = this.#orderOf(cell + childBytes);
      if (order === UNDECIDED) {
        return this.#beginCopy(this.#keyStart - this.#start, Math.min(this.#keyBytes, this.#key.length));
      }
      this.#narrow(order);
    }
    const cellIndex = this.#low;
    this.path?.push({ bytes, pageStart, pageNumber, cellIndex });
    if (this.isFound || isLeaf) {
      this.wanted = 0;
      if (this.isFound && this.path === null) this.#readValue();
      return;
    }
    const link = cellIndex * 2 + pointers === cellMin
      ? pageStart + 8
      : pageStart + u16At(bytes, pointers + 2 * cellIndex);
    this.wanted = checkLink(this.#tree.shape, pageNumber, u32At(bytes, link));
  }

  /** Leaves out the cells that the one in the middle rules out. */
  #narrow(order: number): void {
    const middle = (this.#low + this.#high) >>> 1;
    if (order <= 0) this.#high = middle;
    if (order >= 0) this.#low = order === 0 ? middle : middle + 1;
    this.isFound = order === 0;
  }

  /** -1 when the key comes before that of the cell whose payload size is at `at`, 0, 1, or `UNDECIDED`. */
  #orderOf(at: number): number {
    const bytes = this.#bytes;
    let body = at + 1;
    let sizeBytes = bytes[at]!;
    if (sizeBytes > 0x7f) {
      body = this.#varintEnd(at);
      sizeBytes = varintAt(bytes, at);
    }
    const local = sizeBytes <= this.#localMax ? sizeBytes : localBytes(this.#usableBytes, this.#localMax, sizeBytes);
    // Shorter rows than a header of one column are refused first, so that all reads below are on the page.
    if (local < 2 || body + local > this.#pageEnd) throw this.#corrupt(at, "a row must lie inside the page");
    let typeEnd = body + 2;
    let type = bytes[body + 1]!;
    const headerBytes = bytes[body]!;
    if (type > 0x7f) {
      typeEnd = this.#varintEnd(body + 1);
      type = varintAt(bytes, body + 1);
    }
    // A header of 128 bytes and more would be that of a table with dozens of columns.
    if (headerBytes > 0x7f || headerBytes > local || typeEnd > body + headerBytes) {
      throw this.#corrupt(body, "the header of a row must lie inside the row");
    }
    const keyBytes = (type - 12) / 2;
    if (type < 12 || type % 2 === 1 || headerBytes + keyBytes > sizeBytes) {
      throw this.#corrupt(body + 1, "a key must be a blob inside its row");
    }
    const here = Math.min(keyBytes, local - headerBytes);
    const order = this.#orderOfStart(bytes, body + headerBytes, here);
    if (order !== 0) return order;
    this.#start = body;
    this.#sizeBytes = sizeBytes;
    this.#localBytes = local;
    this.#typesStart = typeEnd;
    this.#keyStart = body + headerBytes;
    this.#keyBytes = keyBytes;
    return here < keyBytes && here < this.#key.length ? UNDECIDED : Math.sign(this.#key.length - keyBytes);
  }

  /** 0 when the key begins as these bytes do, or they as the key; else -1 or 1. */
  #orderOfStart(bytes: Uint8Array, start: number, length: number): number {
    const key = this.#key;
    const shared = Math.min(length, key.length);
    for (let i = 0; i < shared; i++) {
      const mine = key[i]!;
      const other = bytes[start + i]!;
      if (mine !== other) return mine < other ? -1 : 1;
    }
    return 0;
  }

  /** Reads the value of the row that was found. */
  #readValue(): void {
    const bytes = this.#bytes;
    const start = this.#start;
    let typeStart = this.#typesStart;
    let from = this.#keyStart - start + this.#keyBytes;
    for (let column = 1;; column++) {
      const typeEnd = varintEnd(bytes, typeStart, this.#keyStart);
      const type = typeEnd < 0 ? -1 : varintAt(bytes, typeStart);
      const length = serialBytes(type);
      const isValue = column === this.#tree.valueColumn;
      if (length < 0 || from + length > this.#sizeBytes || (isValue && type < 12)) {
        throw this.#corrupt(start, "a value must be a blob inside its row");
      }
      if (isValue) {
        if (from + length > this.#localBytes) this.#beginCopy(from, length);
        else this.value = copyOf(bytes, start + from, start + from + length);
        return;
      }
      from += length;
      typeStart = typeEnd;
    }
  }

  /** Begins to copy a part of that row which is not all on the page. */
  #beginCopy(from: number, length: number): void {
    const { shape } = this.#tree;
    const payload = payloadAt(shape, {
      bytes: this.#bytes,
      pageStart: this.#pageStart,
      pageNumber: this.#pageNumber,
      start: this.#start,
      sizeBytes: this.#sizeBytes,
      localMax: this.#localMax,
    });
    this.#copy = payloadCopy(shape, payload, [from, length]);
    this.wanted = this.#copy.wanted;
  }

  #useCopy(bytes: Uint8Array<ArrayBuffer>): void {
    this.#copy = null;
    if (this.isFound) {
      this.value = bytes;
      return;
    }
    this.#narrow(this.#orderOfStart(bytes, 0, bytes.length) || Math.sign(this.#key.length - this.#keyBytes));
    this.#search();
  }

  #varintEnd(at: number): number {
    const end = varintEnd(this.#bytes, at, this.#pageEnd);
    if (end < 0) throw this.#corrupt(at, "a number reaches past the end of the page");
    return end;
  }

  #corrupt(at: number, message: string): Error {
    return corruptPage(this.#tree.shape, [this.#pageNumber, at - this.#pageStart], message);
  }
}
