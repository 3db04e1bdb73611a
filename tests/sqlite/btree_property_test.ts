// Judge: SQLite, which writes random databases through random statements and reads them back.
import { equal, ok } from "node:assert/strict";
import type { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import {
  keyIndexBuilder,
  type KeyValueRow,
  memoryPages,
  openDatabase,
  type PageSource,
  scanTable,
} from "../../src/sqlite/mod.ts";
import {
  allOf,
  databaseBytes,
  equalBytes,
  equalRows,
  equalValue,
  KV_TABLE,
  LatePages,
  type Layout,
  randomOf,
  rowsOf,
} from "./sqlite_judge.ts";

const isSoak = process.env["SHARDYFUSION_SOAK"] === "1";
const databaseCount = isSoak ? 4000 : 300;

/** Makes choices that depend on nothing but the seed. */
class Chance {
  readonly random: () => number;
  constructor(seed: number) {
    this.random = randomOf(seed);
  }
  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }
  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)]!;
  }
  /** Small numbers often, large ones seldom. */
  size(max: number): number {
    return Math.floor(max * this.random() ** 6);
  }
  /** Bytes of few different values, so that many begin alike. */
  bytes(length: number, variety: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = 256 - variety + this.below(variety);
    return bytes;
  }
}

function layoutOf(chance: Chance): Layout {
  const layout = {
    pageSizeBytes: chance.pick([512, 512, 512, 512, 1024, 1024, 2048, 4096, 8192, 16384, 32768, 65536]),
    autoVacuum: chance.pick([0, 0, 1, 2]),
  };
  return chance.below(4) > 0 ? layout : { ...layout, reservedBytes: chance.pick([0, 1, 8, 32]) };
}

function keysOf(chance: Chance): () => Uint8Array<ArrayBuffer> {
  const kind = chance.below(4);
  const prefix = chance.bytes(chance.size(100_000), 256);
  if (kind === 0) return () => chance.bytes(8, 256);
  if (kind === 1) return () => chance.bytes(chance.below(12), 2);
  if (kind === 2) return () => chance.bytes(chance.size(3000), 3);
  // The difference lies deep in an overflow chain, or one key is the beginning of another.
  return () => {
    const key = new Uint8Array(
      chance.below(5) === 0 ? chance.below(prefix.length + 1) : prefix.length + chance.below(9),
    );
    key.set(prefix.subarray(0, key.length));
    for (let i = chance.below(3); i > 0; i--) key[chance.below(key.length)] = chance.below(256);
    return key;
  };
}

function fillKv(database: DatabaseSync, chance: Chance): void {
  database.exec(chance.pick([KV_TABLE, "CREATE TABLE KV (v BLOB, k BLOB, PRIMARY KEY (k)) WITHOUT ROWID"]));
  const nextKey = keysOf(chance);
  const valueMax = chance.pick([0, 20, 300, 3000, 300_000]);
  const insert = database.prepare("INSERT OR REPLACE INTO kv (k, v) VALUES (?, ?)");
  let bytesLeft = isSoak ? 3_000_000 : 500_000;
  for (let i = chance.size(3000); i >= 0 && bytesLeft > 0; i--) {
    const key = nextKey();
    const value = chance.bytes(chance.size(valueMax), 256);
    insert.run(key, value);
    bytesLeft -= key.length + value.length;
  }
}

const TEXTS = ["", "a", "äöü €", "\ufeffwith mark", "🙂".repeat(40), "x".repeat(2000)];
const INTEGERS = [
  0n,
  1n,
  -1n,
  127n,
  -128n,
  128n,
  32767n,
  -32769n,
  8388607n,
  -8388609n,
  2n ** 31n - 1n,
  -(2n ** 31n) - 1n,
];
const LARGE = [
  2n ** 47n - 1n,
  -(2n ** 47n) - 1n,
  2n ** 53n - 1n,
  2n ** 53n,
  -(2n ** 53n) - 1n,
  2n ** 63n - 1n,
  -(2n ** 63n),
];

function randomValue(chance: Chance): null | bigint | number | string | Uint8Array {
  switch (chance.below(6)) {
    case 0:
      return null;
    case 1:
      return chance.pick([...INTEGERS, ...LARGE]);
    case 2:
      return BigInt(chance.below(2 ** 31)) * BigInt(chance.below(2 ** 31)) - 2n ** 60n;
    case 3:
      return chance.pick([0.5, -1e300, Math.PI, 5e-324, Infinity, -Infinity, chance.random()]);
    case 4:
      return chance.pick(TEXTS);
    default:
      return chance.bytes(chance.size(20_000), 256);
  }
}

function fillRows(database: DatabaseSync, chance: Chance): void {
  database.exec("CREATE TABLE plain (a, b, c DEFAULT 'late'); CREATE TABLE named (x, id INTEGER PRIMARY KEY)");
  const plain = database.prepare("INSERT OR REPLACE INTO plain (rowid, a, b) VALUES (?, ?, ?)");
  // The row id comes back from `run` too, and Node refuses to round it.
  plain.setReadBigInts(true);
  const named = database.prepare("INSERT INTO named (x) VALUES (?)");
  const span = chance.pick([50, 1000, 2 ** 31]);
  for (let i = chance.size(isSoak ? 1500 : 500); i >= 0; i--) {
    const large = chance.below(10) === 0 ? chance.pick(LARGE) : BigInt(chance.below(span) - chance.below(span));
    plain.run(large, randomValue(chance), randomValue(chance));
    if (chance.below(2) === 0) named.run(randomValue(chance));
  }
  database.exec("ALTER TABLE plain ADD COLUMN d DEFAULT -7; ALTER TABLE plain ADD COLUMN e");
}

