// What a reader says of its requests, and how it limits and doubles them. Judge: the log of the server.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../../src/errors.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { httpStore } from "../../src/stores/http_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import type { CountedRequest } from "../servers/counting_proxy.ts";
import { kindOf, served, upTo } from "./served_series.ts";

const ROWS = 4000;

async function published(shards = 4): Promise<ObjectStore> {
  const store = memoryStore();
  await writeSnapshot(upTo(ROWS), {
    store,
    sharding: hashSharding({ shards }),
    key: (id) => id,
    value: (id) => `value ${id}`.padEnd(100),
  });
  return store;
}

function checkRow(value: Uint8Array | null | undefined, id: number): void {
  equal(value && new TextDecoder().decode(value).trim(), `value ${id}`);
}

/** Requests and bytes by the number of the shard. */
function byShard(log: readonly CountedRequest[]): Map<number, { requests: number; bytesRead: number }> {
  const counts = new Map<number, { requests: number; bytesRead: number }>();
  for (const { path, bytes } of log) {
    const [, shard] = /db=(\d+)/.exec(path) ?? [];
    if (shard === undefined) continue;
    const count = counts.get(Number(shard)) ?? { requests: 0, bytesRead: 0 };
    counts.set(Number(shard), { requests: count.requests + 1, bytesRead: count.bytesRead + bytes });
  }
  return counts;
}

test("SnapshotReader.stats() over ranges counts what the server counts, in all and by shard", async () => {
  const store = await published();
  await using http = await served(store);
  await using reader = await openSnapshot({ store: http.store, access: "range" });
  for (const id of [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, ROWS, ROWS + 1, 1000, 3000]) await reader.get(id);
  await reader.getMany([...upTo(100).map((index) => index * 40), ROWS + 2]);
  await reader.warm([17, 18]);
  await Array.fromAsync(reader.scan({ shard: 2 }));
  await reader.refresh();
  const log = http.server.take();
  const { requests, bytesRead, lookUps, shards } = reader.stats();
  equal(requests, log.length);
  equal(bytesRead, log.reduce((sum, { bytes }) => sum + bytes, 0));
  equal(lookUps, 15 + 101);
  const expected = byShard(log);
  deepEqual([...shards.keys()].sort(), [...expected.keys()].sort());
  for (const [shard, { requests, bytesRead }] of shards) deepEqual({ requests, bytesRead }, expected.get(shard));
});

test("SnapshotReader.stats() over ranges counts pages at hand, and keys known to be absent", async () => {
  await using http = await served(await published(1));
  await using reader = await openSnapshot({ store: http.store, access: "range" });
  await reader.warm({ shards: [0] });
  const start = reader.stats();
  checkRow(await reader.get(1005), 1005);
  const first = reader.stats();
  deepEqual([first.requests - start.requests, first.filterHits], [1, 0]);
  checkRow(await reader.get(1005), 1005);
  const second = reader.stats();
  equal(second.requests, first.requests);
  // The same pages once more, this time the leaf as well.
  equal(second.cacheHits - first.cacheHits, first.cacheHits - start.cacheHits + 1);
  const absent = upTo(100).map((index) => ROWS + index);
  for (const id of absent) equal(await reader.get(id), null);
  await reader.getMany(absent);
  const { filterHits, shards, lookUps } = reader.stats();
  ok(filterHits >= 190 && filterHits <= 200, `${filterHits}`);
  equal(lookUps, 202);
  equal(shards.get(0)!.filterHits, filterHits);
});

test("openSnapshot() over ranges keeps to its concurrencyMax, also when many shards are opened at once", async () => {
  const store = await published(32);
  await using http = await served(store);
  await using reader = await openSnapshot({ store: http.store, access: "range", concurrencyMax: 3 });
  let underWay = 0;
  let most = 0;
  http.server.fault = async () => {
    most = Math.max(most, ++underWay);
    await new Promise((resolve) => setTimeout(resolve, 2));
    underWay--;
    return null;
  };
  const values = await reader.getMany(upTo(200).map((index) => index * 20));
  for (const [id, value] of values) checkRow(value, id);
  equal(most, 3);
});

