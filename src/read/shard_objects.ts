/**
 * A shard's objects in the store, and how to tell that they are whole.
 * @module
 */
import type { ObjectDigest } from "../backends/backend.ts";
import { createDigest } from "../bytes/digest.ts";
import type { JsonValue } from "../bytes/python_json.ts";
import { ConfigValidationError, CorruptFileError } from "../errors.ts";
import { keyUnder } from "../snapshots/layout.ts";
import type { Manifest, ShardEntry } from "../snapshots/manifest.ts";
import type { ReadableStore } from "../stores/store.ts";

/** One object of a shard. */
export interface ShardObject {
  readonly store: ReadableStore;
  readonly key: string;
  /** For errors. */
  readonly url: string;
  /** Length that the manifest states. */
  readonly sizeBytes: number;
  /** Undefined where the writer recorded none, as the Python package does. */
  readonly digest: ObjectDigest | undefined;
}

/**
 * Where a shard's file lies. Refs under the snapshot's own place are looked up in the store that the manifest came
 * from, wherever that is now, so that a series can be copied and mirrored.
 *
 * @throws {ConfigValidationError} when the ref lies elsewhere and `resolveStore` is not given.
 */
export function locateShard(
  manifest: Manifest,
  shard: ShardEntry & { readonly dbUrl: string },
  access: { store: ReadableStore; fileName: string; resolveStore?: ((url: string) => ReadableStore) | undefined },
): ShardObject {
  const { fileName, resolveStore } = access;
  const digest = recordedDigests(shard.writerInfo).find(({ name }) => name === fileName);
  const url = `${shard.dbUrl}/${fileName}`;
  const sizeBytes = digest?.sizeBytes ?? shard.dbBytes;
  const folder = keyUnder(manifest.s3Prefix, shard.dbUrl);
  if (folder !== null) return { store: access.store, key: `${folder}/${fileName}`, url, sizeBytes, digest };
  if (resolveStore === undefined) {
    throw new ConfigValidationError(
      `Cannot read shard ${shard.shardId} at "${shard.dbUrl}" as it does not lie under "${manifest.s3Prefix}": ` +
        "give the option `resolveStore` to say which store has it",
      "resolveStore",
    );
  }
  return { store: resolveStore(shard.dbUrl), key: fileName, url, sizeBytes, digest };
}

/** What the writer recorded about the shard's objects; nothing of it is trusted. */
function recordedDigests(writerInfo: ShardEntry["writerInfo"]): ObjectDigest[] {
  const own = field(writerInfo, "shardyfusion");
  const objects = field(own, "objects");
  if (!Array.isArray(objects)) return [];
  const digests: ObjectDigest[] = [];
  for (const entry of objects) {
    const name = field(entry, "name");
    const sizeBytes = field(entry, "size_bytes");
    const xxh3 = field(entry, "xxh3_64");
    const rotatedBytes = field(entry, "rotated_bytes") ?? 0;
    if (typeof name !== "string" || typeof sizeBytes !== "number" || typeof xxh3 !== "string") continue;
    if (typeof rotatedBytes === "number") digests.push({ name, sizeBytes, xxh3, rotatedBytes });
  }
  return digests;
}

function field(value: JsonValue | undefined, name: string): JsonValue | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return (value as Record<string, JsonValue>)[name];
}

/** Checks bytes as they pass by; `finish` throws when they are not those that were written. */
export interface ContentCheck {
  update(chunk: Uint8Array): void;
  /** @throws {CorruptFileError} */
  finish(): void;
}

/** Begins a check of an object's bytes, to be given front to back. Holds the rotated head, at most 64 KiB. */
export async function checkContent(object: ShardObject): Promise<ContentCheck> {
  const { digest: recorded, url, sizeBytes } = object;
  const digest = await createDigest();
  const head: Uint8Array[] = [];
  let seenBytes = 0;
  return {
    update(chunk) {
      const headBytes = Math.max(0, Math.min(chunk.length, (recorded?.rotatedBytes ?? 0) - seenBytes));
      if (headBytes > 0) head.push(chunk.slice(0, headBytes));
      if (recorded !== undefined && headBytes < chunk.length) digest.update(chunk.subarray(headBytes));
      seenBytes += chunk.length;
    },
    finish() {
      if (seenBytes !== sizeBytes) {
        throw new CorruptFileError(`Cannot use "${url}" as its ${seenBytes} bytes must be ${sizeBytes}`, -1);
      }
      if (recorded === undefined) return;
      for (const piece of head) digest.update(piece);
      if (digest.hex() === recorded.xxh3) return;
      throw new CorruptFileError(`Cannot use "${url}" as its bytes do not have the recorded digest`, -1);
    },
  };
}
