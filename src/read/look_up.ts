/**
 * From keys to the shards and bytes that are asked for them.
 * @module
 */
import { ConfigValidationError, UnknownRoutingTokenError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import { encodeKey, type Key } from "../routing/key.ts";
import type { Generation } from "./generation.ts";
import type { RoutingColumns } from "../routing/router.ts";
import type { ManyColumns, ManyLookUpOptions } from "./read_options.ts";

/** The shard of a key; -1 when the key has none. */
export function shardOf(active: Generation, key: Key, columns: RoutingColumns | undefined): number {
  try {
    return active.router.route(key, columns);
  } catch (error) {
    if (error instanceof UnknownRoutingTokenError) return -1;
    throw error;
  }
}

/** The columns of one of many keys. */
export function columnsOf<K extends Key>(key: K, columns: ManyColumns<K> | undefined): RoutingColumns | undefined {
  if (typeof columns === "function") return columns(key);
  return columns instanceof Map ? columns.get(key) : columns as RoutingColumns | undefined;
}

/**
 * Finds the values of all keys of the map and puts them there.
 *
 * @throws as `SnapshotReader.getMany`, before anything is read where a key is wrong.
 */
export async function lookUpMany<K extends Key>(
  active: Generation,
  values: Map<K, Uint8Array | null>,
  options: ManyLookUpOptions<K>,
): Promise<void> {
  const groups = new Map<number, { keys: K[]; encoded: Uint8Array[] }>();
  for (const key of values.keys()) {
    // A wrong key is an error in an empty shard too, and where it has no shard.
    const encoded = encodeKey(active.manifest.keyEncoding, key);
    const shardId = shardOf(active, key, columnsOf(key, options.columns));
    const group = groups.get(shardId);
    if (group === undefined) groups.set(shardId, { keys: [key], encoded: [encoded] });
    else group.keys.push(key), group.encoded.push(encoded);
  }
  // All have ended before one's failure is told, since the snapshot may be closed after that.
  const outcomes = await Promise.allSettled(Array.from(groups, async ([shardId, { keys, encoded }]) => {
    const reader = await active.readerAt(shardId, options.signal);
    if (reader === null) return;
    const found = await reader.getMany(encoded, options.signal);
    keys.forEach((key, index) => values.set(key, found[index]!));
  }));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

/** @throws {ConfigValidationError} when the snapshot has no such shard. */
export function checkShardId(shardId: number, shardCount: number): void {
  if (Number.isInteger(shardId) && shardId >= 0 && shardId < shardCount) return;
  throw new ConfigValidationError(
    `Cannot read shard ${shown(shardId)} as it must be from 0 to ${shardCount - 1}`,
    "shard",
  );
}
