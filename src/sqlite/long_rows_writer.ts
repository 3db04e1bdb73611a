/**
 * Writes tables of few, long rows: first the overflow chains of all rows in one piece, then the leaves, then the
 * interior pages. Who wants all rows, as a search for vectors does, finds with one request where they are, and fetches
 * them in few.
 * @module
 */
import type { SpoolFactory } from "../bytes/spool.ts";
import { localBytes, putVarint, tableLocalMax, varintBytes } from "./format.ts";
import { FLUSH_BYTES, type PageOutput } from "./page_output.ts";
import { TreeWriter } from "./tree_writer.ts";

/** Fills pages for one table b-tree. Holds what rows have outside of their chains: less than a page of each. */
export class LongRowsWriter implements AsyncDisposable {
  readonly #output: PageOutput;
  readonly #io: { flush: () => Promise<void>; openSpool?: SpoolFactory };
  readonly #cells: Uint8Array[] = [];
  /** The leaves, once the chains are written. */
  #leaves: TreeWriter | undefined;

  /** @param io As for `TreeWriter`. */
  constructor(output: PageOutput, io: { flush: () => Promise<void>; openSpool?: SpoolFactory }) {
    this.#output = output;
    this.#io = io;
  }

  /** True when enough pages are final to be worth a flush; ask after each `add`. */
  get isFull(): boolean {
    return this.#output.usedBytes >= FLUSH_BYTES;
  }

  /** First page that may still change. */
  get keepFrom(): number {
    return this.#leaves?.keepFrom ?? this.#output.pageCount + 1;
  }

  /** To be called after pages were taken out of the output. */
  async relieve(): Promise<void> {
    await this.#leaves?.relieve();
  }

  /** Appends a row; ids ascend. */
  add(rowid: number, record: Uint8Array): void {
    const { pageSizeBytes } = this.#output;
    const local = localBytes(pageSizeBytes, tableLocalMax(pageSizeBytes), record.length);
    const isWhole = local === record.length;
    const headBytes = varintBytes(record.length) + varintBytes(rowid);
    const cell = new Uint8Array(headBytes + local + (isWhole ? 0 : 4));
    cell.set(record.subarray(0, local), putVarint(cell, putVarint(cell, 0, record.length), rowid));
    if (!isWhole) new DataView(cell.buffer).setUint32(headBytes + local, this.#output.putChain(record.subarray(local)));
    this.#cells.push(cell);
  }

  /** Writes leaves and interior levels; gives the number of the root page. */
  async finish(): Promise<number> {
    const leaves = this.#leaves = new TreeWriter(this.#output, "table", this.#io);
    for (const cell of this.#cells) {
      leaves.addCell(cell);
      if (leaves.isFull) await this.#io.flush();
    }
    return await leaves.finish();
  }

  /** Removes temporary files. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leaves?.[Symbol.asyncDispose]();
  }
}
