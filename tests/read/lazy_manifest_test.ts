/** Judges: SQLite, which changes manifests; counts at the store; byte flips. */
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import type { Backend, ShardReader } from "../../src/backends/backend.ts";
import { ShardyfusionError } from "../../src/errors.ts";
import { openSnapshot as openAtEdge } from "../../src/edge/edge_snapshot.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { hashRouter } from "../../src/routing/hash_router.ts";
import type { Manifest } from "../../src/snapshots/manifest.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ReadableStore } from "../../src/stores/store.ts";
import { asPython, changedBySqlite, counted, giantSeries, KEYS, keysOfShards } from "./giant_series.ts";
import { watchedStore } from "../snapshots/watched_store.ts";
import { count, published, text } from "./small_snapshots.ts";

const GIANT = 100_000;
const LARGE = 10_500;
const isSoak = process.env["SHARDYFUSION_SOAK"] === "1";
// Here, where no test's time is measured.
const giant = await giantSeries(GIANT);
/** Manifests of about this many shards are the smallest that are not read whole, and quick to make. */
const large = await giantSeries(LARGE);
const small = await giantSeries(9999);

/** A series of the same shards whose manifest is another file. */
function withManifest(bytes: Uint8Array): ReadableStore {
  const { store, key } = large;
  return {
    ...counted(store),
    async get(asked, options) {
      const stored = await store.get(asked, options);
      if (asked !== key) return stored;
      const body = new ReadableStream<Uint8Array<ArrayBuffer>>();
      return { etag: '"m"', sizeBytes: bytes.length, body, bytes: () => Promise.resolve(bytes.slice()) };
    },
    async getRanges(asked, ranges, options) {
      if (asked !== key) return await store.getRanges(asked, ranges, options);
      const parts = ranges.map(({ offset, lengthBytes }) => bytes.slice(offset, offset + lengthBytes));
      return { etag: '"m"', sizeBytes: bytes.length, parts };
    },
  };
}

test("openSnapshot() opens 100,000 shards with three GETs, and finds each with two or three more", async () => {
  const { store: inner, empty, manifest, bytes } = giant;
  ok(bytes.length > 50_000_000);
  const store = counted(inner);
  await using reader = await openSnapshot({ store });
  deepEqual([store.counts.gets, store.counts.bytes < 100_000], [3, true]);
  equal(reader.stats().bytesRead, store.counts.bytes);
  const { isLazy, access, rowCount, sizeBytes, shardCount } = reader.info;
  deepEqual([isLazy, access, shardCount], [true, "range", GIANT]);
  equal(rowCount, manifest.shards.length * KEYS.length);
  equal(sizeBytes, manifest.shards.length * manifest.shards[0]!.dbBytes);
  store.counts.gets = store.counts.bytes = 0;
  equal(text(await reader.get(KEYS[0]!)), `<${KEYS[0]}>`);
  // Of the manifest: interior pages and a leaf; of the shard: sidecar, guard and a leaf.
  ok(store.counts.gets <= 7 && store.counts.bytes < 300_000, JSON.stringify(store.counts));
  for (const key of KEYS) equal(text(await reader.get(key)), `<${key}>`);
  store.counts.gets = 0;
  const files = { dbUrl: null, guardBytes: null, sidecarBytes: null };
  const emptyShard = { rowCount: 0, sizeBytes: 0, minKey: null, maxKey: null, ...files };
  deepEqual(await reader.shard(empty[0]!), { shardId: empty[0], ...emptyShard });
  equal(store.counts.gets, 0);
  const keys = keysOfShards(500, GIANT);
  while (keys.length > 0) {
    const values = await reader.getMany(keys.splice(0, 10));
    ok([...values.values()].every((value) => value === null));
  }
  // A block of the manifest, sidecar and guard; blocks that hold several of the shards are read once or twice.
  ok(store.counts.gets <= 500 * 3 + 3, JSON.stringify(store.counts));
});

