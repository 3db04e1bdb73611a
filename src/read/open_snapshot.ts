/**
 * Opens the current snapshot of a series for reading.
 * @module
 */
import { checkOpenOptions, type OpenSnapshotOptions } from "./read_options.ts";
import { SnapshotReader } from "./snapshot_reader.ts";
import { SnapshotSource } from "./snapshot_source.ts";

/**
 * Opens the snapshot that is current now, or the pinned one.
 *
 * Sharding, key encoding and engine come from the manifest. All shards are opened before this returns, so a snapshot
 * that is cleaned up later can still be read to the end. Sends GET requests only: one for the pointer, one for the
 * manifest, one per shard that has rows and is not cached. History is listed only for a pin by offset or run, and for
 * falling back where the pointer does not name older snapshots.
 *
 * @throws {ConfigValidationError} for wrong options, and for snapshots that have no keys to look up or are sharded in a
 * way that this version does not know.
 * @throws {ReaderStateError} when nothing was published yet, or no manifest can be read.
 * @throws {ManifestParseError} when the pointer is malformed.
 * @throws {CorruptFileError} when a shard is not what was published.
 * @throws the store's errors; the reason of `signal`.
 *
 * @example Write a snapshot, then read it
 * ```ts
 * import { hashSharding } from "../routing/mod.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { writeSnapshot } from "../write/write_snapshot.ts";
 * import { openSnapshot } from "./open_snapshot.ts";
 *
 * const store = memoryStore();
 * await writeSnapshot(["a", "b", "c"], {
 *   store,
 *   sharding: hashSharding({ shards: 2 }),
 *   key: (row) => row,
 *   value: (row) => row.toUpperCase(),
 * });
 * await using reader = await openSnapshot({ store });
 * const value = await reader.get("b");
 * if (value === null || new TextDecoder().decode(value) !== "B") throw new Error("unexpected value");
 * if (await reader.get("z") !== null) throw new Error("unexpected key");
 * ```
 */
export async function openSnapshot(options: OpenSnapshotOptions): Promise<SnapshotReader> {
  const checked = checkOpenOptions(options);
  const source = new SnapshotSource(checked);
  return new SnapshotReader(checked, source, await source.openFirst());
}