function change(database: DatabaseSync, chance: Chance): void {
  const part = chance.pick([2, 3, 10]);
  if (chance.below(2) === 0) database.exec(`DELETE FROM kv WHERE random() % ${part} = 0`);
  if (chance.below(2) === 0) {
    database.exec(`UPDATE kv SET v = zeroblob(length(v) / 2 + 1) WHERE random() % ${part} = 0`);
  }
  if (chance.below(2) === 0) database.exec(`DELETE FROM plain WHERE random() % ${part} = 0`);
  if (chance.below(20) === 0) database.exec("DELETE FROM kv");
  database.exec("COMMIT");
  if (chance.below(4) === 0) database.exec("VACUUM");
}

interface Truth {
  readonly rows: KeyValueRow[];
  readonly ranges: { from?: Uint8Array; to?: Uint8Array; rows: KeyValueRow[] }[];
  readonly tables: Map<string, Record<string, unknown>[]>;
}

function truthOf(database: DatabaseSync, chance: Chance): Truth {
  const rows = rowsOf(database);
  const ranges: Truth["ranges"] = [];
  for (let i = 0; i < 4; i++) {
    const [one, other] = [boundOf(rows, chance), boundOf(rows, chance)];
    const query = (where: string, ...bounds: Uint8Array[]): KeyValueRow[] =>
      database.prepare(`SELECT k, v FROM kv WHERE ${where} ORDER BY k`).all(...bounds) as unknown as KeyValueRow[];
    const found = query("k >= ? AND k < ?", one, other);
    ranges.push({ from: one, to: other, rows: found.map((row) => Object.values(row) as unknown as KeyValueRow) });
    const open = query("k >= ?", one).map((row) => Object.values(row) as unknown as KeyValueRow);
    ranges.push({ from: one, rows: open });
  }
  const tables = new Map<string, Record<string, unknown>[]>();
  for (const name of ["plain", "named"]) {
    const select = database.prepare(`SELECT rowid AS rowid_, * FROM ${name} ORDER BY rowid`);
    select.setReadBigInts(true);
    tables.set(name, select.all());
  }
  return { rows, ranges, tables };
}

/** A key, or something just beside one. */
function boundOf(rows: readonly KeyValueRow[], chance: Chance): Uint8Array {
  const key = rows.length === 0 ? chance.bytes(2, 256) : chance.pick(rows)[0];
  const kind = chance.below(4);
  if (kind === 0) return key;
  if (kind === 1) return Uint8Array.from([...key, 0]);
  if (kind === 2) return key.subarray(0, chance.below(key.length + 1));
  const near = key.slice();
  if (near.length > 0) near[near.length - 1]! ^= 1;
  return near;
}

async function check(source: PageSource, truth: Truth, label: string): Promise<void> {
  const database = await openDatabase(source);
  const kv = database.keyValueTable("kv", { indexed: keyIndexBuilder });
  const known = new Set(truth.rows.map(([key]) => Buffer.from(key).toString("latin1")));
  const absent: Uint8Array[] = [new Uint8Array(0), new Uint8Array([255, 255])];
  for (const [key, value] of truth.rows) {
    equalBytes(await kv.get(key), value, label);
    absent.push(Uint8Array.from([...key.subarray(0, 40), 7]), key.subarray(1), new Uint8Array([...key, 0]));
  }
  for (const key of absent) {
    if (!known.has(Buffer.from(key).toString("latin1"))) equal(await kv.get(key), null, label);
  }
  equalRows(await allOf(scanTable(kv)), truth.rows, label);
  for (const { rows, ...range } of truth.ranges) equalRows(await allOf(scanTable(kv, range)), rows, label);
  const many = await kv.getMany([...truth.rows.map(([key]) => key), ...absent.slice(0, 2)]);
  truth.rows.forEach(([, value], i) => equalBytes(many[i], value, label));
  for (const [name, expected] of truth.tables) {
    const table = database.rowidTable(name);
    const rows = await allOf(table.rows());
    equal(rows.length, expected.length, label);
    for (const [i, { rowid, values }] of rows.entries()) {
      const { rowid_, ...columns } = expected[i]!;
      equalValue(rowid, rowid_, label);
      Object.keys(columns).forEach((column, k) => {
        equal(table.columns[k], column);
        equalValue(values[k], columns[column], `${label}, row ${rowid}, column ${column}`);
      });
      if (i % 7 === 0) equal((await table.getByRowid(rowid))?.length, values.length, label);
    }
    for (const rowid of [12345, -9, 2n ** 62n]) {
      const isThere = expected.some((row) => row["rowid_"] === BigInt(rowid));
      equal((await table.getByRowid(rowid)) !== null, isThere, label);
    }
  }
}

async function checkSeed(seed: number): Promise<void> {
  const chance = new Chance(seed);
  const layout = layoutOf(chance);
  const label = `seed ${seed} (${JSON.stringify(layout)})`;
  let truth: Truth | undefined;
  const bytes = databaseBytes(layout, (database) => {
    database.exec("BEGIN");
    fillKv(database, chance);
    fillRows(database, chance);
    change(database, chance);
    truth = truthOf(database, chance);
  });
  ok(truth);
  equal(bytes[20], layout.reservedBytes ?? 0, label);
  await check(memoryPages(bytes), truth, label);
  const late = new LatePages(bytes, chance.pick([() => false, () => chance.random() < 0.5]), chance.below(2) === 0);
  if (seed % 2 === 0) await check(late, truth, `${label}, late`);
}

for (let first = 1; first <= databaseCount; first += 50) {
  const name = `KeyValueTable and RowidTable read random databases ${first} to ${first + 49} as SQLite does`;
  test(name, { timeout: 60_000 }, async () => {
    for (let seed = first; seed < first + 50; seed++) await checkSeed(seed);
  });
}
