// Vectors through what all rows go through: threads, retries, ceilings, validators, verification, faults. Judges: the
// stored bytes of undisturbed writes, and distances in float64.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { rowCountDrift, sampleRows, verifySnapshot } from "../../mod.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { hashSharding, type Sharding } from "../../src/routing/sharding.ts";
import { clusterSharding, lshSharding } from "../../src/routing/vector_sharding.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { faultStore } from "../../src/testing/fault_store.ts";
import { writeSnapshot, type WriteSnapshotOptions } from "../../src/write/mod.ts";
import { seriesInMemory, temporaryFolder } from "../read/fixture_snapshots.ts";
import { unifiedSnapshots, vectorOnlySnapshots } from "../read/fixture_searches.ts";
import { exactDistance, heaps } from "../vector/fixture_vectors.ts";
import { misbehavingBackend } from "./worker_backends.ts";

const DIM = 16;
const ROWS = 3000;
const layout = { dim: DIM, metric: "l2" } as const;
const numbers = heaps({ rows: ROWS, dim: DIM, heaps: 8 });
const value = (row: number): string => `value ${row}`;
const clusters = clusterSharding({ shards: 4, train: { sample: 500 } });

function vectorAt(row: number): Float32Array {
  return numbers.subarray(row * DIM, (row + 1) * DIM);
}

type Options = WriteSnapshotOptions<number>;

function options(store: ObjectStore, sharding: Sharding, more: Partial<Options> = {}): Options {
  return {
    store,
    sharding,
    backend: sqliteVecBackend(layout),
    key: (row) => row,
    vector: (row) => ({ vector: vectorAt(row), payload: { row } }),
    ...more,
  };
}

/** Sizes and digests of all files of the shards, and what routes them. */
async function digestsOf(given: Options): Promise<unknown[]> {
  const { winners } = await writeSnapshot(Array(ROWS).keys(), given);
  return winners.map(({ shardId, rowCount, writerInfo }) => {
    const { objects } = writerInfo["shardyfusion"] as unknown as { objects: { name: string; xxh3_64: string }[] };
    // Sidecars name the version of the file, which each upload has anew.
    return [shardId, rowCount, ...objects.filter(({ name }) => name !== "shard.sidecar")];
  });
}

async function checkSearch(store: ObjectStore): Promise<void> {
  await using reader = await openSnapshot({ store, backend: sqliteVecBackend(layout) });
  const shards = Array(reader.info.shardCount).keys();
  const { results } = await reader.search(vectorAt(5), { topK: 7, shards });
  const all = Array.from(Array(ROWS).keys(), (id) => ({ id, score: exactDistance("l2", vectorAt(5), vectorAt(id)) }));
  all.sort((one, other) => one.score - other.score);
  deepEqual(results.map(({ id }) => id), all.slice(0, 7).map(({ id }) => id));
}

const SHARDINGS: readonly [name: string, sharding: Sharding, more: Partial<Options>][] = [
  ["values and vectors", hashSharding({ shards: 3 }), { value }],
  ["trained clusters", clusters, {}],
  ["hyperplanes", lshSharding({ shards: 4 }), {}],
];

for (const [name, sharding, more] of SHARDINGS) {
  test(`P9 writeSnapshot(): the same files with threads, lost threads, retries and a low ceiling: ${name}`, {
    timeout: 60_000,
  }, async () => {
    using folder = temporaryFolder();
    const expected = await digestsOf(options(memoryStore(), sharding, more));
    const retry = { retriesMax: 2, initialBackoffMs: 1 };
    const failing = (what: "exits" | "fails for a moment") =>
      misbehavingBackend({ what, vectors: layout, shardId: 1, flag: join(folder.path, `${what}.flag`) });
    const ways: readonly Partial<Options>[] = [
      { workers: 2 },
      { memory: { bytesMax: 200_000 } },
      { workers: 2, memory: { bytesMax: 200_000 }, batch: { rowsMax: 100 } },
      { retry, backend: failing("fails for a moment") },
      { retry, workers: 2, backend: failing("exits") },
    ];
    for (const way of ways) {
      const store = memoryStore();
      const localRoot = join(folder.path, "scratch");
      deepEqual(await digestsOf(options(store, sharding, { ...more, ...way, localRoot })), expected);
      await checkSearch(store);
      deepEqual(existsSync(localRoot) ? await readdir(localRoot) : [], []);
    }
    deepEqual((await readdir(folder.path)).filter((file) => file.endsWith(".flag")).length, 2);
  });

  test(`writeSnapshot() of vectors goes on when requests fail: ${name}`, { timeout: 60_000 }, async () => {
    const store = memoryStore();
    const lost = new Set([3, 9, 16, 27]);
    const faulty = faultStore(store, {
      fault: ({ requestNumber }) => lost.has(requestNumber) ? { moment: "before" } : null,
    });
    const patience = {
      requestRetry: { attemptsMax: 4, initialBackoffMs: 1 },
      retry: { retriesMax: 4, initialBackoffMs: 1 },
    };
    await writeSnapshot(Array(ROWS).keys(), options(faulty, sharding, { ...more, ...patience }));
    ok(faulty.requests.length > 27);
    await checkSearch(store);
  });

  test(`verifySnapshot() P7 finds snapshots with vectors sound, and every byte that changed: ${name}`, {
    timeout: 60_000,
  }, async () => {
    const store = memoryStore();
    await writeSnapshot(Array(ROWS).keys(), options(store, sharding, more));
    const sound = await verifySnapshot(store);
    deepEqual([sound.problems, sound.isSound], [[], true]);
    const keys = (await Array.fromAsync(store.list("shards/"))).flat().map(({ key }) => key);
    const key = keys.find((key) => key.endsWith("shard.db"))!;
    const bytes = await (await store.get(key)).bytes();
    for (const at of [100, bytes.length >> 1, bytes.length - 1]) {
      const wrong = bytes.slice();
      wrong[at]! ^= 4;
      await store.put(key, wrong);
      const { problems } = await verifySnapshot(store);
      ok(problems.some(({ object }) => object?.endsWith("shard.db")), `byte ${at}`);
    }
  });
}

