// P7: a wrong byte is an error, never a value. Judge: the rows that were written; every answer is compared with them.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { nativeSqliteBackend } from "../../src/backends/native_sqlite_backend.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import type { JsonObject } from "../../src/bytes/python_json.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { OpenSnapshotOptions } from "../../src/read/read_options.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { seriesInMemory, temporaryFolder } from "./fixture_snapshots.ts";

const isSoak = process.env["SHARDYFUSION_SOAK"] === "1";
const ROWS = 60;

async function published(rowCount = ROWS, backend = sqliteBackend()): Promise<ObjectStore> {
  const store = memoryStore();
  await writeSnapshot(Array.from({ length: rowCount }, (_, id) => id), {
    store,
    sharding: hashSharding({ shards: 2 }),
    key: (id) => id,
    value: (id) => `value ${id}`,
    backend,
  });
  return store;
}

/** `"right"` when every key, a missing key and a scan read as they were written, else the code of the error. */
async function outcomeOf(options: OpenSnapshotOptions): Promise<string> {
  try {
    await using reader = await openSnapshot(options);
    const values = await reader.getMany(Array.from({ length: ROWS + 1 }, (_, id) => id));
    const texts = Array.from(values.values(), (value) => value && new TextDecoder().decode(value));
    deepEqual(texts, Array.from({ length: ROWS + 1 }, (_, id) => id < ROWS ? `value ${id}` : null));
    equal((await Array.fromAsync(reader.scan())).length, ROWS);
    return "right";
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === "ERR_ASSERTION" || typeof code !== "string") throw error;
    return code;
  }
}

async function keysLike(store: ObjectStore, part: string): Promise<string[]> {
  const entries = (await Array.fromAsync(store.list(""))).flat();
  return entries.map(({ key }) => key).filter((key) => key.includes(part));
}

async function bytesOf(store: ObjectStore, key: string): Promise<Uint8Array> {
  return await (await store.get(key)).bytes();
}

function flipped(bytes: Uint8Array, index: number, mask: number): Uint8Array {
  const copy = bytes.slice();
  copy[index]! ^= mask;
  return copy;
}

/** All places of a small file in a soak, else some of them, other ones in each part of the file. */
function places(lengthBytes: number, count: number): number[] {
  if (isSoak) return Array.from({ length: lengthBytes }, (_, index) => index);
  return Array.from({ length: count }, (_, index) => Math.floor((index + (index % 7) / 7) * lengthBytes / count));
}

/** Bytes that are in use: a few that are zero, and of the others some. */
function likelyPlaces(bytes: Uint8Array, count: number): number[] {
  const used = Array.from(bytes.keys()).filter((index) => bytes[index] !== 0 || index % 4096 < 16);
  return places(used.length, count).map((at) => used[at]!);
}

test("openSnapshot() P7: a flipped byte anywhere in a shard is CorruptFileError in memory", async () => {
  const store = await published();
  const [key] = await keysLike(store, "shard.db");
  const good = await bytesOf(store, key!);
  for (let index = 0; index < good.length; index += isSoak ? 1 : 13) {
    await store.put(key!, flipped(good, index, 1 << index % 8));
    await rejects(openSnapshot({ store, access: "memory" }), { code: "CORRUPT_FILE" }, `byte ${index}`);
  }
  await store.put(key!, good);
  equal(await outcomeOf({ store, access: "memory" }), "right");
});

test("openSnapshot() P7: a flipped byte anywhere in a shard is CorruptFileError when downloaded", async () => {
  using folder = temporaryFolder();
  const store = await published();
  const options = { store, access: "download", cacheDir: folder.path } as const;
  const [key] = await keysLike(store, "shard.db");
  const good = await bytesOf(store, key!);
  for (const index of places(good.length, 120)) {
    await store.put(key!, flipped(good, index, 0x80));
    await rejects(openSnapshot(options), { code: "CORRUPT_FILE" }, `byte ${index}`);
  }
  await store.put(key!, good);
  equal(await outcomeOf(options), "right");
  deepEqual(readdirSync(join(folder.path, "shard=00000")).sort(), ["shard.db", "shard.identity.json"]);
});

test("openSnapshot() P7: a shard that is cut, extended, empty or another one is CorruptFileError", async () => {
  using folder = temporaryFolder();
  const store = await published();
  const [key, otherKey] = await keysLike(store, "shard.db");
  const good = await bytesOf(store, key!);
  const others = [
    ...[0, 1, 99, 100, 4095, 4096, good.length - 4096, good.length - 1].map((length) => good.subarray(0, length)),
    ...[1, 4096].map((more) => new Uint8Array([...good, ...new Uint8Array(more)])),
    await bytesOf(store, otherKey!),
  ];
  for (const bad of others) {
    await store.put(key!, bad);
    for (const access of ["memory", "download"] as const) {
      await rejects(openSnapshot({ store, access }), { code: "CORRUPT_FILE" });
      await rejects(openSnapshot({ store, access, cacheDir: folder.path }), { code: "CORRUPT_FILE" });
    }
  }
});

