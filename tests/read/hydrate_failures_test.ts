// Downloads that go wrong in the background. Judge: the rows that were written, and what a store is asked for.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../../src/errors.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { StoredRanges } from "../../src/stores/store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { temporaryFolder } from "./fixture_snapshots.ts";
import {
  check,
  filesIn,
  type OnPart,
  PART_BYTES,
  partCountOf,
  partStore,
  publish,
  settled,
  SHARDS,
} from "./part_requests.ts";

/** Opens, waits for the end of hydrating, checks values and what lies in the folder. */
async function hydrate(onPart: OnPart) {
  using folder = temporaryFolder();
  const { store, parts } = partStore(await publish(), onPart);
  const clock = new ManualClock();
  const hydrate = { partBytes: PART_BYTES };
  await using reader = await openSnapshot({ store, access: "hydrate", cacheDir: folder.path, clock, hydrate });
  await check(reader);
  await settled(reader);
  await check(reader);
  const { hydratedShards } = reader.stats();
  const files = filesIn(folder.path);
  equal(files.filter((name) => name === "shard.db").length, hydratedShards);
  equal(files.length, 2 * hydratedShards);
  const partCount = partCountOf(reader);
  const delays = clock.sleeps.filter((delayMs) => delayMs >= 1000);
  return { hydratedShards, warnings: reader.info.warnings, parts, partCount, delays };
}

async function damaged(send: () => Promise<StoredRanges>): Promise<StoredRanges> {
  const stored = await send();
  const bytes = stored.parts[0]!.slice();
  bytes[17]! ^= 1;
  return { ...stored, parts: [bytes] };
}

function brokenOff(): StoreError {
  return new StoreError("Cannot read on: the connection was reset", { url: "memory:///", retryable: true });
}

test("openSnapshot() keeps a shard in the store when its download is damaged each time, and says so", async () => {
  const { hydratedShards, warnings, parts, delays } = await hydrate((part, send) =>
    part.shardId === 1 && part.offset === 2 * PART_BYTES ? damaged(send) : send()
  );
  equal(hydratedShards, SHARDS - 1);
  equal(warnings.length, 1);
  match(warnings[0]!, /^shard 1 stays in the store: Cannot use ".*shard\.db" as its bytes do not have the .* digest$/);
  equal(parts.filter(({ shardId, offset }) => shardId === 1 && offset === 2 * PART_BYTES).length, 4);
  deepEqual(delays, [1000, 4000, 16_000]);
});

test("openSnapshot() downloads a shard again that was damaged on the way", async () => {
  let isDamaged = false;
  const { hydratedShards, warnings, parts, partCount } = await hydrate((part, send) => {
    if (isDamaged || part.shardId !== 1) return send();
    isDamaged = true;
    return damaged(send);
  });
  equal(hydratedShards, SHARDS);
  deepEqual(warnings, []);
  ok(parts.length > partCount && parts.length < 2 * partCount);
});

test("openSnapshot() goes on where a download was broken off", async () => {
  let sent = 0;
  const { hydratedShards, warnings, parts, partCount } = await hydrate((_, send) => {
    if (++sent % 7 === 0) throw brokenOff();
    return send();
  });
  equal(hydratedShards, SHARDS);
  deepEqual(warnings, []);
  const came = new Set(parts.map(({ shardId, offset }) => `${shardId} ${offset}`));
  equal(came.size, partCount);
  // Each failure costs its own request and those that were under way beside it.
  ok(parts.length < 2 * partCount, `${parts.length} requests for ${partCount} parts`);
});

test("openSnapshot() gives a shard's download up when the store keeps failing", async () => {
  const { hydratedShards, warnings, delays } = await hydrate(({ shardId }, send) =>
    shardId === 2 ? Promise.reject(brokenOff()) : send()
  );
  equal(hydratedShards, SHARDS - 1);
  deepEqual(warnings, ["shard 2 stays in the store: Cannot read on: the connection was reset"]);
  deepEqual(delays, [1000, 4000, 16_000]);
});

test("openSnapshot() never mixes parts of two versions of a file", async () => {
  let sent = 0;
  const { hydratedShards, warnings, parts } = await hydrate(async ({ shardId }, send) => {
    const stored = await send();
    if (shardId !== 0) return stored;
    // Replaced twice, each time in the midst.
    const version = Math.min(2, Math.floor(sent++ / 10));
    return { ...stored, etag: `"${version}"` };
  });
  equal(hydratedShards, SHARDS);
  deepEqual(warnings, []);
  const firstParts = parts.filter(({ shardId, offset }) => shardId === 0 && offset === 0);
  equal(firstParts.length, 3);
});

test("openSnapshot() refuses a file of another length", async () => {
  const { hydratedShards, warnings } = await hydrate(async ({ shardId }, send) => {
    const stored = await send();
    return shardId === 0 ? { ...stored, sizeBytes: 1 << 20 } : stored;
  });
  equal(hydratedShards, SHARDS - 1);
  match(warnings[0]!, /^shard 0 stays in the store: Cannot use .* as it must be \d+ bytes long: .* 1048576$/);
});
