// Judge: the file itself, read whole.
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { filePages } from "../../src/backends/file_pages.ts";
import { openDatabase, PageCache, scanTable } from "../../src/sqlite/mod.ts";
import { allOf, databaseBytes, equalBytes, KV_TABLE } from "../sqlite/sqlite_judge.ts";

const bytes = databaseBytes({ pageSizeBytes: 1024 }, (database) => {
  database.exec(`${KV_TABLE}; BEGIN`);
  const insert = database.prepare("INSERT INTO kv VALUES (?, ?)");
  for (let i = 0; i < 500; i++) insert.run(Uint8Array.of(i >> 8, i), new Uint8Array(100).fill(i));
  database.exec("COMMIT");
});

async function withFile(content: Uint8Array, use: (path: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "shardyfusion-test-"));
  try {
    const path = join(folder, "shard.db");
    writeFileSync(path, content);
    await use(path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("filePages() gives every page without waiting, whatever the size of its cache", async () => {
  await withFile(bytes, async (path) => {
    for (const cacheBytesMax of [0, 5000, 1 << 20]) {
      await using pages = await filePages(path, { cacheBytesMax });
      equal(pages.pageCount, bytes.byteLength / 1024);
      for (const pageNumber of [1, 2, pages.pageCount, 2, 1, 3, 3]) {
        const truth = bytes.subarray((pageNumber - 1) * 1024, pageNumber * 1024);
        equalBytes(pages.peek(pageNumber), truth, `page ${pageNumber}`);
        equalBytes(await pages.load(pageNumber), truth, `page ${pageNumber}`);
      }
      const kv = (await openDatabase(pages)).keyValueTable();
      for (let i = 0; i < 500; i++) {
        equalBytes(kv.get(Uint8Array.of(i >> 8, i)), new Uint8Array(100).fill(i), `key ${i}`);
      }
      equal((await allOf(scanTable(kv))).length, 500);
    }
  });
});

test("filePages() refuses what is no database, and closes it again", async () => {
  await withFile(new Uint8Array(50), async (path) => {
    await rejects(filePages(path), { code: "CORRUPT_FILE", byteOffset: 50 });
  });
  await withFile(bytes.subarray(0, 3000), async (path) => {
    await rejects(filePages(path), { code: "CORRUPT_FILE", message: /cut short/ });
  });
  await rejects(filePages("no such file"), { code: "ENOENT" });
});

test("FilePages.peek() throws when the file was cut short, or was closed", async () => {
  await withFile(bytes, async (path) => {
    const pages = await filePages(path);
    truncateSync(path, 2048 + 10);
    ok(pages.peek(2));
    throws(() => pages.peek(3), { code: "CORRUPT_FILE", byteOffset: 2058 });
    await pages[Symbol.asyncDispose]();
    await pages[Symbol.asyncDispose]();
    throws(() => pages.peek(2));
  });
});

test("PageCache lets go of the pages unused for longest", () => {
  const cache = new PageCache(30);
  for (const pageNumber of [1, 2, 3]) cache.set(pageNumber, new Uint8Array(10));
  ok(cache.get(1));
  cache.set(4, new Uint8Array(10));
  deepEqual([1, 2, 3, 4].map((pageNumber) => cache.get(pageNumber) !== undefined), [true, false, true, true]);
  cache.set(4, new Uint8Array(20));
  equal(cache.sizeBytes, 30);
  cache.set(5, new Uint8Array(50));
  equal(cache.sizeBytes, 50);
  ok(cache.get(5));
  cache.clear();
  equal(cache.get(5), undefined);
  equal(cache.sizeBytes, 0);
});
