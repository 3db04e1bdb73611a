// Judge: a model in memory, and snapshots that the Python package wrote.
import { deepEqual, doesNotMatch, equal, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  celSharding,
  celShardingByColumns,
  hashSharding,
  lookUpStream,
  memoryStore,
  openSnapshot,
  writeSnapshot,
} from "../../mod.ts";
import { openSnapshot as openAtTheEdge } from "../../src/edge/mod.ts";
import { celRouting } from "../../src/routing/cel_router.ts";
import { bundleWorker, startMiniflareBucket } from "../servers/miniflare.ts";
import { startCountingProxy } from "../servers/counting_proxy.ts";
import { celSnapshots, checkValue, contextOf, keyOf, runOf, seriesInMemory } from "./fixture_snapshots.ts";
import { count, text } from "./small_snapshots.ts";

const REGIONS = ["ap", "eu", "us"];
const regionOf = (id: number): string => REGIONS[id % 3]!;
const columnsOf = (id: number): { region: string } => ({ region: regionOf(id) });

async function byRegion(store = memoryStore()): Promise<typeof store> {
  await writeSnapshot(count(300), {
    store,
    sharding: celSharding({ expr: "region", columns: { region: "string" }, inferRoutingValues: true }),
    key: (id) => id,
    value: (id) => `<${id}>`,
    columns: columnsOf,
  });
  return store;
}

test("getMany() takes one context for all keys, one by key, or a function", async () => {
  await using reader = await openSnapshot({ store: await byRegion() });
  const keys = count(400);
  const expected = keys.map((id) => id < 300 ? `<${id}>` : null);
  const own = new Map(keys.map((id) => [id, columnsOf(id)]));
  for (const columns of [own, columnsOf]) {
    const values = await reader.getMany(keys, { columns });
    deepEqual([...values.keys()], keys);
    deepEqual([...values.values()].map(text), expected);
    deepEqual(reader.routeMany(keys, { columns }), keys.map((id) => id % 3));
  }
  const inOne = await reader.getMany(keys, { columns: { region: "eu" } });
  deepEqual([...inOne.values()].map(text), expected.map((value, id) => id % 3 === 1 ? value : null));
  deepEqual(new Set(reader.routeMany(keys, { columns: { region: "eu" } })), new Set([1]));
});

test("get() and getMany() give null for a token that has no shard; route() and borrow() throw", async () => {
  await using reader = await openSnapshot({ store: await byRegion() });
  const columns = { region: "moon" };
  equal(await reader.get(5, { columns }), null);
  deepEqual([...await reader.getMany([5, 6], { columns })], [[5, null], [6, null]]);
  const mixed = await reader.getMany([3, 4], { columns: (id) => id === 3 ? columnsOf(3) : columns });
  deepEqual([...mixed.values()].map(text), ["<3>", null]);
  const unknown = { code: "UNKNOWN_ROUTING_TOKEN", token: "moon", message: /"moon"/ };
  throws(() => reader.route(5, { columns }), unknown);
  throws(() => reader.routeMany([5], { columns }), unknown);
  throws(() => reader.borrow(5, { columns }), unknown);
  throws(() => reader.groupKeys([5], { columns }), unknown);
  await rejects(reader.borrowMany([5], { columns }), unknown);
});

test("get() refuses a key that the snapshot cannot have also where it has no shard", async () => {
  await using reader = await openSnapshot({ store: await byRegion() });
  await rejects(reader.get("text", { columns: { region: "moon" } }), { code: "CONFIG_VALIDATION", path: "key" });
  await rejects(reader.get(-1, { columns: { region: "eu" } }), { code: "CONFIG_VALIDATION", path: "key" });
});

test("lookups without the columns that the expression looks at say which are missing", async () => {
  await using reader = await openSnapshot({ store: await byRegion() });
  const missing = { code: "CONFIG_VALIDATION", path: "columns", message: /"region"/ };
  await rejects(reader.get(5), missing);
  await rejects(reader.getMany([5]), missing);
  await rejects(reader.getMany([5, 6], { columns: new Map([[5, { region: "eu" }]]) }), missing);
  throws(() => reader.route(5), missing);
  throws(() => reader.groupKeys([5], { allowMissing: true }), missing);
  await rejects(reader.get(5, { columns: {} }), { code: "CEL_EVALUATION", message: /no column "region"/ });
  await rejects(reader.get(5, { columns: { region: 5 } }), { code: "CEL_EVALUATION", message: /must be a string/ });
});

