// Judges: the Python package, which wrote the fixtures, and SQLite.
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { filePages } from "../../src/backends/file_pages.ts";
import { memoryPages, openDatabase, scanTable } from "../../src/sqlite/mod.ts";
import { allOf, databaseBytes, equalBytes, equalRows, KV_TABLE, LatePages, rowsOf } from "./sqlite_judge.ts";

const fixtures = fileURLToPath(new URL("../fixtures/snapshots/", import.meta.url));

interface Entry {
  readonly key: { readonly type: string; readonly value: string };
  readonly "encoded_key_hex"?: string;
  readonly "value_hex"?: string;
  readonly "value_len"?: number;
  readonly "value_sha256"?: string;
  readonly shard: number;
}

interface Manifest {
  readonly "build_meta": Record<string, unknown>;
  readonly shards: Record<string, unknown>[];
}

/** Files of a name below a fixture, with forward slashes. */
function filesOf(fixture: string, name: string): string[] {
  return readdirSync(join(fixtures, fixture, "store"), { recursive: true })
    .map((path) => String(path).replaceAll("\\", "/"))
    .filter((path) => path.endsWith(`/${name}`))
    .map((path) => join(fixtures, fixture, "store", path));
}

function keyOf(entry: Entry): Uint8Array {
  if (entry.encoded_key_hex !== undefined) return new Uint8Array(Buffer.from(entry.encoded_key_hex, "hex"));
  const { type, value } = entry.key;
  if (type === "int") return new Uint8Array(Buffer.from(BigInt(value).toString(16).padStart(16, "0"), "hex"));
  return new Uint8Array(Buffer.from(value, type === "bytes" ? "hex" : "utf8"));
}

function isValueOf(entry: Entry, value: Uint8Array): boolean {
  if (entry.value_hex !== undefined) return Buffer.from(value).toString("hex") === entry.value_hex;
  return value.byteLength === entry.value_len &&
    createHash("sha256").update(value).digest("hex") === entry.value_sha256;
}

function shardOf(path: string): number {
  return Number(/(\d+)\/attempt=/.exec(path.replaceAll("\\", "/"))?.[1]);
}

for (const fixture of readdirSync(fixtures)) {
  const expected = JSON.parse(readFileSync(join(fixtures, fixture, "expected.json"), "utf8"));
  // Some have shards of other engines.
  if (Array.isArray(expected.entries) && (filesOf(fixture, "shard.db").length > 0 || expected.entries.length === 0)) {
    test(`KeyValueTable reads every row of the Python-made snapshot ${fixture}`, async () => {
      const entries: Entry[] = expected.entries;
      let foundCount = 0;
      for (const path of filesOf(fixture, "shard.db")) {
        const mine = entries.filter((entry) => entry.shard === shardOf(path));
        await using onDisk = await filePages(path, { cacheBytesMax: 1 << 16 });
        const late = new LatePages(new Uint8Array(readFileSync(path)), () => false, true);
        for (const source of [onDisk, late, memoryPages(readFileSync(path))]) {
          const kv = (await openDatabase(source)).keyValueTable();
          for (const entry of mine) ok(isValueOf(entry, (await kv.get(keyOf(entry)))!), JSON.stringify(entry.key));
          equal((await allOf(scanTable(kv))).length, mine.length);
          equal(await kv.get(new Uint8Array([1, 2, 3])), null);
        }
        foundCount += mine.length;
      }
      equal(foundCount, entries.length);
    });
  }
  if (expected.manifest?.build_meta !== undefined) {
    test(`RowidTable reads the Python-made manifest of ${fixture} by name`, async () => {
      const manifest: Manifest = expected.manifest;
      const ref = String(expected.manifest_ref).slice("s3://".length);
      const database = await openDatabase(memoryPages(readFileSync(join(fixtures, fixture, "store", ref))));
      deepEqual(database.schema().map((entry) => entry.name), ["build_meta", "shards"]);
      for (const [name, truth] of [["build_meta", [manifest.build_meta]], ["shards", manifest.shards]] as const) {
        const table = database.rowidTable(name);
        const rows = (await allOf(table.rows())).map((row) =>
          Object.fromEntries(table.columns.map((column, i) => [column, row.values[i]]))
        );
        deepEqual(rows, truth);
      }
    });
  }
}

