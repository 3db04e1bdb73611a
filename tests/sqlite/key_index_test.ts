// Judge: SQLite, which wrote the files; for damaged files the tree's own search, which has tests of its own.
import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { CorruptFileError } from "../../src/errors.ts";
import { hashKeyBytes, type KeyHash, type KeyIndex } from "../../src/sqlite/key_index.ts";
import { keyIndexBuilder } from "../../src/sqlite/key_index_builder.ts";
import { type KeyValueRow, type KeyValueTable, memoryPages, openDatabase } from "../../src/sqlite/mod.ts";
import { treeShapeOf } from "../../src/sqlite/tree_shape.ts";
import { databaseBytes, equalBytes, KV_TABLE, LatePages, type Layout, randomOf, rowsOf } from "./sqlite_judge.ts";

const isSoak = process.env["SHARDYFUSION_SOAK"] === "1";
const PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];

type Bytes = Uint8Array<ArrayBuffer>;
interface Specimen {
  readonly bytes: Bytes;
  readonly rows: readonly KeyValueRow[];
}

function specimenOf(layout: Layout, rows: Iterable<readonly [key: Uint8Array, value: Uint8Array]>): Specimen {
  let stored: KeyValueRow[] = [];
  const bytes = databaseBytes(layout, (database) => {
    database.exec(`${KV_TABLE}; BEGIN`);
    const insert = database.prepare("INSERT OR REPLACE INTO kv VALUES (?, ?)");
    for (const [key, value] of rows) insert.run(key, value);
    database.exec("COMMIT");
    stored = rowsOf(database);
  });
  return { bytes, rows: stored };
}

function numberKey(number: number): Bytes {
  const key = new Uint8Array(8);
  new DataView(key.buffer).setUint32(4, number);
  return key;
}

function numbered(count: number, layout: Layout = {}): Specimen {
  return specimenOf(layout, Array.from({ length: count }, (_, i) => [numberKey(i), new Uint8Array(i % 50).fill(i)]));
}

/** Bytes of few different values, so that many begin alike. */
function fewBytes(random: () => number, length: number): Bytes {
  return new Uint8Array(length).map(() => 253 + Math.floor(random() * 3));
}

/** Lengths are small most times and up to the limit seldom. */
function* randomRows(random: () => number): Generator<[key: Bytes, value: Bytes]> {
  const keyBytesMax = [8, 40, 300, 5000][Math.floor(random() * 4)]!;
  const valueBytesMax = [0, 20, 300, 20_000][Math.floor(random() * 4)]!;
  for (let count = Math.floor(400 * random() ** 2); count >= 0; count--) {
    const keyBytes = Math.floor((keyBytesMax + 1) * random() ** 3);
    yield [fewBytes(random, keyBytes), fewBytes(random, Math.floor(valueBytesMax * random() ** 3))];
  }
}

/** The index of the table `kv`; null when the table gets none. */
async function indexOf(bytes: Bytes, hash: KeyHash = hashKeyBytes): Promise<KeyIndex | null> {
  const source = memoryPages(bytes);
  const database = await openDatabase(source);
  const shape = treeShapeOf(source, bytes);
  const builder = keyIndexBuilder({ shape, rootPage: database.table("kv")!.rootPage, valueColumn: 1 }, hash)!;
  // No table takes more steps than it has bytes.
  for (let step = 0; !builder.isDone && step < bytes.byteLength; step++) builder.step();
  ok(builder.isDone, "building must come to an end");
  return builder.index;
}

async function tableOf(bytes: Bytes): Promise<KeyValueTable> {
  return (await openDatabase(memoryPages(bytes))).keyValueTable("kv", { indexed: keyIndexBuilder });
}

/** Keys that are seldom there, though their neighbours are. */
function nearKeys(keys: readonly Uint8Array[]): Uint8Array[] {
  return keys.flatMap((key) => [
    key.subarray(1),
    key.subarray(0, -1),
    Uint8Array.from([...key, 0]),
    key.map((byte, i) => i === key.length - 1 ? byte ^ 1 : byte),
  ]);
}

