/**
 * One search for a key in an index b-tree: the hot path of every point read.
 *
 * Rows of a WITHOUT ROWID table stand on interior pages too, so that a search can end on any level. The search is a
 * state machine that is given pages: whoever has them at hand runs it in one go, whoever has not waits in between.
 * @module
 */
import { INTERIOR_INDEX, LEAF_INDEX, localBytes } from "./format.ts";
import { type PageConsumer, PayloadCompare, PayloadCopy } from "./overflow.ts";
import { serialBytes } from "./record.ts";
import {
  copyOf,
  corruptLink,
  corruptPage,
  DEPTH_MAX,
  type Payload,
  payloadAt,
  type TreeShape,
  u16At,
  u32At,
} from "./tree_shape.ts";
import { varintAt, varintEnd } from "./varint.ts";

const NO_BYTES = new Uint8Array(0);
/** Said instead of an order when the local part of a cell's key is equal and the rest is elsewhere. */
const UNDECIDED = 2;

/** An index tree whose records begin with a blob key and have a blob value somewhere behind it. */
export interface KeyValueTree {
  readonly shape: TreeShape;
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

/** A search that can be used again after it ended. Allocates the result and nothing else, unless keys overflow. */
export class Lookup implements PageConsumer {
  /** The page to give next; 0 when the search has ended. */
  wanted = 0;
  /** What was found; null before the end, and when the key is absent. */
  value: Uint8Array<ArrayBuffer> | null = null;
  /** Whether the key is there. */
  isFound = false;
  /** The levels that a seek came by, root first; null for searches that want the value. */
  path: PathStep[] | null = null;

  readonly #tree: KeyValueTree;
  readonly #shape: TreeShape;
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
  /** What reads an overflow chain for the search: a comparison, or the copy of the value. */
  #compare: PayloadCompare | null = null;
  #copy: PayloadCopy | null = null;

  constructor(tree: KeyValueTree) {
    this.#tree = tree;
    this.#shape = tree.shape;
    this.#usableBytes = tree.shape.usableBytes;
    this.#localMax = tree.shape.indexLocalMax;
  }

