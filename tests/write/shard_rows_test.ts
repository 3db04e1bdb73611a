// Judge: a Map, where the last write of a key wins, and the engine's own sort.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileScratch } from "../../src/write/file_scratch.ts";
import { ShardRows } from "../../src/write/shard_rows.ts";
import { ShardSinks } from "../../src/write/shard_sinks.ts";
import type { SortedRows } from "../../src/rows.ts";
import { packed, type Row } from "./packed.ts";

async function read(rows: SortedRows): Promise<Row[]> {
  await using cursor = await rows.open();
  const found: Row[] = [];
  do {
    while (cursor.next()) {
      const { bytes, start, keyLength, valueLength } = cursor;
      const text = Buffer.from(bytes.subarray(start, start + keyLength + valueLength)).toString("latin1");
      found.push([text.slice(0, keyLength), text.slice(keyLength)]);
    }
  } while (await cursor.refill());
  return found;
}

function expected(rows: readonly Row[]): Row[] {
  return [...new Map(rows).entries()].sort(([left], [right]) => left < right ? -1 : 1);
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  try {
    await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function randomRows(count: number, keys: number, seed: number): Row[] {
  let state = seed;
  const random = (below: number) => (state = Number((BigInt(state) * 48271n) % 2147483647n)) % below;
  return Array.from(
    { length: count },
    (_, index) => [`key ${random(keys)}`, `value ${index} ${"x".repeat(random(40))}`],
  );
}

test("ShardRows gives the same rows from memory, from runs and from both; the last write of a key wins", async () => {
  await withFolder(async (folder) => {
    const rows = randomRows(30_000, 9000, 42);
    for (const spillAfter of [[], [3], [0, 1, 2], [4, 9, 14, 19], Array.from({ length: 29 }, (_, i) => i)]) {
      await using scratch = await fileScratch(folder, "test");
      await using shard = new ShardRows(3);
      for (let batch = 0; batch < 30; batch++) {
        const slice = rows.slice(batch * 1000, (batch + 1) * 1000);
        shard.add({ ...packed(slice), shardId: 3, isPaid: false });
        if (spillAfter.includes(batch)) await shard.spill(() => scratch.openSpool());
      }
      const sorted = await shard.sorted();
      const want = expected(rows);
      deepEqual(await read(sorted), want);
      deepEqual(await read(sorted), want, "a second time");
      equal(shard.rowsOffered, rows.length);
      ok(sorted.rowCountMax >= want.length);
      equal(Buffer.from(shard.minKey!).toString("latin1"), want[0]![0]);
      equal(Buffer.from(shard.maxKey!).toString("latin1"), want.at(-1)![0]);
    }
    deepEqual(readdirSync(folder), []);
  });
});

test("ShardRows merges runs when there are many", { timeout: 60_000 }, async () => {
  await withFolder(async (folder) => {
    await using scratch = await fileScratch(folder, "test");
    await using shard = new ShardRows(0);
    const rows = randomRows(3600, 500, 7);
    for (let at = 0; at < rows.length; at += 3) {
      shard.add({ ...packed(rows.slice(at, at + 50)), shardId: 0, isPaid: false });
      await shard.spill(() => scratch.openSpool());
      const [space] = readdirSync(folder);
      ok(readdirSync(join(folder, space!)).length <= 66);
    }
    deepEqual(await read(await shard.sorted()), expected(rows));
  });
});

test("ShardSinks stays under its ceiling by spilling", async () => {
  await withFolder(async (folder) => {
    await using scratch = await fileScratch(folder, "test");
    const rows = randomRows(40_000, 20_000, 11);
    for (const limits of [{ bytesMax: 200_000 }, { bytesMax: 2 ** 30, rowsMax: 3000 }]) {
      const sinks = new ShardSinks(limits, () => Promise.resolve(scratch), {
        signal: new AbortController().signal,
      });
      const writer = sinks.getWriter();
      for (let at = 0; at < rows.length; at += 100) {
        const shardId = (at / 100) % 5;
        await writer.write({ ...packed(rows.slice(at, at + 100)), shardId, isPaid: false });
        const held = sinks.shards().reduce((sum, shard) => sum + shard.heldBytes, 0);
        const heldRows = sinks.shards().reduce((sum, shard) => sum + shard.heldRows, 0);
        ok(held <= limits.bytesMax && heldRows <= (limits.rowsMax ?? Infinity), `${held} bytes, ${heldRows} rows`);
      }
      await writer.close();
      for (const shard of sinks.shards()) {
        const own = rows.filter((_, index) => Math.floor(index / 100) % 5 === shard.shardId);
        deepEqual(await read(await shard.sorted()), expected(own));
      }
      await sinks[Symbol.asyncDispose]();
    }
  });
});

test("ShardRows keeps no file open for runs that wait", { timeout: 30_000 }, async (t) => {
  if (!existsSync("/proc/self/fd")) return t.skip("open files cannot be counted here");
  await withFolder(async (folder) => {
    await using scratch = await fileScratch(folder, "test");
    const shards = Array.from({ length: 60 }, (_, shardId) => new ShardRows(shardId));
    const before = readdirSync("/proc/self/fd").length;
    for (const shard of shards) {
      for (let run = 0; run < 10; run++) {
        shard.add({ ...packed([[`key ${run}`, "value"]]), shardId: shard.shardId, isPaid: false });
        await shard.spill(() => scratch.openSpool());
      }
    }
    ok(readdirSync("/proc/self/fd").length < before + 10);
    for (const shard of shards) equal((await read(await shard.sorted())).length, 10);
  });
});

test("P7 ShardRows refuses a run that the disk gave back changed", async () => {
  await withFolder(async (folder) => {
    const rows = randomRows(2000, 2000, 5);
    for (const flip of [0.1, 0.5, 0.9]) {
      await using scratch = await fileScratch(folder, "test");
      await using shard = new ShardRows(0);
      shard.add({ ...packed(rows), shardId: 0, isPaid: false });
      await shard.spill(() => scratch.openSpool());
      const [space] = readdirSync(folder);
      const [run] = readdirSync(join(folder, space!));
      const path = join(folder, space!, run!);
      const bytes = readFileSync(path);
      bytes[Math.floor(flip * bytes.length)]! ^= 1;
      writeFileSync(path, bytes);
      await rejects(shard.sorted().then(read));
    }
  });
});
