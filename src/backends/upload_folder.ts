/**
 * Uploads what a shard is made of into the folder of its attempt: files of a folder on disk, or bytes.
 * @module
 */
import { createDigest } from "../bytes/fast_digest.ts";
import type { ObjectStore } from "../stores/store.ts";
import type { ObjectDigest, ShardTarget } from "./backend.ts";

/** Files on disk. */
export interface LocalFolder {
  readonly path: string;
  /** Below `path`, in the order in which they are uploaded. */
  readonly names: readonly string[];
}

const CHUNK_BYTES = 1 << 20;

/**
 * Uploads one file after the other; gives what was uploaded, in that order.
 *
 * @param created Takes the keys, one by one, so that the caller can remove what is there when one fails.
 */
export async function uploadFolder(
  { path, names }: LocalFolder,
  { store, prefix, signal }: Pick<ShardTarget, "store" | "prefix" | "signal">,
  created: string[],
): Promise<ObjectDigest[]> {
  const fs = await import("node:fs/promises");
  const chunk = new Uint8Array(CHUNK_BYTES);
  const objects: ObjectDigest[] = [];
  for (const name of names) {
    const key = `${prefix}/${name}`;
    const digest = await createDigest();
    await using file = await fs.open(`${path}/${name}`, "r");
    await using upload = await store.upload(key, { headBytes: 0, precondition: { ifNoneMatch: "*" }, signal });
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, chunk.length, null);
      if (bytesRead === 0) break;
      const part = chunk.subarray(0, bytesRead);
      digest.update(part);
      await upload.write(part);
    }
    const { sizeBytes } = await upload.finish(new Uint8Array(0));
    created.push(key);
    objects.push({ name, sizeBytes, xxh3: digest.hex(), rotatedBytes: 0 });
  }
  return objects;
}

/**
 * Uploads one object of a shard that is in memory; gives how to recognise it.
 *
 * @param name Below the shard's folder.
 * @throws {PreconditionFailedError} when it is there already; the store's errors.
 */
export async function putObject(
  { store, prefix, signal }: Pick<ShardTarget, "store" | "prefix" | "signal">,
  name: string,
  bytes: Uint8Array,
): Promise<ObjectDigest> {
  await store.put(`${prefix}/${name}`, bytes, { precondition: { ifNoneMatch: "*" }, signal });
  const digest = await createDigest();
  digest.update(bytes);
  return { name, sizeBytes: bytes.length, xxh3: digest.hex(), rotatedBytes: 0 };
}

/** Removes what a failed build has uploaded; what cannot be removed is left to clean-ups. */
export async function removeObjects(store: ObjectStore, keys: readonly string[]): Promise<void> {
  for (const key of keys.toReversed()) await store.delete(key).catch(() => {});
}
