/**
 * Copies a SQLite shard inside the store, with what belongs to it.
 * @module
 */
import { createDigest } from "../bytes/fast_digest.ts";
import { CorruptFileError } from "../errors.ts";
import { reboundSidecar, sidecarTag } from "../sqlite/sidecar_tag.ts";
import { copyObject } from "../stores/store.ts";
import type { BuiltShard, ObjectDigest, ShardSource, ShardTarget } from "./backend.ts";
import { SQLITE_CONTENT_TYPE } from "./build_sqlite_shard.ts";
import { SIDECAR_FILE } from "./shard_companions.ts";

/**
 * The file and its guard, which is bound to the file's bytes, are copied as they are; the sidecar is bound to an ETag,
 * and so it is read and written with that of the copy. Where there is one, the file must still be the very version that
 * it was made for. Else its length is all that is compared: the bytes are not read.
 */
export async function copySqliteShard(
  { prefix: from, rowCount, objects }: ShardSource,
  { store, prefix, signal }: Pick<ShardTarget, "store" | "prefix" | "signal">,
): Promise<BuiltShard> {
  const [file, ...companions] = objects as [ObjectDigest, ...ObjectDigest[]];
  const created: string[] = [];
  const absent = { precondition: { ifNoneMatch: "*" }, signal } as const;
  async function copy(object: ObjectDigest, options: { contentType?: string; sourceEtag?: string } = {}) {
    const { name, sizeBytes } = object;
    const keys = { fromKey: `${from}/${name}`, toKey: `${prefix}/${name}` };
    const version = await copyObject(store, keys, { ...absent, ...options });
    created.push(keys.toKey);
    if (version.sizeBytes !== sizeBytes) throw differs(`${store.url}/${keys.fromKey}`);
    return version;
  }
  async function companion(object: ObjectDigest, sidecar: Uint8Array | null, etag: string | null) {
    if (object.name !== SIDECAR_FILE) {
      await copy(object);
      return object;
    }
    const bytes = reboundSidecar(sidecar!, etag);
    await store.put(`${prefix}/${SIDECAR_FILE}`, bytes, absent);
    created.push(`${prefix}/${SIDECAR_FILE}`);
    return await digestOf(SIDECAR_FILE, bytes);
  }
  try {
    const recorded = companions.find(({ name }) => name === SIDECAR_FILE);
    const sidecar = recorded === undefined ? null : await readSidecar({ prefix: from, recorded }, { store, signal });
    const sourceEtag = sidecar && sidecarTag(sidecar);
    const { etag } = await copy(file, { contentType: SQLITE_CONTENT_TYPE, ...(sourceEtag && { sourceEtag }) });
    const outcomes = await Promise.allSettled(companions.map((object) => companion(object, sidecar, etag)));
    const copied = outcomes.map((outcome) => {
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value;
    });
    return { dbBytes: file.sizeBytes, rowCount, objects: [file, ...copied] };
  } catch (error) {
    for (const key of created) await store.delete(key).catch(() => {});
    throw error;
  }
}

async function readSidecar(
  { prefix, recorded }: { prefix: string; recorded: ObjectDigest },
  { store, signal }: Pick<ShardTarget, "store" | "signal">,
): Promise<Uint8Array> {
  const key = `${prefix}/${recorded.name}`;
  const bytes = await (await store.get(key, { signal })).bytes();
  const { sizeBytes, xxh3 } = await digestOf(recorded.name, bytes);
  if (sizeBytes !== recorded.sizeBytes || xxh3 !== recorded.xxh3) throw differs(`${store.url}/${key}`);
  return bytes;
}

async function digestOf(name: string, bytes: Uint8Array): Promise<ObjectDigest> {
  const digest = await createDigest();
  digest.update(bytes);
  return { name, sizeBytes: bytes.length, xxh3: digest.hex(), rotatedBytes: 0 };
}

function differs(url: string): CorruptFileError {
  return new CorruptFileError(`Cannot copy "${url}" as it is not what its manifest records`, -1);
}
