// Judge: SQLite wrote the files, and each is damaged at one known place; the error must name what is wrong there.
import { equal, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import { memoryPages, openDatabase, scanTable } from "../../src/sqlite/mod.ts";
import { allOf, databaseBytes, KV_TABLE, LatePages } from "./sqlite_judge.ts";

const PAGE_BYTES = 512;

/** A file that the test changes by hand. */
class Patient {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  readonly rootPage: number;

  constructor(bytes: Uint8Array<ArrayBuffer>, rootPage: number) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer);
    this.rootPage = rootPage;
  }

  /** Where a page begins in the file. */
  page(pageNumber: number): number {
    return (pageNumber - 1) * PAGE_BYTES;
  }

  /** Where a cell begins in the file. */
  cell(pageNumber: number, cellIndex: number): number {
    const page = this.page(pageNumber);
    const isLeaf = this.bytes[page]! >= 10;
    return page + this.view.getUint16(page + (isLeaf ? 8 : 12) + 2 * cellIndex);
  }

  child(cellIndex: number): number {
    return this.view.getUint32(this.cell(this.rootPage, cellIndex));
  }

  /** Every reading that may stumble: of a key, of all rows, of pages that come one by one. */
  async refuses(key: Uint8Array, get: RegExp | undefined, scan: RegExp | undefined): Promise<void> {
    for (const source of [memoryPages(this.bytes), new LatePages(this.bytes, () => true)]) {
      const kv = (await openDatabase(source)).keyValueTable();
      if (get !== undefined) throws(() => kv.get(key), { code: "CORRUPT_FILE", message: get });
      else await kv.get(key);
      if (scan !== undefined) await rejects(allOf(scanTable(kv)), { code: "CORRUPT_FILE", message: scan });
      else await allOf(scanTable(kv));
    }
  }
}

async function patient(rowCount: number, valueBytes: number): Promise<Patient> {
  const bytes = databaseBytes({ pageSizeBytes: PAGE_BYTES }, (database) => {
    database.exec(KV_TABLE);
    const insert = database.prepare("INSERT INTO kv VALUES (?, ?)");
    for (let i = 0; i < rowCount; i++) insert.run(keyOf(i), new Uint8Array(valueBytes).fill(i));
  });
  const database = await openDatabase(memoryPages(bytes));
  return new Patient(bytes, database.table("kv")!.rootPage);
}

function keyOf(number: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(1, number);
}

test("KeyValueTable refuses a tree whose page is its own child", async () => {
  const file = await patient(60, 30);
  file.view.setUint32(file.page(file.rootPage) + 8, file.rootPage);
  await file.refuses(keyOf(99), /more than 20 levels/, /reached more than once|keys must ascend/);
});

test("scanTable() refuses a page that is reached twice", async () => {
  const file = await patient(60, 30);
  file.view.setUint32(file.cell(file.rootPage, 1), file.child(0));
  await file.refuses(keyOf(0), undefined, /keys must ascend/);
});

test("scanTable() refuses rows in another order", async () => {
  const file = await patient(4, 10);
  const pointers = file.page(file.rootPage) + 8;
  const first = file.view.getUint16(pointers);
  file.view.setUint16(pointers, file.view.getUint16(pointers + 2));
  file.view.setUint16(pointers + 2, first);
  await file.refuses(keyOf(3), undefined, /keys must ascend/);
});

test("RowidTable.rows() refuses rows in another order", async () => {
  const bytes = databaseBytes({ pageSizeBytes: PAGE_BYTES }, (database) => {
    database.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)");
  });
  const view = new DataView(bytes.buffer);
  const first = view.getUint16(PAGE_BYTES + 8);
  view.setUint16(PAGE_BYTES + 8, view.getUint16(PAGE_BYTES + 10));
  view.setUint16(PAGE_BYTES + 10, first);
  const table = (await openDatabase(memoryPages(bytes))).rowidTable("t");
  await rejects(allOf(table.rows()), { code: "CORRUPT_FILE", message: /row ids must ascend/ });
});

test("RowidTable.rows() refuses pages without rows that are reached again and again", async () => {
  const bytes = databaseBytes({ pageSizeBytes: PAGE_BYTES }, (database) => {
    database.exec("CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(300)), (zeroblob(300)), (zeroblob(300))");
  });
  const database = await openDatabase(memoryPages(bytes));
  const file = new Patient(bytes, database.table("t")!.rootPage);
  const leaf = file.child(0);
  // Twenty levels of two children each would be a million visits.
  file.view.setUint16(file.page(leaf) + 3, 0);
  for (const cellIndex of [0, 1]) file.view.setUint32(file.cell(file.rootPage, cellIndex), leaf);
  file.view.setUint32(file.page(file.rootPage) + 8, leaf);
  const rows = (await openDatabase(memoryPages(bytes.slice(0, shortened(file, leaf))))).rowidTable("t").rows();
  await rejects(allOf(rows), { code: "CORRUPT_FILE", message: /reached more than once/ });
});

/** Leaves only the pages up to a leaf in the file, so that three visits of it are one too many. */
function shortened(file: Patient, leaf: number): number {
  const pageCount = Math.max(file.rootPage, leaf);
  file.view.setUint32(28, pageCount);
  return pageCount * PAGE_BYTES;
}

