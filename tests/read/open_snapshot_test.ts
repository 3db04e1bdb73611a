// What opening a snapshot promises beyond the fixtures. Judge: the rows that were written.
import { equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { openSnapshot, type OpenSnapshotOptions } from "../../src/read/mod.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { history } from "../../src/snapshots/history.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
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
    [{ store, access: "range" }, "access"],
    [{ store, access: "hydrate" }, "access"],
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
  await rejects(openSnapshot({ store, access: "range" as "memory" }), {
    message:
      'Cannot use option "access" as it must be "auto", "memory" or "download" in this version: current value is "range"',
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
  await rejects(openSnapshot({ store, timeoutMs: 20 }), { code: "STORE", retryable: true, message: /20 ms/ });
  await (await openSnapshot({ store, timeoutMs: 10_000 })).close();
});
