// P1 and P4: what readers see while others publish and roll back. Judge: every value names the snapshot it belongs to.
import { deepEqual, equal, notEqual, ok, rejects } from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { test } from "node:test";
import type { Backend } from "../../src/backends/backend.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { StoreError } from "../../src/errors.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { SnapshotReader } from "../../src/read/snapshot_reader.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { rollBack } from "../../src/snapshots/history.ts";
import { renderPointer } from "../../src/snapshots/pointer.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { type OnRequest, watchedStore } from "../snapshots/watched_store.ts";
import { temporaryFolder } from "./fixture_snapshots.ts";

const ROWS = 200;
const KEYS = Array.from({ length: ROWS }, (_, id) => id);
const MODES = ["memory", "download"] as const;

/** Publishes rows whose values are all `word`. */
async function publish(store: ObjectStore, word: string): Promise<string> {
  const sharding = hashSharding({ shards: 3 });
  const result = await writeSnapshot(KEYS, { store, sharding, key: (id) => id, value: () => word });
  return result.manifestRef;
}

function wordOf(value: Uint8Array | null | undefined): string {
  ok(value instanceof Uint8Array, "a key is missing");
  return new TextDecoder().decode(value);
}

/** The one word that all values are. */
function wordOfAll(values: Iterable<Uint8Array | null>): string {
  const words = new Set(Array.from(values, wordOf));
  deepEqual(words.size, 1, [...words].join());
  return [...words][0]!;
}

async function readWord(reader: SnapshotReader): Promise<string> {
  return wordOfAll((await reader.getMany(KEYS)).values());
}

/** A store whose requests do what `onRequest` says, which can be changed. */
function steered(inner: ObjectStore): { store: ObjectStore; steer(onRequest: OnRequest | null): void } {
  let current: OnRequest | null = null;
  const store = watchedStore(inner, {
    onRequest: (request, send) => current === null ? send() : current(request, send),
  });
  return { store, steer: (onRequest) => current = onRequest };
}

function outage(): StoreError {
  return new StoreError("Cannot reach the store", { url: "memory:///store", status: 503, retryable: true });
}

/** A promise and what settles it. */
function gate(): { opened: Promise<void>; open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { opened: promise, open: resolve };
}

for (const access of MODES) {
  test(`SnapshotReader.refresh() P1: with access "${access}" every read is of one whole snapshot`, async () => {
    using folder = temporaryFolder();
    const store = memoryStore();
    await publish(store, "0");
    await using reader = await openSnapshot({ store, access, cacheDir: folder.path });
    let isDone = false;
    const turn = () => new Promise((resolve) => setTimeout(resolve, 2));
    const seen = new Set<string>();
    async function readOn(read: () => Promise<string>): Promise<void> {
      let last = -1;
      do {
        const word = await read();
        seen.add(word);
        ok(Number(word) >= last, `${word} after ${last}`);
        last = Number(word);
        await turn();
      } while (!isDone);
    }
    const reading = [
      readOn(() => readWord(reader)),
      readOn(async () => wordOf(await reader.get(17))),
      readOn(async () => {
        const rows = await Array.fromAsync(reader.scan());
        equal(rows.length, ROWS);
        return wordOfAll(rows.map(([, value]) => value));
      }),
      readOn(async () => {
        await using handle = reader.borrow(3);
        return wordOf(await handle.get(3));
      }),
    ];
    for (const word of ["1", "2", "3"]) {
      await publish(store, word);
      await Promise.all([reader.refresh(), reader.refresh()]);
      equal(await readWord(reader), word);
      await turn();
    }
    isDone = true;
    await Promise.all(reading);
    deepEqual([...seen].sort(), ["0", "1", "2", "3"]);
  });
}

test("SnapshotReader.refresh() P4: a stale pointer is ignored, a roll back is followed", async () => {
  const store = memoryStore();
  const pointers: Uint8Array[] = [];
  const take = async () => pointers.push(await (await store.get("_CURRENT")).bytes());
  for (const word of ["1", "2", "3"]) {
    await publish(store, word);
    await take();
  }
  await using reader = await openSnapshot({ store });
  equal(reader.info.generation, 3);
  for (const stale of pointers) {
    await store.put("_CURRENT", stale);
    equal(await reader.refresh(), false);
    equal(await readWord(reader), "3");
  }
  await rollBack(store, { offset: 1 });
  equal(await reader.refresh(), true);
  equal(await readWord(reader), "2");
  equal(reader.info.generation, 4);
  for (const stale of pointers) {
    await store.put("_CURRENT", stale);
    equal(await reader.refresh(), false);
    equal(await readWord(reader), "2");
  }
});

test("SnapshotReader.refresh() P4: a pointer is outdated by a later one that names the same snapshot again", async () => {
  const store = memoryStore();
  const first = await publish(store, "1");
  await using reader = await openSnapshot({ store });
  await publish(store, "2");
  const stale = await (await store.get("_CURRENT")).bytes();
  await rollBack(store, { ref: first });
  equal(await reader.refresh(), false);
  equal(reader.info.generation, 3);
  await store.put("_CURRENT", stale);
  equal(await reader.refresh(), false);
  equal(await readWord(reader), "1");
});