test("KeyValueTable refuses an overflow chain that goes on behind its end, and one that ends early", async () => {
  const file = await patient(1, 2000);
  // SQLite takes new pages in order, so that the last one of the file is the end of the only chain.
  const lastPage = file.bytes.byteLength / PAGE_BYTES;
  file.view.setUint32(file.page(lastPage), 3);
  await file.refuses(keyOf(0), /goes on behind its last page/, /goes on behind its last page/);
  file.view.setUint32(file.page(lastPage - 1), 0);
  await file.refuses(keyOf(0), /Cannot read page 0 of the database, named by page/, /Cannot read page 0/);
});

test("scanTable() refuses chains that are longer together than the file", async () => {
  const file = await patient(4, 2000);
  const chainOf = (cellIndex: number): number =>
    file.cell(file.rootPage, cellIndex) + 3 + localBytesOf(file, cellIndex);
  for (let i = 1; i < 4; i++) file.view.setUint32(chainOf(i), file.view.getUint32(chainOf(0)));
  const whole = (await openDatabase(memoryPages(file.bytes))).keyValueTable();
  equal((await allOf(scanTable(whole))).length, 4);
  // Cut behind the chain that all rows now share.
  file.view.setUint32(28, 8);
  const cut = new Patient(file.bytes.slice(0, 8 * PAGE_BYTES), file.rootPage);
  await cut.refuses(keyOf(3), undefined, /reached more than once/);
});

/** Section 1.6 of the file format for rows whose payload size takes two bytes, less the second of them. */
function localBytesOf(file: Patient, cellIndex: number): number {
  const cell = file.cell(file.rootPage, cellIndex);
  const payloadBytes = (file.bytes[cell]! - 128) * 128 + file.bytes[cell + 1]!;
  const least = Math.floor((PAGE_BYTES - 12) * 32 / 255) - 23;
  const split = least + (payloadBytes - least) % (PAGE_BYTES - 4);
  const local = split <= Math.floor((PAGE_BYTES - 12) * 64 / 255) - 23 ? split : least;
  return local - 1;
}

test("KeyValueTable refuses a row that reaches past the end of its page", async () => {
  const file = await patient(3, 20);
  // The first row is the last on the page.
  file.bytes[file.cell(file.rootPage, 0)]! += 20;
  await file.refuses(keyOf(0), /a row must lie inside the page/, /does not fit the page/);
});

test("KeyValueTable refuses columns that reach past the end of their row", async () => {
  const longValue = await patient(3, 20);
  const row = longValue.cell(longValue.rootPage, 1);
  equal(longValue.bytes[row + 3], 12 + 2 * 20);
  longValue.bytes[row + 3]! += 20;
  await longValue.refuses(keyOf(1), /a value must be a blob inside its row/, /must lie inside the row/);
  const longKey = await patient(3, 20);
  longKey.bytes[longKey.cell(longKey.rootPage, 1) + 2] = 12 + 2 * 40;
  await longKey.refuses(keyOf(1), /a key must be a blob inside its row/, /must lie inside the row/);
  const longHeader = await patient(3, 20);
  longHeader.bytes[longHeader.cell(longHeader.rootPage, 1) + 1] = 100;
  await longHeader.refuses(keyOf(1), /the header of a row must lie inside the row/, /header of a row must lie inside/);
});

test("KeyValueTable allocates nothing for a length that the file cannot hold", async () => {
  const file = await patient(3, 60);
  const cell = file.cell(file.rootPage, 1);
  // Payload of 2^47 bytes, header of 9, key of 2, value of 2^47 or so: all of it fits but the file.
  file.bytes.set([0xa0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], cell);
  file.bytes.set([9, 16, 0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00], cell + 7);
  file.bytes.set(keyOf(1), cell + 16);
  await file.refuses(
    keyOf(1),
    /a row of \d+ bytes does not fit the page or the file/,
    /does not fit the page or the file/,
  );
});

test("KeyValueTable refuses cells that begin in the page's header, or behind its end", async () => {
  for (const offset of [0, 9, 13, 510, 513, 65535]) {
    const file = await patient(3, 20);
    file.view.setUint16(file.page(file.rootPage) + 10, offset);
    await file.refuses(keyOf(1), /a cell must lie inside the page/, /a cell must lie inside the page/);
  }
});

test("KeyValueTable refuses pages of another kind of tree, and children outside of the file", async () => {
  const file = await patient(60, 30);
  const child = file.child(0);
  for (const pageNumber of [0, 1, 0x7fffffff, 0xffffffff]) {
    file.view.setUint32(file.cell(file.rootPage, 0), pageNumber);
    await file.refuses(keyOf(0), /Cannot read page \d+ of the database/, /named by page \d+: pages go from 1 to/);
  }
  file.view.setUint32(file.cell(file.rootPage, 0), child);
  for (const kind of [0, 5, 13, 255]) {
    file.bytes[file.page(child)] = kind;
    await file.refuses(keyOf(0), /must be a page of an index tree/, /must be a page of an index tree/);
  }
  ok(file.bytes[file.page(child)] === 255);
});