test("openSnapshot() P7: damage in a cached file is found and the file downloaded again", async () => {
  using folder = temporaryFolder();
  const store = await published();
  const options = { store, access: "download", cacheDir: folder.path } as const;
  await (await openSnapshot(options)).close();
  const path = join(folder.path, "shard=00001", "shard.db");
  const good = new Uint8Array(readFileSync(path));
  const damaged = [
    ...places(good.length, 60).map((index) => flipped(good, index, 1)),
    good.subarray(0, good.length - 1),
    new Uint8Array(0),
    new Uint8Array([...good, 0]),
  ];
  for (const bad of damaged) {
    writeFileSync(path, bad);
    await using reader = await openSnapshot(options);
    equal(reader.stats().requests, 3);
    equal(await outcomeOf(options), "right");
    deepEqual(new Uint8Array(readFileSync(path)), good);
  }
  writeFileSync(join(folder.path, "shard=00001", "shard.identity.json"), "{");
  equal(await outcomeOf(options), "right");
});

test("openSnapshot() P7: a cached file of the Python package, which has no digest, is replaced when it cannot be opened", async () => {
  using folder = temporaryFolder();
  const store = await seriesInMemory("hash_u32");
  const options = { store, access: "download", cacheDir: folder.path } as const;
  await (await openSnapshot(options)).close();
  const path = join(folder.path, "shard=00002", "shard.db");
  const good = readFileSync(path);
  writeFileSync(path, new Uint8Array(good.length));
  await using reader = await openSnapshot(options);
  equal(reader.stats().requests, 3);
  deepEqual(readFileSync(path), good);
});

test("openSnapshot() P7: a flipped byte in the manifest is an error, or the snapshot reads right", async () => {
  const store = await published();
  const [key] = await keysLike(store, "manifests/");
  const good = await bytesOf(store, key!);
  const counts = new Map<string, number>();
  const masks = isSoak ? [1, 2, 4, 8, 16, 32, 64, 128] : [1, 16];
  // Rows lie at the end of a page, what describes them at its beginning.
  for (const index of isSoak ? places(good.length, 0) : likelyPlaces(good, 450)) {
    for (const mask of masks) {
      await store.put(key!, flipped(good, index, mask));
      const outcome = await outcomeOf({ store });
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    }
  }
  // The one snapshot that there is has no older one to fall back to.
  deepEqual([...counts.keys()].sort(), ["READER_STATE", "right"]);
});

test("openSnapshot() P7: a flipped byte in the manifest falls back to the older snapshot, or reads right", async () => {
  const store = await published(ROWS);
  const [oldKey] = await keysLike(store, "manifests/");
  await writeSnapshot([-1], { store, sharding: hashSharding({ shards: 1 }), key: () => 5, value: () => "newer" });
  const key = (await keysLike(store, "manifests/")).find((other) => other !== oldKey)!;
  const good = await bytesOf(store, key);
  let fallbacks = 0;
  for (const index of places(good.length, 150)) {
    await store.put(key, flipped(good, index, 4));
    await using reader = await openSnapshot({ store });
    const value = new TextDecoder().decode((await reader.get(5))!);
    equal(value, reader.info.manifestRef.endsWith(key) ? "newer" : "value 5");
    equal(reader.info.warnings.length, value === "newer" ? 0 : 1);
    fallbacks += reader.info.warnings.length;
  }
  ok(fallbacks > 10);
});

test("openSnapshot() P7: a flipped byte in the pointer is an error, or the snapshot reads right", async () => {
  const store = await published();
  const good = await bytesOf(store, "_CURRENT");
  for (let index = 0; index < good.length; index++) {
    for (const mask of isSoak ? [1, 2, 4, 8, 16, 32, 64, 128] : [1, 0x20]) {
      await store.put("_CURRENT", flipped(good, index, mask));
      const outcome = await outcomeOf({ store });
      ok(["right", "MANIFEST_PARSE", "OBJECT_NOT_FOUND", "CONFIG_VALIDATION"].includes(outcome), outcome);
    }
  }
});

test("openSnapshot() P7: records of a digest that are wrong do not pass for none", async () => {
  const store = await published();
  const manifests = objectManifestStore(store);
  const pointer = await manifests.loadCurrent();
  const manifest = await manifests.loadManifest(pointer!.ref);
  const records: JsonObject[] = [
    { objects: [] },
    { objects: [{ name: "other.db", size_bytes: 4096, xxh3_64: "0".repeat(16) }] },
    { objects: [{ name: "shard.db", size_bytes: -1, xxh3_64: "0".repeat(16) }] },
    { objects: [{ name: "shard.db", size_bytes: 4096, xxh3_64: "0" }] },
    { objects: [{ name: "shard.db", size_bytes: 4096, xxh3_64: "0".repeat(16), rotated_bytes: 4097 }] },
    { objects: {} },
  ];
  for (const record of records) {
    const shards = manifest.shards.map((shard) => ({
      ...shard,
      writerInfo: { ...shard.writerInfo, shardyfusion: record },
    }));
    await manifests.publish({ ...manifest, runId: crypto.randomUUID(), shards }, await manifests.loadCurrent());
    await rejects(openSnapshot({ store }), { code: "CORRUPT_FILE" }, JSON.stringify(record));
  }
});

test("openSnapshot() P7 holds for the native engine as well", async () => {
  using folder = temporaryFolder();
  const backend = nativeSqliteBackend();
  const store = await published(ROWS, backend);
  const options = { store, backend, access: "download", cacheDir: folder.path } as const;
  equal(await outcomeOf(options), "right");
  const [key] = await keysLike(store, "shard.db");
  const good = await bytesOf(store, key!);
  await store.put(key!, flipped(good, good.length - 1, 1));
  await rejects(openSnapshot({ store, backend, access: "download" }), { code: "CORRUPT_FILE" });
  equal(await outcomeOf(options), "right"); // It is cached.
  ok(existsSync(join(folder.path, "shard=00000", "shard.db")));
});
