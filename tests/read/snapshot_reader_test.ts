// What a reader promises beyond the fixtures. Judge: the rows that were written.
import { deepEqual, equal, notEqual, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import type { ShardyfusionEvent } from "../../src/events.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { SnapshotReader } from "../../src/read/snapshot_reader.ts";
import type { Key, KeyEncoding } from "../../src/routing/key.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { count, opened, text } from "./small_snapshots.ts";

test("SnapshotReader.getMany() keeps the order of the keys and gives each once", async () => {
  await using reader = await opened(count(50));
  const keys = [7, 49, 7, 1000, 0, 7n, 49n, 49, -0];
  const values = await reader.getMany<number | bigint>(keys);
  deepEqual([...values.keys()], [7, 49, 1000, 0, 7n, 49n]);
  deepEqual([...values.values()].map(text), ["<7>", "<49>", null, "<0>", "<7>", "<49>"]);
  deepEqual([...(await reader.getMany([])).keys()], []);
  deepEqual([...(await reader.getMany(new Set([3, 4]))).values()].map(text), ["<3>", "<4>"]);
});

test("SnapshotReader.get() gives copies, and an empty array for an empty value", async () => {
  const store = memoryStore();
  const sharding = hashSharding({ shards: 1 });
  await writeSnapshot([1], { store, sharding, key: (id) => id, value: () => "" });
  await using reader = await openSnapshot({ store });
  deepEqual(await reader.get(1), new Uint8Array(0));
  await using other = await opened([5]);
  (await other.get(5))!.fill(0);
  (await other.getMany([5])).get(5)!.fill(0);
  for await (const [key, value] of other.scan()) key.fill(0), value.fill(0);
  equal(text(await other.get(5)), "<5>");
});

/** What each encoding refuses, and one key that it takes. */
const WRONG_KEYS: readonly [KeyEncoding, Key, readonly unknown[]][] = [
  ["u64be", 5, ["5", -1, -1n, 1.5, NaN, Infinity, 2 ** 53, 2n ** 63n, 2n ** 64n, new Uint8Array(8), null, true, {}]],
  ["u32be", 5, ["5", -1, 1.5, 2 ** 32, 2n ** 32n, new Uint8Array(4), undefined]],
  ["utf8", "five", [5, 5n, 0.5, "\ud800", "a\udc00b", null, ["five"]]],
  ["raw", Uint8Array.of(5), [5, 5n, "\ud800", null, new Uint8Array(1).buffer]],
];

for (const [keyEncoding, key, wrongKeys] of WRONG_KEYS) {
  test(`SnapshotReader refuses keys that are no ${keyEncoding}, in empty shards too`, async () => {
    for (const shards of [1, 64]) {
      await using reader = await opened([key], { keyEncoding, shards });
      equal(reader.info.keyEncoding, keyEncoding);
      notEqual(await reader.get(key), null);
      for (const wrong of wrongKeys as Key[]) {
        const expected = { code: "CONFIG_VALIDATION", path: "key" };
        await rejects(reader.get(wrong), expected, String(wrong));
        await rejects(reader.getMany([key, wrong]), expected, String(wrong));
        await rejects(reader.warm([key, wrong]), expected, String(wrong));
      }
      equal(reader.info.warnings.length, 0);
    }
  });
}

test("SnapshotReader.get() takes a number and a bigint for the same key, a string and its UTF-8 too", async () => {
  await using numbers = await opened([5, 2 ** 53 - 1, 2n ** 53n, 2n ** 63n - 1n]);
  equal(text(await numbers.get(5n)), "<5>");
  equal(text(await numbers.get(BigInt(2 ** 53 - 1))), "<9007199254740991>");
  equal(text(await numbers.get(2n ** 63n - 1n)), "<9223372036854775807>");
  await using texts = await opened(["é", ""]);
  equal(text(await texts.get(Uint8Array.of(0xc3, 0xa9))), "<é>");
  equal(text(await texts.get(new Uint8Array(0))), "<>");
  equal(await texts.get("e\u0301"), null);
});

test("SnapshotReader.route(), routeMany() and groupKeys() agree with where rows are", async () => {
  await using reader = await opened(count(60), { shards: 7 });
  const groups = reader.groupKeys(count(60));
  deepEqual([...groups.values()].flat().sort((one, other) => one - other), count(60));
  deepEqual(reader.routeMany(count(60)), count(60).map((key) => reader.route(key)));
  for (const [shard, keys] of groups) {
    const rows = await Array.fromAsync(reader.scan({ shard }));
    deepEqual(rows.map(([key]) => Number(new DataView(key.buffer).getBigUint64(0))), keys);
    equal(reader.shards[shard]!.rowCount, keys.length);
    ok(keys.every((key) => reader.route(key) === shard));
  }
  throws(() => reader.route(1.5), { code: "CONFIG_VALIDATION" });
  throws(() => reader.groupKeys([1.5], { allowMissing: true }), { code: "CONFIG_VALIDATION" });
});

const words = ["", "a", "ab", "abc", "abd", "b", "b\u00ff", "c", "\uffff", "\u{10ffff}"];

test("SnapshotReader.scan() goes by from, to, prefix and limit", async () => {
  await using reader = await opened(words, { shards: 1 });
  const scan = async (options: Parameters<typeof reader.scan>[0]) =>
    (await Array.fromAsync(reader.scan(options))).map(([key]) => text(key));
  deepEqual(await scan({}), words);
  deepEqual(await scan({ from: "ab" }), words.slice(2));
  deepEqual(await scan({ to: "abd" }), words.slice(0, 4));
  deepEqual(await scan({ from: "ab", to: "b" }), ["ab", "abc", "abd"]);
  deepEqual(await scan({ from: "b", to: "a" }), []);
  deepEqual(await scan({ prefix: "ab" }), ["ab", "abc", "abd"]);
  deepEqual(await scan({ prefix: "" }), words);
  deepEqual(await scan({ prefix: "ab", from: "abc" }), ["abc", "abd"]);
  deepEqual(await scan({ prefix: "ab", to: "abd" }), ["ab", "abc"]);
  deepEqual(await scan({ prefix: "b", from: "a", to: "x" }), ["b", "b\u00ff"]);
  deepEqual(await scan({ prefix: Uint8Array.of(0x62, 0xc3) }), ["b\u00ff"]);
  deepEqual(await scan({ from: Uint8Array.of(0xf0) }), ["\u{10ffff}"]);
  for (const limit of count(words.length + 2)) deepEqual(await scan({ limit }), words.slice(0, limit));
  deepEqual(await scan({ prefix: "ab", limit: 2 }), ["ab", "abc"]);
  deepEqual(await scan({ from: undefined, limit: undefined, shard: 0 }), words);
});

test("SnapshotReader.scan() takes prefixes of bytes that are all 0xff", async () => {
  const keys = [[], [0xfe, 0xff], [0xff], [0xff, 0], [0xff, 0xff], [0xff, 0xff, 1]].map((key) => Uint8Array.from(key));
  await using reader = await opened(keys, { shards: 1 });
  const scan = async (prefix: number[]) =>
    (await Array.fromAsync(reader.scan({ prefix: Uint8Array.from(prefix) }))).map(([key]) => key);
  deepEqual(await scan([0xff]), keys.slice(2));
  deepEqual(await scan([0xff, 0xff]), keys.slice(4));
  deepEqual(await scan([0xff, 0xff, 0xff]), []);
  deepEqual(await scan([0xfe, 0xff]), keys.slice(1, 2));
  deepEqual(await scan([]), keys);
});

test("SnapshotReader.scan() gives numbers in their order, within bounds over all shards, with one limit", async () => {
  await using reader = await opened(count(5000), { shards: 4 });
  const inShards = await Promise.all(
    count(4).map((shard) => Array.fromAsync(reader.scan({ shard, from: 100, to: 4900 }))),
  );
  for (const rows of inShards) {
    const numbers = rows.map(([key]) => Number(new DataView(key.buffer, key.byteOffset).getBigUint64(0)));
    deepEqual(numbers, numbers.toSorted((one, other) => one - other));
  }
  equal(inShards.flat().length, 4800);
  deepEqual(await Array.fromAsync(reader.scan({ from: 100, to: 4900 })), inShards.flat());
  deepEqual(await Array.fromAsync(reader.scan({ from: 100, limit: 2500 })).then((rows) => rows.length), 2500);
  const arrays = await Array.fromAsync(reader.scanStream({ to: 4900, from: 100n }));
  ok(arrays.length < 20);
  deepEqual(arrays.flat(), inShards.flat());
});

test("SnapshotReader.scan() and scanStream() refuse what cannot be, when they begin", async () => {
  await using reader = await opened(count(5), { shards: 2 });
  const wrong: [options: object, path: string][] = [
    [{ shard: 2 }, "shard"],
    [{ shard: -1 }, "shard"],
    [{ shard: 0.5 }, "shard"],
    [{ limit: -1 }, "limit"],
    [{ limit: 0.5 }, "limit"],
    [{ limit: NaN }, "limit"],
    [{ form: 5 }, "form"],
    [{ from: null }, "from"],
    [{ from: "5" }, "key"],
    [{ to: -5 }, "key"],
    [{ prefix: "5" }, "prefix"],
    [{ prefix: 5 }, "prefix"],
    [{ signal: {} }, "signal"],
  ];
  for (const [options, path] of wrong) {
    const expected = { code: "CONFIG_VALIDATION", path };
    await rejects(Array.fromAsync(reader.scan(options)), expected, JSON.stringify(options));
    await rejects(Array.fromAsync(reader.scanStream(options)), expected, JSON.stringify(options));
  }
  await using texts = await opened(["a"]);
  await rejects(Array.fromAsync(texts.scan({ prefix: "\ud800" })), { code: "CONFIG_VALIDATION" });
});

test("SnapshotReader.scanStream() can be left before its end", async () => {
  await using reader = await opened(count(5000), { shards: 2 });
  for await (const rows of reader.scanStream()) {
    ok(rows.length > 0);
    break;
  }
  await reader.scanStream().cancel();
  const iterator = reader.scan();
  await iterator.next();
  await iterator.return();
});

test("SnapshotReader ends with the signal's reason before and during its calls", async () => {
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  await using reader = await opened(count(5000), { shards: 2 });
  await rejects(reader.get(1, { signal }), reason);
  await rejects(reader.getMany([1], { signal }), reason);
  await rejects(reader.warm([1], { signal }), reason);
  await rejects(Array.fromAsync(reader.scan({ signal })), reason);
  await rejects(reader.refresh({ signal }), reason);
  await using handle = reader.borrow(1);
  await rejects(handle.get(1, signal), reason);
  await rejects(handle.getMany([1], signal), reason);
  const abort = new AbortController();
  await rejects(async () => {
    for await (const _ of reader.scan({ signal: abort.signal })) abort.abort(reason);
  }, reason);
  await rejects(openSnapshot({ store: memoryStore(), signal }), reason);
});

test("SnapshotReader charges the rate limiter one token a key", async () => {
  const clock = new ManualClock();
  const events: ShardyfusionEvent[] = [];
  await using reader = await opened(count(100), {
    clock,
    rateLimit: { keysPerSecond: 10 },
    onEvent: (event) => events.push(event),
  });
  for (const key of count(10)) await reader.get(key);
  deepEqual(clock.sleeps, []);
  await reader.get(1);
  deepEqual(clock.sleeps.map(Math.round), [100]);
  await reader.getMany(count(5));
  deepEqual(clock.sleeps.map(Math.round), [100, 500]);
  await reader.getMany([]);
  equal(events.filter(({ name }) => name === "rate_limiter.throttled").length, 2);
  await reader.getMany(count(50)); // More than the bucket holds: waits until it is full, and leaves it in debt.
  deepEqual(clock.sleeps.map(Math.round), [100, 500, 1000]);
  await rejects(reader.get(1, { signal: AbortSignal.abort(new Error("enough")) }), /enough/);
});

test("SnapshotReader tells what it does, whatever receivers throw", async () => {
  const events: ShardyfusionEvent[] = [];
  const clock = new ManualClock();
  const reader = await opened(count(10), {
    clock,
    onEvent(event) {
      events.push(event);
      throw new Error("no");
    },
  });
  await reader.get(1);
  await reader.get(1000);
  await reader.getMany([1, 2, 1000]);
  await reader.refresh();
  const handle = reader.borrow(5);
  await reader.close();
  await reader.close();
  deepEqual(events, [
    { name: "reader.initialized", payload: {} },
    { name: "reader.get", payload: { duration_ms: 0, found: true } },
    { name: "reader.get", payload: { duration_ms: 0, found: false } },
    { name: "reader.multi_get", payload: { duration_ms: 0, num_keys: 3 } },
    { name: "reader.refreshed", payload: { changed: false } },
    { name: "reader.closed", payload: { num_handles: 1 } },
  ]);
  await handle[Symbol.asyncDispose]();
});

test("SnapshotReader refuses work after close(), but still describes itself", async () => {
  const reader = await opened(count(10), { rateLimit: { keysPerSecond: 1 } });
  const { info, shards } = reader;
  await reader.close();
  const closed = { code: "READER_STATE", message: "Cannot use the reader as it is closed" };
  for (let i = 0; i < 3; i++) await rejects(reader.get(1), closed);
  await rejects(reader.getMany([1]), closed);
  await rejects(reader.warm([1]), closed);
  await rejects(reader.refresh(), closed);
  await rejects(reader.borrowMany([1]), closed);
  await rejects(Array.fromAsync(reader.scan()), closed);
  await rejects(Array.fromAsync(reader.scanStream()), closed);
  throws(() => reader.borrow(1), closed);
  deepEqual(reader.info, info);
  deepEqual(reader.shards, shards);
  equal(reader.route(1), reader.route(1n));
  deepEqual({ ...reader.health(), manifestAgeMs: 0 }, {
    status: "unhealthy",
    manifestRef: info.manifestRef,
    manifestAgeMs: 0,
    shardCount: 3,
    isClosed: true,
  });
});

test("SnapshotReader.close() may be called by who receives its event", async () => {
  const holder: { reader?: SnapshotReader } = {};
  holder.reader = await opened([1], {
    onEvent({ name }) {
      if (name === "reader.closed") void holder.reader!.close();
    },
  });
  await holder.reader.close();
  equal(holder.reader.health().isClosed, true);
});

test("SnapshotReader.health() tells the age of the snapshot", async () => {
  const clock = new ManualClock();
  const store = memoryStore();
  const sharding = hashSharding({ shards: 1 });
  await writeSnapshot([1], { store, sharding, key: (id) => id, value: () => "v", clock });
  await using reader = await openSnapshot({ store, clock });
  clock.advance(5000);
  equal(Math.round(reader.health().manifestAgeMs), 5000);
  equal(reader.health().status, "healthy");
  equal(reader.health({ staleAfterMs: 6000 }).status, "healthy");
  equal(reader.health({ staleAfterMs: 4000 }).status, "degraded");
  for (const staleAfterMs of [-1, NaN, "5" as unknown as number]) {
    throws(() => reader.health({ staleAfterMs }), { code: "CONFIG_VALIDATION", path: "staleAfterMs" });
  }
});

test("SnapshotReader.warm() takes keys or shards", async () => {
  await using reader = await opened(count(10), { shards: 3 });
  await reader.warm([1, 2n]);
  await reader.warm(new Set<Key>());
  await reader.warm({ shards: [0, 2] });
  await rejects(reader.warm({ shards: [3] }), { code: "CONFIG_VALIDATION", path: "shard" });
  for (const wrong of ["12", Uint8Array.of(1), 5, null, {}]) {
    await rejects(reader.warm(wrong as unknown as Key[]), { code: "CONFIG_VALIDATION", path: "target" });
  }
});

test("SnapshotReader.borrow() and borrowMany() give handles on shards, by key", async () => {
  const reader = await opened(count(20), { shards: 40 });
  const handles = await reader.borrowMany([3, 4, 3, 1000]);
  deepEqual([...handles.keys()], [3, 4, 1000]);
  for (const [key, handle] of handles) {
    equal(handle.shardId, reader.route(key));
    equal(text(await handle.get(key)), key < 20 ? `<${key}>` : null);
    equal(text(await handle.get(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, key & 0xff))), key < 20 ? `<${key}>` : null);
    deepEqual((await handle.getMany([key, 555])).map(text), [key < 20 ? `<${key}>` : null, null]);
    deepEqual(await handle.getMany([]), []);
    await rejects(handle.get("3"), { code: "CONFIG_VALIDATION" });
    await rejects(handle.getMany([1, -1]), { code: "CONFIG_VALIDATION" });
  }
  throws(() => reader.borrow(0.5), { code: "CONFIG_VALIDATION" });
  await rejects(reader.borrowMany([1, 0.5]), { code: "CONFIG_VALIDATION" });
  for (const handle of handles.values()) await handle[Symbol.asyncDispose]();
  await reader.close();
});
