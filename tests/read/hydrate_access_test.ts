// Ranges first, files later. Judge: the rows that were written, what a store is asked for, what lies in the folder.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { OpenSnapshotOptions } from "../../src/read/read_options.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { temporaryFolder } from "./fixture_snapshots.ts";
import {
  check,
  filesIn,
  hang,
  PART_BYTES,
  partCountOf,
  partStore,
  publish,
  ROWS,
  settled,
  SHARDS,
} from "./part_requests.ts";
import { text } from "./small_snapshots.ts";

function hydrating(options: OpenSnapshotOptions) {
  return openSnapshot({ ...options, access: "hydrate", hydrate: { partBytes: PART_BYTES, ...options.hydrate } });
}

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

const CACHED = new Array(SHARDS).fill(["shard.db", "shard.identity.json"]).flat().sort();

test("openSnapshot() hydrates: right values before, during and after the switch, no request after it", async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const { store, parts } = partStore(await publish(), async (part, send) => {
    await Promise.race([released, hang(part)]);
    return await send();
  });
  // One request is left to lookups: none waits for the parts that are held back.
  await using reader = await hydrating({ store, concurrencyMax: 2 });
  equal(reader.info.access, "hydrate");
  await check(reader);
  equal(reader.stats().hydratedShards, 0);
  const scan = reader.scan()[Symbol.asyncIterator]();
  equal(text((await scan.next()).value![1])?.slice(0, 3), "one");
  release();
  for (let round = 0; reader.stats().hydratedShards < SHARDS; round++) {
    await check(reader, { from: round });
    await pause(); // Lookups of pages that are at hand would never let anything else happen.
  }
  const { requests } = reader.stats();
  await check(reader);
  equal((await Array.fromAsync(reader.scan())).length, ROWS);
  equal(reader.stats().requests, requests);
  let rest = 1;
  for (let next = await scan.next(); !next.done; next = await scan.next()) rest++;
  equal(rest, ROWS);
  equal(parts.length, partCountOf(reader));
  deepEqual(reader.info.warnings, []);
});

test("openSnapshot() hydrates no faster than hydrate.bytesPerSecond", async () => {
  const clock = new ManualClock(0);
  const startedMs = clock.monotonicMs();
  const bytesPerSecond = 50_000;
  let sumBytes = 0;
  const { store } = partStore(await publish(), ({ lengthBytes }, send) => {
    sumBytes += lengthBytes;
    const seconds = (clock.monotonicMs() - startedMs) / 1000;
    ok(sumBytes <= (seconds + 1) * bytesPerSecond + 1, `${sumBytes} bytes after ${seconds} s`);
    return send();
  });
  await using reader = await hydrating({ store, clock, hydrate: { bytesPerSecond, shardsAtOnce: SHARDS } });
  await settled(reader);
  equal(reader.stats().hydratedShards, SHARDS);
  equal(sumBytes, reader.info.sizeBytes);
  const neededMs = (sumBytes / bytesPerSecond - 1) * 1000;
  const tookMs = clock.monotonicMs() - startedMs;
  ok(tookMs >= neededMs - 1 && tookMs < neededMs + 200, `${tookMs} ms instead of ${neededMs}`);
});

test("openSnapshot() leaves shards in the store that would exceed hydrate.diskBytesMax, with a warning", async () => {
  using folder = temporaryFolder();
  const { store, parts } = partStore(await publish());
  const [first, second, third] = await shardSizes();
  async function shardSizes() {
    await using reader = await openSnapshot({ store });
    return reader.shards.map((shard) => shard.sizeBytes) as [number, number, number];
  }
  const diskBytesMax = first + third;
  await using reader = await hydrating({
    store,
    cacheDir: folder.path,
    hydrate: { diskBytesMax, shardsAtOnce: 1 },
  });
  await settled(reader);
  const expected = second <= third ? [0, 1] : [0, 2];
  equal(reader.stats().hydratedShards, 2);
  deepEqual([...new Set(parts.map(({ shardId }) => shardId))], expected);
  match(reader.info.warnings.join(), /^shards stay in the store as .* hydrate\.diskBytesMax, \d+ bytes$/);
  await check(reader);
});

test("openSnapshot() hydrates those shards first that were asked first", async () => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const { store, parts } = partStore(await publish(), async (_, send) => {
    await released;
    return await send();
  });
  await using reader = await hydrating({ store, hydrate: { shardsAtOnce: 1 } });
  while (parts.length === 0) await pause();
  const key = Array.from({ length: ROWS }, (_, id) => id).find((id) => reader.route(id) === 2)!;
  await reader.get(key);
  release();
  await settled(reader);
  deepEqual([...new Set(parts.map(({ shardId }) => shardId))], [0, 2, 1]);
});

