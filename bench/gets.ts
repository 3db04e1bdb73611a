/**
 * Warm lookups, uniform over all keys, awaited one by one: `gets.ts FOLDER ROWS [SECONDS]`. FOLDER holds a snapshot made
 * by `build_ours.ts` with random keys; the native engines get one file with the same rows. Prints one line of JSON.
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { openSnapshot } from "../mod.ts";
import { fsStore } from "../src/stores/fs_store.ts";
import { keyAt, keyBytes, peakMiB, valueAt } from "./rows.ts";

const [folder = "", rowsText = "1000000", secondsText = "2"] = process.argv.slice(2);
const rowCount = Number(rowsText);
const seconds = Number(secondsText);

/** Keys in an order of their own, so that neither side profits from the order of the rows. */
const keys = Float64Array.from(
  { length: 1 << 18 },
  (_, i) => keyAt((Math.imul(i, 0x2545f491) >>> 0) % rowCount, "random"),
);

async function rate(get: (key: number) => unknown): Promise<number> {
  const best: number[] = [];
  for (let round = 0; round < 3; round++) {
    let count = 0;
    const startedMs = performance.now();
    while (performance.now() - startedMs < seconds * 1000) {
      for (let i = 0; i < 4096; i++) {
        if (await get(keys[count++ & (keys.length - 1)]!) === null) throw new Error("a key is missing");
      }
    }
    best.push(count / (performance.now() - startedMs) * 1000);
  }
  return Math.round(best.sort((left, right) => left - right)[1]!);
}

const scratch = mkdtempSync(join(tmpdir(), "shardyfusion-bench-"));
const path = join(scratch, "floor.db");
{
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -65536");
  database.exec("CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID; BEGIN");
  const insert = database.prepare("INSERT INTO kv (k, v) VALUES (?, ?)");
  const order = Array.from({ length: rowCount }, (_, index) => index);
  order.sort((left, right) => keyAt(left, "random") - keyAt(right, "random"));
  for (const index of order) insert.run(keyBytes(keyAt(index, "random")), valueAt(index));
  database.exec("COMMIT");
  database.close();
}
const result: Record<string, number> = {};
for (const access of ["memory", "download"] as const) {
  await using reader = await openSnapshot({ store: fsStore(folder), access });
  result[access] = await rate((key) => reader.get(key));
}
const sql = "SELECT v FROM kv WHERE k = ?";
const settings = "PRAGMA cache_size = -262144; PRAGMA mmap_size = 268435456";
{
  const database = new DatabaseSync(path, { readOnly: true });
  database.exec(settings);
  const select = database.prepare(sql);
  result["node:sqlite"] = await rate((key) => select.get(keyBytes(key))?.["v"] ?? null);
  database.close();
}
if ("Bun" in globalThis) {
  const name = "bun:sqlite";
  const { Database } = await import(name);
  const database = new Database(path, { readonly: true });
  database.exec(settings);
  const select = database.prepare(sql);
  result["bun:sqlite"] = await rate((key) => select.get(keyBytes(key))?.v ?? null);
  database.close();
}
rmSync(scratch, { recursive: true });
console.log(JSON.stringify({ ...result, peakMiB: peakMiB() }));
