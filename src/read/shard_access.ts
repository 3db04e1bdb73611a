/**
 * Makes shards available in the way that was asked for.
 * @module
 */
import type { Backend, ShardReader } from "../backends/backend.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { AccessMode } from "./read_options.ts";
import { checkContent, requestShard, type ShardObject } from "./shard_objects.ts";

/** Opens shards; disposing removes what it left on disk for them. */
export interface ShardAccess extends AsyncDisposable {
  /** The mode that was chosen. */
  readonly mode: Exclude<AccessMode, "auto">;
  /** @throws {CorruptFileError} when the file is not what was published; the store's errors. */
  open(object: ShardObject, signal?: AbortSignal): Promise<ShardReader>;
}

/** Snapshots up to this size are held in memory by `"auto"`. */
const AUTO_MEMORY_BYTES = 256 * 1024 * 1024;

/** The mode for a snapshot. */
export function chooseMode(access: AccessMode, manifest: Manifest): ShardAccess["mode"] {
  if (access !== "auto") return access;
  const sizeBytes = manifest.shards.reduce((sum, { dbBytes }) => sum + dbBytes, 0);
  return sizeBytes <= AUTO_MEMORY_BYTES ? "memory" : "download";
}

/** Whole shards in memory. */
export function memoryAccess(backend: Backend): ShardAccess {
  return {
    mode: "memory",
    async open(object, signal) {
      const stored = await requestShard(object, signal);
      const bytes = await stored.bytes();
      const check = await checkContent(object);
      check.update(bytes);
      check.finish();
      return await backend.openShard({ kind: "memory", bytes });
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