test("openSnapshot() hydrates from cacheDir without a request, and downloads only what is damaged there", async () => {
  using folder = temporaryFolder();
  const { store, parts } = partStore(await publish());
  for (const expected of [SHARDS, 0, 1, 0]) {
    parts.length = 0;
    await using reader = await hydrating({ store, cacheDir: folder.path });
    await settled(reader);
    equal(reader.stats().hydratedShards, SHARDS);
    equal(new Set(parts.map(({ shardId }) => shardId)).size, expected);
    await check(reader);
    deepEqual(filesIn(folder.path), CACHED);
    if (expected === 0) {
      writeFileSync(join(folder.path, "shard=00001", "shard.db"), "damaged");
      writeFileSync(join(folder.path, "shard=00001", `shard.db.${crypto.randomUUID()}.part`), "of a killed process");
    }
  }
});

test("openSnapshot() hydrates once for several readers with one cacheDir", async () => {
  using folder = temporaryFolder();
  const { store, parts } = partStore(await publish());
  await Promise.all(Array.from({ length: 3 }, async () => {
    await using reader = await hydrating({ store, cacheDir: folder.path });
    await check(reader);
    await settled(reader);
    equal(reader.stats().hydratedShards, SHARDS);
    await check(reader);
  }));
  await using reader = await openSnapshot({ store, access: "download", cacheDir: folder.path });
  equal(parts.length, partCountOf(reader));
  equal(reader.stats().requests, 2);
});

test("openSnapshot() opens for downloading while another reader hydrates the same place", async () => {
  using folder = temporaryFolder();
  const { store, parts } = partStore(await publish(), hang);
  await using slow = await hydrating({ store, cacheDir: folder.path });
  // Else it could find what the other one has downloaded.
  while (parts.length === 0) await pause();
  await using reader = await openSnapshot({ store, access: "download", cacheDir: folder.path });
  await check(reader);
  await check(slow);
  equal(slow.stats().hydratedShards, 0);
});

test("SnapshotReader.close() ends hydrating at once and leaves neither files nor requests", async () => {
  using temporary = temporaryFolder();
  using cache = temporaryFolder();
  const outer = process.env["TMPDIR"];
  process.env["TMPDIR"] = temporary.path;
  try {
    for (const cacheDir of [undefined, cache.path]) {
      const { store, parts, running } = partStore(
        await publish(),
        (part, send) => part.offset < 5 * PART_BYTES ? send() : hang(part),
      );
      const reader = await hydrating({ store, cacheDir });
      await check(reader);
      while (running() < 4 || parts.at(-1)!.offset < 5 * PART_BYTES) await pause();
      ok(filesIn(cacheDir ?? temporary.path).length > 0);
      const startedMs = performance.now();
      await reader.close();
      ok(performance.now() - startedMs < 1000);
      equal(running(), 0);
      deepEqual(filesIn(cacheDir ?? temporary.path), []);
      await rejects(reader.get(1), { code: "READER_STATE" });
    }
    deepEqual(readdirSync(temporary.path), []);
  } finally {
    if (outer === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = outer;
  }
});

test("SnapshotReader.refresh() gives up hydrating the old snapshot and hydrates the new one", async () => {
  using folder = temporaryFolder();
  const inner = await publish();
  let isHeld = true;
  const { store, parts, running } = partStore(inner, (part, send) => isHeld ? hang(part) : send());
  await using reader = await hydrating({ store, cacheDir: folder.path });
  await check(reader);
  await publish(inner, "two");
  while (parts.length === 0) await pause();
  isHeld = false;
  ok(await reader.refresh());
  await check(reader, { word: "two" });
  await settled(reader);
  equal(running(), 0);
  equal(reader.stats().hydratedShards, SHARDS);
  await check(reader, { word: "two" });
  deepEqual(filesIn(folder.path), CACHED);
});

test("SnapshotReader.warm() waits for shards to be hydrated, as long as its signal allows", async () => {
  const reason = new Error("enough");
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const { store } = partStore(await publish(), async (_, send) => {
    await released;
    return await send();
  });
  await using reader = await hydrating({ store });
  const abort = new AbortController();
  const waiting = reader.warm({ shards: [1] }, { signal: abort.signal });
  setTimeout(() => abort.abort(reason), 20);
  await rejects(waiting, reason);
  await rejects(reader.warm({ shards: [1] }, { signal: abort.signal }), reason);
  equal(reader.stats().hydratedShards, 0);
  release();
  await reader.warm({ shards: [1] });
  ok(reader.stats().hydratedShards > 0);
});

test("openSnapshot() refuses to hydrate where there is no place, or no engine, for files", async () => {
  using folder = temporaryFolder();
  const store = await publish();
  const path = join(folder.path, "file");
  writeFileSync(path, "");
  await rejects(hydrating({ store, cacheDir: join(path, "cache") }), { code: "CONFIG_VALIDATION", path: "cacheDir" });
  for (const opens of [["memory", "remote"], ["memory", "file"]] as const) {
    const backend = { ...sqliteBackend(), opens };
    await rejects(hydrating({ store, backend }), { code: "CONFIG_VALIDATION", path: "access" });
  }
  for (const hydrate of [{ partBytes: 0 }, { shardsAtOnce: 0 }, { bytesPerSecond: 0 }, { diskBytesMax: -1 }]) {
    await rejects(hydrating({ store, hydrate }), { path: `hydrate.${Object.keys(hydrate)[0]}` });
  }
});
