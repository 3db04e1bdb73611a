/**
 * A shard's file in the store, and how to tell that it is whole.
 * @module
 */
import type { ObjectDigest } from "../backends/backend.ts";
import { createDigest } from "../bytes/digest.ts";
import type { JsonValue } from "../bytes/python_json.ts";
import { ConfigValidationError, CorruptFileError } from "../errors.ts";
import { keyUnder } from "../snapshots/layout.ts";
import type { Manifest, ShardEntry } from "../snapshots/manifest.ts";
import type { ReadableStore, StoredObject } from "../stores/store.ts";

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
  /** Undefined where the writer recorded none, as the Python package does. */
  readonly digest: ObjectDigest | undefined;
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
export function locateShard(manifest: Manifest, shard: FullShard, place: ShardPlace): ShardObject {
  const { shardId, dbUrl, checkpointId } = shard;
  const { fileName, resolveStore } = place;
  const url = `${dbUrl}/${fileName}`;
  const digest = recordedDigest(shard, url, fileName);
  const sizeBytes = digest?.sizeBytes ?? shard.dbBytes;
  const object = { shardId, url, sizeBytes, digest, identity: { dbUrl, checkpointId } };
  const folder = keyUnder(manifest.s3Prefix, dbUrl);
  if (folder !== null && place.store !== null) return { ...object, store: place.store, key: `${folder}/${fileName}` };
  if (resolveStore !== undefined) return { ...object, store: resolveStore(dbUrl), key: fileName };
  throw new ConfigValidationError(
    `Cannot read shard ${shardId} at "${dbUrl}" as it does not lie under "${manifest.s3Prefix}": ` +
      "give the option `resolveStore` to say which store has it",
    "resolveStore",
  );
}

/** What the writer recorded about the shard's file. A record that is there but wrong must not pass for none. */
function recordedDigest({ writerInfo }: FullShard, url: string, fileName: string): ObjectDigest | undefined {
  const objects = field(field(writerInfo, "shardyfusion"), "objects");
  if (objects === undefined) return undefined;
  const entry = Array.isArray(objects) ? objects.find((item) => field(item, "name") === fileName) : undefined;
  const sizeBytes = field(entry, "size_bytes");
  const xxh3 = field(entry, "xxh3_64");
  const rotatedBytes = field(entry, "rotated_bytes") ?? 0;
  if (isLength(sizeBytes) && isLength(rotatedBytes) && rotatedBytes <= sizeBytes && isHex64(xxh3)) {
    return { name: fileName, sizeBytes, xxh3, rotatedBytes };
  }
  throw new CorruptFileError(`Cannot check "${url}" as its manifest must record size and digest of the file`, -1);
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

/**
 * Requests a shard's file.
 *
 * @throws {CorruptFileError} when the object is longer or shorter than it must be, before any of it is read.
 */
export async function requestShard(object: ShardObject, signal: AbortSignal | undefined): Promise<StoredObject> {
  const stored = await object.store.get(object.key, signal === undefined ? {} : { signal });
  if (stored.sizeBytes === object.sizeBytes) return stored;
  await stored.body.cancel();
  throw lengthError(object, stored.sizeBytes);
}

/** Checks bytes as they pass by; `finish` throws when they are not those that were written. */
export interface ContentCheck {
  update(chunk: Uint8Array): void;
  /** @throws {CorruptFileError} */
  finish(): void;
}

/** Begins a check of a shard's bytes, to be given front to back. Holds the part that was hashed last, one page. */
export async function checkContent(object: ShardObject): Promise<ContentCheck> {
  const { digest: recorded, url, sizeBytes } = object;
  const digest = recorded === undefined ? null : await createDigest();
  const rotatedBytes = recorded?.rotatedBytes ?? 0;
  const head: Uint8Array[] = [];
  let seenBytes = 0;
  return {
    update(chunk) {
      const headBytes = Math.max(0, Math.min(chunk.length, rotatedBytes - seenBytes));
      if (headBytes > 0) head.push(chunk.slice(0, headBytes));
      if (headBytes < chunk.length) digest?.update(chunk.subarray(headBytes));
      seenBytes += chunk.length;
    },
    finish() {
      if (seenBytes !== sizeBytes) throw lengthError(object, seenBytes);
      if (digest === null) return;
      for (const piece of head) digest.update(piece);
      if (digest.hex() === recorded!.xxh3) return;
      throw new CorruptFileError(`Cannot use "${url}" as its bytes do not have the recorded digest`, -1);
    },
  };
}

function lengthError({ url, sizeBytes }: ShardObject, foundBytes: number): CorruptFileError {
  return new CorruptFileError(
    `Cannot use "${url}" as it must be ${sizeBytes} bytes long: current value is ${foundBytes}`,
    Math.min(sizeBytes, foundBytes),
  );
}