test("KeyReader of a lazy snapshot holds 4,096 shards at most, and closes them", async () => {
  const { store } = large;
  let openCount = 0;
  let openMax = 0;
  const opened: number[] = [];
  const backend: Backend = {
    ...sqliteBackend(),
    // deno-lint-ignore require-await -- opening sends nothing
    async openShard(file) {
      opened.push(file.kind === "remote" ? file.shard.sizeBytes : 0);
      openMax = Math.max(openMax, ++openCount);
      return {
        get: () => null,
        getMany: (keys) => Promise.resolve(keys.map(() => null)),
        async *scan() {},
        [Symbol.asyncDispose]: () => Promise.resolve(void openCount--),
      };
    },
  };
  const reader = await openSnapshot({ store, backend, access: "range" });
  const keys = keysOfShards(5000, LARGE);
  for (let start = 0; start < keys.length; start += 100) await reader.getMany(keys.slice(start, start + 100));
  ok(openMax >= 4096 && openMax < 4096 + 100 && openCount <= 4096, `${openMax} shards were open, ${openCount} are`);
  const openedCount = opened.length;
  await reader.getMany(keys.slice(-1000));
  equal(opened.length, openedCount);
  await reader.getMany(keys.slice(0, 10));
  ok(opened.length > openedCount);
  await reader.close();
  equal(openCount, 0);
});

test("RemoteSqliteShard that is let go of goes on with lookups that have begun, and with later ones", async () => {
  const { store } = large;
  const shards: ShardReader[] = [];
  const backend: Backend = {
    ...sqliteBackend(),
    async openShard(file) {
      const shard = await sqliteBackend().openShard(file);
      shards.push(shard);
      return shard;
    },
  };
  await using reader = await openSnapshot({ store, backend, access: "range" });
  for (const rounds of [0, 1, 2, 3, 5, 8, 13, 21, 34, 55]) {
    const values = KEYS.map((key) => reader.get(key));
    for (let round = 0; round < rounds; round++) await Promise.resolve();
    for (const shard of shards) await shard[Symbol.asyncDispose]();
    deepEqual((await Promise.all(values)).map(text), KEYS.map((key) => `<${key}>`));
  }
});