const manyRows = databaseBytes({ pageSizeBytes: 512 }, (database) => {
  database.exec(`${KV_TABLE}; BEGIN`);
  const insert = database.prepare("INSERT INTO kv VALUES (?, ?)");
  for (let i = 0; i < 3000; i++) insert.run(keyBytes(i), new Uint8Array(i % 500 === 0 ? 2000 : 20).fill(i));
  database.exec("COMMIT");
});

function keyBytes(number: number): Uint8Array<ArrayBuffer> {
  const key = new Uint8Array(4);
  new DataView(key.buffer).setUint32(0, number);
  return key;
}

test("KeyValueTable.get() gives the value itself, not a promise, where pages are at hand", async () => {
  const kv = (await openDatabase(memoryPages(manyRows))).keyValueTable();
  const value = kv.get(keyBytes(500));
  ok(value instanceof Uint8Array);
  equal(value.byteLength, 2000);
  equal(value.buffer.byteLength, 2000);
  equal(kv.get(new Uint8Array(0)), null);
});

test("KeyValueTable gives copies, whatever kind of array the file lies in", async () => {
  const file = Buffer.from(manyRows);
  const kv = (await openDatabase(memoryPages(file))).keyValueTable();
  const value = kv.get(keyBytes(7)) as Uint8Array;
  value.fill(0xee);
  const [rows] = [await allOf(scanTable(kv, { to: keyBytes(8) }))];
  rows[7]![1].fill(0xdd);
  equal(Object.getPrototypeOf(value), Uint8Array.prototype);
  equal(Buffer.compare(file, manyRows), 0);
  equalBytes(kv.get(keyBytes(7)), new Uint8Array(20).fill(7), "after the change");
});

test("KeyValueTable.getMany() loads the pages of a level together, each once", async () => {
  const source = new LatePages(manyRows, () => false, true);
  const kv = (await openDatabase(source)).keyValueTable();
  const numbers = Array.from({ length: 600 }, (_, i) => i * 5 + 1);
  const values = await kv.getMany([...numbers.map(keyBytes), keyBytes(9999), keyBytes(1)]);
  numbers.forEach((number, i) => equalBytes(values[i]!, new Uint8Array(20).fill(number), `key ${number}`));
  equal(values[600], null);
  equalBytes(values[601]!, values[0]!, "the same key again");
  ok(source.manyLoads.length <= 6, `${source.manyLoads.length} requests`);
  for (const pages of source.manyLoads) equal(new Set(pages).size, pages.length);
  deepEqual(await kv.getMany([]), []);
});

test("scanTable() reads ahead where several pages can be loaded in one go", async () => {
  const source = new LatePages(manyRows, () => false, true);
  const kv = (await openDatabase(source)).keyValueTable();
  const truth = await allOf(scanTable((await openDatabase(memoryPages(manyRows))).keyValueTable()));
  equalRows(await allOf(scanTable(kv)), truth, "scan");
  equal(truth.length, 3000);
  ok(source.manyLoads.length < source.pageCount / 4, `${source.manyLoads.length} requests`);
});

test("scanTable() from a bound to a bound visits only the pages between them", async () => {
  const source = new LatePages(manyRows, () => true);
  const kv = (await openDatabase(source)).keyValueTable();
  source.peeks = 0;
  const rows = await allOf(scanTable(kv, { from: keyBytes(1000), to: keyBytes(1020) }));
  deepEqual(rows.map(([key]) => new DataView(key.buffer).getUint32(0)), Array.from({ length: 20 }, (_, i) => 1000 + i));
  ok(source.peeks < 20, `${source.peeks} pages`);
  deepEqual(await allOf(scanTable(kv, { from: keyBytes(5), to: keyBytes(5) })), []);
  deepEqual(await allOf(scanTable(kv, { from: keyBytes(9), to: keyBytes(5) })), []);
  deepEqual(await allOf(scanTable(kv, { from: keyBytes(3000) })), []);
});