  get chainPages(): number {
    return (this.#copy ?? this.#compare)?.chainPages ?? 1;
  }

  /** Begins a search for a key's value. */
  begin(key: Uint8Array): this {
    this.#key = key;
    this.#depth = 0;
    this.wanted = this.#tree.rootPage;
    this.value = null;
    this.isFound = false;
    this.#compare = null;
    this.#copy = null;
    return this;
  }

  /** Begins a search for the first row whose key is not below this one: only `path` and `isFound` are wanted. */
  beginSeek(key: Uint8Array): this {
    this.path = [];
    return this.begin(key);
  }

  /** Lets go of key and value, which otherwise live until the next search. */
  release(): void {
    this.#key = NO_BYTES;
    this.value = null;
  }

  /** @throws {CorruptFileError} when the page cannot be what it should be. */
  advance(bytes: Uint8Array, pageStart: number): void {
    if (this.#copy !== null) return this.#copyOn(this.#copy, [bytes, pageStart]);
    if (this.#compare !== null) return this.#compareOn(this.#compare, [bytes, pageStart]);
    this.#bytes = bytes;
    this.#pageStart = pageStart;
    this.#pageEnd = pageStart + this.#usableBytes;
    this.#pageNumber = this.wanted;
    this.#low = 0;
    const head = this.wanted === 1 ? pageStart + 100 : pageStart;
    this.#high = u16At(bytes, head + 3);
    if (++this.#depth > DEPTH_MAX) throw this.#corrupt(head, `the tree has more than ${DEPTH_MAX} levels`);
    this.#search();
  }

  /** Binary search on one page, from where it was left. */
  #search(): void {
    const bytes = this.#bytes;
    const pageStart = this.#pageStart;
    const head = this.#pageNumber === 1 ? pageStart + 100 : pageStart;
    const isLeaf = bytes[head] === LEAF_INDEX;
    if (!isLeaf && bytes[head] !== INTERIOR_INDEX) throw this.#corrupt(head, "it must be a page of an index tree");
    const pointers = isLeaf ? head + 8 : head + 12;
    const childBytes = isLeaf ? 0 : 4;
    const cellMin = pointers + 2 * u16At(bytes, head + 3);
    const cellMax = this.#pageEnd - 4 - childBytes;
    if (cellMin > this.#pageEnd) throw this.#corrupt(head + 3, "its cells must fit the page");
    let low = this.#low;
    let high = this.#high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const pointer = pointers + 2 * middle;
      const cell = pageStart + ((bytes[pointer]! << 8) | bytes[pointer + 1]!);
      if (cell < cellMin || cell > cellMax) throw this.#corrupt(pointer, "a cell must lie inside the page");
      const order = this.#orderOf(cell + childBytes);
      if (order < 0) {
        high = middle;
      } else if (order === 1) {
        low = middle + 1;
      } else {
        this.#low = low;
        this.#high = high;
        return order === 0 ? this.#found(cell + childBytes) : this.#beginCompare(cell + childBytes);
      }
    }
    this.path?.push({ bytes, pageStart, pageNumber: this.#pageNumber, cellIndex: low });
    if (isLeaf) {
      this.wanted = 0;
      return;
    }
    const atEnd = low * 2 + pointers === cellMin;
    const child = u32At(bytes, atEnd ? head + 8 : pageStart + u16At(bytes, pointers + 2 * low));
    if (child < 2 || child > this.#shape.pageCount) throw corruptLink(this.#shape, this.#pageNumber, child);
    this.wanted = child;
  }

  /** -1 when the key comes before that of the cell whose payload size is at `at`, 0, 1, or `UNDECIDED`. */
  #orderOf(at: number): number {
    const bytes = this.#bytes;
    const key = this.#key;
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
    if (type < 12 || type % 2 === 1) throw this.#corrupt(body + 1, "a key must be a blob");
    const keyBytes = (type - 12) / 2;
    if (headerBytes + keyBytes > sizeBytes) throw this.#corrupt(body + 1, "a key must lie inside its row");
    const keyStart = body + headerBytes;
    const here = Math.min(keyBytes, local - headerBytes);
    const shared = Math.min(here, key.length);
    for (let i = 0; i < shared; i++) {
      const mine = key[i]!;
      const other = bytes[keyStart + i]!;
      if (mine !== other) return mine < other ? -1 : 1;
    }
    if (here < keyBytes && key.length > here) return UNDECIDED;
    return key.length < keyBytes ? -1 : key.length > keyBytes ? 1 : 0;
  }

  /** The key is that of the cell whose payload size is at `at`. */
  #found(at: number): void {
    this.isFound = true;
    this.wanted = 0;
    if (this.path !== null) {
      const cellIndex = (this.#low + this.#high) >>> 1;
      this.path.push({ bytes: this.#bytes, pageStart: this.#pageStart, pageNumber: this.#pageNumber, cellIndex });
      return;
    }
    const bytes = this.#bytes;
    const sizeBytes = varintAt(bytes, at);
    if (sizeBytes <= this.#localMax && this.#tree.valueColumn === 1) {
      const body = bytes[at]! > 0x7f ? this.#varintEnd(at) : at + 1;
      const headerEnd = body + bytes[body]!;
      const keyType = varintAt(bytes, body + 1);
      const typeAt = bytes[body + 1]! > 0x7f ? this.#varintEnd(body + 1) : body + 2;
      const typeEnd = varintEnd(bytes, typeAt, headerEnd);
      const type = typeEnd < 0 ? 0 : varintAt(bytes, typeAt);
      const start = headerEnd + (keyType - 12) / 2;
      const end = start + Math.floor((type - 12) / 2);
      if (type < 12 || end > body + sizeBytes) throw this.#corrupt(body, "a value must be a blob inside its row");
      this.value = copyOf(bytes, start, end);
      return;
    }
    const payload = this.#payloadOf(at);
    this.#copyOn(new PayloadCopy(this.#shape, payload, columnsOf(this.#tree, payload).value));
  }

  #copyOn(copy: PayloadCopy, page?: readonly [bytes: Uint8Array, pageStart: number]): void {
    if (page !== undefined) copy.advance(page[0], page[1]);
    this.wanted = copy.wanted;
    this.#copy = this.wanted === 0 ? null : copy;
    if (this.wanted === 0) this.value = copy.bytes;
  }

  #beginCompare(at: number): void {
    const payload = this.#payloadOf(at);
    const { key } = columnsOf(this.#tree, payload);
    this.#compare = new PayloadCompare([this.#shape, payload], this.#key, key);
    this.wanted = this.#compare.wanted;
  }

  #compareOn(compare: PayloadCompare, [bytes, pageStart]: readonly [Uint8Array, number]): void {
    compare.advance(bytes, pageStart);
    this.wanted = compare.wanted;
    if (this.wanted !== 0) return;
    this.#compare = null;
    const middle = (this.#low + this.#high) >>> 1;
    if (compare.order === 0) return this.#found(this.#payloadSizeAt(middle));
    if (compare.order < 0) this.#high = middle;
    else this.#low = middle + 1;
    this.#search();
  }

  /** Where the payload size of a cell stands that was looked at before. */
  #payloadSizeAt(cellIndex: number): number {
    const head = this.#pageNumber === 1 ? this.#pageStart + 100 : this.#pageStart;
    const isLeaf = this.#bytes[head] === LEAF_INDEX;
    const cell = this.#pageStart + u16At(this.#bytes, head + (isLeaf ? 8 : 12) + 2 * cellIndex);
    return isLeaf ? cell : cell + 4;
  }

  #payloadOf(at: number): Payload {
    return payloadAt(this.#shape, {
      bytes: this.#bytes,
      pageStart: this.#pageStart,
      pageNumber: this.#pageNumber,
      start: this.#varintEnd(at),
      sizeBytes: varintAt(this.#bytes, at),
      localMax: this.#localMax,
    });
  }

  #varintEnd(at: number): number {
    const end = varintEnd(this.#bytes, at, this.#pageEnd);
    if (end < 0) throw this.#corrupt(at, "a number reaches past the end of the page");
    return end;
  }

  #corrupt(at: number, message: string): Error {
    return corruptPage(this.#shape, [this.#pageNumber, at - this.#pageStart], message);
  }
}

/** Where key and value stand in a row's payload: offset and length of each. */
export interface KeyValueColumns {
  readonly key: readonly [from: number, length: number];
  readonly value: readonly [from: number, length: number];
}

/**
 * Finds key and value in a record.
 *
 * @throws {CorruptFileError} when one of them is no blob, or lengths contradict each other. Text is taken as its bytes
 * where a value is expected.
 */
export function columnsOf(tree: KeyValueTree, payload: Payload): KeyValueColumns {
  const { bytes, start, localBytes, sizeBytes } = payload;
  const typesStart = varintEnd(bytes, start, start + localBytes);
  const headerBytes = typesStart < 0 ? Infinity : varintAt(bytes, start);
  if (headerBytes > localBytes) throw corruptRow(tree, payload, "the header of a row must lie inside the row");
  let at = typesStart;
  let from = headerBytes;
  let key: readonly [number, number] = [0, 0];
  for (let column = 0;; column++) {
    const next = varintEnd(bytes, at, start + headerBytes);
    const type = next < 0 ? 0 : varintAt(bytes, at);
    const length = serialBytes(type);
    if (next < 0 || length < 0 || from + length > sizeBytes) {
      throw corruptRow(tree, payload, "the columns of a row must lie inside the row");
    }
    if (column === 0) {
      if (type < 12 || type % 2 === 1) throw corruptRow(tree, payload, "a key must be a blob");
      key = [from, length];
    } else if (column === tree.valueColumn) {
      if (type < 12) throw corruptRow(tree, payload, "a value must be a blob");
      return { key, value: [from, length] };
    }
    from += length;
    at = next;
  }
}

function corruptRow(tree: KeyValueTree, payload: Payload, message: string): Error {
  return corruptPage(tree.shape, [payload.pageNumber, payload.offset], message);
}
