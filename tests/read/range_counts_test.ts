// What lookups over ranges cost. Judge: the log of an HTTP server, and a second reading of the leaves' bytes.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { after, test } from "node:test";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { openSnapshot as openAtEdge } from "../../src/edge/edge_snapshot.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { SnapshotReader } from "../../src/read/snapshot_reader.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { s3FetchStore } from "../../src/stores/s3_fetch_store.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import type { ObjectStore, ReadableStore } from "../../src/stores/store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { startCountingProxy } from "../servers/counting_proxy.ts";
import { findMinio, startMinio } from "../servers/minio.ts";
import { checkValue, keyOf, runOf } from "./fixture_snapshots.ts";
import { counted, fixtureObjects, served, type ServedSeries, together, upTo } from "./served_series.ts";

const ROWS = 1_000_000;
const PAGE_BYTES = 4096;
/** No two requests are made one when what lies between is longer. */
const GAP_PAGES_MAX = (1 << 18) / PAGE_BYTES;

/** Rows with even keys and 100 bytes each, in one shard. */
async function publish(store: ObjectStore, rowCount: number, options: { guard?: boolean } = {}): Promise<void> {
  const value = new Uint8Array(100);
  await writeSnapshot(upTo(rowCount), {
    store,
    sharding: hashSharding({ shards: 1 }),
    key: (id) => 2 * id,
    value: (id) => {
      new DataView(value.buffer).setUint32(0, id);
      return value.slice();
    },
    backend: sqliteBackend(options),
  });
}

function checkRow(value: Uint8Array | null | undefined, key: number): void {
  ok(value instanceof Uint8Array, `key ${key} is missing`);
  equal(value.byteLength, 100);
  equal(2 * new DataView(value.buffer, value.byteOffset).getUint32(0), key);
}

/** The keys on each leaf of the shard, by number of the page. */
async function leavesOf(store: ObjectStore): Promise<Map<number, number[]>> {
  const entries = (await Array.fromAsync(store.list("shards/"))).flat();
  const bytes = await (await store.get(entries.find(({ key }) => key.endsWith("shard.db"))!.key)).bytes();
  const view = new DataView(bytes.buffer);
  const leaves = new Map<number, number[]>();
  for (let start = PAGE_BYTES; start < bytes.length; start += PAGE_BYTES) {
    if (view.getUint8(start) !== 10) continue;
    const cells = Array.from(
      { length: view.getUint16(start + 3) },
      (_, index) => start + view.getUint16(start + 8 + 2 * index),
    );
    // Payload of 112 bytes in a byte, then a header of 4 bytes: its length, type of the key, type of the value.
    leaves.set(start / PAGE_BYTES + 1, cells.map((cell) => Number(view.getBigUint64(cell + 5))));
  }
  return leaves;
}

interface BigSeries {
  readonly store: ObjectStore;
  readonly leaves: Map<number, number[]>;
}

let big: Promise<BigSeries> | undefined;

function bigSeries(): Promise<BigSeries> {
  return big ??= (async () => {
    const store = memoryStore();
    await publish(store, ROWS);
    return { store, leaves: await leavesOf(store) };
  })();
}

after(() => big = undefined);

/** A key from the middle of every so-many-th leaf, and what page it is on. */
function keysApart({ leaves }: BigSeries, count: number): { keys: number[]; pages: number[] } {
  const pages = [...leaves.keys()];
  const chosen = upTo(count).map((index) => pages[Math.floor((index + 0.5) * pages.length / count)]!);
  return { keys: chosen.map((page) => leaves.get(page)!.at(17)!), pages: chosen };
}

/** Rows that are on no leaf, so on interior pages. */
function interiorKeys({ leaves }: BigSeries): number[] {
  const onLeaves = new Set([...leaves.values()].flat());
  return upTo(ROWS).map((id) => 2 * id).filter((key) => !onLeaves.has(key));
}

for (const [name, open] of [["openSnapshot()", openSnapshot], ["edge openSnapshot()", openAtEdge]] as const) {
  test(`${name} P8: one row of a million: two GETs to open, two at once for its shard, one for it`, async () => {
    const series = await bigSeries();
    await using http = await served(series.store);
    await using reader = await open({ store: http.store, access: "range" });
    deepEqual(http.asked(), ["pointer", "manifest"]);
    const { keys } = keysApart(series, 50);
    http.server.fault = together(2);
    checkRow(await reader.get(keys[0]!), keys[0]!);
    deepEqual(http.asked().sort(), ["db", "guard", "sidecar"]);
    for (const key of keys.slice(1)) {
      checkRow(await reader.get(key), key);
      deepEqual(http.asked(), ["db"]);
      checkRow(await reader.get(key), key);
      deepEqual(http.asked(), []);
    }
    deepEqual(reader.info.warnings, []);
  });
}

