/**
 * Writes sorted tables ("SSTs") from ascending rows: blocks, filter, index, and where these are.
 * @module
 */
import { BlockWriter, type Piece } from "./block_writer.ts";
import { FilterBuilder } from "./filter_builder.ts";
import { flatBytes, type FlatFields } from "./flat_builder.ts";

/** How tables are laid out. */
export interface TableLayout {
  /** Length of blocks, but for those of one longer row. */
  readonly blockSizeBytes: number;
  /** 0 for none. */
  readonly filterBitsPerKey: number;
}

/** A table that is finished. */
export interface WrittenTable {
  /** Valid until the next row is added. */
  readonly bytes: Uint8Array;
  /** What manifests say of it. */
  readonly info: FlatFields;
}

/** Encoding of rows, as SlateDB writes it since 0.11. */
export const TABLE_VERSION = 2;

/** Writes one table after the other into the same memory. */
export class TableWriter {
  readonly #blocks: BlockWriter;
  readonly #filter: FilterBuilder;
  #index: { offset: number; bound: Uint8Array }[] = [];
  #firstKey: Uint8Array | null = null;

  constructor({ blockSizeBytes, filterBitsPerKey }: TableLayout) {
    this.#blocks = new BlockWriter(blockSizeBytes);
    this.#filter = new FilterBuilder(filterBitsPerKey);
  }

  /** Bytes of the table so far. */
  get sizeBytes(): number {
    return this.#blocks.length;
  }

  get isEmpty(): boolean {
    return this.#firstKey === null;
  }

  /** Adds a row whose key is above all before. */
  add(key: Uint8Array, value: Piece): void {
    const blocks = this.#blocks;
    if (blocks.isFull(key, value.length)) blocks.endBlock();
    if (blocks.isEmpty) {
      const bound = this.#firstKey === null ? new Uint8Array(0) : separator(blocks.lastKey, key);
      this.#index.push({ offset: blocks.length, bound });
      this.#firstKey ??= key.slice();
    }
    blocks.add(key, value);
    this.#filter.add(key);
  }

  /** Ends the table; the next row begins another one. */
  finish(): WrittenTable {
    const blocks = this.#blocks;
    const lastKey = blocks.lastKey.slice();
    blocks.endBlock();
    const filterOffset = blocks.length;
    const filter = this.#filter.finish();
    if (filter !== null) this.#addPart(filter);
    const indexOffset = blocks.length;
    this.#addPart(indexBytes(this.#index));
    const infoOffset = blocks.length;
    const info: FlatFields = {
      0: { bytes: this.#firstKey! },
      1: { u64: indexOffset },
      2: { u64: infoOffset - indexOffset },
      3: { u64: filterOffset },
      4: { u64: indexOffset - filterOffset },
      7: { bytes: lastKey },
    };
    this.#addPart(flatBytes(info));
    const footer = new DataView(new ArrayBuffer(10));
    footer.setBigUint64(0, BigInt(infoOffset));
    footer.setUint16(8, TABLE_VERSION);
    blocks.append(new Uint8Array(footer.buffer));
    const bytes = blocks.bytes.subarray(0, blocks.length);
    blocks.clear();
    this.#index = [];
    this.#firstKey = null;
    return { bytes, info };
  }

  #addPart(part: Uint8Array): void {
    const start = this.#blocks.length;
    this.#blocks.append(part);
    this.#blocks.endPart(start);
  }
}

/** The shortest bytes above the one key and not above the other, which is above it. */
function separator(below: Uint8Array, key: Uint8Array): Uint8Array {
  let shared = 0;
  while (shared < below.length && below[shared] === key[shared]) shared++;
  return key.slice(0, shared + 1);
}

function indexBytes(blocks: readonly { readonly offset: number; readonly bound: Uint8Array }[]): Uint8Array {
  return flatBytes({ 0: { tables: blocks.map(({ offset, bound }) => ({ 0: { u64: offset }, 1: { bytes: bound } })) } });
}
