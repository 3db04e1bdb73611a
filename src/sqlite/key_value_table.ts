/**
 * Reads tables such as `kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID`: index b-trees ordered by a blob key.
 * @module
 */
import { copyPart, Cursor } from "./cursor.ts";
import type { KeyIndex } from "./key_index.ts";
import { type KeyIndexBuilder, keyIndexBuilder } from "./key_index_builder.ts";
import { columnsOf, type KeyValueTree, Lookup } from "./lookup.ts";
import { checkedPage, feed } from "./overflow.ts";

/** A row of a key-value table; both are copies that the caller owns. */
export type KeyValueRow = [key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>];

/** What rows a scan gives. */
export interface KeyRange {
  /** First key, included; all from the beginning without one. */
  readonly from?: Uint8Array;
  /** Where to stop, excluded; all to the end without one. */
  readonly to?: Uint8Array;
  readonly signal?: AbortSignal;
}

const BATCH_ROWS_MAX = 1024;
const BATCH_BYTES_MAX = 1 << 18;
/** How many pages `getMany` holds at once beside what the source caches. */
const PAGES_AT_ONCE_MAX = 256;

/** A table of blob keys and values. Keys are ordered by their bytes, shorter before longer. */
export class KeyValueTable {
  readonly #tree: KeyValueTree;
  /** A finished search that the next `get` uses again; null while one is under way. */
  #spare: Lookup | null = null;
  /** Answers most look-ups, once it is built; null as long as it is not, and where it cannot be. */
  #index: KeyIndex | null = null;
  #indexBuilder: KeyIndexBuilder | null;

  constructor(tree: KeyValueTree) {
    this.#tree = tree;
    this.#indexBuilder = keyIndexBuilder(tree);
  }