test("SnapshotReader.get() over ranges sends one GET of one page for a row on a leaf, none for one above", async () => {
  const series = await bigSeries();
  await using http = await served(series.store);
  await using reader = await openSnapshot({ store: http.store, access: "range" });
  await reader.warm({ shards: [0] });
  deepEqual(http.asked().sort(), ["guard", "manifest", "pointer", "sidecar"]);
  const above = interiorKeys(series);
  ok(above.length > ROWS / 50 && above.length < ROWS / 20, `${above.length} rows`);
  for (const key of above.filter((_, index) => index % 97 === 0)) checkRow(await reader.get(key), key);
  deepEqual(http.asked(), []);
  const { keys, pages } = keysApart(series, 30);
  for (const [index, key] of keys.entries()) {
    checkRow(await reader.get(key), key);
    const start = (pages[index]! - 1) * PAGE_BYTES;
    deepEqual(http.server.take().map(({ range }) => range), [`bytes=${start}-${start + PAGE_BYTES - 1}`]);
  }
});

test("SnapshotReader.get() over ranges sends a GET for at most 2 of 100 keys that are absent", async () => {
  const { store } = await bigSeries();
  await using http = await served(store);
  await using reader = await openSnapshot({ store: http.store, access: "range" });
  await reader.warm({ shards: [0] });
  http.asked();
  for (let i = 0; i < 10_000; i++) equal(await reader.get(2 * ((i * 99_991) % ROWS) + 1), null);
  const { length } = http.asked();
  ok(length <= 200, `${length} GETs`);
  const { filterHits, lookUps } = reader.stats();
  equal(lookUps, 10_000);
  ok(filterHits >= 9_800 && filterHits + length <= 10_000, `${filterHits} known`);
});

test(
  "SnapshotReader.getMany() over ranges asks for 100 leaves far apart at the same time",
  { timeout: 20_000 },
  async () => {
    const series = await bigSeries();
    await using http = await served(series.store);
    await using reader = await openSnapshot({ store: http.store, access: "range", concurrencyMax: 128 });
    await reader.warm({ shards: [0] });
    http.asked();
    const { keys } = keysApart(series, 100);
    // None is answered before all have arrived: one round trip, or none ever ends.
    http.server.fault = together(100);
    const values = await reader.getMany(keys);
    for (const key of keys) checkRow(values.get(key), key);
    deepEqual(http.asked(), new Array(100).fill("db"));
  },
);

test("SnapshotReader.getMany() over ranges asks for no leaf twice, and for near ones at once", async () => {
  const series = await bigSeries();
  await using http = await served(series.store);
  await using reader = await openSnapshot({ store: http.store, access: "range", concurrencyMax: 128 });
  await reader.warm({ shards: [0] });
  const pages = [...series.leaves.keys()];
  const pageOf = new Map(pages.flatMap((page) => series.leaves.get(page)!.map((key) => [key, page])));
  let seed = 7;
  const random = (max: number): number => (seed = (seed * 48_271) % 2_147_483_647) % max;
  for (const near of [ROWS, 20_000, 2_000]) {
    http.asked();
    const keys = upTo(100).map(() => 2 * (random(near) + (near === ROWS ? 0 : 10 * near)));
    const values = await reader.getMany(keys);
    for (const key of keys) checkRow(values.get(key), key);
    const wanted = [...new Set(keys.map((key) => pageOf.get(key)).filter((page) => page !== undefined))]
      .sort((one, other) => one - other);
    const runsMin = wanted.filter((page, index) => page - (wanted[index - 1] ?? -Infinity) > GAP_PAGES_MAX + 1).length;
    const ranges = http.server.take().map(({ range }) => range!.slice(6).split("-").map(Number));
    ok(ranges.length <= wanted.length && ranges.length >= runsMin, `${ranges.length} for ${wanted.length}`);
    if (near < 20_000) ok(ranges.length <= wanted.length / 4, `${ranges.length} for ${wanted.length} near ones`);
    for (const page of wanted) {
      const holders = ranges.filter(([first, last]) => first! < page * PAGE_BYTES && last! >= (page - 1) * PAGE_BYTES);
      equal(holders.length, 1, `page ${page}`);
    }
  }
});

