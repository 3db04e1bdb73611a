// Judge: what the Python package found in its own snapshots with vectors (scores to 1e-5, equal ones in any order).
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import type { ShardyfusionEvent } from "../../src/events.ts";
import type { OpenSnapshotOptions } from "../../src/read/read_options.ts";
import type { VectorSearchOptions } from "../../src/read/search_snapshot.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { checkSearches, unifiedSnapshots, vectorOnlySnapshots } from "./fixture_searches.ts";
import { seriesInMemory, temporaryFolder } from "./fixture_snapshots.ts";

const ACCESSES = ["memory", "download", "range", "hydrate"] as const;
for (const name of [...unifiedSnapshots, ...vectorOnlySnapshots]) {
  for (const access of ACCESSES) {
    test(`SnapshotReader.search() with access "${access}" finds what Python finds in ${name}`, async () => {
      using folder = temporaryFolder();
      const options: OpenSnapshotOptions = { store: await seriesInMemory(name), access, cacheDir: folder.path };
      await using reader = await openSnapshot(options);
      await checkSearches(reader, name);
    });
  }
}

test("SnapshotReader.search() of a snapshot without keys: lookups are refused, what describes it works", async () => {
  await using reader = await openSnapshot({ store: await seriesInMemory("vec_only_cluster") });
  const { info } = reader;
  equal(info.rowCount, 120);
  equal(reader.shards.length, 3);
  await rejects(reader.get("a"), { code: "CONFIG_VALIDATION" });
  await rejects(reader.getMany(["a"]), { code: "CONFIG_VALIDATION" });
  equal(reader.health().status, "healthy");
});

test("SnapshotReader.search() refuses wrong queries and options", async () => {
  await using reader = await openSnapshot({ store: await seriesInMemory("vec_only_cluster_given") });
  const query = [1, 0, 0, 0, 0, 0];
  const wrong = { code: "CONFIG_VALIDATION", path: "query" };
  for (const bad of [[1, 2], [], [...query, 0], "abcdef", null, undefined, 5]) {
    await rejects(reader.search(bad as number[]), wrong);
  }
  for (const bad of [NaN, Infinity, -Infinity, 1e39, "1", null]) {
    await rejects(reader.search([1, 0, 0, 0, 0, bad as number]), wrong);
  }
  await rejects(reader.search([0, 0, 0, 0, 0, -0]), wrong);
  await rejects(reader.search(new Float32Array([1e-46, 0, 0, 0, 0, 0])), wrong);
  for (const options of [{ topK: 0 }, { topK: 1.5 }, { probes: 0 }, { shards: 1 }, { columns: 1 }, { k: 3 }]) {
    await rejects(reader.search(query, options as unknown as VectorSearchOptions), { code: "CONFIG_VALIDATION" });
  }
  for (const shards of [[3], [-1], [0.5], ["0"]]) {
    await rejects(reader.search(query, { shards: shards as number[] }), { code: "CONFIG_VALIDATION", path: "shard" });
  }
  // More probes than shards: there are no more.
  equal((await reader.search(query, { probes: 99 })).shardsQueried, 3);
  deepEqual(await reader.search(query, { shards: [] }).then(({ results, shardsQueried }) => [results, shardsQueried]), [
    [],
    0,
  ]);
  equal((await reader.search(query, { shards: new Set([1, 1]), topK: 1000 })).shardsQueried, 1);
});

test("SnapshotReader.search() refuses snapshots without vectors, and closed readers", async () => {
  const reader = await openSnapshot({ store: await seriesInMemory("hash_u64") });
  await rejects(reader.search([1]), { code: "READER_STATE" });
  await reader.close();
  await rejects(reader.search([1]), { code: "READER_STATE" });
});

test("SnapshotReader.search() ends when it is aborted", async () => {
  await using reader = await openSnapshot({ store: await seriesInMemory("vec_unified_l2"), access: "range" });
  const reason = new Error("enough");
  await rejects(reader.search(new Float32Array(8), { signal: AbortSignal.abort(reason) }), reason);
  const controller = new AbortController();
  const searching = reader.search(new Float32Array(8), { signal: controller.signal });
  controller.abort(reason);
  await rejects(searching, reason);
  equal((await reader.search(new Float32Array(8))).shardsQueried, 2);
});

test("SnapshotReader.search() tells events, and what it asked the store for", async () => {
  const events: ShardyfusionEvent[] = [];
  const store = await seriesInMemory("vec_unified_l2");
  await using reader = await openSnapshot({ store, access: "range", onEvent: (event) => events.push(event) });
  await reader.search(new Float32Array(8), { topK: 3 });
  const told = events.filter(({ name }) => name.endsWith("search"));
  deepEqual(told.map(({ name }) => name), [
    "vector.reader.shard_search",
    "vector.reader.shard_search",
    "vector.reader.search",
  ]);
  const { elapsed_ms: _, ...payload } = told[2]!.payload as Record<string, number>;
  deepEqual(payload, { "top_k": 3, "num_shards_queried": 2, "num_results": 3 });
  ok(reader.stats().requests > 2);
});

for (const name of ["vec_only_cluster", "vec_only_lsh"]) {
  test(`openSnapshot() needs what routes the vectors of ${name}, whole`, async () => {
    const store = await seriesInMemory(name);
    const [key] = (await Array.fromAsync(store.list("vector_meta/"))).flat().map((entry) => entry.key);
    const bytes = await (await store.get(key!)).bytes();
    await store.put(key!, bytes.subarray(0, -1));
    await rejects(openSnapshot({ store }), { code: "READER_STATE" });
    await store.delete(key!);
    await rejects(openSnapshot({ store }), { code: "READER_STATE" });
    await store.put(key!, bytes);
    await using _ = await openSnapshot({ store });
  });
}
