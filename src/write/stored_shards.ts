/**
 * Whether the shards of a manifest are still there. A writer asks that was silent for longer than its lease, as a
 * process is that was suspended: clean-ups may have taken it for dead.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { ShardCoverageError } from "../errors.ts";
import { isJsonObject } from "../snapshots/checked_fields.ts";
import { runOfKey } from "../snapshots/layout.ts";
import type { ShardEntry } from "../snapshots/manifest.ts";
import { ownFields } from "../snapshots/manifest_digest.ts";
import { loadRemovals } from "../snapshots/removals.ts";
import type { ObjectStore } from "../stores/store.ts";

/** Where the shards must be. */
export interface ShardsPlace {
  readonly store: ObjectStore;
  readonly runId: string;
  readonly shardPrefix: string;
  readonly backend: Backend;
  readonly signal: AbortSignal;
}

/**
 * Makes sure that all objects of the shards are there, in their sizes, and that no clean-up is removing them.
 *
 * The run has to be recorded as alive before: then a clean-up that announces its removals later leaves it alone, and
 * what an earlier one removes is announced or gone. Costs a LIST of the run's folder, one of each shard of another run,
 * and one of the announcements.
 *
 * @throws {ShardCoverageError} naming the shards that are not there, or not for long; the store's errors.
 */
export async function requireStored(
  shards: readonly ShardEntry[],
  { store, runId, shardPrefix, backend, signal }: ShardsPlace,
): Promise<void> {
  const keyOf = ({ dbUrl }: ShardEntry): string => dbUrl!.slice(store.url.length + 1);
  const removed = new Set((await loadRemovals(store, { signal })).flatMap(({ runs }) => [...runs]));
  const isBeingRemoved = (key: string): boolean => removed.has(runOfKey(key, shardPrefix) ?? "");
  const ownFolder = `${shardPrefix}/run_id=${runId}/`;
  const stored = new Map<string, number>();
  for (const folder of new Set(shards.map(keyOf).map((key) => key.startsWith(ownFolder) ? ownFolder : `${key}/`))) {
    for await (const page of store.list(folder, { signal })) {
      for (const { key, sizeBytes } of page) stored.set(key, sizeBytes);
    }
  }
  const missing = shards.filter((shard) => {
    const key = keyOf(shard);
    return isBeingRemoved(key) ||
      [...objectsOf(shard, backend)].some(([name, bytes]) => stored.get(`${key}/${name}`) !== bytes);
  }).map(({ shardId }) => shardId);
  if (missing.length === 0) return;
  throw new ShardCoverageError(
    `Cannot publish the snapshot as shards ${
      missing.join(", ")
    } were removed while their writer gave no sign of life, ` +
      "or a clean-up is removing them: write it anew",
    missing,
  );
}

/** Sizes by name: what the writer recorded, else the file. */
function objectsOf({ writerInfo, dbBytes }: ShardEntry, { fileName }: Backend): ReadonlyMap<string, number> {
  const sizes = new Map([[fileName, dbBytes]]);
  const objects = ownFields(writerInfo)?.["objects"];
  for (const object of Array.isArray(objects) ? objects : []) {
    const { name, size_bytes: sizeBytes } = isJsonObject(object) ? object : {};
    if (typeof name === "string" && typeof sizeBytes === "number") sizes.set(name, sizeBytes);
  }
  return sizes;
}