test("openSnapshot() over ranges declines sidecars of copies under other ETags, or none, and says so", async () => {
  const store = memoryStore();
  await publish(store, 100_000);
  const keys = keysApart({ store, leaves: await leavesOf(store) }, 20).keys;
  const copy = new Map<string, Uint8Array>();
  for (const { key } of (await Array.fromAsync(store.list(""))).flat()) {
    copy.set(key, await (await store.get(key)).bytes());
  }
  await using http = await served(copy);
  for (const hasTags of [true, false]) {
    const untagged: ReadableStore = {
      url: http.store.url,
      get: (key, options) => http.store.get(key, options),
      getRanges: async (...request) => ({ ...await http.store.getRanges(...request), etag: null }),
    };
    await using reader = await openSnapshot({ store: hasTags ? http.store : untagged, access: "range" });
    for (const key of keys) checkRow(await reader.get(key), key);
    equal(reader.info.warnings.length, 1);
    match(reader.info.warnings[0]!, hasTags ? /sidecar .* of version/ : /sidecar .* no strong ETag/);
    // The guard's filter and checksums stay.
    http.asked();
    for (const key of keys) equal(await reader.get(key + 1_000_000_000), null);
    ok(http.asked().length <= 2);
  }
});

test("SnapshotReader over ranges without a guard: one GET for the shard, one for a row or an absent key", async () => {
  const store = memoryStore();
  await publish(store, 100_000, { guard: false });
  const leaves = await leavesOf(store);
  await using http = await served(store);
  await using reader = await openSnapshot({ store: http.store, access: "range" });
  await reader.warm({ shards: [0] });
  deepEqual(http.asked(), ["pointer", "manifest", "sidecar"]);
  for (const [page, keys] of [...leaves].filter((_, index) => index % 100 === 0)) {
    equal(await reader.get(keys[3]! + 1), null);
    equal(http.asked().length, 1, `page ${page}`);
    checkRow(await reader.get(keys[4]!), keys[4]!);
    equal(http.asked().length, 0, `page ${page}`);
  }
  equal(reader.stats().filterHits, 0);
});

test("SnapshotReader.get() over ranges sends at most two GETs for a row that overflows", async () => {
  const store = memoryStore();
  const sizes = [0, 100, 1000, 1003, 1004, 1005, 2000, 5000, 70_000, 300_000];
  await writeSnapshot(upTo(500), {
    store,
    sharding: hashSharding({ shards: 2 }),
    key: (id) => id,
    value: (id) => new Uint8Array(sizes[id % 10]!).fill(id),
  });
  await using http = await served(store);
  await using reader = await openSnapshot({ store: http.store, access: "range", cacheBytesMax: 1 << 18 });
  await reader.warm({ shards: [0, 1] });
  http.asked();
  for (const id of upTo(500)) {
    deepEqual(await reader.get(id), new Uint8Array(sizes[id % 10]!).fill(id));
    ok(http.asked().length <= (sizes[id % 10]! <= 100 ? 1 : 2), `key ${id}`);
  }
  const many = await reader.getMany(upTo(500));
  for (const [id, value] of many) deepEqual(value, new Uint8Array(sizes[id % 10]!).fill(id));
  ok(http.asked().length < 500);
  deepEqual(reader.info.warnings, []);
});

const sidecarSnapshots = [
  "sidecar_deep_4k",
  "sidecar_overflow_4k",
  "sidecar_page_64k",
  "sidecar_page_8k",
  "hash_u64",
  "hash_utf8",
  "parallel_writer",
];
for (const name of [...sidecarSnapshots, "hash_max_keys"]) {
  test(`SnapshotReader.get() over ranges of ${name}: at most one GET for a row, two where it overflows`, async () => {
    const run = runOf(name);
    await using http = await served(fixtureObjects(name));
    await using reader = await openSnapshot({ store: http.store, access: "range" });
    const hasSidecars = sidecarSnapshots.includes(name);
    // Without sidecars the manifest does not tell the engine.
    deepEqual(http.asked(), hasSidecars ? ["pointer", "manifest"] : ["pointer", "manifest", "db"]);
    for (const { db_id: shard } of run.manifest.shards) {
      http.server.fault = hasSidecars ? together(2) : null;
      await reader.warm({ shards: [shard] });
      deepEqual(http.asked().sort(), hasSidecars ? ["db", "sidecar"] : ["db"]);
      http.server.fault = null;
    }
    for (const entry of run.entries) {
      checkValue(await reader.get(keyOf(entry.key)), entry);
      const isLong = (entry.value_len ?? entry.value_hex!.length / 2) > 500;
      ok(http.asked().length <= (isLong ? 2 : 1), JSON.stringify(entry.key));
    }
    for (const { key } of run.absent ?? []) {
      equal(await reader.get(keyOf(key)), null);
      ok(http.asked().length <= 1, JSON.stringify(key));
    }
    deepEqual(reader.info.warnings, []);
  });
}

