// Searches over ranges, without native code. Judges: the log of the server that was asked, and distances in float64.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { hashSharding, type Sharding } from "../../src/routing/sharding.ts";
import { clusterSharding, lshSharding } from "../../src/routing/vector_sharding.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { writeSnapshot, type WriteSnapshotOptions } from "../../src/write/mod.ts";
import { bundleWorker, startMiniflareBucket } from "../servers/miniflare.ts";
import { exactDistance, heaps } from "../vector/fixture_vectors.ts";
import { checkSearches, unifiedSnapshots, vectorOnlySnapshots } from "./fixture_searches.ts";
import { fixtureObjects, kindOf, served, type ServedSeries } from "./served_series.ts";

const DIM = 48;
const ROWS = 12_000;
const SHARDS = 4;
const numbers = heaps({ rows: ROWS, dim: DIM, heaps: 12 });

function vectorAt(row: number): Float32Array {
  return numbers.subarray(row * DIM, (row + 1) * DIM);
}

function nearest(query: Float32Array, topK: number): number[] {
  return Array.from({ length: ROWS }, (_, id) => ({ id, score: exactDistance("l2", query, vectorAt(id)) }))
    .sort((one, other) => one.score - other.score).slice(0, topK).map(({ id }) => id);
}

async function servedVectors(
  sharding: Sharding,
  options: Partial<WriteSnapshotOptions<number>> = {},
): Promise<ServedSeries> {
  const store = memoryStore();
  await writeSnapshot(Array(ROWS).keys(), {
    store,
    sharding,
    backend: sqliteVecBackend({ dim: DIM, metric: "l2" }),
    key: (row) => row,
    vector: (row) => ({ vector: vectorAt(row), payload: { row } }),
    ...options,
  });
  return await served(store);
}

/** What was asked of the server: how often each kind of object, and bytes of the shards' files. */
function taken({ server }: ServedSeries): { counts: Record<string, number>; dbBytes: number } {
  const counts: Record<string, number> = {};
  let dbBytes = 0;
  for (const { method, path, bytes } of server.take()) {
    equal(method, "GET");
    const kind = kindOf(path);
    counts[kind] = (counts[kind] ?? 0) + 1;
    if (kind === "db") dbBytes += bytes;
  }
  return { counts, dbBytes };
}

/** Bytes of so many vectors as they are stored, in chunks of 1024. */
function chunkBytes(rowCount: number): number {
  return Math.ceil(rowCount / 1024) * 1024 * 4 * DIM;
}

test("SnapshotReader.search() over ranges P8: a few GETs, of the vectors of the shards that are asked", {
  timeout: 60_000,
}, async () => {
  await using http = await servedVectors(clusterSharding({ shards: SHARDS, train: { sample: 2000 } }));
  await using reader = await openSnapshot({ store: http.store, access: "range" });
  deepEqual(taken(http), { counts: { pointer: 1, manifest: 1, "centroids.npy": 1 }, dbBytes: 0 });
  const query = vectorAt(77);

  const first = await reader.search(query, { topK: 5 });
  deepEqual([first.results[0], first.shardsQueried], [{ id: 77, score: 0, payload: { row: 77 } }, 1]);
  const cold = taken(http);
  const { db = 0, ...companions } = cold.counts;
  deepEqual(companions, { sidecar: 1, guard: 1 });
  ok(db <= 8, `${db} GETs of the file`);
  const shardRows = Math.max(...reader.shards.map(({ rowCount }) => rowCount!));
  ok(cold.dbBytes < 1.15 * chunkBytes(shardRows) + 200_000, `${cold.dbBytes} bytes`);

  await reader.search(query, { topK: 5 });
  const warm = taken(http);
  deepEqual(Object.keys(warm.counts), ["db"]);
  ok(warm.counts["db"]! <= 3, `${warm.counts["db"]} GETs of a shard that was asked before`);

  const all = await reader.search(query, { topK: 5, probes: SHARDS });
  deepEqual(all.results.map(({ id }) => id), nearest(query, 5));
  const { counts, dbBytes } = taken(http);
  ok(counts["db"]! <= 7 * SHARDS && counts["sidecar"]! === SHARDS - 1, JSON.stringify(counts));
  const allBytes = reader.shards.reduce((sum, { rowCount }) => sum + chunkBytes(rowCount!), 0);
  ok(dbBytes < 1.15 * allBytes + 200_000 * SHARDS, `${dbBytes} bytes of ${allBytes}`);
  deepEqual(reader.info.warnings, []);
});

