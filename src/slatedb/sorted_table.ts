/**
 * One sorted table ("SST") of a database, read in parts.
 *
 * The first lookup fetches its index with its filter; from then on a row costs the request of its block, and a key that
 * is not there costs none where there is a filter. Small tables come whole with the first request.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { compareBytes } from "../routing/key.ts";
import { SharedTask } from "../shared_task.ts";
import { BlockCursor, type Row } from "./block.ts";
import { type KeyFilter, readFilters } from "./bloom_filter.ts";
import { decompress } from "./compression.ts";
import type { TableView } from "./database_state.ts";
import { type DatabaseFolder, decoded } from "./folder.ts";
import { checked } from "./table_info.ts";
import { type BlockSpan, TableIndex } from "./table_index.ts";

const NO_BLOCKS: BlockSpan = { from: 0, last: -1 };

/** What is kept of a table beside its blocks. */
export interface TableMeta {
  readonly index: TableIndex;
  readonly filter: KeyFilter | null;
}

/** Blocks by their numbers, decompressed and checked. */
export type Blocks = Map<number, Uint8Array>;

/** Reads blocks of a table, and finds rows in them. */
export class SortedTable {
  readonly view: TableView;
  readonly url: string;
  readonly #folder: DatabaseFolder;
  readonly #slot: number;
  #meta: TableMeta | null = null;
  #loading: SharedTask<TableMeta> | null = null;
  /** Blocks on their way. */
  readonly #arriving = new Map<number, SharedTask<Blocks>>();

  constructor(view: TableView, folder: DatabaseFolder) {
    this.view = view;
    this.url = `${folder.url}/${view.name}`;
    this.#folder = folder;
    this.#slot = folder.blocks.newSlot();
  }

  /** Whether the table could have a key by its bounds alone. */
  covers(key: Uint8Array): boolean {
    const { info: { firstKey, lastKey }, visible } = this.view;
    if (firstKey !== undefined && compareBytes(key, firstKey) < 0) return false;
    if (lastKey !== undefined && compareBytes(key, lastKey) > 0) return false;
    if (visible === undefined) return true;
    const { from, to } = visible;
    if (from !== undefined && compareBytes(key, from.key) < (from.isIncluded ? 0 : 1)) return false;
    return to === undefined || compareBytes(key, to.key) < (to.isIncluded ? 1 : 0);
  }

  /** The newest row of a key, if all that takes is in memory: undefined where something has to be fetched. */
  peek(key: Uint8Array): Row | null | undefined {
    const meta = this.#meta;
    if (meta === null) return undefined;
    this.#folder.blocks.touch(this.#slot);
    const { from, last } = this.blocksOf(meta, key);
    for (let block = from; block <= last; block++) {
      const bytes = this.#folder.blocks.get(this.#slot, block);
      if (bytes === undefined) return undefined;
      this.#folder.tally.cacheHits++;
      const row = this.find(bytes, key);
      if (row !== null) return row;
    }
    return null;
  }

  /** The blocks that may have rows of a key; none where the filter knows that it is absent. */
  blocksOf({ filter, index }: TableMeta, key: Uint8Array): BlockSpan {
    return filter === null || filter.mayContain(key) ? index.blocksOf(key) : NO_BLOCKS;
  }

  /** The newest row of a key in a block. */
  find(block: Uint8Array, key: Uint8Array): Row | null {
    return decoded(this.url, () => {
      const cursor = new BlockCursor(block, this.view.version, this.url);
      return cursor.seek(key) && cursor.compare(key) === 0 ? cursor.row() : null;
    });
  }

