/**
 * Whole files of shards: requesting them, and checking their bytes as they come.
 * @module
 */
import type { Digest } from "../bytes/digest.ts";
import type { StoredObject } from "../stores/store.ts";
import { digestError, lengthError, type ShardObject } from "./shard_objects.ts";

/** Makes digests. */
export type DigestFactory = () => Promise<Digest> | Digest;

/**
 * Requests a shard's file.
 *
 * @throws {CorruptFileError} when the object is longer or shorter than it must be, before any of it is read.
 */
export async function requestShard(object: ShardObject, signal: AbortSignal | undefined): Promise<StoredObject> {
  const stored = await object.store.get(object.key, { signal });
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
export async function checkContent(object: ShardObject, createDigest: DigestFactory): Promise<ContentCheck> {
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
      throw digestError(url);
    },
  };
}