test("SnapshotReader.search() over ranges asks nothing where no shard is to be asked", async () => {
  await using http = await servedVectors(lshSharding({ shards: SHARDS }));
  await using reader = await openSnapshot({ store: http.store, access: "range" });
  deepEqual(taken(http).counts, { pointer: 1, manifest: 1, "hyperplanes.npy": 1 });
  await reader.search(vectorAt(1), { shards: [] });
  await rejects(reader.search([1]), { code: "CONFIG_VALIDATION" });
  deepEqual(taken(http).counts, {});
});

test("SnapshotReader.search() over ranges leaves rows and filters as they are", async () => {
  await using http = await servedVectors(hashSharding({ shards: 2 }), { value: (row) => `value ${row}` });
  await using reader = await openSnapshot({ store: http.store, access: "range" });
  equal(new TextDecoder().decode((await reader.get(5))!), "value 5");
  const { results } = await reader.search(vectorAt(5), { topK: 4 });
  deepEqual(results.map(({ id }) => id), nearest(vectorAt(5), 4));
  taken(http);
  equal(await reader.get(ROWS + 1), null);
  equal(new TextDecoder().decode((await reader.get(6))!), "value 6");
  ok((taken(http).counts["db"] ?? 0) <= 2);
});

test("SnapshotReader.search() over ranges survives requests that fail, and finds what a lying server changed", {
  timeout: 60_000,
}, async () => {
  await using http = await servedVectors(clusterSharding({ shards: SHARDS, train: { sample: 2000 } }));
  const open = () => openSnapshot({ store: http.store, access: "range" });
  const expected = nearest(vectorAt(9), 6);
  for (const fault of ["cut", "lost", { status: 503 }, "badLength"] as const) {
    await using reader = await open();
    let left = 2;
    http.server.fault = ({ path }) => kindOf(path) === "db" && left-- > 0 ? fault : null;
    const { results } = await reader.search(vectorAt(9), { topK: 6, probes: SHARDS });
    deepEqual(results.map(({ id }) => id), expected, JSON.stringify(fault));
    ok(left < 0);
    http.server.fault = null;
  }
  for (const fault of ["wrongBytes", "wrongRange", "etag"] as const) {
    await using reader = await open();
    await reader.search(vectorAt(9), { topK: 6, probes: SHARDS });
    http.server.fault = ({ path }) => kindOf(path) === "db" ? fault : null;
    await rejects(reader.search(vectorAt(9), { topK: 6, probes: SHARDS }), (error: Error & { code: string }) => {
      ok(["CORRUPT_FILE", "STORE"].includes(error.code), `${fault}: ${error}`);
      return true;
    });
    http.server.fault = null;
    const { results } = await reader.search(vectorAt(9), { topK: 6, probes: SHARDS });
    deepEqual(results.map(({ id }) => id), expected, fault);
  }
});

for (const name of [...unifiedSnapshots, ...vectorOnlySnapshots]) {
  test(`SnapshotReader.search() P8 only sends GET for ${name} over ranges, and finds what Python finds`, async () => {
    await using http = await served(fixtureObjects(name));
    await using reader = await openSnapshot({ store: http.store, access: "range" });
    await checkSearches(reader, name);
    const asked = http.asked();
    ok(asked.length > 3 && asked.length < 80, `${asked.length} requests`);
  });
}

test("SnapshotReader.search() in workerd, over ranges of R2 and in memory", { timeout: 60_000 }, async () => {
  const script = bundleWorker(new URL("vector_worker.ts", import.meta.url).pathname);
  await using worker = await startMiniflareBucket({ script });
  const response = await fetch(worker.url);
  const text = await response.text();
  equal(response.status, 200, text);
  const found = JSON.parse(text);
  deepEqual(Object.keys(found), ["memory", "range"]);
  for (const { results, shardsQueried, value } of Object.values<Record<string, unknown>>(found)) {
    deepEqual([shardsQueried, value], [2, "value 17"]);
    deepEqual((results as { id: number }[]).map(({ id }) => id), [17, 16, 18]);
  }
});
