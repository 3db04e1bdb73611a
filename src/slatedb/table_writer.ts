/**
 * Writes sorted tables ("SSTs") from ascending rows: blocks, filter, index, and where these are.
 * @module
 */
import type { Turns } from "../turns.ts";
import { BlockWriter, type Piece } from "./block_writer.ts";
import type { Compressor } from "./compressor.ts";
import { FilterBuilder } from "./filter_builder.ts";
import { flatBytes, type FlatFields } from "./flat_builder.ts";
import { type Compression, COMPRESSIONS } from "./table_info.ts";

/** How tables are laid out. */
export interface TableLayout {
  /** Length of blocks, but for those of one longer row. */
  readonly blockSizeBytes: number;
  /** 0 for none. */
  readonly filterBitsPerKey: number;
  /** Tables of fewer keys have no filter. */
  readonly filterKeysMin: number;
  readonly compression: Compression;
  /** From this size on a table is finished. */
  readonly tableSizeBytes: number;
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
  readonly #compress: Compressor;
  readonly #compression: number;
  readonly #sizeBytesMax: number;
  #index: { offset: number; bound: Uint8Array }[] = [];
  #firstKey: Uint8Array | null = null;

  /** @param compress What {@linkcode compressorOf} gives for the layout's compression. */
  constructor(layout: TableLayout, compress: Compressor) {
    this.#blocks = new BlockWriter(layout, compress);
    this.#filter = new FilterBuilder(layout);
    this.#compress = compress;
    this.#compression = COMPRESSIONS.indexOf(layout.compression);
    this.#sizeBytesMax = layout.tableSizeBytes;
  }

  /** Bytes of the table so far. */
  get sizeBytes(): number {
    return this.#blocks.length;
  }

  get isEmpty(): boolean {
    return this.#firstKey === null;
  }

  get isFull(): boolean {
    return this.#blocks.length >= this.#sizeBytesMax;
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
  async finish(turns: Turns): Promise<WrittenTable> {
    const blocks = this.#blocks;
    const lastKey = blocks.lastKey.slice();
    blocks.endBlock();
    const filterOffset = blocks.length;
    const filter = await this.#filter.finish(turns);
    if (filter !== null) this.#addPart(this.#compressed(filter));
    const indexOffset = blocks.length;
    this.#addPart(this.#compressed(indexBytes(this.#index)));
    const infoOffset = blocks.length;
    const info: FlatFields = {
      0: { bytes: this.#firstKey! },
      1: { u64: indexOffset },
      2: { u64: infoOffset - indexOffset },
      3: { u64: filterOffset },
      4: { u64: indexOffset - filterOffset },
      5: { u8: this.#compression },
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

  #compressed(part: Uint8Array): Uint8Array {
    return this.#compress === null ? part : this.#compress(part);
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
