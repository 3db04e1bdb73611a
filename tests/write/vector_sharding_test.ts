// Snapshots with vectors only. Judges: brute force in float64, and manifests, shards and searches of the Python package
// for the same rows.
import { deepEqual, equal, notEqual, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import type { JsonObject } from "../../src/bytes/python_json.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { celSharding } from "../../src/routing/cel_sharding.ts";
import { hashSharding, type Sharding } from "../../src/routing/sharding.ts";
import { clusterSharding, explicitSharding, lshSharding } from "../../src/routing/vector_sharding.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { recallAtK } from "../../src/testing/recall.ts";
import { readNpy } from "../../src/vector/npy.ts";
import { writeSnapshot, type WriteSnapshotOptions } from "../../src/write/mod.ts";
import { contextOf, type NotedKey, seriesInMemory, temporaryFolder } from "../read/fixture_snapshots.ts";
import { fixtureJson } from "../snapshots/fixture_manifests.ts";
import { exactDistance, floats, heaps } from "../vector/fixture_vectors.ts";

interface Row {
  readonly id: number | string;
  readonly vector: Float32Array;
  readonly payload?: JsonObject;
  readonly shard?: number;
  readonly columns?: Record<string, never>;
}

const DIM = 8;
const ROWS = 400;
const numbers = heaps({ rows: ROWS, dim: DIM, heaps: 6 });
const rows: readonly Row[] = Array.from({ length: ROWS }, (_, id) => ({
  id,
  vector: numbers.subarray(id * DIM, (id + 1) * DIM),
  payload: { i: id },
}));

function options(
  store: ObjectStore,
  sharding: Sharding,
  { dim = DIM, metric = "l2" as "l2" | "cosine" } = {},
): WriteSnapshotOptions<Row> {
  return {
    store,
    sharding,
    backend: sqliteVecBackend({ dim, metric }),
    key: (row) => row.id,
    vector: ({ vector, payload }) => ({ vector, payload }),
  };
}

/** Ids by shard, found by searching each shard for everything. */
async function idsByShard(store: ObjectStore): Promise<(number | string)[][]> {
  await using reader = await openSnapshot({ store });
  const { dim } = reader.info.custom["vector"] as { dim: number };
  return await Promise.all(Array.from({ length: reader.info.shardCount }, async (_, shardId) => {
    const query = new Float32Array(dim).fill(1);
    const { results } = await reader.search(query, { shards: [shardId], topK: 4096 });
    return results.map(({ id }) => id as number).sort((one, other) => one < other ? -1 : 1);
  }));
}

async function keysUnder(store: ObjectStore, prefix: string): Promise<string[]> {
  return (await Array.fromAsync(store.list(prefix))).flat().map(({ key }) => key);
}

async function storedRows(store: ObjectStore): Promise<ReturnType<typeof readNpy>> {
  const [key, ...others] = await keysUnder(store, "vector_meta/");
  equal(others.length, 0);
  return readNpy(await (await store.get(key!)).bytes());
}

/** The nearest rows by brute force. */
function nearest(query: Float32Array, k: number, metric = "l2"): { id: number }[] {
  return rows.map(({ id, vector }) => ({ id: id as number, score: exactDistance(metric, vector, query) }))
    .sort((one, other) => one.score - other.score).slice(0, k);
}

test("clusterSharding() with centroids puts each vector into the shard of the nearest one", async () => {
  const store = memoryStore();
  const centroids = Array.from({ length: 5 }, (_, i) => rows[i * 7]!.vector);
  const { shardCount } = await writeSnapshot(rows, options(store, clusterSharding({ centroids, probes: 2 })));
  equal(shardCount, 5);
  const expected: number[][] = centroids.map(() => []);
  for (const { id, vector } of rows) {
    const distances = centroids.map((centroid) => exactDistance("l2", centroid, vector));
    expected[distances.indexOf(Math.min(...distances))]!.push(id as number);
  }
  deepEqual(await idsByShard(store), expected);
  const { shape, values } = await storedRows(store);
  deepEqual([shape, [...values]], [[5, DIM], centroids.flatMap((row) => [...row])]);
  await using reader = await openSnapshot({ store });
  for (const { vector } of rows.slice(0, 20)) {
    const { results, shardsQueried } = await reader.search(vector, { topK: 5, probes: 5 });
    equal(shardsQueried, 5);
    deepEqual(results.map(({ id }) => id), nearest(vector, 5).map(({ id }) => id));
    equal((await reader.search(vector)).shardsQueried, 2);
  }
});

for (
  const [how, more] of [["in memory", {}], ["spilling, with two threads", {
    workers: 2,
    memory: { bytesMax: 20_000 },
  }]] as const
) {
  test(`clusterSharding() trains centroids, the same ones for the same rows: ${how}`, async () => {
    const sharding = clusterSharding({ shards: 6, train: { sample: 200, seed: 3 } });
    const [store, again] = [memoryStore(), memoryStore()];
    await writeSnapshot(rows, { ...options(store, sharding), ...more });
    await writeSnapshot(rows, { ...options(again, sharding), ...more });
    const shards = await idsByShard(store);
    deepEqual(shards.flat().sort((one, other) => Number(one) - Number(other)), rows.map(({ id }) => id));
    deepEqual(await idsByShard(again), shards);
    await using reader = await openSnapshot({ store });
    let recall = 0;
    for (const { vector } of rows) {
      const { results } = await reader.search(vector, { topK: 10 });
      recall += recallAtK(results, nearest(vector, 10), 10) / ROWS;
    }
    ok(recall > 0.6, `recall with one of six shards is ${recall}`);
  });
}

test("lshSharding() puts vectors into the shards of their codes", async () => {
  const store = memoryStore();
  await writeSnapshot(rows, options(store, lshSharding({ shards: 5, hashBits: 6, probes: 3 }), { metric: "cosine" }));
  const { shape, values } = await storedRows(store);
  deepEqual(shape, [6, DIM]);
  const expected: number[][] = [[], [], [], [], []];
  for (const { id, vector } of rows) {
    let code = 0;
    for (let bit = 0; bit < 6; bit++) {
      const side = -exactDistance("dot_product", values.subarray(bit * DIM, (bit + 1) * DIM), vector);
      if (side > 0) code |= 1 << bit;
    }
    expected[code % 5]!.push(id as number);
  }
  deepEqual(await idsByShard(store), expected);
  await using reader = await openSnapshot({ store });
  const { results, shardsQueried } = await reader.search(rows[5]!.vector, { topK: 1 });
  equal(results[0]!.id, 5);
  equal(shardsQueried, 3);
});

test("explicitSharding() takes the shard that the caller says, and searches have to say it, too", async () => {
  const store = memoryStore();
  const sharding = explicitSharding<Row>({ shards: 3, shard: ({ id }) => Number(id) % 2 * 2 });
  await writeSnapshot(rows, { ...options(store, sharding), workers: 2 });
  const shards = await idsByShard(store);
  deepEqual(shards.map(({ length }) => length), [200, 0, 200]);
  ok(shards[2]!.every((id) => Number(id) % 2 === 1));
  await using reader = await openSnapshot({ store });
  await rejects(reader.search(rows[1]!.vector), { code: "CONFIG_VALIDATION", path: "shards" });
  equal((await reader.search(rows[1]!.vector, { shards: [2] })).results[0]!.id, 1);
  for (const shard of [3, -1, 0.5, NaN, "1"]) {
    const wrong = explicitSharding({ shards: 3, shard: () => shard as number });
    await rejects(writeSnapshot(rows, options(memoryStore(), wrong)), {
      code: "CONFIG_VALIDATION",
      message: /from 0 to 2.*\(row 1 of the source\)/,
    });
  }
});

test("hashSharding() of vectors without keys: searches ask all shards, no key is looked up", async () => {
  const store = memoryStore();
  await writeSnapshot(rows, options(store, hashSharding({ shards: 4 })));
  await using reader = await openSnapshot({ store });
  const { results, shardsQueried } = await reader.search(rows[9]!.vector, { topK: 7 });
  deepEqual(results.map(({ id }) => id), nearest(rows[9]!.vector, 7).map(({ id }) => id));
  equal(shardsQueried, 4);
  await rejects(reader.get(9), { code: "CONFIG_VALIDATION" });
  deepEqual(reader.info.custom["vector"], {
    ...{ dim: DIM, "index_type": "hnsw", metric: "l2", "num_probes": 1, quantization: null },
    ...{ "sharding_strategy": "explicit", "total_vectors": ROWS },
  });
});

/** The rows of a fixture. */
function fixtureRows(name: string): Row[] {
  const { vectors } = fixtureJson(`snapshots/${name}/expected.json`);
  type Noted = { id: NotedKey; vector: string; payload: JsonObject | null; shard: number };
  return vectors.map((noted: Noted) => ({
    id: noted.id.type === "int" ? Number(noted.id.value) : noted.id.value,
    vector: floats(noted.vector),
    payload: noted.payload ?? undefined,
    shard: noted.shard,
    ...contextOf(noted as never),
  }));
}

const SHARDINGS: Readonly<Record<string, (meta: ReturnType<typeof readNpy>) => Sharding>> = {
  "vec_only_cluster": ({ values }) => clusterSharding({ centroids: { values, dim: 8 }, probes: 2 }),
  "vec_only_cluster_given": ({ values }) => clusterSharding({ centroids: { values, dim: 6 }, metric: "cosine" }),
  "vec_only_lsh": ({ values, shape }) => lshSharding({ shards: 4, hyperplanes: { values, dim: shape[1]! }, probes: 2 }),
  "vec_only_explicit": () => explicitSharding<Row>({ shards: 3, shard: ({ shard }) => shard! }),
  "vec_only_cel": () => celSharding({ expr: "lang", columns: { lang: "string" }, routingValues: ["en", "fr"] }),
  "vec_only_cel_direct": () => celSharding({ expr: "shard_hash(tenant) % 3u", columns: { tenant: "int" } }),
};

for (const [name, sharding] of Object.entries(SHARDINGS)) {
  test(`writeSnapshot() writes what the Python package wrote as ${name}`, async () => {
    const theirs = await seriesInMemory(name);
    const isFiled = (await keysUnder(theirs, "vector_meta/")).length > 0;
    const meta = isFiled ? await storedRows(theirs) : { shape: [], values: new Float32Array() };
    const { manifest, searches } = fixtureJson(`snapshots/${name}/expected.json`);
    const { vector: expected } = JSON.parse(manifest.build_meta.custom);
    const store = memoryStore();
    const chosen = sharding(meta);
    const result = await writeSnapshot(fixtureRows(name), {
      ...options(store, chosen, expected),
      ...(chosen.kind === "cel" && { columns: (row) => row.columns! }),
    });
    await using reader = await openSnapshot({ store });
    const { custom, routing, keyEncoding } = reader.info;
    const folder = `${store.url}/vector_meta/run_id=${result.runId}`;
    deepEqual(custom["vector"], {
      ...expected,
      ...(expected.centroids_ref && { "centroids_ref": `${folder}/centroids.npy` }),
      ...(expected.hyperplanes_ref && { "hyperplanes_ref": `${folder}/hyperplanes.npy` }),
    });
    deepEqual([routing, keyEncoding], [{ strategy: "hash" }, "raw"]);
    if (isFiled) deepEqual(await storedRows(store), meta);
    deepEqual(
      reader.shards.filter(({ dbUrl }) => dbUrl).map(({ shardId, rowCount, minKey }) => [shardId, rowCount, minKey]),
      manifest.shards.map((shard: Record<string, number>) => [shard["db_id"], shard["row_count"], shard["min_key"]]),
    );
    for (const search of searches) {
      if (search.error) continue;
      const { results, shardsQueried } = await reader.search(floats(search.query.f32_le_hex), {
        topK: search.top_k,
        shards: search.shard_ids,
        probes: search.num_probes,
        ...contextOf(search),
      });
      equal(shardsQueried, search.num_shards_queried);
      deepEqual(
        results.map(({ id }) => `${id}`),
        search.results.map((found: { id: NotedKey }) => found.id.value),
      );
    }
  });
}

test("writeSnapshot() stores the file of the router before the manifest, and takes it back with the shards", async () => {
  const store = memoryStore();
  const sharding = clusterSharding({ shards: 3 });
  const reason = new Error("unfit");
  let found = 0;
  await rejects(
    writeSnapshot(rows, {
      ...options(store, sharding),
      async validate(candidate) {
        found = (await candidate.search(rows[0]!.vector, { probes: 3 })).results.length;
        throw reason;
      },
    }),
    reason,
  );
  equal(found, 10);
  deepEqual(await keysUnder(store, "vector_meta/"), []);
  deepEqual(await keysUnder(store, "shards/"), []);
  await writeSnapshot(rows, options(store, sharding));
  equal((await keysUnder(store, "vector_meta/")).length, 1);
});

test("writeSnapshot() reuses shards of vectors that have not changed", async () => {
  const store = memoryStore();
  const centroids = Array.from({ length: 4 }, (_, i) => rows[i]!.vector);
  const write = { ...options(store, clusterSharding({ centroids })), reuse: "reference" } as const;
  await writeSnapshot(rows, write);
  const { stats } = await writeSnapshot([...rows, { id: 1000, vector: rows[0]!.vector }], write);
  deepEqual([stats.shards, stats.shardsReused], [4, 3]);
  await using reader = await openSnapshot({ store });
  const { results } = await reader.search(rows[0]!.vector, { topK: 2, probes: 4 });
  deepEqual(results.map(({ id, score }) => [id, score]), [[0, 0], [1000, 0]]);
});

test("openSnapshot() finds damage of the file that vectors were routed by (P7)", async () => {
  for (const sharding of [clusterSharding({ shards: 3 }), lshSharding({ shards: 3 })]) {
    const store = memoryStore();
    await writeSnapshot(rows, options(store, sharding));
    const [key] = await keysUnder(store, "vector_meta/");
    const bytes = await (await store.get(key!)).bytes();
    for (const at of [0, 30, 128, bytes.length - 1]) {
      const wrong = bytes.slice();
      wrong[at]! ^= 1;
      await store.put(key!, wrong);
      await rejects(openSnapshot({ store }), { code: "READER_STATE" });
    }
  }
});

test("a folder of files: trained clusters, read by range", async () => {
  using folder = temporaryFolder();
  const store = fsStore(folder.path);
  await writeSnapshot(rows, options(store, clusterSharding({ shards: 4 })));
  await using reader = await openSnapshot({ store, access: "range" });
  const { results } = await reader.search(rows[3]!.vector, { topK: 4, probes: 4 });
  deepEqual(results.map(({ id }) => id), nearest(rows[3]!.vector, 4).map(({ id }) => id));
  deepEqual(results[0]!.payload, { i: 3 });
});

test("vector shardings refuse wrong options by name", () => {
  const bad: readonly [() => unknown, string][] = [
    [() => clusterSharding({}), "clusterSharding.shards"],
    [() => clusterSharding({ shards: 0 }), "clusterSharding.shards"],
    [() => clusterSharding({ shards: 3, probes: 4 }), "clusterSharding.probes"],
    [() => clusterSharding({ shards: 3, probes: 0 }), "clusterSharding.probes"],
    [() => clusterSharding({ shards: 3, centroids: [[1], [2]] }), "clusterSharding.shards"],
    [() => clusterSharding({ centroids: [] }), "clusterSharding.centroids"],
    [() => clusterSharding({ centroids: [[1], [1, 2]] }), "clusterSharding.centroids"],
    [() => clusterSharding({ centroids: [[NaN]] }), "clusterSharding.centroids"],
    [() => clusterSharding({ centroids: [[1]], train: {} }), "clusterSharding.train"],
    [() => clusterSharding({ shards: 9, train: { sample: 5 } }), "clusterSharding.train.sample"],
    [() => clusterSharding({ shards: 9, train: { seed: 0.5 } }), "clusterSharding.train.seed"],
    [() => clusterSharding({ shards: 9, metric: "l1" as "l2" }), "clusterSharding.metric"],
    [() => clusterSharding({ shards: 9, k: 1 } as never), "clusterSharding.k"],
    [() => lshSharding({} as never), "lshSharding.shards"],
    [() => lshSharding({ shards: 2, hashBits: 49 }), "lshSharding.hashBits"],
    [() => lshSharding({ shards: 2, hyperplanes: [[1]], hashBits: 2 }), "lshSharding.hashBits"],
    [() => lshSharding({ shards: 2, hyperplanes: [[1]], seed: 2 }), "lshSharding.seed"],
    [() => lshSharding({ shards: 2, probes: 3 }), "lshSharding.probes"],
    [() => explicitSharding({ shards: 2 } as never), "explicitSharding.shard"],
  ];
  for (const [make, path] of bad) throws(make, { code: "CONFIG_VALIDATION", path }, path);
});

test("writeSnapshot() refuses vector shardings that do not fit, before rows are read", async () => {
  const unread = {
    [Symbol.iterator](): Iterator<Row> {
      throw new Error("rows were read");
    },
  };
  const fitting = options(memoryStore(), clusterSharding({ shards: 2 }));
  const bad: readonly [WriteSnapshotOptions<Row>, string][] = [
    [{ ...fitting, value: () => "" }, "value"],
    [{ ...fitting, backend: sqliteBackend() }, "vector"],
    [{ ...fitting, backend: undefined }, "vector"],
    [{ ...fitting, sharding: clusterSharding({ centroids: [[1, 2]] }) }, "clusterSharding.centroids"],
    [{ ...fitting, sharding: lshSharding({ shards: 2, hyperplanes: [[1, 2]] }) }, "lshSharding.hyperplanes"],
    [{ ...fitting, sharding: clusterSharding({ shards: 2, metric: "cosine" }) }, "clusterSharding.metric"],
    [{ ...fitting, columns: () => ({}) }, "columns"],
  ];
  for (const [wrong, path] of bad) {
    await rejects(writeSnapshot(unread, wrong), { code: "CONFIG_VALIDATION", path }, path);
  }
});

test("writeSnapshot() of few rows or none: training needs as many vectors as shards, nothing else does", async () => {
  const trained = clusterSharding({ shards: 3 });
  for (const few of [[], rows.slice(0, 2)]) {
    await rejects(writeSnapshot(few, options(memoryStore(), trained)), {
      code: "CONFIG_VALIDATION",
      path: "clusterSharding.shards",
    });
  }
  for (const sharding of [lshSharding({ shards: 2 }), clusterSharding({ centroids: [[1, 2, 3, 4, 5, 6, 7, 8]] })]) {
    const store = memoryStore();
    await writeSnapshot([], options(store, sharding));
    await using reader = await openSnapshot({ store });
    const { results, shardsQueried } = await reader.search(rows[0]!.vector);
    deepEqual([results, shardsQueried], [[], 0]);
  }
});

test("random hyperplanes follow the seed", async () => {
  const files = await Promise.all([1, 1, 2].map(async (seed) => {
    const store = memoryStore();
    await writeSnapshot(rows.slice(0, 5), options(store, lshSharding({ shards: 2, seed })));
    return (await storedRows(store)).values.join();
  }));
  equal(files[0], files[1]);
  notEqual(files[0], files[2]);
});