test("KeyValueTable rejects with the signal's reason when aborted", async () => {
  const reason = new Error("enough");
  const controller = new AbortController();
  const { signal } = controller;
  const kv = (await openDatabase(new LatePages(manyRows, () => false), signal)).keyValueTable();
  const scan = scanTable(kv, { signal });
  await scan.next();
  controller.abort(reason);
  const isReason = (error: unknown) => error === reason;
  await rejects(scan.next(), isReason);
  await rejects(async () => await kv.get(keyBytes(1), signal), isReason);
  await rejects(kv.getMany([keyBytes(1)], signal), isReason);
  await rejects(openDatabase(new LatePages(manyRows, () => false), signal), isReason);
});

test("KeyValueTable answers many searches at once", async () => {
  const kv = (await openDatabase(new LatePages(manyRows, (pageNumber) => pageNumber % 3 > 0))).keyValueTable();
  const numbers = Array.from({ length: 300 }, (_, i) => i * 7);
  const values = await Promise.all(numbers.map((number) => kv.get(keyBytes(number))));
  numbers.forEach((number, i) => {
    equalBytes(values[i], new Uint8Array(number % 500 === 0 ? 2000 : 20).fill(number), `key ${number}`);
  });
});

test("openDatabase() reads a schema of many pages", async () => {
  const names = Array.from({ length: 200 }, (_, i) => `table number ${i}`);
  const bytes = databaseBytes({ pageSizeBytes: 512 }, (database) => {
    for (const name of names) {
      database.exec(`CREATE TABLE "${name}" (a, b, PRIMARY KEY (a, b)); CREATE VIEW "v${name}" AS SELECT 1`);
    }
    database.exec(`${KV_TABLE}; INSERT INTO kv VALUES (x'01', x'02')`);
  });
  for (const source of [memoryPages(bytes), new LatePages(bytes, () => false)]) {
    const database = await openDatabase(source);
    equal(database.schema().length, 3 * names.length + 1);
    equal(database.table("TABLE NUMBER 77")?.tblName, "table number 77");
    equal(database.table("vtable number 77"), undefined);
    equalBytes(await database.keyValueTable("KV").get(new Uint8Array([1])), new Uint8Array([2]), "value");
    equal(database.pageCount * database.pageSizeBytes, bytes.byteLength);
  }
});

test("openDatabase() reads files in WAL mode, and those longer than their header says", async () => {
  const bytes = databaseBytes({ setUp: "PRAGMA journal_mode=WAL" }, (database) => {
    database.exec(`${KV_TABLE}; INSERT INTO kv VALUES (x'01', x'02')`);
  });
  equal(bytes[19], 2);
  const longer = new Uint8Array(bytes.byteLength + 5000);
  longer.set(bytes);
  for (const file of [bytes, longer]) {
    equalBytes(
      await (await openDatabase(memoryPages(file))).keyValueTable().get(new Uint8Array([1])),
      new Uint8Array([2]),
      "v",
    );
  }
});

test("openDatabase() says what is wrong with a file that it does not read", async () => {
  const utf16 = databaseBytes(
    { setUp: "PRAGMA encoding='UTF-16le'" },
    (database) => database.exec("CREATE TABLE t (a)"),
  );
  throws(() => memoryPages(utf16), {
    code: "CORRUPT_FILE",
    byteOffset: 56,
    message: /text encoding must be 1, for UTF-8: current value is 2/,
  });
  throws(() => memoryPages(new Uint8Array(0)), { code: "CORRUPT_FILE", byteOffset: 0 });
  throws(() => memoryPages(new Uint8Array(4096)), { code: "CORRUPT_FILE", byteOffset: 0, message: /SQLite format 3/ });
  throws(() => memoryPages(manyRows.subarray(0, 5000)), {
    code: "CORRUPT_FILE",
    byteOffset: 5000,
    message: /cut short/,
  });
  const plain = databaseBytes({}, (database) => {
    database.exec("CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB); CREATE TABLE w (a PRIMARY KEY) WITHOUT ROWID");
    database.exec("CREATE VIEW seen AS SELECT 1; CREATE TABLE x (k PRIMARY KEY, v) WITHOUT ROWID");
    database.exec("INSERT INTO x VALUES ('text', x'00')");
  });
  const database = await openDatabase(memoryPages(plain));
  throws(() => database.keyValueTable("kv"), { code: "CORRUPT_FILE", message: /must be WITHOUT ROWID/ });
  throws(() => database.keyValueTable("w"), { code: "CORRUPT_FILE" });
  throws(() => database.rowidTable("w"), { code: "CORRUPT_FILE", message: /must have row ids/ });
  throws(() => database.rowidTable("seen"), {
    code: "CORRUPT_FILE",
    message: /has none of that name that can be read/,
  });
  throws(() => database.keyValueTable("x").get(new Uint8Array(1)), { code: "CORRUPT_FILE", message: /must be a blob/ });
  await rejects(allOf(scanTable(database.keyValueTable("x"))), { code: "CORRUPT_FILE", message: /must be a blob/ });
});

