/**
 * Small snapshots, and ways to damage them.
 * @module
 */
import { equal } from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createXXHash3 } from "hash-wasm";
import {
  hashSharding,
  type Manifest,
  type ProblemKind,
  type ShardEntry,
  type SnapshotReport,
  writeSnapshot,
  type WriteSnapshotOptions,
} from "../../mod.ts";
import type { JsonObject } from "../../src/bytes/python_json.ts";
import { readManifest } from "../../src/snapshots/read_manifest.ts";
import { writeManifest } from "../../src/snapshots/write_manifest.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";

/** Three shards of numbers. */
export const base = {
  sharding: hashSharding({ shards: 3 }),
  key: (row: number) => row,
  value: (row: number) => `value ${row}`,
};
export const rowsOf = (count: number) => Array.from({ length: count }, (_, row) => row);

export async function published(
  rowCount = 300,
  change: Partial<WriteSnapshotOptions<number>> = {},
): Promise<ObjectStore> {
  const store = memoryStore();
  await writeSnapshot(rowsOf(rowCount), { store, ...base, ...change });
  return store;
}

export async function keysLike(store: ObjectStore, part: string): Promise<string[]> {
  const entries = (await Array.fromAsync(store.list(""))).flat();
  return entries.map(({ key }) => key).filter((key) => key.includes(part));
}

export async function bytesOf(store: ObjectStore, key: string): Promise<Uint8Array<ArrayBuffer>> {
  return await (await store.get(key)).bytes();
}

/** Changes the one object whose key has `part` in it, the first of several. */
export async function change(
  store: ObjectStore,
  part: string,
  edit: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array,
): Promise<string> {
  const [key] = await keysLike(store, part);
  await store.put(key!, edit(await bytesOf(store, key!)));
  return key!;
}

/** The store, which calls something when the first bytes of a shard's file have come. */
export function slowly(
  store: ObjectStore,
  onBytes: () => void,
  statedBytes: (bytes: Uint8Array) => number = (bytes) => bytes.length,
): ObjectStore {
  const get: ObjectStore["get"] = async (key, options) => {
    const stored = await store.get(key, options);
    if (!key.endsWith("shard.db")) return stored;
    const bytes = await stored.bytes();
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      async start(controller) {
        controller.enqueue(bytes.subarray(0, 100));
        await Promise.resolve();
        onBytes();
        controller.enqueue(bytes.subarray(100));
        controller.close();
      },
    });
    return { etag: stored.etag, sizeBytes: statedBytes(bytes), body, bytes: () => Promise.resolve(bytes) };
  };
  return new Proxy(store, {
    get: (target, name) => name === "get" ? get : Reflect.get(target, name, target).bind?.(target) ?? target.url,
  });
}

export function flippedAt(index: number): (bytes: Uint8Array<ArrayBuffer>) => Uint8Array {
  return (bytes) => {
    bytes[index < 0 ? bytes.length + index : index]! ^= 0x10;
    return bytes;
  };
}

export function kindsOf({ problems, isSound, problemCount }: SnapshotReport): ProblemKind[] {
  equal(isSound, problems.length === 0);
  equal(problemCount, problems.length);
  return [...new Set(problems.map(({ kind }) => kind))].sort();
}

export async function editManifest(store: ObjectStore, edit: (manifest: Manifest) => Manifest): Promise<void> {
  const [key] = await keysLike(store, "manifests/");
  await store.put(key!, await writeManifest(edit(await readManifest(await bytesOf(store, key!), key!))));
}

export function editShards(store: ObjectStore, edit: (shard: ShardEntry) => ShardEntry): Promise<void> {
  return editManifest(store, (manifest) => ({ ...manifest, shards: manifest.shards.map(edit) }));
}

export async function withFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-verify-test-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Changes a shard's file by SQLite, and the manifest so that it records the new file. */
export async function editShardFile(
  store: ObjectStore,
  key: string,
  edit: (database: DatabaseSync) => void,
): Promise<void> {
  await withFolder(async (folder) => {
    const path = join(folder, "shard.db");
    await writeFile(path, await bytesOf(store, key));
    const database = new DatabaseSync(path);
    edit(database);
    database.close();
    const bytes = new Uint8Array(await readFile(path));
    await store.put(key, bytes);
    const digest = (await createXXHash3()).init().update(bytes).digest("hex");
    const own = (distinctRows: number): JsonObject => ({
      distinct_rows: distinctRows,
      objects: [{ name: "shard.db", size_bytes: bytes.length, xxh3_64: digest, rotated_bytes: 0 }],
    });
    const count = new DatabaseSync(path, { readOnly: true });
    const rows = Number(count.prepare("SELECT count(*) AS n FROM kv").get()!["n"]);
    count.close();
    await editShards(store, (shard) => {
      if (!shard.dbUrl!.endsWith(key.replace(/\/shard\.db$/, ""))) return shard;
      const writerInfo = { ...shard.writerInfo, shardyfusion: own(rows) };
      return { ...shard, rowCount: rows, dbBytes: bytes.length, minKey: null, maxKey: null, writerInfo };
    });
  });
}