test("SnapshotReader.refresh() P4: where a pointer has no generation its time decides", async () => {
  const store = memoryStore();
  const refs = [await publish(store, "1"), await publish(store, "2")];
  const now = Date.now() * 1000;
  function pointTo(index: number, [publishedAtMicros, generation]: [number, number | null]): Promise<unknown> {
    const pointer = { ref: refs[index]!, runId: "r", publishedAtMicros, generation, previous: null };
    return store.put("_CURRENT", renderPointer(pointer));
  }
  await pointTo(0, [now, null]);
  await using reader = await openSnapshot({ store });
  equal(reader.info.generation, null);
  await pointTo(1, [now - 1, null]);
  equal(await reader.refresh(), false);
  await pointTo(1, [now + 1, null]);
  equal(await reader.refresh(), true);
  await pointTo(0, [now + 2, 7]);
  equal(await reader.refresh(), true);
  await pointTo(1, [now + 3, 6]);
  equal(await reader.refresh(), false);
  await pointTo(1, [now + 1, 8]);
  equal(await reader.refresh(), true);
  await pointTo(0, [now + 5, null]);
  equal(await reader.refresh(), true);
  equal(await readWord(reader), "1");
});

for (const access of MODES) {
  test(`SnapshotReader.borrow() with access "${access}" keeps an old snapshot readable when it is gone`, async () => {
    using folder = temporaryFolder();
    const store = memoryStore();
    await publish(store, "old");
    const oldKeys = (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key);
    const reader = await openSnapshot({ store, access, cacheDir: folder.path });
    const handle = reader.borrow(7);
    const rows = reader.scan();
    equal(wordOf((await rows.next()).value?.[1]), "old");
    await publish(store, "new");
    for (const key of oldKeys.filter((key) => key !== "_CURRENT")) await store.delete(key);
    equal(await reader.refresh(), true);
    equal(wordOf(await handle.get(7)), "old");
    equal(await readWord(reader), "new");
    await reader.close();
    notEqual(handle.manifestRef, reader.info.manifestRef);
    equal(wordOf(await handle.get(7)), "old");
    deepEqual((await handle.getMany([7, 100_000])).map((value) => value && wordOf(value)), ["old", null]);
    equal(wordOfAll((await Array.fromAsync(rows)).map(([, value]) => value)), "old");
    await handle[Symbol.asyncDispose]();
    await handle[Symbol.asyncDispose]();
    await rejects(handle.get(7), { code: "READER_STATE" });
  });
}

/** The engine, and the folders of the files that it opened. */
function watchedBackend(): { backend: Backend; folders: Set<string> } {
  const inner = sqliteBackend();
  const folders = new Set<string>();
  const backend: Backend = {
    ...inner,
    openShard(file) {
      ok(file.kind === "file");
      folders.add(dirname(dirname(file.path)));
      return inner.openShard(file);
    },
  };
  return { backend, folders };
}

test("SnapshotReader.close() removes the temporary folder with the last handle", async () => {
  const store = memoryStore();
  await publish(store, "1");
  const { backend, folders } = watchedBackend();
  const reader = await openSnapshot({ store, access: "download", backend });
  const handle = reader.borrow(1);
  await publish(store, "2");
  equal(await reader.refresh(), true);
  const [first, second] = [...folders];
  ok(existsSync(first!) && existsSync(second!));
  await reader.close();
  ok(existsSync(first!) && !existsSync(second!));
  equal(wordOf(await handle.get(1)), "1");
  await handle[Symbol.asyncDispose]();
  for (let wait = 0; wait < 100 && existsSync(first!); wait++) await new Promise((resolve) => setTimeout(resolve, 10));
  ok(!existsSync(first!));
});

for (const access of MODES) {
  test(`SnapshotReader.refresh() with access "${access}" stays with the old snapshot whatever request fails`, async () => {
    const { store, steer } = steered(memoryStore());
    await publish(store, "old");
    await using reader = await openSnapshot({ store, access });
    await publish(store, "new");
    for (let failing = 0; failing < 5; failing++) {
      let index = 0;
      steer((_request, send) => index++ === failing ? Promise.reject(outage()) : send());
      await rejects(reader.refresh(), { code: "STORE", retryable: true });
      equal(await readWord(reader), "old");
    }
    steer(null);
    equal(await reader.refresh(), true);
    equal(await readWord(reader), "new");
  });
}

test("openSnapshot() ends the other requests when one fails", async () => {
  const { store, steer } = steered(memoryStore());
  await writeSnapshot(KEYS, { store, sharding: hashSharding({ shards: 20 }), key: (id) => id, value: () => "1" });
  let shardRequests = 0;
  steer(({ key }, send) => {
    if (!key.endsWith("shard.db")) return send();
    shardRequests++;
    return Promise.reject(outage());
  });
  await rejects(openSnapshot({ store, concurrencyMax: 3 }), { code: "STORE" });
  ok(shardRequests <= 3, `${shardRequests} requests`);
});

