/**
 * From keys to the shards and bytes that are asked for them.
 * @module
 */
import type { ShardReader } from "../backends/backend.ts";
import { UnknownRoutingTokenError } from "../errors.ts";
import { encodeKey, type Key } from "../routing/key.ts";
import type { Generation } from "./generation.ts";
import type { CheckedScan } from "./scan_range.ts";
import type { LookUpOptions } from "./read_options.ts";

/** A row as scans give it: both parts are copies that the caller owns. */
export type EncodedRow = [key: Uint8Array, value: Uint8Array];

/** The reader of a key's shard; null when the shard is empty or the key has none. */
export function readerOf(active: Generation, key: Key, options: LookUpOptions | undefined): ShardReader | null {
  try {
    return active.readers[active.router.route(key, options?.columns)] ?? null;
  } catch (error) {
    if (error instanceof UnknownRoutingTokenError) return null;
    throw error;
  }
}

/**
 * Finds the values of all keys of the map and puts them there.
 *
 * @throws as `SnapshotReader.getMany`, before anything is read where a key is wrong.
 */
export async function lookUpMany<K extends Key>(
  active: Generation,
  values: Map<K, Uint8Array | null>,
  options: LookUpOptions,
): Promise<void> {
  const groups = new Map<ShardReader, { keys: K[]; encoded: Uint8Array[] }>();
  for (const key of values.keys()) {
    const reader = readerOf(active, key, options);
    // A wrong key is an error in an empty shard too.
    const encoded = encodeKey(active.manifest.keyEncoding, key);
    if (reader === null) continue;
    const group = groups.get(reader);
    if (group === undefined) groups.set(reader, { keys: [key], encoded: [encoded] });
    else group.keys.push(key), group.encoded.push(encoded);
  }
  // All have ended before one's failure is told, since the snapshot may be closed after that.
  const outcomes = await Promise.allSettled(Array.from(groups, async ([reader, { keys, encoded }]) => {
    const found = await reader.getMany(encoded, options.signal);
    keys.forEach((key, index) => values.set(key, found[index]!));
  }));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}

/** The rows of one shard in ascending order of their encoded keys, or of all shards one after the other. */
export async function* scanShards(
  active: Generation,
  { shard, range, limit }: CheckedScan,
): AsyncGenerator<EncodedRow[], void, undefined> {
  range.signal?.throwIfAborted();
  let left = limit;
  if (left === 0) return;
  for (const { shardId } of active.manifest.shards) {
    const reader = shard === undefined || shard === shardId ? active.readerAt(shardId) : null;
    if (reader === null) continue;
    for await (const rows of reader.scan(range)) {
      if (rows.length >= left) {
        yield rows.slice(0, left);
        return;
      }
      left -= rows.length;
      yield rows;
    }
  }
}