for (const sharding of [clusters, lshSharding({ shards: 4 })]) {
  test(`verifySnapshot() P7 finds what routes vectors damaged or missing: ${sharding.strategy}`, async () => {
    const store = memoryStore();
    await writeSnapshot(Array(ROWS).keys(), options(store, sharding));
    const key = (await Array.fromAsync(store.list("vector_meta/"))).flat()[0]!.key;
    const bytes = await (await store.get(key)).bytes();
    const problemsNow = async () => (await verifySnapshot(store)).problems.map(({ kind, object }) => [kind, object]);
    deepEqual(await problemsNow(), []);
    bytes[bytes.length - 3]! ^= 1;
    await store.put(key, bytes);
    deepEqual(await problemsNow(), [["digest", `${store.url}/${key}`]]);
    await store.put(key, bytes.subarray(0, 20));
    deepEqual(await problemsNow(), [["digest", `${store.url}/${key}`]]);
    await store.delete(key);
    deepEqual(await problemsNow(), [["missing", `${store.url}/${key}`]]);
  });
}

for (const name of [...unifiedSnapshots, ...vectorOnlySnapshots]) {
  test(`verifySnapshot() finds ${name} of the Python package sound`, async () => {
    const { problems, isSound, unchecked } = await verifySnapshot(await seriesInMemory(name));
    deepEqual([problems, isSound], [[], true]);
    match(unchecked.join("\n"), /digests of objects/);
  });
}

test("rowCountDrift() and sampleRows() judge snapshots with vectors", async () => {
  const store = memoryStore();
  const sharding = hashSharding({ shards: 2 });
  const validate = sampleRows([1, 2, 2999], { key: (row) => row, value });
  await writeSnapshot(Array(ROWS).keys(), options(store, sharding, { value, validate }));
  const other = sampleRows([1], { key: (row) => row, value: () => "other" });
  const refused = writeSnapshot(Array(ROWS).keys(), options(store, sharding, { value, validate: other }));
  await rejects(refused, { code: "SNAPSHOT_VALIDATION" });

  const vectors = memoryStore();
  const drift = { validate: rowCountDrift({ against: vectors, maxRatio: 0.1 }) };
  const { runId } = await writeSnapshot(Array(ROWS).keys(), options(vectors, clusters, drift));
  await rejects(writeSnapshot(Array(100).keys(), options(vectors, clusters, drift)), { code: "SNAPSHOT_VALIDATION" });
  await using reader = await openSnapshot({ store: vectors });
  equal(reader.info.runId, runId);
});

test("SnapshotReader.refresh() takes over newer vectors, and what routes them", { timeout: 60_000 }, async () => {
  const store = memoryStore();
  await writeSnapshot(Array(ROWS).keys(), options(store, clusters));
  for (const access of ["memory", "range"] as const) {
    await using reader = await openSnapshot({ store, access });
    equal((await reader.search(vectorAt(3), { topK: 1 })).results[0]!.id, 3);
    // The same vectors under other ids, in other clusters.
    await writeSnapshot(Array(ROWS).keys(), {
      ...options(store, clusterSharding({ shards: 7, train: { seed: 9 } })),
      key: (row) => row + 10_000,
    });
    equal((await reader.search(vectorAt(3), { topK: 1 })).results[0]!.id, 3);
    equal(await reader.refresh(), true);
    equal((await reader.search(vectorAt(3), { topK: 1 })).results[0]!.id, 10_003);
    equal(reader.info.shardCount, 7);
    await writeSnapshot(Array(ROWS).keys(), options(store, clusters));
  }
});