function checkIndex(index: KeyIndex, { rows }: Specimen, label: string): { answered: number } {
  let answered = 0;
  const byKey = new Map(rows.map(([key, value]) => [Buffer.from(key).toString("latin1"), value]));
  for (const key of [...rows.map(([key]) => key), ...nearKeys(rows.map(([key]) => key))]) {
    const value = index.get(key);
    if (value === undefined) continue;
    answered++;
    equalBytes(value, byKey.get(Buffer.from(key).toString("latin1")) ?? null, label);
  }
  return { answered };
}

for (const pageSizeBytes of PAGE_SIZES) {
  test(`KeyIndex.get() gives what SQLite has or nothing, with pages of ${pageSizeBytes} bytes`, async () => {
    let answered = 0;
    for (let seed = 0; seed < (isSoak ? 500 : 12); seed++) {
      const random = randomOf(seed * 100_003 + pageSizeBytes);
      const layout = { pageSizeBytes, autoVacuum: seed % 3, ...(seed % 4 === 0 ? { reservedBytes: 8 } : {}) };
      const specimen = specimenOf(layout, randomRows(random));
      const index = await indexOf(specimen.bytes);
      if (index !== null) answered += checkIndex(index, specimen, `seed ${seed}`).answered;
      const table = await tableOf(specimen.bytes);
      for (let round = 0; round < 3; round++) {
        for (const [key, value] of specimen.rows) equalBytes(await table.get(key), value, `seed ${seed}`);
        const near = nearKeys(specimen.rows.map(([key]) => key)).slice(0, 500);
        const values = await table.getMany(near);
        const late = (await openDatabase(new LatePages(specimen.bytes, () => true))).keyValueTable("kv");
        const expected = await late.getMany(near);
        near.forEach((_, i) => equalBytes(values[i], expected[i]!, `seed ${seed}, near key ${i}`));
      }
    }
    ok(answered > 1000, `the index answered only ${answered} times`);
  });
}

test("KeyIndex.get() gives copies, each with memory of its own", async () => {
  const { bytes } = numbered(2000);
  const index = (await indexOf(bytes))!;
  const [one, other] = [index.get(numberKey(1049))!, index.get(numberKey(1049))!];
  equal(one.byteLength, 49);
  equal(one.buffer.byteLength, 49);
  one.fill(0);
  equal(other[0], 1049 & 0xff);
  equal(index.get(numberKey(1049))![0], 1049 & 0xff);
});

test("KeyIndex.get() keeps keys of equal hash apart", async () => {
  const specimen = numbered(500);
  for (const hash of [() => 0, () => -1, () => 0x7fffffff, (bytes: Uint8Array, start: number) => bytes[start + 7]!]) {
    const index = await indexOf(specimen.bytes, hash);
    ok(index !== null);
    equal(checkIndex(index, specimen, `${hash}`).answered, 2500);
  }
});

test("keyIndexBuilder() gives up on keys that were chosen to collide", async () => {
  equal(await indexOf(numbered(600).bytes, () => 5), null);
});

test("keyIndexBuilder() gives an empty table an index that has nothing", async () => {
  const { bytes } = specimenOf({}, []);
  const index = (await indexOf(bytes))!;
  equal(index.get(numberKey(0)), null);
  equal(index.get(new Uint8Array(0)), null);
});

