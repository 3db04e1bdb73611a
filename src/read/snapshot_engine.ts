/**
 * The engine of a snapshot: named by its manifest, or found by looking at a shard.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import type { JsonObject } from "../bytes/python_json.ts";
import { ConfigValidationError, ObjectNotFoundError, StoreError } from "../errors.ts";
import { backendOf } from "../registry.ts";
import { directoryOf, type Manifest, type ShardEntry } from "../snapshots/manifest.ts";
import { isVectorOnly } from "../snapshots/vector_fields.ts";
import type { ByteRange } from "../stores/store.ts";
import type { Requests } from "./requests.ts";
import { type FullShard, locateShard, type ShardObject, type ShardPlace } from "./shard_objects.ts";

/** What looking at a shard takes. */
export interface EnginePlace extends Pick<ShardPlace, "store">, Partial<Pick<ShardPlace, "resolveStore">> {
  /** Count what is asked, and limit it. */
  readonly requests?: Requests | undefined;
  readonly signal?: AbortSignal | undefined;
}

const SQLITE_FILE = "shard.db";
const SLATEDB_FILE = "manifest/00000000000000000001.manifest";
/** Files of SQLite are whole pages, whose length is a multiple of this. */
const PAGE_BYTES_MIN = 512;
const HEAD: ByteRange = { offset: 0, lengthBytes: 16 };

/**
 * The engine that a snapshot's shards are read with.
 *
 * Manifests of the Python package with neither sidecars nor vectors, or with vectors only, do not name it: one GET for
 * `shard.db` of a shard tells, and for rows another one for a manifest of SlateDB where that is missing. Where the
 * lengths of shards cannot be those of SQLite files the first one is saved.
 *
 * @throws {DbAdapterError} for an engine that this version does not have; the store's errors.
 */
export async function engineOf(manifest: Manifest, place: EnginePlace): Promise<Backend> {
  const { custom } = manifest;
  let name: string | null = null;
  if (isUnnamedVectors(manifest)) name = await isSqliteVec(manifest, place) ? null : "lancedb";
  else if (!isNamed(custom) && await isSlatedb(manifest, place)) name = "slatedb";
  return backendOf(name === null ? manifest : { custom: { ...custom, shardyfusion: { backend: { name } } } });
}

/** Whether the Python package wrote vectors without rows: then nothing in the manifest says which engine it took. */
function isUnnamedVectors(manifest: Manifest): boolean {
  const { shardyfusion, vector } = manifest.custom;
  return shardyfusion === undefined && isVectorOnly(manifest) && (vector as JsonObject)["backend"] === undefined;
}

async function isSqliteVec(manifest: Manifest, place: EnginePlace): Promise<boolean> {
  const shard = await anyShard(manifest, place.signal);
  if (shard === null) return true;
  const mayBeSqlite = manifest.shards.every(({ dbBytes }) => dbBytes % PAGE_BYTES_MIN === 0);
  return mayBeSqlite && await isThere(manifest, shard, { ...place, fileName: SQLITE_FILE });
}

/** Whether the manifest says of which engine the shards are. */
function isNamed({ shardyfusion, sqlite_sidecar: sidecar, vector }: JsonObject): boolean {
  return shardyfusion !== undefined || sidecar !== undefined || vector !== undefined;
}

async function isSlatedb(manifest: Manifest, place: EnginePlace): Promise<boolean> {
  const shard = await anyShard(manifest, place.signal);
  if (shard === null) return false;
  const mayBeSqlite = manifest.shards.every(({ dbBytes }) => dbBytes > 0 && dbBytes % PAGE_BYTES_MIN === 0);
  if (mayBeSqlite && await isThere(manifest, shard, { ...place, fileName: SQLITE_FILE })) return false;
  return await isThere(manifest, shard, { ...place, fileName: SLATEDB_FILE });
}

/** A shard that has rows; null when none has. */
async function anyShard(manifest: Manifest, signal: AbortSignal | undefined): Promise<FullShard | null> {
  const isFull = (shard: ShardEntry | null): shard is FullShard => typeof shard?.dbUrl === "string";
  const listed = manifest.shards.find(isFull);
  const directory = directoryOf(manifest);
  if (listed !== undefined || directory === undefined) return listed ?? null;
  const first = await directory.entry(0, signal);
  return isFull(first) ? first : null;
}

async function isThere(
  manifest: Manifest,
  shard: FullShard,
  { signal, requests, store, resolveStore, fileName }: EnginePlace & { readonly fileName: string },
): Promise<boolean> {
  let object: ShardObject;
  try {
    object = locateShard(manifest, shard, { store, resolveStore, fileName });
  } catch (error) {
    // Said again, and better, when the shard is opened.
    if (error instanceof ConfigValidationError) return fileName === SQLITE_FILE;
    throw error;
  }
  try {
    const counted = requests?.store(object.store) ?? object.store;
    await counted.getRanges(object.key, [HEAD], { signal });
    return true;
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return false;
    // It is shorter than that, but it is there.
    if (error instanceof StoreError && error.status === 416) return true;
    throw error;
  }
}
