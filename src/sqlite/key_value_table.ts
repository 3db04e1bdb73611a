/**
 * Reads tables such as `kv (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID`: index b-trees ordered by a blob key.
 * @module
 */
import type { KeyIndex } from "./key_index.ts";
import type { KeyIndexBuilder } from "./key_index_builder.ts";
import { type KeyValueTree, Lookup } from "./lookup.ts";
import { feed, feedAtHand, likelyPages, loadTogether } from "./overflow.ts";

/** How much `getMany` holds at once beside what the source caches; more where one row is larger. */
const BYTES_AT_ONCE_MAX = 1 << 24;

/** Prepares the index of a table, or gives null where it can have none: `keyIndexBuilder`, or nothing at all. */
export type IndexBuilderOf = (tree: KeyValueTree) => KeyIndexBuilder | null;

/** A table of blob keys and values. Keys are ordered by their bytes, shorter before longer. */
export class KeyValueTable {
  /** Where the table stands in its file, for those who walk through it. */
  readonly tree: KeyValueTree;
  /** A finished search that the next `get` uses again; null while one is under way. */
  #spare: Lookup | null = null;
  /** Answers most look-ups, once it is built; null as long as it is not, and where it cannot be. */
  #index: KeyIndex | null = null;
  #indexBuilder: KeyIndexBuilder | null;

  constructor(tree: KeyValueTree, indexed?: IndexBuilderOf) {
    this.tree = tree;
    this.#indexBuilder = indexed?.(tree) ?? null;
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
    const lookup = (this.#spare ?? new Lookup(this.tree)).begin(key);
    this.#spare = null;
    const waiting = feed(this.tree.shape, lookup, signal);
    if (waiting !== undefined) return waiting.then(() => lookup.value);
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
    const open = new Map<number, Lookup>();
    let lookup = new Lookup(this.tree);
    keys.forEach((key, index) => {
      const indexed = this.#index?.get(key);
      if (indexed !== undefined) {
        values[index] = indexed;
        return;
      }
      feedAtHand(this.tree.shape, lookup.begin(key));
      if (this.#indexBuilder !== null) this.#buildIndex(this.#indexBuilder);
      values[index] = lookup.value;
      if (lookup.wanted === 0) return;
      open.set(index, lookup);
      lookup = new Lookup(this.tree);
    });
    while (open.size > 0) {
      await this.#advanceTogether([...open.values()], signal);
      for (const [index, { wanted, value }] of open) {
        values[index] = value;
        if (wanted === 0) open.delete(index);
      }
    }
    return values;
  }

  #buildIndex(builder: KeyIndexBuilder): void {
    builder.step();
    if (!builder.isDone) return;
    this.#index = builder.index;
    this.#indexBuilder = null;
  }

  /** Gives the searches the pages that they wait for, whole overflow chains included. */
  async #advanceTogether(lookups: Lookup[], signal?: AbortSignal): Promise<void> {
    const { shape } = this.tree;
    const pagesMax = BYTES_AT_ONCE_MAX / shape.pageSizeBytes;
    lookups.sort((one, other) => one.wanted - other.wanted);
    for (let next = 0; next < lookups.length;) {
      signal?.throwIfAborted();
      const group: Lookup[] = [];
      const wanted = new Set<number>();
      for (; next < lookups.length && wanted.size < pagesMax; next++) {
        group.push(lookups[next]!);
        for (const pageNumber of likelyPages(shape, lookups[next]!)) wanted.add(pageNumber);
      }
      const loaded = await loadTogether(shape, [...wanted], signal);
      for (const lookup of group) feedAtHand(shape, lookup, loaded);
    }
  }
}