test("SnapshotReader.warm() over ranges: rows fetched ahead cost nothing more", async () => {
  const series = await bigSeries();
  await using http = await served(series.store);
  await using reader = await openSnapshot({ store: http.store, access: "range" });
  const { keys } = keysApart(series, 64);
  await reader.warm([...keys, 1, 3]);
  http.asked();
  for (const key of keys) checkRow(await reader.get(key), key);
  equal((await reader.getMany(keys)).size, 64);
  deepEqual(http.asked(), []);
});

test("SnapshotReader P8: over ranges nothing but GET is ever sent", async () => {
  const store = memoryStore();
  await publish(store, 5000);
  await using http = await served(store);
  const reader: SnapshotReader = await openSnapshot({ store: http.store, access: "range" });
  await reader.get(2);
  await reader.getMany([4, 6, 7]);
  await reader.warm([400, 401]);
  await reader.warm({ shards: [0] });
  equal((await Array.fromAsync(reader.scan())).length, 5000);
  http.asked();
  equal(await reader.refresh(), false);
  deepEqual(http.asked(), ["pointer"]);
  await publish(store, 5001);
  equal(await reader.refresh(), true);
  deepEqual(http.asked(), ["pointer", "manifest"]);
  checkRow(await reader.get(10_000), 10_000);
  await reader.close();
  ok(http.asked().length <= 3);
});

const leaveOut = findMinio() === null ? "reading ranges of MinIO: there is no minio (see tests/README.md)" : null;

test("openSnapshot() P8: the same counts against a real S3 server, by the SDK and by fetch", async (t) => {
  if (leaveOut !== null) {
    console.warn(leaveOut);
    t.skip(leaveOut);
    return;
  }
  await using minio = await startMinio("range-counts");
  const { credentials } = minio;
  const url = "s3://range-counts/series";
  const direct = s3Store({ url, endpoint: minio.endpoint, credentials });
  await publish(direct, 200_000);
  const series = { store: direct, leaves: await leavesOf(direct) };
  const python = s3Store({ url: "s3://range-counts/python", endpoint: minio.endpoint, credentials });
  for (const [key, bytes] of fixtureObjects("sidecar_overflow_4k")) await python.put(key, bytes);
  await using proxy = await startCountingProxy({ upstream: minio.endpoint });
  const http = counted(proxy);
  for (const connect of [s3Store, s3FetchStore]) {
    const store: ReadableStore = connect({ url, endpoint: proxy.url, credentials });
    await countedReads({ ...http, store }, series);
    const store2: ReadableStore = connect({ url: "s3://range-counts/python", endpoint: proxy.url, credentials });
    await using reader = await openSnapshot({ store: store2, access: "range" });
    await reader.warm({ shards: [0, 1] });
    deepEqual(http.asked().sort(), ["db", "db", "manifest", "pointer", "sidecar", "sidecar"]);
    const run = runOf("sidecar_overflow_4k");
    for (const entry of run.entries.slice(0, 200)) {
      checkValue(await reader.get(keyOf(entry.key)), entry);
      ok(http.asked().length <= 2);
    }
    deepEqual(reader.info.warnings, []);
  }
});

async function countedReads(http: Omit<ServedSeries, typeof Symbol.asyncDispose>, series: BigSeries): Promise<void> {
  await using reader = await openSnapshot({ store: http.store, access: "range", concurrencyMax: 128 });
  deepEqual(http.asked(), ["pointer", "manifest"]);
  http.server.fault = together(2);
  await reader.warm({ shards: [0] });
  deepEqual(http.asked().sort(), ["guard", "sidecar"]);
  const { keys } = keysApart(series, 40);
  for (const key of keys.slice(0, 10)) {
    checkRow(await reader.get(key), key);
    deepEqual(http.asked(), ["db"]);
  }
  http.server.fault = together(30);
  const values = await reader.getMany(keys.slice(10));
  for (const [key, value] of values) checkRow(value, key);
  deepEqual(http.asked(), new Array(30).fill("db"));
  http.server.fault = null;
  for (let key = 1; key < 2000; key += 2) equal(await reader.get(key), null);
  ok(http.asked().length <= 20);
  deepEqual(reader.info.warnings, []);
}