test("keyIndexBuilder() wants a file in memory and the value right behind the key", async () => {
  const { bytes } = numbered(10);
  const inMemory = treeShapeOf(memoryPages(bytes), bytes);
  const elsewhere = treeShapeOf(new LatePages(bytes, () => true), bytes);
  ok(keyIndexBuilder({ shape: inMemory, rootPage: 2, valueColumn: 1 }) !== null);
  equal(keyIndexBuilder({ shape: inMemory, rootPage: 2, valueColumn: 2 }), null);
  equal(keyIndexBuilder({ shape: elsewhere, rootPage: 2, valueColumn: 1 }), null);
  const wide = databaseBytes({}, (database) => {
    database.exec("CREATE TABLE kv (k BLOB PRIMARY KEY, w INTEGER, v BLOB) WITHOUT ROWID");
    const insert = database.prepare("INSERT INTO kv VALUES (?, ?, ?)");
    for (let i = 0; i < 100; i++) insert.run(numberKey(i), i, new Uint8Array([i]));
  });
  const table = await tableOf(wide);
  for (let i = 0; i < 500; i++) equalBytes(await table.get(numberKey(i % 100)), new Uint8Array([i % 100]), `${i}`);
});

test("keyIndexBuilder() gives up on tables of so many columns that their rows have longer headers", async () => {
  const more = Array.from({ length: 140 }, (_, i) => `c${i}`).join();
  const bytes = databaseBytes({}, (database) => {
    database.exec(`CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB, ${more}) WITHOUT ROWID`);
    database.prepare("INSERT INTO kv (k, v) VALUES (?, ?)").run(numberKey(1), new Uint8Array([1]));
  });
  equal(await indexOf(bytes), null);
});

test("KeyIndex.get() leaves overflowing values and overflowing keys to the tree", async () => {
  const long = new Uint8Array(5000).fill(3);
  const specimen = specimenOf({ pageSizeBytes: 512 }, [
    ...Array.from(
      { length: 100 },
      (_, i): [Bytes, Bytes] => [numberKey(i), new Uint8Array(i === 7 ? 4000 : 9).fill(i)],
    ),
    [long, new Uint8Array([1])],
  ]);
  const index = (await indexOf(specimen.bytes))!;
  equal(index.get(numberKey(7)), undefined);
  equal(index.get(long), undefined);
  equal(index.get(new Uint8Array(5001)), undefined);
  equal(index.get(new Uint8Array(4999)), null);
  equalBytes(index.get(numberKey(8)), new Uint8Array(9).fill(8), "a row beside them");
});

test("KeyValueTable.get() builds its index only after many lookups, then needs the tree no more", async () => {
  const { bytes, rows } = numbered(20_000);
  const table = await tableOf(bytes);
  const root = ((await openDatabase(memoryPages(bytes))).table("kv")!.rootPage - 1) * 4096;
  const kind = bytes[root]!;
  /** Whether the search begins at the root, which is unreadable for a moment. */
  function asksTree(): boolean {
    bytes[root] = 0;
    try {
      return !(table.get(rows[12_345]![0]) instanceof Uint8Array);
    } catch (error) {
      ok(error instanceof CorruptFileError);
      return true;
    } finally {
      bytes[root] = kind;
    }
  }
  const freeLookUps = Math.floor(bytes.byteLength / 2048);
  const buildingLookUps = Math.ceil(bytes.byteLength / 4096 / 128) + Math.ceil(rows.length / 64) + 1;
  for (let i = 0; i < freeLookUps; i++) await table.get(rows[i % rows.length]![0]);
  ok(asksTree());
  for (let i = 0; i < buildingLookUps - 5; i++) await table.get(rows[i % rows.length]![0]);
  ok(asksTree());
  await table.getMany(rows.slice(0, 10).map(([key]) => key));
  equal(asksTree(), false);
  for (const [key, value] of rows) equalBytes(await table.get(key), value, "indexed");
});

