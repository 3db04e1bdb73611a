/**
 * A shard's file in the store, and how to tell that it is whole.
 * @module
 */
import type { ObjectDigest } from "../backends/backend.ts";
import { xxh3Hex } from "../bytes/xxh3.ts";
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";
import { ConfigValidationError, CorruptFileError } from "../errors.ts";
import { keyUnder } from "../snapshots/layout.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { Manifest, ShardEntry } from "../snapshots/manifest.ts";
import type { ReadableStore } from "../stores/store.ts";

/** What the manifest says of all shards. */
export type SnapshotFacts = Pick<Manifest, "s3Prefix" | "keyEncoding" | "custom">;

/** A shard that has rows. */
export type FullShard = ShardEntry & { readonly dbUrl: string };

/** Where the file of a shard lies, and what it must be. */
export interface ShardObject {
  readonly shardId: number;
  readonly store: ReadableStore;
  readonly key: string;
  /** For errors. */
  readonly url: string;
  /** Length that the manifest states. */
  readonly sizeBytes: number;
  readonly keyEncoding: KeyEncoding;
  /** The file's own digest; undefined where the writer recorded none, as the Python package does. */
  readonly digest: ObjectDigest | undefined;
  /** All that is recorded about objects in the shard's folder, the file first; undefined where nothing is. */
  readonly objects: readonly ObjectDigest[] | undefined;
  /** What the manifest says of sidecars; undefined where it does not speak of any. */
  readonly sidecar: { readonly pageSizeBytes: number | undefined } | undefined;
  /** What tells this version of the shard from others. */
  readonly identity: { readonly dbUrl: string; readonly checkpointId: string | null };
}

/** What finding a shard takes beside the manifest. */
export interface ShardPlace {
  /** Where the manifest was read; null when that was a store of another place. */
  readonly store: ReadableStore | null;
  /** Name of the shard's file in its folder. */
  readonly fileName: string;
  /** Finds the stores of other places. */
  readonly resolveStore: ((url: string) => ReadableStore) | undefined;
}

/**
 * Where a shard's file lies. Refs under the snapshot's own place are looked up in the store that the manifest came
 * from, wherever that is now, so that a series can be copied and mirrored.
 *
 * @throws {ConfigValidationError} when the ref lies elsewhere and `resolveStore` is not given.
 * @throws {CorruptFileError} when a digest is recorded in a form that cannot be one.
 */
export function locateShard(
  { s3Prefix, keyEncoding, custom }: SnapshotFacts,
  shard: FullShard,
  place: ShardPlace,
): ShardObject {
  const { shardId, dbUrl, checkpointId } = shard;
  const { fileName, resolveStore } = place;
  const url = `${dbUrl}/${fileName}`;
  const objects = recordedObjects(shard, url, fileName);
  const digest = objects?.[0];
  const sizeBytes = digest?.sizeBytes ?? shard.dbBytes;
  const identity = { dbUrl, checkpointId };
  const object = { shardId, url, sizeBytes, keyEncoding, digest, objects, sidecar: sidecarOf(custom), identity };
  const folder = keyUnder(s3Prefix, dbUrl);
  if (folder !== null && place.store !== null) return { ...object, store: place.store, key: `${folder}/${fileName}` };
  if (resolveStore !== undefined) return { ...object, store: resolveStore(dbUrl), key: fileName };
  throw new ConfigValidationError(
    `Cannot read shard ${shardId} at "${dbUrl}" as it does not lie under "${s3Prefix}": ` +
      "give the option `resolveStore` to say which store has it",
    "resolveStore",
  );
}

/** What the writer recorded about objects. A record that is there but wrong must not pass for none. */
function recordedObjects({ writerInfo }: FullShard, url: string, fileName: string): ObjectDigest[] | undefined {
  const entries = field(field(writerInfo, "shardyfusion"), "objects");
  if (entries === undefined) return undefined;
  const objects = Array.isArray(entries) ? entries.map(recordedObject) : [];
  const own = objects.findIndex((object) => object?.name === fileName);
  if (own < 0 || objects.includes(null)) {
    throw new CorruptFileError(`Cannot check "${url}" as its manifest must record size and digest of the file`, -1);
  }
  return [...objects.splice(own, 1), ...objects] as ObjectDigest[];
}

function recordedObject(entry: JsonValue): ObjectDigest | null {
  const name = field(entry, "name");
  const sizeBytes = field(entry, "size_bytes");
  const xxh3 = field(entry, "xxh3_64");
  const rotatedBytes = field(entry, "rotated_bytes") ?? 0;
  const isSound = typeof name === "string" && isLength(sizeBytes) && isLength(rotatedBytes) && isHex64(xxh3);
  return isSound && rotatedBytes <= sizeBytes ? { name, sizeBytes, xxh3, rotatedBytes } : null;
}

function sidecarOf(custom: JsonObject): ShardObject["sidecar"] {
  const sidecar = custom["sqlite_sidecar"];
  if (sidecar === undefined) return undefined;
  const pageSizeBytes = field(sidecar, "page_size");
  return { pageSizeBytes: isLength(pageSizeBytes) ? pageSizeBytes : undefined };
}

function field(value: JsonValue | undefined, name: string): JsonValue | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return (value as Record<string, JsonValue>)[name];
}

function isLength(value: JsonValue | undefined): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isHex64(value: JsonValue | undefined): value is string {
  return typeof value === "string" && /^[0-9a-f]{16}$/.test(value);
}

/** Checks a whole object against its recorded digest. @throws {CorruptFileError} */
export function checkBytes(
  bytes: Uint8Array,
  { url, digest }: { readonly url: string; readonly digest: ObjectDigest },
): void {
  if (digest.rotatedBytes > 0 || xxh3Hex(bytes) !== digest.xxh3) throw digestError(url);
}

/** The error for an object whose bytes are not those that were written. */
export function digestError(url: string): CorruptFileError {
  return new CorruptFileError(`Cannot use "${url}" as its bytes do not have the recorded digest`, -1);
}

/** The error for an object that is longer or shorter than it must be. */
export function lengthError(
  { url, sizeBytes }: Pick<ShardObject, "url" | "sizeBytes">,
  foundBytes: number,
): CorruptFileError {
  return new CorruptFileError(
    `Cannot use "${url}" as it must be ${sizeBytes} bytes long: current value is ${foundBytes}`,
    Math.min(sizeBytes, foundBytes),
  );
}
