/**
 * A whole SQLite file, written front to back: tables one after the other, page 1 last.
 *
 * The file is a function of its tables and their rows alone: no time, no free pages, no leftovers. Its page order
 * serves readers: leaves in key order, each directly followed by the overflow chains of its rows, then all interior
 * pages of the table in one run. Of tables of few, long rows all chains come first.
 * @module
 */
import type { SpoolFactory } from "../bytes/spool.ts";
import { FILE_HEADER_BYTES, LEAF_TABLE, PAGE_SIZES, putVarint, varintBytes } from "./format.ts";
import { type PageObserver, PageOutput } from "./page_output.ts";
import type { SqlValue } from "./record.ts";
import { LongRowsWriter } from "./long_rows_writer.ts";
import { encodeRecord } from "./record_writer.ts";
import { TreeWriter } from "./tree_writer.ts";

/** Takes pages in file order, from page 2 on. The bytes are valid until the promise resolves. */
export type PageSink = (pages: Uint8Array) => Promise<void>;

/** The version of SQLite that is written into the header: the first that all readers of such files know. */
const SQLITE_VERSION_NUMBER = 3040001;

/** Builds a file table by table; at most one table is open at a time. */
export class DatabaseWriter implements AsyncDisposable {
  readonly #output: PageOutput;
  readonly #sink: PageSink;
  readonly #openSpool: SpoolFactory | undefined;
  #tree: TreeWriter | LongRowsWriter | undefined;
  #writing: Promise<void> = Promise.resolve();
  readonly #schema: Uint8Array[] = [];

  /**
   * @param io.openSpool Lets interior pages wait on disk; without it they wait in memory (about one byte in 40 of a
   * table of 100-byte rows).
   * @param io.observer Is told which of the pages that go to the sink are interior ones, or make an overflow chain.
   */
  constructor(pageSizeBytes: number, io: { sink: PageSink; openSpool?: SpoolFactory; observer?: PageObserver }) {
    if (!PAGE_SIZES.includes(pageSizeBytes)) throw new RangeError(`Cannot write pages of ${pageSizeBytes} bytes`);
    this.#output = new PageOutput(pageSizeBytes, io.observer);
    this.#sink = io.sink;
    this.#openSpool = io.openSpool;
  }

  /** Begins a table; its rows go to the tree that is given back. */
  beginTable(kind: "rowid" | "withoutRowid"): TreeWriter {
    return this.#tree = new TreeWriter(this.#output, kind === "rowid" ? "table" : "index", this.#treeIo());
  }

  /** Begins a table with row ids whose rows are so long that they overflow: their chains stand before its leaves. */
  beginLongRows(): LongRowsWriter {
    return this.#tree = new LongRowsWriter(this.#output, this.#treeIo());
  }

  /** Ends the table begun last and enters it into the schema. */
  async endTable(name: string, sql: string): Promise<void> {
    this.#schema.push(encodeRecord(["table", name, name, await this.#endTree(), sql]));
  }

  /**
   * Ends an index that was begun as a table without row ids, and enters it into the schema as one that SQLite makes by
   * itself. Its rows are the indexed columns and the row id.
   */
  async endIndex(name: string, tableName: string): Promise<void> {
    this.#schema.push(encodeRecord(["index", name, tableName, await this.#endTree(), null]));
  }

  /** Enters a virtual table into the schema, which has no pages of its own. */
  addVirtualTable(name: string, sql: string): void {
    this.#schema.push(encodeRecord(["table", name, name, 0, sql]));
  }

  /** Hands the final pages on. While they are being written the next ones can be filled. */
  async flush(): Promise<void> {
    await this.#writing;
    const pages = this.#output.take(this.#tree?.keepFrom ?? this.#output.pageCount + 1);
    await this.#tree?.relieve();
    if (pages.length === 0) return;
    this.#writing = this.#sink(pages);
    this.#writing.catch(() => {}); // It is awaited by the next flush, where the error surfaces.
  }

  /** Waits for all pages to be written and gives page 1. */
  async finish(): Promise<Uint8Array> {
    await this.flush();
    await this.#writing;
    return firstPage(this.#output.pageSizeBytes, this.#output.pageCount, this.#schema);
  }

  async #endTree(): Promise<number> {
    await using tree = this.#tree!;
    const rootPage = await tree.finish();
    this.#tree = undefined;
    await this.flush();
    return rootPage;
  }

  #treeIo(): { flush: () => Promise<void>; openSpool?: SpoolFactory } {
    const flush = () => this.flush();
    return this.#openSpool === undefined ? { flush } : { flush, openSpool: this.#openSpool };
  }

  /** Removes temporary files; waits for what is being written. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing.catch(() => {});
    await this.#tree?.[Symbol.asyncDispose]();
  }
}

/** The file header, and the schema table as a single leaf. */
function firstPage(pageSizeBytes: number, pageCount: number, schema: readonly Uint8Array[]): Uint8Array {
  const page = new Uint8Array(pageSizeBytes);
  const view = new DataView(page.buffer);
  page.set(new TextEncoder().encode("SQLite format 3\0"));
  view.setUint16(16, pageSizeBytes === 65536 ? 1 : pageSizeBytes);
  page.set([1, 1, 0, 64, 32, 32], 18);
  view.setUint32(24, 1);
  view.setUint32(28, pageCount);
  view.setUint32(40, schema.length);
  view.setUint32(44, 4);
  view.setUint32(56, 1);
  view.setUint32(92, 1);
  view.setUint32(96, SQLITE_VERSION_NUMBER);
  page[FILE_HEADER_BYTES] = LEAF_TABLE;
  view.setUint16(FILE_HEADER_BYTES + 3, schema.length);
  let top = pageSizeBytes;
  schema.forEach((record, index) => {
    top -= varintBytes(record.length) + varintBytes(index + 1) + record.length;
    const pointerAt = FILE_HEADER_BYTES + 8 + 2 * index;
    if (pointerAt + 2 * (schema.length - index) > top) {
      throw new RangeError(`Cannot write a schema of ${schema.length} tables as it must fit on page 1`);
    }
    view.setUint16(pointerAt, top);
    const at = putVarint(page, putVarint(page, top, record.length), index + 1);
    page.set(record, at);
  });
  view.setUint16(FILE_HEADER_BYTES + 5, top & 0xffff);
  return page;
}

/** A small table with its rows, for {@linkcode writeDatabase}. */
export interface RowidTable {
  readonly name: string;
  /** The `CREATE TABLE` statement. */
  readonly sql: string;
  /** Ascending by `rowid`. A column that is the row id's alias (`INTEGER PRIMARY KEY`) stands as null in `values`. */
  readonly rows: readonly { readonly rowid: number; readonly values: readonly (SqlValue | Uint8Array)[] }[];
}

/** A whole database in memory: for files as small as a manifest. */
export async function writeDatabase(tables: readonly RowidTable[], pageSizeBytes: number = 4096): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  await using writer = new DatabaseWriter(pageSizeBytes, {
    sink: (pages) => Promise.resolve(void pieces.push(pages.slice())),
  });
  for (const { name, sql, rows } of tables) {
    const tree = writer.beginTable("rowid");
    for (const { rowid, values } of rows) {
      const record = encodeRecord(values);
      tree.headBytes = tree.varintBytes = putVarint(tree.head, putVarint(tree.head, 0, record.length), rowid);
      tree.add(record, 0, record.length);
      if (tree.isFull) await writer.flush();
    }
    await writer.endTable(name, sql);
  }
  const head = await writer.finish();
  return concatenate([head, ...pieces]);
}

function concatenate(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
