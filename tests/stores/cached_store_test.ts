import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { Miniflare } from "miniflare";
import { cachedStore, type CachedStoreOptions, type ResponseCache } from "../../src/stores/cached_store.ts";
import { httpStore } from "../../src/stores/http_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { faultStore } from "../../src/testing/mod.ts";
import { digest, patterned, range, readableStoreContract } from "../contracts/readable_store_contract.ts";
import { storeFaults } from "../contracts/store_faults.ts";
import { startCountingProxy } from "../servers/counting_proxy.ts";

/** A cache as the platforms have it: it keeps what an answer says, and gives each reader an answer of its own. */
function memoryCache() {
  const kept = new Map<string, { bytes: ArrayBuffer; headers: Headers }>();
  const cache: ResponseCache = {
    match(url) {
      const found = kept.get(new URL(url).href);
      return Promise.resolve(found && new Response(found.bytes.slice(0), { headers: found.headers }));
    },
    async put(url, response) {
      equal(response.status, 200);
      kept.set(new URL(url).href, { bytes: await response.arrayBuffer(), headers: response.headers });
    },
  };
  return { cache, kept };
}

const KEY = "shards/run_id=1/db=0/attempt=00/shard.db";
const isImmutable = () => true;

for (const [label, options] of Object.entries({ "cachedStore()": {}, "cachedStore() of all": { isImmutable } })) {
  readableStoreContract(label, () => {
    const inner = memoryStore();
    return Promise.resolve({
      store: cachedStore(inner, { cache: memoryCache().cache, chunkBytes: 1 << 16, ...options }),
      put: (key, bytes) => inner.put(key, bytes),
      cleanUp: () => Promise.resolve(),
    });
  });
}

storeFaults("cachedStore()", (url) => ({
  store: cachedStore(httpStore(`${url}/folder`), { cache: memoryCache().cache, chunkBytes: 1 << 16, isImmutable }),
  root: "folder/",
}), { readsPieces: true });

async function setUp(options: Partial<CachedStoreOptions> = {}, sizeBytes = 1000) {
  const inner = faultStore(memoryStore("cities"));
  const bytes = patterned(sizeBytes);
  await inner.put(KEY, bytes);
  const { cache, kept } = memoryCache();
  const store = cachedStore(inner, { cache, chunkBytes: 100, ...options });
  return { inner, bytes, cache, kept, store };
}

test("cachedStore() reads each piece once, in one request", async () => {
  const { inner, bytes, cache, kept, store } = await setUp();
  const wanted = [range(250, 100), range(0, 10), range(305, 1), range(940, 60)];
  const expected = wanted.map(({ offset, lengthBytes }) => digest(bytes.subarray(offset, offset + lengthBytes)));
  const read = async (from: typeof store) => (await from.getRanges(KEY, wanted)).parts.map(digest);
  deepEqual(await read(store), expected);
  // One to learn the size, then the pieces 2, 3, 0 and 9.
  equal(inner.count("GET"), 5);
  deepEqual(await read(store), expected);
  deepEqual(await read(cachedStore(inner, { cache, chunkBytes: 100 })), expected);
  equal(inner.count("GET"), 5);
  deepEqual(Array.from(kept.values(), ({ bytes }) => bytes.byteLength).sort(), [100, 100, 100, 100]);
  for (const { headers } of kept.values()) {
    equal(headers.get("cache-control"), "public, max-age=31536000, immutable");
  }
});

test("cachedStore() needs one request for an object whose beginning is read first", async () => {
  const { inner, store, bytes } = await setUp();
  const { etag } = await inner.get(KEY);
  const result = await store.getRanges(KEY, [range(10, 20)]);
  deepEqual([result.etag, result.sizeBytes, digest(result.parts[0]!)], [etag, 1000, digest(bytes.subarray(10, 30))]);
  equal(inner.count("GET"), 2);
});

test("cachedStore() shares a piece between those who ask at the same time", async () => {
  const { inner, store, bytes } = await setUp();
  const reads = Array.from({ length: 50 }, (_, index) => store.getRanges(KEY, [range(index, 1)]));
  const parts = (await Promise.all(reads)).map(({ parts }) => parts[0]![0]);
  deepEqual(parts, [...bytes.subarray(0, 50)]);
  equal(inner.count("GET"), 1);
});

test("cachedStore() keeps small objects whole, and lets large ones and the pointer pass", async () => {
  const { inner, kept, store } = await setUp();
  await inner.put("manifests/2026-11-21T02:38:18.776369Z_run_id=1/manifest", patterned(100));
  await inner.put("_CURRENT", patterned(10));
  const objects = { "manifests/2026-11-21T02:38:18.776369Z_run_id=1/manifest": 1, [KEY]: 3, _CURRENT: 3 };
  for (const [key, expected] of Object.entries(objects)) {
    const before = inner.count("GET");
    const { etag } = await store.get(key);
    for (let count = 0; count < 2; count++) {
      const object = await store.get(key);
      deepEqual([object.etag, (await object.bytes()).byteLength], [etag, object.sizeBytes]);
    }
    equal(inner.count("GET") - before, expected, key);
  }
  equal(kept.size, 1);
  await store.getRanges("_CURRENT", [range(0, 1)]);
  equal(kept.size, 1);
});

test("cachedStore() P1: never mixes pieces of two versions", async () => {
  const { inner, store } = await setUp();
  await store.getRanges(KEY, [range(0, 1), range(500, 1)]);
  const replaced = patterned(1000).map((byte) => byte ^ 1);
  await inner.put(KEY, replaced);
  const { etag, parts } = await store.getRanges(KEY, [range(0, 1), range(500, 1), range(200, 50)]);
  deepEqual(
    parts.map(digest),
    [range(0, 1), range(500, 1), range(200, 50)].map(({ offset, lengthBytes }) =>
      digest(replaced.subarray(offset, offset + lengthBytes))
    ),
  );
  equal(etag, (await inner.get(KEY)).etag);
});

