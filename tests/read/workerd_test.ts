// Readers in Workers: workerd itself runs them, and servers count what they are asked.
import { deepEqual, doesNotMatch, equal, ok, rejects } from "node:assert/strict";
import { after, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { hashSharding } from "../../src/routing/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { r2Store } from "../../src/stores/r2_store.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { startCountingProxy } from "../servers/counting_proxy.ts";
import { bundleWorker, type MiniflareBucket, startMiniflareBucket } from "../servers/miniflare.ts";
import { findMinio, startMinio } from "../servers/minio.ts";
import type { Asked, AskedKey, Place, Told } from "./edge_worker.ts";
import { checkValue, copySeries, fromHex, type NotedKey, runOf } from "./fixture_snapshots.ts";
import { counted, fixtureObjects, kindOf, served, type ServedSeries, upTo } from "./served_series.ts";

let edge: Promise<MiniflareBucket> | undefined;

after(async () => await (await edge)?.[Symbol.asyncDispose]());

function bundleOf(name: string): string {
  const script = bundleWorker(fileURLToPath(new URL(name, import.meta.url)));
  // In the whole package only what is imported late, and only when it is needed.
  doesNotMatch(script, /(?:^|\s)(?:import|export)\b[^;("'`]*["']node:/);
  return script;
}

function startEdge(): Promise<MiniflareBucket> {
  return edge ??= (async () => {
    const script = bundleOf("./edge_worker.ts");
    ok(!script.includes("node:"));
    return await startMiniflareBucket({ script });
  })();
}

async function ask(asked: Asked, signal?: AbortSignal): Promise<Told> {
  const { url } = await startEdge();
  const response = await fetch(url, { method: "POST", body: JSON.stringify(asked), ...(signal && { signal }) });
  const told: Told = await response.json();
  equal(told.error, undefined);
  return told;
}

const ROWS = 20_000;
const LONG_KEY = 12_346;

/** Rows with even keys; one value is longer than a page. */
async function publish(store: ObjectStore, version: string): Promise<void> {
  await writeSnapshot(upTo(ROWS).map((id) => 2 * id), {
    store,
    sharding: hashSharding({ shards: 2 }),
    key: (key) => key,
    value: (key) => valueOf(key, version),
  });
}

function valueOf(key: number, version: string): string {
  return `${version} of ${key} `.padEnd(key === LONG_KEY ? 20_000 : 60, "x");
}

function hexOf(text: string | null): string | null {
  return text === null ? null : Buffer.from(text).toString("hex");
}

function ints(keys: readonly number[]): AskedKey[] {
  return keys.map((key) => ({ int: `${key}` }));
}

/** What a reader in a Worker sends and answers, wherever the server of `http` has it from. */
async function checkReads(
  http: Omit<ServedSeries, "store" | typeof Symbol.asyncDispose>,
  place: Place,
  store: ObjectStore,
) {
  const reader = crypto.randomUUID();
  async function get(keys: readonly number[], version: string | null, options: Partial<Asked> = {}): Promise<string[]> {
    const { values, warnings, access } = await ask({ reader, place, keys: ints(keys), ...options });
    deepEqual(values, keys.map((key) => version && hexOf(valueOf(key, version))));
    deepEqual(warnings, []);
    equal(access, "range");
    return http.server.take().map(({ method, path }) => {
      equal(method, "GET");
      return path;
    });
  }
  deepEqual((await get([], "one")).map(kindOf), ["pointer", "manifest"]);
  const touched = new Set<string | undefined>();
  for (let key = 100; key < 2 * ROWS; key += 2000) {
    const paths = await get([key], "one");
    const isFirst = touched.size < touched.add(/db=\d+/.exec(paths[0]!)?.[0]).size;
    deepEqual(paths.map(kindOf).sort(), isFirst ? ["db", "guard", "sidecar"] : ["db"], `key ${key}`);
    deepEqual(await get([key], "one"), []);
  }
  equal(touched.size, 2);
  ok((await get([LONG_KEY], "one")).length <= 2);
  // The filter lets one of a hundred through.
  ok((await get(upTo(500).map((id) => 2 * id + 1), null)).length <= 10);
  const many = upTo(20).map((index) => 1000 + 2000 * index);
  ok((await get(many, "one", { together: true })).length <= 20);

  deepEqual((await get([], "one", { refresh: true })).map(kindOf), ["pointer"]);
  await publish(store, "two");
  http.asked();
  deepEqual((await get([], "two", { refresh: true })).map(kindOf), ["pointer", "manifest"]);
  await get([100, LONG_KEY, ...many], "two");
}

test("openSnapshot() in workerd over HTTP P8: two GETs to open, two for a shard, one for a row, none for a miss", async () => {
  const store = memoryStore();
  await publish(store, "one");
  await using http = await served(store);
  await checkReads(http, { kind: "http", url: http.server.url }, store);
});

const leaveOut = findMinio() === null ? "a Worker that reads MinIO: there is no minio (see tests/README.md)" : null;

function leftOut(t: TestContext): boolean {
  if (leaveOut === null) return false;
  console.log(`LEFT OUT: ${leaveOut}`);
  t.skip(leaveOut);
  return true;
}

test("openSnapshot() in workerd from a real S3 server, signed, P8: the same counts; Python's snapshots too", async (t) => {
  if (leftOut(t)) return;
  await using minio = await startMinio("workers");
  const { credentials } = minio;
  const store = s3Store({ url: "s3://workers/ours", endpoint: minio.endpoint, credentials });
  await publish(store, "one");
  await using proxy = await startCountingProxy({ upstream: minio.endpoint });
  const options = { endpoint: proxy.url, credentials };
  await checkReads(counted(proxy), { kind: "s3", options: { ...options, url: "s3://workers/ours" } }, store);
  for (const name of ["hash_u64", "sidecar_overflow_4k"]) {
    const url = `s3://workers/${name}`;
    await copySeries(name, s3Store({ url, endpoint: minio.endpoint, credentials }));
    await checkFixture(name, { kind: "s3", options: { ...options, url } });
  }
});

for (const name of ["hash_u64", "hash_utf8", "hash_u32", "sidecar_overflow_4k", "sidecar_page_64k"]) {
  test(`openSnapshot() in workerd reads ${name}, as Python wrote it, with its sidecars`, async () => {
    await using http = await served(fixtureObjects(name));
    await checkFixture(name, { kind: "http", url: http.server.url });
    const sidecars = http.asked().filter((kind) => kind === "sidecar");
    equal(sidecars.length, 2 * runOf(name).manifest.shards.length);
  });
}

async function checkFixture(name: string, place: Place): Promise<void> {
  const { entries, absent = [] } = runOf(name);
  const keys = [...entries, ...absent].map(({ key }) => askedKey(key));
  for (const together of [true, false]) {
    const { values, warnings } = await ask({ reader: crypto.randomUUID(), place, keys, together });
    entries.forEach((entry, index) => checkValue(values[index] == null ? null : fromHex(values[index]), entry));
    deepEqual(values.slice(entries.length), absent.map(() => null));
    deepEqual(warnings, []);
  }
}

function askedKey({ type, value }: NotedKey): AskedKey {
  return type === "int" ? { int: value as string } : { string: value as string };
}

test("openSnapshot() in workerd looks strings up, over ranges whatever the size", async () => {
  const store = memoryStore();
  const names = upTo(2000).map((id) => `name ${id} ä😀`);
  await writeSnapshot(names, {
    store,
    sharding: hashSharding({ shards: 3 }),
    key: (name) => name,
    value: (name) => name,
  });
  await using http = await served(store);
  const keys = ["name 0 ä😀", "name 1999 ä😀", "name 2000 ä😀", ""].map((string) => ({ string }));
  const place = { kind: "http", url: http.server.url } as const;
  for (const access of ["auto", "range"] as const) {
    const told = await ask({ reader: access + http.server.url, place, access, keys });
    deepEqual([told.access, told.warnings], ["range", []]);
    deepEqual(told.values, [hexOf("name 0 ä😀"), hexOf("name 1999 ä😀"), null, null]);
  }
});

test("openSnapshot() in workerd reads from R2 what was published there, and refreshes", async () => {
  const { bucket } = await startEdge();
  const store = r2Store(bucket, { prefix: "series" });
  const asked = { reader: "r2", place: { kind: "r2", prefix: "series" } } as const;
  for (const version of ["one", "two"]) {
    await publish(store, version);
    const keys = [0, 2, 20_000, LONG_KEY, 2 * ROWS - 2];
    const refresh = version === "two";
    const told = await ask({ ...asked, refresh, keys: ints([...keys, 1, 2 * ROWS]) });
    deepEqual(told.values, [...keys.map((key) => hexOf(valueOf(key, version))), null, null]);
    deepEqual([told.isNewer, told.warnings], [refresh ? true : null, []]);
    const many = upTo(100).map((id) => 400 * id);
    const { values } = await ask({ ...asked, keys: ints(many), together: true });
    deepEqual(values, many.map((key) => hexOf(valueOf(key, version))));
  }
});

test("openSnapshot() in workerd through cachedStore(): another reader asks the server for the pointer only", async () => {
  const store = memoryStore();
  await publish(store, "one");
  await using http = await served(store);
  const keys = upTo(50).map((id) => 800 * id);
  const asked = { place: { kind: "cached", url: http.server.url, cache: "pieces" }, keys: ints(keys) } as const;
  const values = keys.map((key) => hexOf(valueOf(key, "one")));
  deepEqual((await ask({ ...asked, reader: "fills the cache" })).values, values);
  deepEqual(http.asked().slice(0, 2), ["pointer", "manifest"]);
  const told = await ask({ ...asked, reader: "finds it full" });
  deepEqual([told.values, told.warnings], [values, []]);
  deepEqual(http.asked(), ["pointer"]);
  await publish(store, "two");
  const { isNewer, values: newer } = await ask({ ...asked, reader: "finds it full", refresh: true });
  equal(isNewer, true);
  deepEqual(newer, keys.map((key) => hexOf(valueOf(key, "two"))));
});

test("openSnapshot() in workerd: requests share what they fetch, and go on when a client leaves", async () => {
  const store = memoryStore();
  await publish(store, "one");
  await using http = await served(store);
  http.server.delayMs = 50;
  const asked = { reader: "shared", place: { kind: "http", url: http.server.url }, keys: ints([100]) } as const;
  const answers = await Promise.all(upTo(6).map(() => ask(asked)));
  for (const { values } of answers) deepEqual(values, [hexOf(valueOf(100, "one"))]);
  deepEqual(http.asked().sort(), ["db", "guard", "manifest", "pointer", "sidecar"]);

  // Each waits for the one before, which another request sent.
  const keys = upTo(12).map((id) => 3000 * id);
  const queue = { ...asked, reader: "one at a time", concurrencyMax: 1 };
  const told = await Promise.all(keys.map((key) => ask({ ...queue, keys: ints([key]) })));
  deepEqual(told.map(({ values }) => values[0]), keys.map((key) => hexOf(valueOf(key, "one"))));

  await publish(store, "two");
  const refreshed = await Promise.all(upTo(4).map(() => ask({ ...queue, refresh: true, keys: ints([100]) })));
  deepEqual(refreshed.map(({ isNewer }) => isNewer).sort(), [false, false, false, true]);
  for (const { values } of refreshed) deepEqual(values, [hexOf(valueOf(100, "two"))]);

  for (const leavesAt of ["pointer", "manifest", "guard", "db"]) {
    const left = new AbortController();
    http.server.fault = ({ path }) => {
      if (kindOf(path) === leavesAt) left.abort();
      return null;
    };
    const reader = `left at ${leavesAt}`;
    await ask({ ...asked, reader }, left.signal).then(() => ok(false), (error) => equal(error.name, "AbortError"));
    http.server.fault = null;
    for (const key of [100, 102, 4000, 8000, 12_000]) {
      const { values } = await ask({ ...asked, reader, keys: ints([key]) });
      deepEqual(values, [hexOf(valueOf(key, "two"))], leavesAt);
    }
  }
});

test("openSnapshot() in workerd: a request that is stuck ends by timeoutMs, for all who wait for it", async () => {
  const store = memoryStore();
  await publish(store, "one");
  await using http = await served(store);
  const asked = { reader: "stuck", place: { kind: "http", url: http.server.url }, timeoutMs: 300 } as const;
  await ask({ ...asked, keys: [] });
  for (const stuckAt of ["guard", "db"]) {
    http.server.fault = ({ path }) => kindOf(path) === stuckAt ? "stall" : null;
    const failures = upTo(3).map(() => rejects(() => ask({ ...asked, keys: ints([100]) }), /within 300 ms/));
    await Promise.all(failures);
    http.server.fault = null;
  }
  deepEqual((await ask({ ...asked, keys: ints([100]) })).values, [hexOf(valueOf(100, "one"))]);
});

test("the whole package in workerd writes a snapshot and reads it, in memory and in R2", async () => {
  await using worker = await startMiniflareBucket({ script: bundleOf("./whole_worker.ts") });
  for (const path of ["/memory", "/r2"]) {
    const response = await fetch(worker.url + path);
    const text = await response.text();
    equal(response.status, 200, text);
    const { rowCount, memory, range } = JSON.parse(text);
    equal(rowCount, 3000);
    for (const { values, scanned, warnings } of [memory, range]) {
      deepEqual(values, ["value 7", "value 2999", null]);
      equal(scanned, 3000);
      deepEqual(warnings, []);
    }
  }
});