test("groupKeys(), borrowMany(), warm() and lookUpStream() route each key by its own columns", async () => {
  await using reader = await openSnapshot({ store: await byRegion(), access: "range" });
  const keys = [1, 2, 3, 4, 5];
  deepEqual([...reader.groupKeys(keys, { columns: columnsOf })], [[1, [1, 4]], [2, [2, 5]], [0, [3]]]);
  const some = reader.groupKeys(keys, {
    columns: (id) => id < 3 ? { region: "moon" } : columnsOf(id),
    allowMissing: true,
  });
  deepEqual([...some], [[0, [3]], [1, [4]], [2, [5]]]);
  await reader.warm(keys, { columns: columnsOf });
  const handles = await reader.borrowMany(keys, { columns: columnsOf });
  for (const [id, handle] of handles) {
    equal(text(await handle.get(id)), `<${id}>`);
    await handle[Symbol.asyncDispose]();
  }
  const pairs = ReadableStream.from(keys).pipeThrough(lookUpStream(reader, { columns: columnsOf }));
  deepEqual((await Array.fromAsync(pairs)).map(([id, value]) => [id, text(value)]), keys.map((id) => [id, `<${id}>`]));
});

test("info tells how keys find their shards", async () => {
  const store = await byRegion();
  await using reader = await openSnapshot({ store });
  deepEqual(reader.info.routing, {
    strategy: "cel",
    expr: "region",
    columns: { region: "string" },
    routingValues: REGIONS,
  });
});

test("refresh() goes from hash to CEL sharding and back", async () => {
  const store = memoryStore();
  const hashed = { store, sharding: hashSharding({ shards: 2 }), key: (id: number) => id, value: () => "hashed" };
  await writeSnapshot(count(10), hashed);
  await using reader = await openSnapshot({ store });
  await byRegion(store);
  equal(await reader.refresh(), true);
  equal(text(await reader.get(7, { columns: columnsOf(7) })), "<7>");
  await rejects(reader.get(7), { path: "columns" });
  await writeSnapshot(count(10), hashed);
  equal(await reader.refresh(), true);
  equal(text(await reader.get(7)), "hashed");
});

for (const name of celSnapshots) {
  test(`the reader for the edge reads ${name}, given what routes by CEL`, async () => {
    const run = runOf(name);
    await using reader = await openAtTheEdge({ store: await seriesInMemory(name), routers: [celRouting] });
    for (const entry of run.entries) checkValue(await reader.get(keyOf(entry.key), contextOf(entry)), entry);
    for (const absent of run.absent ?? []) equal(await reader.get(keyOf(absent.key), contextOf(absent)), null);
  });
}

test("the reader for the edge says what it needs for CEL sharding", async () => {
  const store = await seriesInMemory("cel_direct_int");
  const needed = { code: "CONFIG_VALIDATION", message: /CEL sharding.*routers: \[celRouting\]/ };
  await rejects(openAtTheEdge({ store }), needed);
  await rejects(openAtTheEdge({ store, routers: [] }), needed);
  await rejects(openAtTheEdge({ store, routers: 5 as never }), { code: "CONFIG_VALIDATION", path: "routers" });
});

test("the reader for the edge routes by CEL in workerd", async () => {
  const store = memoryStore();
  const sharding = celShardingByColumns(["region", { name: "tier", type: "int" }], { shards: 4 });
  await writeSnapshot(count(300), {
    store,
    sharding,
    key: (id) => id,
    value: (id) => `<${id}>`,
    columns: (id) => ({ region: regionOf(id), tier: id % 7 }),
  });
  await using server = await startCountingProxy({ objects: store });
  const script = bundleWorker(fileURLToPath(new URL("./cel_edge_worker.ts", import.meta.url)));
  doesNotMatch(script, /\beval\(|new Function|WebAssembly|node:/);
  await using worker = await startMiniflareBucket({ script, texts: { SNAPSHOT_URL: server.url } });
  const asked = [7, 8, 299, 300].map((id) => ({ id, columns: { region: regionOf(id), tier: id % 7 } }));
  const response = await fetch(worker.url, { method: "POST", body: JSON.stringify(asked) });
  equal(response.status, 200);
  deepEqual(await response.json(), ["<7>", "<8>", "<299>", null]);
  ok(server.take().length > 2);
});