test("RowidTable gives texts whole that hold NUL or begin with a byte order mark, and NaN as NULL", async () => {
  const bytes = databaseBytes({}, (database) => {
    database.exec("CREATE TABLE t (a)");
    database.exec("INSERT INTO t VALUES (CAST(x'610062' AS TEXT)), (CAST(x'efbbbf61' AS TEXT)), (9e999 - 9e999)");
  });
  const rows = await allOf((await openDatabase(memoryPages(bytes))).rowidTable("t").rows());
  deepEqual(rows.map((row) => row.values), [["a\0b"], ["\ufeffa"], [null]]);
});

test("RowidTable.rows() and getByRowid() follow the reader's signal", async () => {
  const bytes = databaseBytes({}, (database) => database.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)"));
  const table = (await openDatabase(memoryPages(bytes))).rowidTable("t");
  const signal = AbortSignal.abort(new Error("enough"));
  await rejects(allOf(table.rows({ signal })), /enough/);
  await rejects(table.getByRowid(1, signal), /enough/);
  equal(await table.getByRowid(1.5), null);
  equal(table.columnIndex("A"), 0);
  equal(table.columnIndex("b"), -1);
});

test("KeyValueTable reads what DELETE left of a table", async () => {
  let rows: ReturnType<typeof rowsOf> = [];
  const bytes = databaseBytes({ pageSizeBytes: 512 }, (database) => {
    database.exec(`${KV_TABLE}; INSERT INTO kv SELECT CAST(value AS BLOB), zeroblob(50)
      FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 2000) SELECT value FROM n)`);
    database.exec("DELETE FROM kv WHERE CAST(CAST(k AS TEXT) AS INTEGER) % 50 > 0");
    rows = rowsOf(database);
  });
  equal(rows.length, 40);
  equalRows(await allOf(scanTable((await openDatabase(memoryPages(bytes))).keyValueTable())), rows, "rows");
});

test("openDatabase() refuses pages that are cut short, or of another length than the header says", async () => {
  const short = new LatePages(manyRows, () => false);
  short.load = (pageNumber) => Promise.resolve(manyRows.slice(0, pageNumber === 1 ? 512 : 500));
  const kv = (await openDatabase(short)).keyValueTable();
  await rejects(async () => await kv.get(keyBytes(1)), { code: "CORRUPT_FILE", message: /cut short to 500 bytes/ });
  await rejects(allOf(scanTable(kv)), { code: "CORRUPT_FILE", message: /cut short to 500 bytes/ });
  const odd = { ...memoryPages(manyRows), pageSizeBytes: 1024, peek: () => manyRows, load: () => Promise.reject() };
  await rejects(openDatabase(odd), {
    code: "CORRUPT_FILE",
    byteOffset: 16,
    message: /Cannot read pages of 1024 bytes/,
  });
});

test("KeyValueTable.get() refuses a row of no bytes at the very end of a page", async () => {
  const bytes = databaseBytes({ pageSizeBytes: 512 }, (database) => {
    database.exec(`${KV_TABLE}; INSERT INTO kv VALUES (x'01', x'02')`);
  });
  const root = bytes.subarray(512);
  // The cell begins 4 bytes before the end, and says in 4 bytes that its payload has none.
  root.set([508 >> 8, 508 & 0xff], 8);
  root.set([0x80, 0x80, 0x80, 0], 508);
  for (const source of [memoryPages(bytes), new LatePages(bytes, () => true)]) {
    const kv = (await openDatabase(source)).keyValueTable();
    throws(() => kv.get(new Uint8Array([1])), { code: "CORRUPT_FILE", byteOffset: 1020 });
    await rejects(allOf(scanTable(kv)), { code: "CORRUPT_FILE" });
  }
});