  /** Index and filter, fetched unless they are there. */
  async meta(signal?: AbortSignal): Promise<TableMeta> {
    if (this.#meta !== null) {
      this.#folder.blocks.touch(this.#slot);
      return this.#meta;
    }
    if (this.#loading === null || this.#loading.isAborted) {
      const loading = this.#loading = new SharedTask(async (signal) => {
        try {
          return this.#keep(await this.#loadMeta(signal));
        } finally {
          if (this.#loading === loading) this.#loading = null;
        }
      });
    }
    return await this.#loading.join(signal);
  }

  /** Blocks from memory or from the store, of which those near each other come with one request. */
  async blocks(numbers: readonly number[], { index }: TableMeta, signal?: AbortSignal): Promise<Blocks> {
    const found: Blocks = new Map();
    const missing: number[] = [];
    for (const number of numbers) {
      const bytes = this.#folder.blocks.get(this.#slot, number);
      if (bytes === undefined) missing.push(number);
      else {
        this.#folder.tally.cacheHits++;
        found.set(number, bytes);
      }
    }
    missing.sort((one, other) => one - other);
    const arriving: Promise<Blocks>[] = [];
    for (const span of this.#spans(missing, index)) arriving.push(this.#fetch(span, index, signal));
    for (const blocks of await Promise.all(arriving)) for (const [number, bytes] of blocks) found.set(number, bytes);
    return found;
  }

  /** Blocks that follow each other, past the memory for single ones: for scans. */
  async run(
    [from, to]: readonly [from: number, to: number],
    index: TableIndex,
    signal?: AbortSignal,
  ): Promise<Uint8Array[]> {
    const offset = index.offset(from);
    const bytes = await this.#folder.read(
      this.view.name,
      { offset, lengthBytes: index.offset(to) - offset },
      signal,
    );
    const blocks: Uint8Array[] = [];
    for (let block = from; block < to; block++) blocks.push(await this.#content(bytes, [block, offset], index));
    return blocks;
  }

  /** Lets go of what is held in memory. */
  forget(): void {
    this.#meta = null;
    this.#folder.blocks.drop(this.#slot);
  }

  /** Groups of blocks that are worth one request each. */
  *#spans(missing: readonly number[], index: TableIndex): Generator<readonly [number, number], void, undefined> {
    const gapBytesMax = this.#folder.gapBytesMax();
    let first = 0;
    for (let i = 1; i <= missing.length; i++) {
      const gap = i < missing.length ? index.offset(missing[i]!) - index.offset(missing[i - 1]! + 1) : Infinity;
      if (gap <= gapBytesMax) continue;
      yield [missing[first]!, missing[i - 1]!];
      first = i;
    }
  }

  /** Fetches blocks, once for all who wait for the same. */
  #fetch([from, last]: readonly [number, number], index: TableIndex, signal?: AbortSignal): Promise<Blocks> {
    const isOne = from === last;
    const known = isOne ? this.#arriving.get(from) : undefined;
    if (known !== undefined && !known.isAborted) return known.join(signal);
    const task = new SharedTask(async (signal): Promise<Blocks> => {
      try {
        const contents = await this.run([from, last + 1], index, signal);
        return new Map(contents.map((content, i): [number, Uint8Array] => {
          // A copy where it is a view of all that came, which would stay in memory with it.
          const own = content.buffer.byteLength > 2 * content.length ? content.slice() : content;
          this.#folder.blocks.set(this.#slot, from + i, own);
          return [from + i, own];
        }));
      } finally {
        if (this.#arriving.get(from) === task) this.#arriving.delete(from);
      }
    });
    if (isOne) this.#arriving.set(from, task);
    return task.join(signal);
  }

  #keep(meta: TableMeta): TableMeta {
    const sizeBytes = meta.index.sizeBytes + (meta.filter?.sizeBytes ?? 0);
    if (this.#folder.blocks.hold(this.#slot, sizeBytes, () => this.#meta = null)) this.#meta = meta;
    else {
      this.#folder.warn(
        `the index of "${this.url}" is fetched with every lookup: there is no room for it, raise cacheBytesMax`,
      );
    }
    return meta;
  }

  async #loadMeta(signal: AbortSignal): Promise<TableMeta> {
    const { info, name } = this.view;
    const { indexOffset, indexBytes, filterOffset, filterBytes } = info;
    const hasFilter = filterBytes > 0;
    const dataEnd = hasFilter ? filterOffset : indexOffset;
    const end = indexOffset + indexBytes;
    if (hasFilter && filterOffset + filterBytes !== indexOffset) {
      throw new CorruptFileError(`Cannot read "${this.url}" as its index must follow its filter`, filterOffset);
    }
    const isWhole = end <= this.#folder.gapBytesMax();
    const start = isWhole ? 0 : dataEnd;
    const bytes = await this.#folder.read(name, { offset: start, lengthBytes: end - start }, signal);
    const indexPart = await this.#part(bytes, [indexOffset, end], start);
    const index = decoded(this.url, () => new TableIndex(indexPart, dataEnd));
    const filterPart = hasFilter ? await this.#part(bytes, [filterOffset, indexOffset], start) : null;
    if (isWhole) {
      for (let block = 0; block < index.blockCount; block++) {
        this.#folder.blocks.set(this.#slot, block, (await this.#content(bytes, [block, 0], index)).slice());
      }
    }
    return { index, filter: filterPart && this.#filter(filterPart) };
  }

  #filter(part: Uint8Array): KeyFilter | null {
    const { isComposite } = this.view.info;
    const filters = decoded(this.url, () => readFilters(part, isComposite));
    if (filters.isComposite !== isComposite) {
      this.#folder.warn(
        `"${this.#folder.url}" was opened by an older SlateDB that damaged its manifest: ` +
          "it is read right here, but other readers miss keys",
      );
    }
    return filters.filter;
  }

  /** A block's rows: checked, decompressed, and in its place. */
  async #content(
    bytes: Uint8Array,
    [block, base]: readonly [block: number, base: number],
    index: TableIndex,
  ): Promise<Uint8Array> {
    const content = await this.#part(bytes, [index.offset(block), index.offset(block + 1)], base);
    decoded(this.url, () => {
      const cursor = new BlockCursor(content, this.view.version, this.url);
      cursor.next();
      const isBelow = cursor.compare(index.lowerBound(block)) < 0;
      const isAbove = block + 1 < index.blockCount && cursor.compare(index.lowerBound(block + 1)) > 0;
      if (!isBelow && !isAbove) return;
      const offset = index.offset(block);
      throw new CorruptFileError(`Cannot use the block of "${this.url}" at ${offset} as it is another one`, offset);
    });
    return content;
  }

  /** A part without its checksum, decompressed; a copy unless it is not compressed. */
  async #part(bytes: Uint8Array, [from, to]: readonly [number, number], base: number): Promise<Uint8Array> {
    const content = checked(bytes.subarray(from - base, to - base), { url: this.url, offset: from });
    return await decompress(this.view.info.compression, content);
  }
}
