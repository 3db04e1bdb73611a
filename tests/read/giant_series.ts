/**
 * Series whose snapshot has very many shards, of which a few are real, and a store that counts what is read.
 * @module
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hashSharding } from "../../src/routing/mod.ts";
import { hashRouter } from "../../src/routing/hash_router.ts";
import type { Manifest } from "../../src/snapshots/manifest.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { writeManifest } from "../../src/snapshots/write_manifest.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore, ReadableStore } from "../../src/stores/store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";

/** The keys of the series; their values are the keys in angle brackets. */
export const KEYS: readonly number[] = Array.from({ length: 12 }, (_, index) => 1000 + index);

/** A published series. */
export interface GiantSeries {
  readonly store: ObjectStore;
  /** The current manifest, and its object. */
  readonly manifest: Manifest;
  readonly key: string;
  readonly bytes: Uint8Array;
  /** Shards without row: the number of each is one below that of the shard of a key. */
  readonly empty: readonly number[];
}

/**
 * Publishes a snapshot of one shard, and in its place a manifest of many whose rows all name that shard's file: as it
 * holds all keys, each is found in whatever shard it is routed to.
 */
export async function giantSeries(shardCount: number, store: ObjectStore = memoryStore()): Promise<GiantSeries> {
  const { manifestRef } = await writeSnapshot(KEYS, {
    store,
    sharding: hashSharding({ shards: 1 }),
    key: (key) => key,
    value: (key) => `<${key}>`,
  });
  const small = await objectManifestStore(store).loadManifest(manifestRef);
  const router = hashRouter(shardCount);
  const full = new Set(KEYS.map((key) => router.route(key)));
  const empty = [...full].map((shardId) => shardId - 1).filter((shardId) => shardId >= 0 && !full.has(shardId));
  const shards = Array.from({ length: shardCount }, (_, shardId) => ({ ...small.shards[0]!, shardId }))
    .filter(({ shardId }) => !empty.includes(shardId));
  const manifest = { ...small, shardCount, shards };
  const bytes = await writeManifest(manifest);
  const key = manifestRef.slice(store.url.length + 1);
  await store.put(key, bytes);
  return { store, manifest, key, bytes, empty };
}

/** Keys of the series or not, each of another shard. */
export function keysOfShards(count: number, shardCount: number): number[] {
  const router = hashRouter(shardCount);
  const keys = new Map<number, number>();
  for (let key = 5000; keys.size < count; key++) keys.set(router.route(key), key);
  return [...keys.values()];
}

/** What was asked of a store. */
export interface Counts {
  gets: number;
  bytes: number;
}

/** The same store for reading; counts GETs, and the bytes of bodies that were read. */
export function counted(inner: ReadableStore): ReadableStore & { readonly counts: Counts } {
  const counts = { gets: 0, bytes: 0 };
  return {
    counts,
    url: inner.url,
    async get(key, options) {
      counts.gets++;
      const { etag, sizeBytes, body, ...others } = await inner.get(key, options);
      const bytes = others.bytes;
      return {
        etag,
        sizeBytes,
        body,
        bytes() {
          counts.bytes += sizeBytes;
          return bytes();
        },
      };
    },
    async getRanges(key, ranges, options) {
      counts.gets += ranges.length;
      const stored = await inner.getRanges(key, ranges, options);
      counts.bytes += stored.parts.reduce((sum, part) => sum + part.length, 0);
      return stored;
    },
  };
}

/** What SQLite makes of a database file when it runs statements on it. */
export function changedBySqlite(bytes: Uint8Array, statements: string): Uint8Array {
  const { DatabaseSync } = createRequire(import.meta.url)("node:sqlite");
  const folder = mkdtempSync(join(tmpdir(), "shardyfusion-"));
  try {
    const path = join(folder, "manifest");
    writeFileSync(path, bytes);
    const database = new DatabaseSync(path);
    database.exec(statements);
    database.close();
    return new Uint8Array(readFileSync(path));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The file as the Python package would have written it: without digests. */
export function asPython(bytes: Uint8Array): Uint8Array {
  return changedBySqlite(bytes, "UPDATE build_meta SET custom = '{}'; UPDATE shards SET writer_info = '{}'; VACUUM");
}