  /**
   * The value of a key, or null: at once, without a promise, as far as the source has all pages at hand. Then the
   * value is all that is allocated, but for keys and values with overflow chains.
   *
   * @throws {CorruptFileError} when damage is met on the way; as a rejection where it had to wait.
   */
  get(
    key: Uint8Array,
    signal?: AbortSignal,
  ): Uint8Array<ArrayBuffer> | null | Promise<Uint8Array<ArrayBuffer> | null> {
    const indexed = this.#index?.get(key);
    if (indexed !== undefined) return indexed;
    const lookup = (this.#spare ?? new Lookup(this.#tree)).begin(key);
    this.#spare = null;
    const { source, pageSizeBytes } = this.#tree.shape;
    const whole = source.contiguous;
    if (whole !== undefined) {
      while (lookup.wanted !== 0) lookup.advance(whole, (lookup.wanted - 1) * pageSizeBytes);
    } else {
      const waiting = feed(this.#tree.shape, lookup, signal);
      if (waiting !== undefined) return waiting.then(() => lookup.value);
    }
    const value = lookup.value;
    lookup.release();
    this.#spare = lookup;
    if (this.#indexBuilder !== null) this.#buildIndex(this.#indexBuilder);
    return value;
  }

  /**
   * The values of many keys, one entry per key in their order. Pages that are not at hand are loaded together, level
   * by level, where the source can do that.
   *
   * @throws {CorruptFileError} when damage is met on the way of one of the keys.
   */
  async getMany(
    keys: readonly Uint8Array[],
    signal?: AbortSignal,
  ): Promise<(Uint8Array<ArrayBuffer> | null)[]> {
    signal?.throwIfAborted();
    const values: (Uint8Array<ArrayBuffer> | null)[] = new Array(keys.length).fill(null);
    let open: { lookup: Lookup; index: number }[] = [];
    let lookup = new Lookup(this.#tree);
    keys.forEach((key, index) => {
      const indexed = this.#index?.get(key);
      if (indexed !== undefined) {
        values[index] = indexed;
        return;
      }
      this.#advanceAtHand(lookup.begin(key));
      if (this.#indexBuilder !== null) this.#buildIndex(this.#indexBuilder);
      if (lookup.wanted === 0) {
        values[index] = lookup.value;
      } else {
        open.push({ lookup, index });
        lookup = new Lookup(this.#tree);
      }
    });
    while (open.length > 0) {
      await this.#advanceTogether(open.map((search) => search.lookup), signal);
      for (const search of open) {
        if (search.lookup.wanted === 0) values[search.index] = search.lookup.value;
      }
      open = open.filter((search) => search.lookup.wanted !== 0);
    }
    return values;
  }

  /**
   * Rows in ascending order of their keys, in arrays of up to 1024 rows or about 256 KiB (more where one row is
   * larger).
   *
   * @throws {CorruptFileError} as soon as damage is met; rows before it have been given.
   */
  async *scan(range: KeyRange = {}): AsyncGenerator<KeyValueRow[], void, undefined> {
    const { to, signal } = range;
    signal?.throwIfAborted();
    const { shape } = this.#tree;
    const cursor = await this.#cursorAt(range);
    let batch: KeyValueRow[] = [];
    let batchBytes = 0;
    let last: Uint8Array | undefined;
    for (let step = cursor.step(); step !== "end"; step = cursor.step()) {
      if (step === "wait") {
        await cursor.wait(signal);
        continue;
      }
      const payload = cursor.payload();
      const columns = columnsOf(this.#tree, payload);
      const keyCopy = copyPart(shape, payload, { span: columns.key, signal });
      const key = keyCopy instanceof Uint8Array ? keyCopy : await keyCopy;
      if (last !== undefined && compareBytes(last, key) >= 0) throw cursor.corruptRow("keys must ascend");
      if (to !== undefined && compareBytes(key, to) >= 0) break;
      last = key;
      const valueCopy = copyPart(shape, payload, { span: columns.value, signal });
      const value = valueCopy instanceof Uint8Array ? valueCopy : await valueCopy;
      batch.push([key, value]);
      batchBytes += key.byteLength + value.byteLength;
      if (batch.length < BATCH_ROWS_MAX && batchBytes < BATCH_BYTES_MAX) continue;
      yield batch;
      signal?.throwIfAborted();
      // The caller owns the last key and may have changed it.
      last = undefined;
      batch = [];
      batchBytes = 0;
    }
    if (batch.length > 0) yield batch;
  }

  #buildIndex(builder: KeyIndexBuilder): void {
    builder.step();
    if (!builder.isDone) return;
    this.#index = builder.index;
    this.#indexBuilder = null;
  }

  async #cursorAt(range: KeyRange): Promise<Cursor> {
    const { shape, rootPage } = this.#tree;
    if (range.from === undefined) return new Cursor(shape, "index", rootPage);
    const lookup = new Lookup(this.#tree).beginSeek(range.from);
    await feed(shape, lookup, range.signal);
    return Cursor.from(shape, lookup.path ?? []);
  }

  #advanceAtHand(lookup: Lookup): void {
    const { shape } = this.#tree;
    const { source, pageSizeBytes } = shape;
    while (lookup.wanted !== 0) {
      if (source.contiguous !== undefined) {
        lookup.advance(source.contiguous, (lookup.wanted - 1) * pageSizeBytes);
      } else {
        const page = source.peek(lookup.wanted);
        if (page === undefined) return;
        lookup.advance(checkedPage(shape, lookup.wanted, page), 0);
      }
    }
  }

  /** Gives each search the page that it waits for, and what is at hand behind that. */
  async #advanceTogether(lookups: readonly Lookup[], signal?: AbortSignal): Promise<void> {
    const { shape } = this.#tree;
    const { source } = shape;
    const byPage = new Map<number, Lookup[]>();
    for (const lookup of lookups) {
      const waiting = byPage.get(lookup.wanted);
      if (waiting === undefined) byPage.set(lookup.wanted, [lookup]);
      else waiting.push(lookup);
    }
    const wanted = [...byPage.keys()].sort((one, other) => one - other);
    for (let i = 0; i < wanted.length; i += PAGES_AT_ONCE_MAX) {
      signal?.throwIfAborted();
      const numbers = wanted.slice(i, i + PAGES_AT_ONCE_MAX);
      const pages = await (source.loadMany?.(numbers, signal) ??
        Promise.all(numbers.map((pageNumber) => source.load(pageNumber, signal))));
      numbers.forEach((pageNumber, k) => {
        const page = checkedPage(shape, pageNumber, pages[k] ?? new Uint8Array(0));
        for (const lookup of byPage.get(pageNumber)!) {
          lookup.advance(page, 0);
          this.#advanceAtHand(lookup);
        }
      });
    }
  }
}

/** Negative, 0 or positive, as SQLite orders blobs: by bytes, then the shorter first. */
function compareBytes(one: Uint8Array, other: Uint8Array): number {
  const shared = Math.min(one.length, other.length);
  for (let i = 0; i < shared; i++) {
    if (one[i] !== other[i]) return one[i]! - other[i]!;
  }
  return one.length - other.length;
}
