// What opening a snapshot promises beyond the fixtures. Judge: the rows that were written.
import { equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { OpenSnapshotOptions } from "../../src/read/read_options.ts";
import { hashRouter } from "../../src/routing/hash_router.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { history } from "../../src/snapshots/history.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { readExactly } from "../../src/stores/stored_object.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { watchedStore } from "../snapshots/watched_store.ts";
import { count, published, text } from "./small_snapshots.ts";

test("openSnapshot() ends with the signal's reason at each of its requests", async () => {
  const reason = new Error("enough");
  const inner = await published(count(100), { shards: 3 });
  for (let last = 0; last < 5; last++) {
    for (const access of ["memory", "download"] as const) {
      const abort = new AbortController();
      const store = watchedStore(inner, {
        onRequest({ index }, send) {
          if (index === last) abort.abort(reason);
          return send();
        },
      });
      await rejects(openSnapshot({ store, access, signal: abort.signal }), reason);
    }
  }
});

test("openSnapshot() refuses wrong options, naming them", async () => {
  const store = await published([1]);
  const wrong: [options: object, path: string][] = [
    [{}, "store"],
    [{ store: {} }, "store"],
    [{ store, acces: "memory" }, "acces"],
    [{ store, access: "mmap" }, "access"],
    [{ store, pointerKey: "" }, "pointerKey"],
    [{ store, backend: {} }, "backend"],
    [{ store, cacheDir: "" }, "cacheDir"],
    [{ store, concurrencyMax: 0 }, "concurrencyMax"],
    [{ store, concurrencyMax: 1.5 }, "concurrencyMax"],
    [{ store, timeoutMs: 0 }, "timeoutMs"],
    [{ store, fallbackAttempts: -1 }, "fallbackAttempts"],
    [{ store, pin: "" }, "pin"],
    [{ store, pin: { offset: -1 } }, "pin"],
    [{ store, pin: { run: "x" } }, "pin"],
    [{ store, rateLimit: { keysPerSecond: 0 } }, "rateLimit.keysPerSecond"],
    [{ store, rateLimit: { rowsPerSecond: 5 } }, "rateLimit"],
    [{ store, resolveStore: "x" }, "resolveStore"],
    [{ store, onEvent: 5 }, "onEvent"],
    [{ store, signal: {} }, "signal"],
    [{ store, clock: Date }, "clock"],
  ];
  for (const [options, path] of wrong) {
    await rejects(openSnapshot(options as OpenSnapshotOptions), (error: Error & { code: string; path: string }) => {
      equal(error.code, "CONFIG_VALIDATION");
      ok(error.path.startsWith(path), `${error.path} for ${path}`);
      ok(error.message.includes(path.split(".")[0]!), error.message);
      return true;
    });
  }
  await rejects(openSnapshot({ store, access: "mmap" as "memory" }), {
    message: 'Cannot use option "access" as it must be one of "auto", "memory", "download", "range", "hydrate": ' +
      'current value is "mmap"',
  });
});

test("openSnapshot() reads pins by ref, offset and run, and stays with them", async () => {
  const store = memoryStore();
  for (const key of [1, 2, 3]) await published([key], { store });
  const runs = await history(store, { limit: 10 });
  for (const [offset, { ref, runId }] of runs.entries()) {
    for (const pin of [ref, { offset }, { runId }]) {
      await using reader = await openSnapshot({ store, pin });
      equal(text(await reader.get(3 - offset)), `<${3 - offset}>`);
      equal(reader.info.runId, runId);
      equal(reader.info.generation, null);
      equal(await reader.refresh(), false);
    }
  }
  await rejects(openSnapshot({ store, pin: `${store.url}/manifests/none/manifest` }), { code: "OBJECT_NOT_FOUND" });
  await rejects(openSnapshot({ store, pin: "s3://elsewhere/x/manifest" }), { path: "resolveStore" });
  await rejects(openSnapshot({ store, pin: { offset: 3 } }), { code: "READER_STATE", message: /3 snapshots/ });
  await rejects(openSnapshot({ store, pin: { runId: "x" } }), { code: "READER_STATE", message: /"x"/ });
});

test("openSnapshot() finds a pointer of another name, and says when there is none", async () => {
  const store = memoryStore();
  const sharding = hashSharding({ shards: 1 });
  await writeSnapshot([1], { store, sharding, key: (id) => id, value: () => "v", pointerKey: "staging/_CURRENT" });
  await rejects(openSnapshot({ store }), { code: "READER_STATE" });
  await using reader = await openSnapshot({ store, pointerKey: "staging/_CURRENT" });
  equal(text(await reader.get(1)), "v");
});

test("openSnapshot() takes no more than concurrencyMax shards at the same time", async () => {
  const inner = await published(count(500), { shards: 12 });
  for (const concurrencyMax of [1, 5, 100]) {
    let open = 0;
    let most = 0;
    const store = watchedStore(inner, {
      async onRequest({ key }, send) {
        if (!key.endsWith("shard.db")) return await send();
        most = Math.max(most, ++open);
        await new Promise((resolve) => setTimeout(resolve, 2));
        open--;
        return await send();
      },
    });
    await (await openSnapshot({ store, concurrencyMax })).close();
    equal(most, Math.min(concurrencyMax, 12));
  }
});

test("openSnapshot() gives up a request that takes longer than timeoutMs, by a retryable StoreError", async () => {
  const inner = await published(count(5));
  const store = watchedStore(inner, {
    async onRequest({ key }, send) {
      if (key.endsWith("shard.db")) await new Promise((resolve) => setTimeout(resolve, 60));
      return await send();
    },
  });
  for (const access of ["memory", "download"] as const) {
    const expected = { code: "STORE", retryable: true, message: /20 ms/ };
    await rejects(openSnapshot({ store, access, timeoutMs: 20 }), expected);
  }
  // A timer that went on would keep the process of this test alive.
  for (const access of ["memory", "download"] as const) {
    await using reader = await openSnapshot({ store, access, timeoutMs: 10_000 });
    equal(text(await reader.get(4)), "<4>");
  }
  const endless: ObjectStore = {
    ...inner,
    url: inner.url,
    getRanges: inner.getRanges.bind(inner),
    async get(key, options = {}) {
      const stored = await inner.get(key, options);
      if (!key.endsWith("shard.db")) return stored;
      const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
        start(controller) {
          options.signal!.addEventListener("abort", () => controller.error(options.signal!.reason));
        },
      });
      return { etag: null, sizeBytes: stored.sizeBytes, body, bytes: () => readExactly(body, { ...stored, url: key }) };
    },
  };
  for (const access of ["memory", "download"] as const) {
    const expected = { code: "STORE", retryable: true, message: /20 ms/ };
    await rejects(openSnapshot({ store: endless, access, timeoutMs: 20 }), expected);
  }
});