for (const [rowCount, keyBytes, valueBytes] of [[6, 3, 8], [30, 9, 30], [12, 200, 1]] as const) {
  test(`KeyIndex.get() gives what the tree gives with any byte of ${rowCount} rows flipped, if built`, async () => {
    const random = randomOf(rowCount);
    const specimen = specimenOf(
      { pageSizeBytes: 512 },
      Array.from({ length: rowCount }, (_, i) => [
        Uint8Array.from([...fewBytes(random, keyBytes - 1), i]),
        new Uint8Array(i % 7 === 0 ? valueBytes * 20 : valueBytes).fill(i),
      ]),
    );
    const bytes = specimen.bytes.slice();
    const keys = [...specimen.rows.map(([key]) => key), new Uint8Array(0), new Uint8Array([254, 254])];
    let indexCount = 0;
    for (let at = 512; at < bytes.byteLength; at++) {
      for (const pattern of isSoak ? [1, 2, 4, 8, 16, 32, 64, 128, 255] : [at % 2 === 0 ? 1 : 255]) {
        bytes[at]! ^= pattern;
        const index = await indexOf(bytes);
        if (index !== null) {
          indexCount++;
          // Pages that come one by one have no index.
          const tree = (await openDatabase(new LatePages(bytes, () => true))).keyValueTable("kv");
          for (const key of keys) {
            const value = index.get(key);
            if (value !== undefined) equalBytes(value, await tree.get(key), `byte ${at} xor ${pattern}`);
          }
        }
        bytes[at]! ^= pattern;
      }
    }
    ok(indexCount > 100, `only ${indexCount} damaged files had an index`);
  });
}

test("KeyValueTable.get() from a damaged file gives the same however often it is called", async () => {
  const specimen = numbered(400, { pageSizeBytes: 512 });
  for (let seed = 0; seed < (isSoak ? 2000 : 60); seed++) {
    const random = randomOf(seed);
    const bytes = specimen.bytes.slice();
    const at = 512 + Math.floor(random() * (bytes.byteLength - 512));
    bytes[at]! ^= 1 + Math.floor(random() * 255);
    let table: KeyValueTable;
    try {
      table = await tableOf(bytes);
    } catch (error) {
      ok(error instanceof CorruptFileError);
      continue;
    }
    const first = await outcomesOf(table, specimen.rows);
    // Twice as many look-ups as building takes.
    for (let round = 0; round < 4; round++) await outcomesOf(table, specimen.rows);
    const last = await outcomesOf(table, specimen.rows);
    first.forEach((outcome, i) => equal(last[i], outcome, `seed ${seed}, byte ${at}, row ${i}`));
  }
});

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

async function outcomesOf(table: KeyValueTable, rows: readonly KeyValueRow[]): Promise<string[]> {
  const outcomes: string[] = [];
  for (const [key] of rows) {
    try {
      const value = await table.get(key);
      outcomes.push(value === null ? "null" : hexOf(value));
    } catch (error) {
      ok(error instanceof CorruptFileError, `${error}`);
      outcomes.push(error.message);
    }
  }
  return outcomes;
}

test("hashKeyBytes() spreads numbers, text and keys that differ in one bit", () => {
  const encoder = new TextEncoder();
  const keySets: Record<string, (i: number) => Uint8Array> = {
    ascending: numberKey,
    multiples: (i) => numberKey(i * 4096),
    "in the upper half": (i) => Uint8Array.from([...numberKey(i).subarray(4), 0, 0, 0, 0]),
    text: (i) => encoder.encode(`user:${i}:profile`),
    lengths: (i) => new Uint8Array(i % 4000).fill(i / 4000),
  };
  for (const [name, keyAt] of Object.entries(keySets)) {
    const counts = new Uint32Array(1 << 14);
    const lowCounts = new Uint32Array(1 << 8);
    const count = 1 << 16;
    for (let i = 0; i < count; i++) {
      const key = keyAt(i);
      const hash = hashKeyBytes(key, 0, key.length);
      counts[hash >>> 18]!++;
      lowCounts[hash & 255]!++;
    }
    // Four keys a slot on average; chance alone gives 17 or so at most, and 256 ± 80 of each low byte.
    ok(Math.max(...counts) < 24, `${name}: ${Math.max(...counts)} keys in one slot`);
    ok(Math.max(...lowCounts) < 360, `${name}: ${Math.max(...lowCounts)} keys with one low byte`);
  }
  equal(hashKeyBytes(encoder.encode("xxabcde"), 2, 7), hashKeyBytes(encoder.encode("abcdeyy"), 0, 5));
});
