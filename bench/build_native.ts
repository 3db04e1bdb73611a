/**
 * The floor: prepared inserts of the same rows into one table: `build_native.ts MODULE ROWS ORDER`, where MODULE is
 * `node:sqlite` or `bun:sqlite`; prints one line of JSON. One transaction, no journal, 64 MB of page cache.
 * @module
 */
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { keyAt, keyBytes, type KeyOrder, peakMiB, valueAt } from "./rows.ts";

const [module = "node:sqlite", rowsText = "1000000", order = "random"] = process.argv.slice(2);
const rowCount = Number(rowsText);

interface Database {
  exec(sql: string): unknown;
  prepare(sql: string): { run(key: Uint8Array, value: Uint8Array): unknown };
  close(): unknown;
}

async function open(path: string): Promise<Database> {
  if (module === "bun:sqlite") {
    const name = "bun:sqlite"; // Not a literal in the import: only Bun has the module.
    const { Database } = await import(name);
    return new Database(path);
  }
  const { DatabaseSync } = await import("node:sqlite");
  return new DatabaseSync(path);
}

const keys = Array.from({ length: rowCount }, (_, index) => keyBytes(keyAt(index, order as KeyOrder)));
const elapsed: number[] = [];
for (let run = 0; run < 3; run++) {
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-bench-"));
  const startedMs = performance.now();
  const database = await open(join(folder, "floor.db"));
  database.exec("PRAGMA page_size = 4096; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF");
  database.exec("PRAGMA cache_size = -65536; PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY");
  database.exec("CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID; BEGIN");
  const insert = database.prepare("INSERT OR REPLACE INTO kv (k, v) VALUES (?, ?)");
  for (let index = 0; index < rowCount; index++) insert.run(keys[index]!, valueAt(index));
  database.exec("COMMIT");
  database.close();
  elapsed.push(performance.now() - startedMs);
  rmSync(folder, { recursive: true });
}
elapsed.sort((left, right) => left - right);
console.log(JSON.stringify({ rowsPerSecond: Math.round(rowCount / elapsed[1]! * 1000), peakMiB: peakMiB() }));