test("SnapshotReader.refresh() gives false and a warning when the newer manifest cannot be parsed", async () => {
  const store = memoryStore();
  await publish(store, "1");
  await using reader = await openSnapshot({ store });
  const ref = await publish(store, "2");
  const key = ref.slice(store.url.length + 1);
  const good = await (await store.get(key)).bytes();
  await store.put(key, good.slice(0, 200));
  for (let i = 0; i < 3; i++) {
    equal(await reader.refresh(), false);
    equal(reader.info.warnings.length, 1);
    ok(reader.info.warnings[0]!.includes(ref));
  }
  equal(await readWord(reader), "1");
  await store.put(key, good);
  equal(await reader.refresh(), true);
  deepEqual(reader.info.warnings, []);
  equal(await readWord(reader), "2");
});

test("SnapshotReader.refresh() leaves the fallback when there is a newer snapshot, or the older one is meant", async () => {
  const store = memoryStore();
  const first = await publish(store, "1");
  const bad = await publish(store, "2");
  await store.put(bad.slice(store.url.length + 1), new Uint8Array(10));
  await using reader = await openSnapshot({ store });
  await using other = await openSnapshot({ store });
  equal(reader.info.manifestRef, first);
  equal(reader.info.warnings.length, 1);
  await rollBack(store, { ref: first });
  equal(await reader.refresh(), false);
  deepEqual(reader.info.warnings, []);
  await publish(store, "3");
  equal(await other.refresh(), true);
  deepEqual(other.info.warnings, []);
  equal(await readWord(other), "3");
});

test("SnapshotReader.refresh() fails when the pointer is gone or malformed", async () => {
  const store = memoryStore();
  await publish(store, "1");
  await using reader = await openSnapshot({ store });
  await store.put("_CURRENT", Uint8Array.of(1));
  await rejects(reader.refresh(), { code: "MANIFEST_PARSE" });
  await store.delete("_CURRENT");
  await rejects(reader.refresh(), { code: "READER_STATE", message: /pointer/ });
  equal(await readWord(reader), "1");
});

test("SnapshotReader.refresh() is ended by its signal", async () => {
  const { store, steer } = steered(memoryStore());
  await publish(store, "1");
  await using reader = await openSnapshot({ store });
  await publish(store, "2");
  const reason = new Error("enough");
  await rejects(reader.refresh({ signal: AbortSignal.abort(reason) }), reason);
  const abort = new AbortController();
  steer(({ key }, send) => {
    if (key.endsWith("shard.db")) abort.abort(reason);
    return send();
  });
  await rejects(reader.refresh({ signal: abort.signal }), reason);
  steer(null);
  equal(await readWord(reader), "1");
  equal(await reader.refresh(), true);
});

test("SnapshotReader.close() during a refresh ends it, and nothing stays open", async () => {
  for (const place of ["_CURRENT", "manifest", "shard.db"]) {
    const { store, steer } = steered(memoryStore());
    await publish(store, "1");
    const { backend, folders } = watchedBackend();
    const reader = await openSnapshot({ store, access: "download", backend });
    await publish(store, "2");
    const reached = gate();
    const goOn = gate();
    steer(async ({ key }, send) => {
      if (!key.endsWith(place)) return await send();
      reached.open();
      await goOn.opened;
      return await send();
    });
    const refreshing = [reader.refresh(), reader.refresh()];
    const outcomes = Promise.allSettled(refreshing);
    await reached.opened;
    const closing = [reader.close(), reader.close()];
    await rejects(reader.get(1), { code: "READER_STATE", message: /closed/ });
    equal(reader.health().status, "unhealthy");
    goOn.open();
    await Promise.all(closing);
    for (const outcome of await outcomes) {
      equal(outcome.status, "rejected");
      equal((outcome as PromiseRejectedResult).reason.code, "READER_STATE");
    }
    deepEqual([...folders].filter(existsSync), [], place);
  }
});

test("SnapshotReader.refresh() by several callers opens the newer snapshot once", async () => {
  const { store, steer } = steered(memoryStore());
  await publish(store, "1");
  await using reader = await openSnapshot({ store });
  await publish(store, "2");
  let shardRequests = 0;
  steer(({ key }, send) => {
    if (key.endsWith("shard.db")) shardRequests++;
    return send();
  });
  deepEqual(await Promise.all([reader.refresh(), reader.refresh(), reader.refresh()]), [true, false, false]);
  equal(shardRequests, 3);
});

test("SnapshotReader.refresh() asks whether the pointer has changed, and is sent none when it has not", async () => {
  const inner = memoryStore();
  await publish(inner, "one");
  const answers: string[] = [];
  const store = watchedStore(inner, {
    async onRequest({ method, key }, send) {
      const answer = await send();
      if (key === "_CURRENT") answers.push(`${method} ${answer === null ? "unchanged" : "sent"}`);
      return answer;
    },
  });
  await using reader = await openSnapshot({ store });
  equal(await reader.refresh(), false);
  await publish(inner, "two");
  equal(await reader.refresh(), true);
  equal(await reader.refresh(), false);
  deepEqual(answers, ["get sent", "getIfChanged unchanged", "getIfChanged sent", "getIfChanged unchanged"]);
});
