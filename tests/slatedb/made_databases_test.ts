// Judges: SlateDB 0.13.1 itself, which made the databases and read them, and 0.17.0 for those with "v17" in their names.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { SlateDatabase } from "../../src/slatedb/database.ts";
import { bytesOf, filesOf, folderOf, hexOf, madeDatabases, scanned } from "./made_databases.ts";

for (const [name, { rows }] of Object.entries(madeDatabases)) {
  if (rows === null) continue;
  test(`SlateDatabase reads ${name} as SlateDB does, with and without room to keep anything`, async () => {
    for (const [gapBytes, cacheBytes] of [[0, 1 << 26], [1 << 18, 1 << 26], [0, 0], [1 << 18, 3000]] as const) {
      const database = new SlateDatabase(folderOf(filesOf(name), { gapBytes, cacheBytes }));
      deepEqual(await scanned(database), rows);
      const isKept = cacheBytes > 1 << 20;
      const keys: Uint8Array[] = rows.map(([key]) => bytesOf(key));
      const values = await database.getMany(keys);
      deepEqual(values.map((value) => hexOf(value!)), rows.map(([, value]) => value));
      const some: readonly (readonly [string, string])[] = isKept
        ? rows
        : rows.filter((_, i) => i % Math.ceil(rows.length / 20) === 0);
      for (const [key, value] of some) equal(hexOf((await database.get(bytesOf(key)))!), value);
      // Between any two keys there is none.
      for (const [key] of some) equal(await database.get(bytesOf(`${key}00`)), null);
      equal(await database.get(bytesOf("")), null);
      database.forget();
      equal(hexOf((await database.get(keys[0]!))!), rows[0]![1]);
    }
  });

  test(`SlateDatabase scans parts of ${name}`, async () => {
    const database = new SlateDatabase(folderOf(filesOf(name)));
    const step = Math.max(1, Math.floor(rows.length / 7));
    for (let i = 0; i < rows.length; i += step) {
      for (let j = i; j < rows.length; j += step) {
        const range: { from: Uint8Array; to: Uint8Array } = { from: bytesOf(rows[i]![0]), to: bytesOf(rows[j]![0]) };
        deepEqual(await scanned(database, range), rows.slice(i, j));
      }
      deepEqual(await scanned(database, { from: bytesOf(`${rows[i]![0]}00`) }), rows.slice(i + 1));
    }
  });
}

test("SlateDatabase refuses values in parts, and reads the others", async () => {
  const database = new SlateDatabase(folderOf(filesOf("operands")));
  equal(hexOf((await database.get(bytesOf("61")))!), "31");
  await rejects(async () => await database.get(bytesOf("62")), { code: "DB_ADAPTER", message: /parts/ });
  equal(hexOf((await database.get(bytesOf("63")))!), "33");
  await rejects(scanned(database), { code: "DB_ADAPTER" });
});

test("SlateDatabase fetches a block for a row and nothing for what its filter knows to be absent", async () => {
  const folder = folderOf(filesOf("codec_zstd"));
  const database = new SlateDatabase(folder);
  const { rows } = madeDatabases["codec_zstd"]!;
  equal(hexOf((await database.get(bytesOf(rows![0]![0])))!), rows![0]![1]);
  const requests = folder.asked.length;
  let more = 0;
  for (const [key] of rows!) {
    if (await database.get(bytesOf(`${key}00`)) !== null) throw new Error("a key that is not there");
    more = folder.asked.length - requests;
  }
  ok(more < 12, `${more} requests for 300 absent keys`);
  ok(folder.tally.filterHits > 250);
});