test("cachedStore() takes nothing that is cut from the cache, and lives without one", async () => {
  const { inner, bytes, cache, kept, store } = await setUp();
  await store.getRanges(KEY, [range(0, 1)]);
  for (const [url, { bytes, headers }] of kept) kept.set(url, { bytes: bytes.slice(1), headers });
  equal((await store.getRanges(KEY, [range(0, 1)])).parts[0]![0], bytes[0]);
  const failing: ResponseCache[] = [
    { match: () => Promise.reject(new Error("no cache")), put: () => Promise.reject(new Error("no cache")) },
    { match: cache.match, put: () => Promise.reject(new Error("full")) },
    { match: () => Promise.resolve(new Response("something else")), put: cache.put },
  ];
  for (const cache of failing) {
    const store = cachedStore(inner, { cache, chunkBytes: 100 });
    deepEqual((await store.getRanges(KEY, [range(95, 10)])).parts.map(digest), [digest(bytes.subarray(95, 105))]);
    equal((await store.get(KEY)).sizeBytes, 1000);
  }
});

test("cachedStore() waits for a cache no longer than the signal", async () => {
  const never = () => new Promise<never>(() => {});
  const reason = new Error("enough");
  for (const cache of [{ match: never, put: never }, { match: () => Promise.resolve(undefined), put: never }]) {
    const { store } = await setUp({ cache, isImmutable }, 50);
    for (const read of ["get", "getRanges"] as const) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), 10);
      const options = { signal: controller.signal };
      const result = read === "get" ? store.get(KEY, options) : store.getRanges(KEY, [range(0, 1)], options);
      await rejects(() => result, (error) => error === reason);
    }
  }
});

test("cachedStore() hands writes over where it can", async () => {
  const writes: Promise<unknown>[] = [];
  const { kept, store } = await setUp({ waitUntil: (promise) => void writes.push(promise) });
  await store.getRanges(KEY, [range(0, 1)]);
  equal(writes.length, 1);
  await Promise.all(writes);
  equal(kept.size, 1);
});

test("cachedStore() refuses wrong options", () => {
  const { cache } = memoryCache();
  const inner = memoryStore();
  const wrong: [unknown, object, string][] = [
    [null, { cache }, "inner"],
    [inner, {}, "cache"],
    [inner, { cache, chunkBytes: 0 }, "chunkBytes"],
    [inner, { cache, cacheUrl: "somewhere" }, "cacheUrl"],
    [inner, { cache, pointer: "a" }, "pointer"],
  ];
  for (const [inner, options, name] of wrong) {
    throws(() => cachedStore(inner as typeof store, options as CachedStoreOptions), { path: `cachedStore.${name}` });
  }
  const store = cachedStore(inner, { cache });
  equal(store.url, inner.url);
});

test("cachedStore() keeps pieces of an HTTP server in the cache of a Worker", { timeout: 60_000 }, async () => {
  const folder = fileURLToPath(new URL("../../src/stores/", import.meta.url));
  const worker = `
    import { cachedStore } from "./cached_store.ts";
    import { httpStore } from "./http_store.ts";
    export default {
      async fetch(request, env, ctx) {
        const { key, ranges, base } = await request.json();
        // A store for each request, as if each had come to a Worker that has just begun.
        const cache = caches.default;
        const waitUntil = (promise) => ctx.waitUntil(promise);
        const store = cachedStore(httpStore(base), { cache, waitUntil, chunkBytes: 1 << 16 });
        try {
          const { parts } = await store.getRanges(key, ranges);
          return Response.json(parts.map((part) => [...part]));
        } catch (error) {
          return Response.json({ code: error.code, message: error.message });
        }
      },
    };`;
  const bundle = await build({
    stdin: { contents: worker, resolveDir: folder },
    bundle: true,
    format: "esm",
    write: false,
    logLevel: "silent",
  });
  const bytes = patterned(500_000);
  await using server = await startCountingProxy({ objects: new Map([[`p/${KEY}`, bytes]]) });
  const miniflare = new Miniflare({
    modules: true,
    script: bundle.outputFiles[0]!.text,
    compatibilityDate: "2026-04-01",
    host: "127.0.0.1",
    cache: true,
  });
  try {
    const url = await miniflare.ready;
    const ask = async (key: string, ranges: { offset: number; lengthBytes: number }[]) => {
      const body = JSON.stringify({ key, ranges, base: `${server.url}/p` });
      return await (await fetch(url, { method: "POST", body })).json();
    };
    const ranges = [range(65_530, 10), range(499_990, 10), range(5, 2)];
    const expected = ranges.map(({ offset, lengthBytes }) => [...bytes.subarray(offset, offset + lengthBytes)]);
    deepEqual(await ask(KEY, ranges), expected);
    deepEqual(server.take().map(({ range }) => range), [null, "bytes=65536-131071", "bytes=458752-499999"]);
    // What was handed to waitUntil ends some time after the answer.
    let asked = 1;
    for (let attempt = 0; attempt < 100 && asked > 0; attempt++) {
      deepEqual(await ask(KEY, ranges), expected);
      asked = server.take().length;
    }
    equal(asked, 0);
    equal((await ask(KEY, [range(499_990, 11)])).code, "STORE");
    equal((await ask("shards/run_id=2/none", ranges)).code, "OBJECT_NOT_FOUND");
    ok(server.take().every(({ status }) => status === 404));
  } finally {
    await miniflare.dispose();
  }
});