test("KeyReader of a lazy snapshot gives the same as one that knows all shards", async () => {
  const { store, empty, manifest } = large;
  await using reader = await openSnapshot({ store, access: "range" });
  await using whole = await openSnapshot({
    store,
    manifestStore: {
      loadCurrent: (options) => objectManifestStore(store).loadCurrent(options),
      loadManifest: (ref) => objectManifestStore(store).loadManifest(ref),
    },
    access: "range",
  });
  deepEqual(reader.info, { ...whole.info, isLazy: true });
  throws(() => reader.shards, { code: "READER_STATE", message: /reader\.shard\(/ });
  for (const shardId of [0, 1, LARGE - 1, ...empty]) {
    deepEqual(await reader.shard(shardId), whole.shards[shardId]);
    deepEqual(await whole.shard(shardId), whole.shards[shardId]);
  }
  for (const shardId of [-1, 0.5, LARGE]) await rejects(reader.shard(shardId), { code: "CONFIG_VALIDATION" });
  const keys = [...KEYS, ...keysOfShards(50, LARGE)];
  deepEqual(await reader.getMany(keys), await whole.getMany(keys));
  equal((await Array.fromAsync(reader.scan({ limit: 30 }))).length, 30);
  deepEqual(await Array.fromAsync(reader.scan({ shard: empty[0]! })), []);
  equal((await Array.fromAsync(reader.scan({ shard: manifest.shards[7]!.shardId }))).length, KEYS.length);
  await reader.warm({ shards: [1, 2, empty[0]!] });
  await using handle = reader.borrow(KEYS[3]!);
  await reader.close();
  equal(text(await handle.get(KEYS[3]!)), `<${KEYS[3]}>`);
  await rejects(reader.shard(1), { code: "READER_STATE" });
});

test("openSnapshot() at the edge reads manifests whole, of however many shards", async () => {
  const store = counted(large.store);
  await using reader = await openAtEdge({ store });
  deepEqual([store.counts.gets, reader.info.isLazy], [2, false]);
  equal(text(await reader.get(KEYS[5]!)), `<${KEYS[5]}>`);
});

test("openSnapshot() reads manifests whole of up to 10,000 shards", async () => {
  const store = counted(small.store);
  await using reader = await openSnapshot({ store, access: "range" });
  deepEqual([reader.info.isLazy, reader.shards.length, store.counts.gets], [false, 9999, 4]);
  equal(text(await reader.get(KEYS[0]!)), `<${KEYS[0]}>`);
});

test("openSnapshot() reads manifests whole where whole shards are read", async () => {
  const { store: inner, key } = large;
  // This engine cannot read ranges, so that "auto" must take whole files.
  const backend: Backend = { ...sqliteBackend(), opens: ["memory"] };
  for (const options of [{ access: "memory" }, { backend }] as const) {
    const asked: string[] = [];
    const store = watchedStore(inner, {
      onRequest(request, send) {
        const isShard = request.key !== key && request.key !== "_CURRENT";
        asked.push(isShard ? "shard" : request.method);
        return isShard ? Promise.reject(new Error("enough was seen")) : send();
      },
    });
    await rejects(openSnapshot({ store, concurrencyMax: 1, ...options }), /enough was seen/);
    deepEqual(asked, ["get", "get", "shard"]);
  }
});

test("KeyReader.get() P7 finds rows that were lost from a manifest of ours", async () => {
  const { bytes } = large;
  const lost = hashRouter(LARGE).route(KEYS[0]!);
  const store = withManifest(changedBySqlite(bytes, `DELETE FROM shards WHERE db_id = ${lost}`));
  await using reader = await openSnapshot({ store, access: "range", fallbackAttempts: 0 });
  const refused = { code: "MANIFEST_PARSE", message: new RegExp(`the row of shard ${lost} is missing`) };
  await rejects(reader.get(KEYS[0]!), refused);
  await rejects(reader.getMany(KEYS), refused);
  await rejects(reader.shard(lost), refused);
  equal(text(await reader.get(KEYS[1]!)), `<${KEYS[1]}>`);
});

test("KeyReader.get() P7 finds rows that took another one's place", async () => {
  const { bytes, empty } = large;
  const [one, other] = KEYS.map((key) => hashRouter(LARGE).route(key));
  for (
    const change of [
      `UPDATE shards SET writer_info = (SELECT writer_info FROM shards WHERE db_id = ${other}) WHERE db_id = ${one}`,
      `UPDATE shards SET db_url = db_url || 'x' WHERE db_id = ${one}`,
      `DELETE FROM shards WHERE db_id = ${one}; UPDATE shards SET db_id = ${one} WHERE db_id = ${other}`,
      `UPDATE shards SET writer_info = '{}' WHERE db_id = ${one}`,
    ]
  ) {
    const store = withManifest(changedBySqlite(bytes, change));
    await using reader = await openSnapshot({ store, access: "range", fallbackAttempts: 0 });
    await rejects(reader.get(KEYS[0]!), { code: "MANIFEST_PARSE" });
  }
  for (const change of [`num_dbs = ${LARGE + 1}`, `custom = replace(custom, '${empty[0]}', '${empty[0]! + 1}')`]) {
    const store = withManifest(changedBySqlite(bytes, `UPDATE build_meta SET ${change}`));
    await rejects(openSnapshot({ store, access: "range", fallbackAttempts: 0 }), { code: "MANIFEST_PARSE" });
  }
});

test("KeyReader.get() P7 of a lazy manifest with a flipped byte gives the value or an error", async () => {
  const { store: inner, key: manifestKey, bytes } = large;
  const read = new Set<number>();
  let flippedAt = -1;
  const store: ReadableStore = {
    url: inner.url,
    async get(key, options) {
      const stored = await inner.get(key, options);
      if (key !== manifestKey || flippedAt < 0) return stored;
      const { etag, sizeBytes, body } = stored;
      const flipped = async (): Promise<Uint8Array<ArrayBuffer>> => {
        const whole = await stored.bytes();
        whole[flippedAt]! ^= 4;
        return whole;
      };
      return { etag, sizeBytes, body, bytes: flipped };
    },
    async getRanges(key, ranges, options) {
      const stored = await inner.getRanges(key, ranges, options);
      if (key !== manifestKey) return stored;
      ranges.forEach(({ offset, lengthBytes }, index) => {
        read.add(offset);
        if (flippedAt >= offset && flippedAt < offset + lengthBytes) stored.parts[index]![flippedAt - offset]! ^= 4;
      });
      return stored;
    },
  };
  const key = KEYS[2]!;
  async function look(): Promise<"value" | "error"> {
    try {
      await using reader = await openSnapshot({ store, access: "range", fallbackAttempts: 0 });
      equal(text(await reader.get(key)), `<${key}>`);
      return "value";
    } catch (error) {
      if (error instanceof ShardyfusionError) return "error";
      throw error;
    }
  }
  equal(await look(), "value");
  const blocks = [...read];
  ok(blocks.length >= 3 && blocks.length <= 5);
  const outcomes = { value: 0, error: 0 };
  // Of each page that was read its first bytes, which say most, and some of the others; of the head more of them.
  for (const block of blocks) {
    const end = Math.min(block + 65536, bytes.length);
    for (let page = block; page < end; page += 4096) {
      const step = isSoak ? 7 : page < 8192 ? 41 : 2039;
      for (const offset of [...count(8), ...count(Math.floor(4088 / step)).map((index) => 8 + index * step)]) {
        flippedAt = page + offset;
        outcomes[await look()]++;
      }
    }
  }
  ok(outcomes.error > 30 && outcomes.value > 30, JSON.stringify(outcomes));
});

test("openSnapshot() reads lazy manifests of the Python package, in which shards without row are empty", async () => {
  const { bytes, empty } = large;
  const python = asPython(changedBySqlite(bytes, `UPDATE shards SET db_url = NULL WHERE db_id = 3`));
  // Without digests 10,500 rows would be short enough to be read whole.
  const store = withManifest(changedBySqlite(python, "CREATE TABLE padding AS SELECT zeroblob(2000000) AS x"));
  await using reader = await openSnapshot({ store, access: "auto" });
  const { isLazy, rowCount, sizeBytes, access } = reader.info;
  deepEqual({ isLazy, rowCount, sizeBytes, access }, {
    isLazy: true,
    rowCount: null,
    sizeBytes: null,
    access: "range",
  });
  for (const key of KEYS) equal(text(await reader.get(key)), `<${key}>`);
  equal((await reader.shard(empty[0]!)).dbUrl, null);
  equal((await reader.shard(3)).dbUrl, null);
  equal(
    await reader.get(keysOfShards(LARGE / 2, LARGE).find((key) => hashRouter(LARGE).route(key) === 3) ?? 1),
    null,
  );
});

test("KeyReader.refresh() goes from whole manifests to lazy ones and back", async () => {
  const store = await published(count(10));
  const manifests = objectManifestStore(store);
  const small = (await manifests.loadCurrent())!;
  await using reader = await openSnapshot({ store, access: "range" });
  equal(reader.info.isLazy, false);
  const { ref } = await manifests.publish(await giantManifest(store), small);
  equal(await reader.refresh(), true);
  deepEqual([reader.info.isLazy, reader.info.manifestRef], [true, ref]);
  equal(text(await reader.get(KEYS[1]!)), `<${KEYS[1]}>`);
  equal(await reader.get(1), null);
  await manifests.setCurrent(small.ref, await manifests.loadCurrent());
  equal(await reader.refresh(), true);
  deepEqual([reader.info.isLazy, text(await reader.get(1))], [false, "<1>"]);
  await using pinned = await openSnapshot({ store, pin: ref });
  deepEqual([pinned.info.isLazy, text(await pinned.get(KEYS[1]!))], [true, `<${KEYS[1]}>`]);
});

/** The manifest of the large series, whose shards are copied into another store. */
async function giantManifest(store: ReturnType<typeof memoryStore>): Promise<Manifest> {
  const { manifest, store: from } = large;
  for await (const entries of from.list("shards/")) {
    for (const { key } of entries) await store.put(key, await (await from.get(key)).bytes());
  }
  return manifest;
}

test("KeyReader.get() P1 refuses rows of a manifest that was replaced", async () => {
  const { store, key, bytes } = large;
  const copy = memoryStore();
  for await (const entries of store.list("")) {
    for (const entry of entries) await copy.put(entry.key, await (await store.get(entry.key)).bytes());
  }
  await using reader = await openSnapshot({ store: copy, access: "range" });
  await copy.put(key, bytes);
  await rejects(reader.get(KEYS[0]!), { code: "STORE", status: 412 });
});

test("KeyReader.get() of a lazy snapshot shares requests, and leaves when it is aborted", async () => {
  const store = counted(large.store);
  await using reader = await openSnapshot({ store, access: "range" });
  const leaving = new AbortController();
  const left = rejects(reader.get(KEYS[0]!, { signal: leaving.signal }), /enough/);
  const others = [1, 2, 3].map(() => reader.get(KEYS[0]!));
  leaving.abort(new Error("enough"));
  await left;
  deepEqual((await Promise.all(others)).map(text), new Array(3).fill(`<${KEYS[0]}>`));
  ok(store.counts.gets <= 3 + 7, JSON.stringify(store.counts));
});