test("openSnapshot() reads manifests from a manifest store of its own", async () => {
  const [store, place] = [memoryStore("data"), memoryStore("manifests")];
  const manifestStore = objectManifestStore(place);
  const sharding = hashSharding({ shards: 2 });
  await writeSnapshot([1], { store, sharding, key: (id) => id, value: () => "v", manifestStore });
  await rejects(openSnapshot({ store }), { code: "READER_STATE" });
  await using reader = await openSnapshot({ store, manifestStore });
  equal(text(await reader.get(1)), "v");
  ok(reader.info.manifestRef.startsWith(place.url));
  equal(await reader.refresh(), false);
});

test("openSnapshot() takes any number of shards that a manifest may state, and tells engines that it lacks", async () => {
  const store = memoryStore();
  const manifests = objectManifestStore(store);
  await published([5], { store, shards: 1 });
  const manifest = await manifests.loadManifest((await manifests.loadCurrent())!.ref);
  const shardCount = 2 ** 31;
  const [shard] = manifest.shards;
  for (const shardId of [0, hashRouter(shardCount).route(5), shardCount - 1]) {
    const next = { ...manifest, runId: `shard-${shardId}`, shardCount, shards: [{ ...shard!, shardId }] };
    await manifests.publish(next, await manifests.loadCurrent());
    await using reader = await openSnapshot({ store });
    equal(await reader.get(6), null);
    equal(text(await reader.get(5)), reader.route(5) === shardId ? "<5>" : null);
    equal((await Array.fromAsync(reader.scan())).length, 1);
    equal((await Array.fromAsync(reader.scan({ shard: shardCount - 1 }))).length, shardId === shardCount - 1 ? 1 : 0);
  }
  const custom = { shardyfusion: { backend: { name: "x" } } };
  await manifests.publish({ ...manifest, custom, runId: "unknown" }, await manifests.loadCurrent());
  await rejects(openSnapshot({ store }), { code: "DB_ADAPTER" });
  await (await openSnapshot({ store, backend: sqliteBackend() })).close();
});
