// The cache of downloaded shards and its lock. Judge: the rows that were written, and what lies in the folder.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { type WatchedRequest, watchedStore } from "../snapshots/watched_store.ts";
import { temporaryFolder } from "./fixture_snapshots.ts";
import { count, published, text } from "./small_snapshots.ts";

/** The store, and how often each shard was asked for. */
function counted(inner: ObjectStore, onShard: (request: WatchedRequest) => void = () => {}) {
  const requests = new Map<string, number>();
  const store = watchedStore(inner, {
    onRequest(request, send) {
      const { key } = request;
      if (key.endsWith("shard.db")) {
        requests.set(key, (requests.get(key) ?? 0) + 1);
        onShard(request);
      }
      return send();
    },
  });
  return { store, requests };
}

async function check(options: { store: ObjectStore; cacheDir: string; clock?: ManualClock; signal?: AbortSignal }) {
  await using reader = await openSnapshot({ ...options, access: "download" });
  deepEqual(text(await reader.get(7)), "<7>");
  equal((await Array.fromAsync(reader.scan())).length, 100);
}

const FILES = ["shard.db", "shard.identity.json"];

test("openSnapshot() downloads a shard once for several readers with one cache", async () => {
  using folder = temporaryFolder();
  const { store, requests } = counted(await published(count(100)));
  await Promise.all(count(5).map(() => check({ store, cacheDir: folder.path })));
  deepEqual([...requests.values()], [1, 1, 1]);
  for (const slot of readdirSync(folder.path)) deepEqual(readdirSync(join(folder.path, slot)).sort(), FILES);
});

test("openSnapshot() P1: processes with one cache never read another run's rows", async () => {
  using series = temporaryFolder();
  using cache = temporaryFolder();
  const store = fsStore(series.path);
  for (const runId of ["a", "b", "c"]) {
    await writeSnapshot(count(300), {
      store,
      runId: runId.repeat(8),
      sharding: hashSharding({ shards: 2 }),
      key: (id) => id,
      value: () => runId.repeat(8),
    });
  }
  const modes = ["download", "hydrate", "download", "hydrate"];
  const outcomes = await Promise.all(modes.map((mode) => runProcess(series.path, cache.path, 10, mode)));
  for (const output of outcomes) match(output, /^requests \d+$/m);
  const slot = join(cache.path, "shard=00000");
  deepEqual(readdirSync(slot).sort(), FILES);
});

function runProcess(...args: (string | number)[]): Promise<string> {
  const program = fileURLToPath(new URL("cache_process.ts", import.meta.url));
  const runtimeArgs = "Deno" in globalThis ? ["run", "-A", "--no-check"] : [];
  const child = spawn(process.execPath, [...runtimeArgs, program, ...args.map(String)]);
  let output = "";
  child.stdout.on("data", (chunk) => output += chunk);
  child.stderr.on("data", (chunk) => output += chunk);
  return new Promise((resolve) => child.on("close", (code) => resolve(code === 0 ? output : `failed: ${output}`)));
}

/** Makes the folder of shard 0 and a lock in it. */
function lockSlot(cacheDir: string, content: string): string {
  mkdirSync(join(cacheDir, "shard=00000"), { recursive: true });
  const path = join(cacheDir, "shard=00000", ".download.lock");
  writeFileSync(path, content);
  return path;
}

async function deadPid(): Promise<number> {
  const child = spawn(process.execPath, ["--version"], { stdio: "ignore" });
  await new Promise((resolve) => child.on("close", resolve));
  return child.pid!;
}

test("openSnapshot() removes the lock of a process that has ended, at once", async () => {
  using folder = temporaryFolder();
  const path = lockSlot(folder.path, JSON.stringify({ host: hostname(), pid: await deadPid(), token: "t" }));
  const store = await published(count(100));
  const startedMs = performance.now();
  await check({ store, cacheDir: folder.path });
  ok(performance.now() - startedMs < 5000);
  ok(!existsSync(path));
});