test("SnapshotReader.get() over ranges: waiting for its turn takes nothing off a request's time", async () => {
  await using http = await served(await published(2));
  const options = { store: http.store, access: "range", concurrencyMax: 2, timeoutMs: 300 } as const;
  await using reader = await openSnapshot(options);
  http.server.delayMs = 20;
  const ids = upTo(60).map((index) => index * 66);
  const startedMs = performance.now();
  const values = await Promise.all(ids.map((id) => reader.get(id)));
  ok(performance.now() - startedMs > 300);
  values.forEach((value, index) => checkRow(value, ids[index]!));
});

/** A store whose requests' signals are kept. */
function watched(url: string): { store: ReturnType<typeof httpStore>; signals: AbortSignal[] } {
  const signals: AbortSignal[] = [];
  const store = httpStore({
    attemptsMax: 1,
    url,
    fetch(url, init) {
      if (url.endsWith("shard.db")) signals.push(init.signal!);
      return fetch(url, init);
    },
  });
  return { store, signals };
}

test("hedgeAfterMs: a second request overtakes one that stalls, which is given up; both are counted", async () => {
  await using http = await served(await published(1));
  const { store, signals } = watched(http.server.url);
  await using reader = await openSnapshot({ store, access: "range", hedgeAfterMs: 60 });
  await reader.warm({ shards: [0] });
  http.asked();
  const { requests } = reader.stats();
  for (const fault of ["stall", { slowFirstByteMs: 1500 }] as const) {
    signals.length = 0;
    let count = 0;
    http.server.fault = () => count++ === 0 ? fault : null;
    const id = fault === "stall" ? 1005 : 2005;
    const startedMs = performance.now();
    checkRow(await reader.get(id), id);
    const tookMs = performance.now() - startedMs;
    ok(tookMs >= 55 && tookMs < 1400, `${tookMs} ms`);
    const log = http.server.take();
    deepEqual(log.map(({ path }) => kindOf(path)), ["db", "db"]);
    equal(log[0]!.range, log[1]!.range);
    equal(signals.length, 2);
    ok(signals[0]!.aborted);
  }
  equal(reader.stats().requests, requests + 4);
});

test("hedgeAfterMs: what comes in time is asked for once, and the first of two answers counts", async () => {
  await using http = await served(await published(1));
  const { store, signals } = watched(http.server.url);
  await using reader = await openSnapshot({ store, access: "range", hedgeAfterMs: 2000 });
  await reader.warm({ shards: [0] });
  for (const id of [5, 1005, 2005]) checkRow(await reader.get(id), id);
  equal(signals.length, 3);

  await using hasty = await openSnapshot({ store, access: "range", hedgeAfterMs: 20 });
  await hasty.warm({ shards: [0] });
  let count = 0;
  http.server.fault = () => count++ === 0 ? { slowFirstByteMs: 150 } : "stall";
  checkRow(await hasty.get(3005), 3005);
  equal(count, 2);
  http.server.fault = null;
  checkRow(await hasty.get(1005), 1005);
});

test("hedgeAfterMs: a failure before it is told at once, and nothing is doubled when no slot is free", async () => {
  await using http = await served(await published(1));
  const { store, signals } = watched(http.server.url);
  await using reader = await openSnapshot({ store, access: "range", hedgeAfterMs: 5000 });
  await reader.warm({ shards: [0] });
  http.server.fault = () => ({ status: 503 });
  const startedMs = performance.now();
  await rejects(reader.get(5), (error) => error instanceof StoreError && error.retryable);
  ok(performance.now() - startedMs < 3000);
  equal(signals.length, 1);

  http.server.fault = null;
  await using narrow = await openSnapshot({ store, access: "range", hedgeAfterMs: 20, concurrencyMax: 1 });
  await narrow.warm({ shards: [0] });
  http.asked();
  http.server.fault = () => ({ slowFirstByteMs: 150 });
  checkRow(await narrow.get(1005), 1005);
  deepEqual(http.asked(), ["db"]);
});

test("hedgeAfterMs: a signal ends both requests", async () => {
  await using http = await served(await published(1));
  const { store, signals } = watched(http.server.url);
  await using reader = await openSnapshot({ store, access: "range", hedgeAfterMs: 20 });
  await reader.warm({ shards: [0] });
  http.server.fault = () => "stall";
  const abort = new AbortController();
  const reason = new Error("enough");
  const given = reader.get(5, { signal: abort.signal }).catch((error) => error);
  while (signals.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  abort.abort(reason);
  equal(await given, reason);
  ok(signals.every(({ aborted }) => aborted));
  http.server.fault = null;
  checkRow(await reader.get(5), 5);
});
