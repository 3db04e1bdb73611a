/**
 * The objects beside a SQLite shard's file, by which readers need few requests: its sidecar (all interior pages) and
 * its guard (which keys are absent, and a checksum of each page).
 * @module
 */
import type { JsonObject } from "../bytes/python_json.ts";
import { createDigest } from "../bytes/fast_digest.ts";
import { SIDECAR_VERSION } from "../sqlite/sidecar.ts";
import type { SidecarBuilder } from "../sqlite/sidecar_builder.ts";
import type { BuiltShard, ObjectDigest, ShardTarget } from "./backend.ts";
import { GUARD_FILE } from "./guard.ts";
import type { GuardBuilder } from "./guard_builder.ts";

/** Name of the object below the shard's folder. */
export const SIDECAR_FILE = "shard.sidecar";

/** What is collected while the file is being written; null for what shall not be written. */
export interface Companions {
  readonly sidecar: SidecarBuilder | null;
  readonly guard: GuardBuilder | null;
}

/** A shard's file in the store. */
export interface UploadedShard {
  readonly file: ObjectDigest;
  /** Version of the file that the upload made; null leaves the sidecar unbound. */
  readonly etag: string | null;
  readonly rowCount: number;
}

/** What the manifest says of sidecars: that the writer tried, for readers such as those of the Python package. */
export function sidecarFields(pageSizeBytes: number | "auto"): JsonObject {
  const layout = { "format_version": SIDECAR_VERSION, "page_size": pageSizeBytes };
  return { "sqlite_sidecar": { codec: "zstd", filename: SIDECAR_FILE, ...layout } };
}

/**
 * Uploads what belongs to a shard whose file is there, side by side. When that fails, the file is removed as well.
 *
 * A sidecar only saves requests: when it is too large or cannot be encoded, the shard is complete without it.
 */
export async function uploadCompanions(
  { sidecar, guard }: Companions,
  { file, etag, rowCount }: UploadedShard,
  target: ShardTarget,
): Promise<BuiltShard> {
  const created = [`${target.prefix}/${file.name}`];
  async function put(name: string, bytes: Uint8Array | null): Promise<ObjectDigest[]> {
    if (bytes === null) return [];
    const key = `${target.prefix}/${name}`;
    await target.store.put(key, bytes, { precondition: { ifNoneMatch: "*" }, signal: target.signal });
    created.push(key);
    const digest = await createDigest();
    digest.update(bytes);
    return [{ name, sizeBytes: bytes.length, xxh3: digest.hex(), rotatedBytes: 0 }];
  }
  const results = await Promise.allSettled([
    (async () => await put(SIDECAR_FILE, await sidecar?.encode(etag).catch(() => null) ?? null))(),
    (async () => await put(GUARD_FILE, guard?.finish({ shardXxh3: file.xxh3 }) ?? null))(),
  ]);
  const failure = results.find((result) => result.status === "rejected");
  if (failure !== undefined) {
    for (const key of created) await target.store.delete(key).catch(() => {});
    throw failure.reason;
  }
  const companions = results.flatMap((result) => result.status === "fulfilled" ? result.value : []);
  return { dbBytes: file.sizeBytes, rowCount, objects: [file, ...companions] };
}
