/**
 * What a level of a b-tree leaves for the level above: child pages and the cells that separate them.
 * @module
 */
import type { ByteSpool, SpoolFactory } from "../bytes/spool.ts";

const CHUNK_BYTES = 1 << 18;
/** Kept in memory by each level before it goes to the spool. */
const MEMORY_BYTES = 4 << 20;
const ENTRY_HEAD_BYTES = 6;

/**
 * A list of `(child page, divider cell)`, appended to and then read once. Entry: u32 child, u16 length, cell.
 *
 * Holds at most 4 MiB when there is a spool, else everything.
 */
export class DividerList implements AsyncDisposable {
  #chunks: Uint8Array[] = [];
  #chunk: Uint8Array = new Uint8Array(CHUNK_BYTES);
  #usedBytes = 0;
  #count = 0;
  #spool: ByteSpool | undefined;
  readonly #openSpool: SpoolFactory | undefined;

  constructor(openSpool: SpoolFactory | undefined) {
    this.#openSpool = openSpool;
  }

  /** Entries so far. */
  get count(): number {
    return this.#count;
  }

  /** Appends a copy of the cell. */
  push(child: number, cell: Uint8Array): void {
    const entryBytes = ENTRY_HEAD_BYTES + cell.length;
    if (this.#usedBytes + entryBytes > this.#chunk.length) {
      this.#chunks.push(this.#chunk.subarray(0, this.#usedBytes));
      this.#chunk = new Uint8Array(Math.max(CHUNK_BYTES, entryBytes));
      this.#usedBytes = 0;
    }
    const view = new DataView(this.#chunk.buffer, this.#usedBytes);
    view.setUint32(0, child);
    view.setUint16(4, cell.length);
    this.#chunk.set(cell, this.#usedBytes + ENTRY_HEAD_BYTES);
    this.#usedBytes += entryBytes;
    this.#count++;
  }

  /** Moves full chunks to the spool when there are many; call it now and then. */
  async relieve(): Promise<void> {
    if (this.#openSpool === undefined || this.#chunks.length * CHUNK_BYTES < MEMORY_BYTES) return;
    this.#spool ??= await this.#openSpool();
    for (const chunk of this.#chunks.splice(0)) await this.#spool.append(chunk);
  }

  /** All entries in order, as chunks to be cut with {@linkcode eachEntry}. */
  async *read(): AsyncIterable<Uint8Array> {
    if (this.#spool !== undefined) yield* this.#spool.read();
    yield* this.#chunks;
    yield this.#chunk.subarray(0, this.#usedBytes);
  }

  /** Removes the spool. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#chunks = [];
    await this.#spool?.[Symbol.asyncDispose]();
  }
}

/** Cuts a chunk of a {@linkcode DividerList} into its entries; `cell` is a view. */
export function* eachEntry(chunk: Uint8Array): Generator<{ child: number; cell: Uint8Array }> {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  for (let at = 0; at < chunk.length;) {
    const end = at + ENTRY_HEAD_BYTES + view.getUint16(at + 4);
    yield { child: view.getUint32(at), cell: chunk.subarray(at + ENTRY_HEAD_BYTES, end) };
    at = end;
  }
}