test("openSnapshot() removes a lock that nobody touched for 15 seconds, and not before", async () => {
  for (const content of ["", "{", JSON.stringify({ host: "another", pid: 1, token: "t" })]) {
    using folder = temporaryFolder();
    lockSlot(folder.path, content);
    const clock = new ManualClock();
    await check({ store: await published(count(100)), cacheDir: folder.path, clock });
    const waitedMs = clock.sleeps.reduce((sum, delayMs) => sum + delayMs, 0);
    ok(waitedMs >= 15_000 && waitedMs < 16_000, `${waitedMs} ms`);
  }
});

test("openSnapshot() waits for a lock as long as its signal allows", async () => {
  using folder = temporaryFolder();
  const path = lockSlot(folder.path, JSON.stringify({ host: hostname(), pid: process.pid, token: "t" }));
  const store = await published(count(100), { shards: 1 });
  const abort = new AbortController();
  const reason = new Error("enough");
  setTimeout(() => abort.abort(reason), 60);
  await rejects(check({ store, cacheDir: folder.path, signal: abort.signal }), reason);
  ok(existsSync(path));
  setTimeout(() => rmSync(path), 60);
  await check({ store, cacheDir: folder.path });
});

test("openSnapshot() begins anew when its lock was taken away meanwhile", async () => {
  using folder = temporaryFolder();
  const path = join(folder.path, "shard=00000", ".download.lock");
  let isTaken = false;
  const { store, requests } = counted(await published(count(100), { shards: 1 }), () => {
    if (isTaken) return;
    isTaken = true;
    writeFileSync(path, JSON.stringify({ host: hostname(), pid: process.pid, token: "another" }));
    setTimeout(() => rmSync(path), 60);
  });
  await check({ store, cacheDir: folder.path });
  deepEqual([...requests.values()], [2]);
  deepEqual(readdirSync(join(folder.path, "shard=00000")).sort(), FILES);
});

test("openSnapshot() clears away what killed processes left in the cache, but not what others put there", async () => {
  using folder = temporaryFolder();
  const slot = join(folder.path, "shard=00000");
  mkdirSync(slot);
  writeFileSync(join(slot, `shard.db.${crypto.randomUUID()}.tmp`), "half");
  writeFileSync(join(slot, `shard.db.${crypto.randomUUID()}.tmp.json`), "{}");
  writeFileSync(join(slot, "shard.db.tmp.123"), "of the Python package");
  writeFileSync(join(slot, "notes.txt"), "mine");
  writeFileSync(join(slot, "shard.db"), "without an identity");
  await check({ store: await published(count(100)), cacheDir: folder.path });
  deepEqual(readdirSync(slot).sort(), ["notes.txt", ...FILES, "shard.db.tmp.123"].sort());
});

test("openSnapshot() takes a cache for another version's when only the checkpoint differs", async () => {
  using folder = temporaryFolder();
  const { store, requests } = counted(await published(count(100), { shards: 1 }));
  await check({ store, cacheDir: folder.path });
  const path = join(folder.path, "shard=00000", "shard.identity.json");
  const identity = JSON.parse(readFileSync(path, "utf8"));
  deepEqual(Object.keys(identity), ["checkpoint_id", "db_url"]);
  writeFileSync(path, JSON.stringify({ ...identity, checkpoint_id: "0".repeat(32) }));
  await check({ store, cacheDir: folder.path });
  deepEqual([...requests.values()], [2]);
});

test("openSnapshot() fails by a retryable StoreError when a download breaks off, and leaves nothing behind", async () => {
  using folder = temporaryFolder();
  const inner = memoryStore();
  await published(count(100), { shards: 1, store: inner });
  for (const broken of ["short", "failing"]) {
    const store: ObjectStore = {
      ...watchedStore(inner),
      async get(key, options) {
        const stored = await inner.get(key, options);
        if (!key.endsWith("shard.db")) return stored;
        const bytes = await stored.bytes();
        let isBegun = false;
        const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
          pull(controller) {
            if (!isBegun) controller.enqueue(bytes.slice(0, 5000));
            else if (broken === "short") controller.close();
            else controller.error(new TypeError("connection reset"));
            isBegun = true;
          },
        });
        return { ...stored, sizeBytes: bytes.byteLength, etag: null, body };
      },
    };
    await rejects(check({ store, cacheDir: folder.path }), { code: "STORE", retryable: true });
    deepEqual(readdirSync(join(folder.path, "shard=00000")), []);
  }
  await check({ store: inner, cacheDir: folder.path });
});
