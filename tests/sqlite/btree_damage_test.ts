// Judge: SQLite wrote the files; what was done to them after that is known.
import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { CorruptFileError } from "../../src/errors.ts";
import { keyIndexBuilder, memoryPages, openDatabase, type PageSource, scanTable } from "../../src/sqlite/mod.ts";
import { databaseBytes, KV_TABLE, LatePages, randomOf } from "./sqlite_judge.ts";

const isSoak = process.env["SHARDYFUSION_SOAK"] === "1";
const PATTERNS = isSoak ? [1, 2, 4, 8, 16, 32, 64, 128, 255] : [1, 128, 255];

interface Specimen {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly keys: readonly Uint8Array[];
  readonly table: string | undefined;
}

function key(number: number, lengthBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(lengthBytes).fill(7);
  bytes[lengthBytes - 1] = number;
  return bytes;
}

function kvSpecimen(name: string, rows: readonly [key: Uint8Array, valueBytes: number][]): Specimen {
  const bytes = databaseBytes({ pageSizeBytes: 512 }, (database) => {
    database.exec(KV_TABLE);
    const insert = database.prepare("INSERT INTO kv VALUES (?, ?)");
    for (const [key, valueBytes] of rows) insert.run(key, new Uint8Array(valueBytes).fill(key.at(-1)! + 1));
  });
  return { name, bytes, keys: rows.map(([key]) => key), table: undefined };
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

function rowidSpecimen(): Specimen {
  const bytes = databaseBytes({ pageSizeBytes: 512, autoVacuum: 1 }, (database) => {
    database.exec(`CREATE TABLE t (a TEXT DEFAULT 'x', "b" INTEGER)`);
    const insert = database.prepare("INSERT INTO t VALUES (?, ?)");
    for (let i = 0; i < 24; i++) insert.run("ä".repeat(i % 8 === 3 ? 600 : 30), i - 12);
  });
  return { name: "rows with row ids", bytes, keys: [], table: "t" };
}

const specimens = [
  kvSpecimen("one leaf", numbers(6).map((i) => [key(i, 3), 8 * i])),
  kvSpecimen("interior pages and overflowing values", numbers(30).map((i) => [key(i, 30), i % 7 === 0 ? 1500 : 40])),
  kvSpecimen("overflowing keys", numbers(9).map((i) => [key(i, 700), i])),
  rowidSpecimen(),
];

/** Reads everything; gives the number of rows, or the damage that was found. */
async function readAll(source: PageSource, specimen: Specimen): Promise<number> {
  const sizeBytes = specimen.bytes.byteLength;
  const database = await openDatabase(source);
  let sumBytes = 0;
  let rowCount = 0;
  if (specimen.table !== undefined) {
    const table = database.rowidTable(specimen.table);
    for await (const rows of table.rows()) rowCount += rows.length;
    for (const rowid of [1, 12, 24, 99]) await table.getByRowid(rowid);
    return rowCount;
  }
  const kv = database.keyValueTable("kv", { indexed: keyIndexBuilder });
  for await (const rows of scanTable(kv)) {
    rowCount += rows.length;
    for (const [key, value] of rows) sumBytes += key.byteLength + value.byteLength;
  }
  // Cells of one page may overlap, but chains do not.
  ok(sumBytes <= sizeBytes + rowCount * database.pageSizeBytes, "rows must not be longer than the file");
  return rowCount;
}

async function readKeys(source: PageSource, specimen: Specimen): Promise<void> {
  if (specimen.table !== undefined) return;
  const kv = (await openDatabase(source)).keyValueTable("kv", { indexed: keyIndexBuilder });
  for (const key of [...specimen.keys.slice(0, 3), specimen.keys.at(-1)!, new Uint8Array([9])]) {
    const value = await kv.get(key);
    ok(value === null || value.byteLength <= specimen.bytes.byteLength);
  }
}

/** Whatever was done to the file: an answer, or an error of the right class about a place in the file. */
async function survives(bytes: Uint8Array<ArrayBuffer>, specimen: Specimen, label: string): Promise<boolean> {
  let isHarmed = false;
  for (const read of [readAll, readKeys]) {
    try {
      // Pages of their own show reads past the end of a page; they need a header that is whole.
      const isApart = label.endsWith("xor 128") && bytes[16] === 2;
      await read(isApart ? new LatePages(bytes, () => true) : memoryPages(bytes), specimen);
    } catch (error) {
      if (!(error instanceof CorruptFileError)) throw new Error(`${specimen.name}, ${label}`, { cause: error });
      ok(Number.isInteger(error.byteOffset) && error.byteOffset >= -1, `${label}: ${error.byteOffset}`);
      ok(error.byteOffset <= Math.max(bytes.byteLength, specimen.bytes.byteLength), `${label}: ${error.message}`);
      isHarmed = true;
    }
  }
  return isHarmed;
}

for (const specimen of specimens) {
  test(
    `openDatabase() and tables refuse or read ${specimen.name} with any byte flipped`,
    { timeout: 60_000 },
    async () => {
      equal(await survives(specimen.bytes, specimen, "untouched"), false);
      const bytes = specimen.bytes.slice();
      let harmedCount = 0;
      for (let at = 0; at < bytes.byteLength; at++) {
        for (const pattern of PATTERNS) {
          bytes[at]! ^= pattern;
          if (await survives(bytes, specimen, `byte ${at} xor ${pattern}`)) harmedCount++;
          bytes[at]! ^= pattern;
        }
      }
      ok(harmedCount > 100, `only ${harmedCount} flips were noticed`);
    },
  );

  test(`openDatabase() refuses ${specimen.name} cut at any length`, { timeout: 60_000 }, async () => {
    const untrusted = specimen.bytes.slice();
    // Without a count of pages in the header the length of the file decides.
    untrusted.fill(0, 28, 32);
    for (let length = 0; length < specimen.bytes.byteLength; length++) {
      ok(await survives(specimen.bytes.slice(0, length), specimen, `cut at ${length}`));
      if (length % 64 < 2 || isSoak) await survives(untrusted.slice(0, length), specimen, `cut at ${length}, no count`);
    }
  });

  test(
    `openDatabase() and tables refuse or read ${specimen.name} with pages mixed up`,
    { timeout: 60_000 },
    async () => {
      const random = randomOf(specimen.bytes.byteLength);
      const pageCount = specimen.bytes.byteLength / 512;
      for (let round = 0; round < (isSoak ? 20_000 : 1000); round++) {
        const bytes = specimen.bytes.slice();
        for (let change = 0; change < 1 + round % 5; change++) {
          const to = Math.floor(random() * pageCount);
          const from = Math.floor(random() * pageCount);
          const kind = round % 3;
          // A page in another's place, a link to another page, or noise.
          if (kind === 0 && to > 0 && from > 0) bytes.copyWithin(to * 512, from * 512, (from + 1) * 512);
          else if (kind === 1) bytes[to * 512 + [3, 11, 515, 103][Math.floor(random() * 4)]!] = from + 1;
          else for (let i = 0; i < 4; i++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
        }
        await survives(bytes, specimen, `round ${round}`);
      }
    },
  );
}

test(
  "scanTable() visits no more pages than the file has, however they are linked",
  { timeout: 60_000 },
  async () => {
    const specimen = specimens[1]!;
    const clean = new LatePages(specimen.bytes, () => true);
    await readAll(clean, specimen);
    for (let at = 512; at < specimen.bytes.byteLength; at += 1) {
      const bytes = specimen.bytes.slice();
      // Every link and most counts lie in bytes whose lowest bits matter.
      bytes[at]! ^= 3;
      const source = new LatePages(bytes, (pageNumber) => pageNumber % 2 === 0);
      try {
        await readAll(source, specimen);
      } catch (error) {
        ok(error instanceof CorruptFileError, `byte ${at}: ${error}`);
      }
      ok(source.peeks + source.loads <= clean.pageCount + 4, `byte ${at}: ${source.peeks + source.loads} pages`);
    }
  },
);
