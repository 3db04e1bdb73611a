/**
 * Rows of a snapshot in order, shard by shard.
 * @module
 */
import { directoryOf, type Manifest } from "../snapshots/manifest.ts";
import type { Generation } from "./generation.ts";
import type { CheckedScan } from "./scan_range.ts";

/** A row as scans give it: both parts are copies that the caller owns. */
export type EncodedRow = [key: Uint8Array, value: Uint8Array];

/** The rows of one shard in ascending order of their encoded keys, or of all shards one after the other. */
export async function* scanShards(
  active: Generation,
  { shard, range, limit }: CheckedScan,
): AsyncGenerator<EncodedRow[], void, undefined> {
  range.signal?.throwIfAborted();
  let left = limit;
  if (left === 0) return;
  for (const shardId of shard === undefined ? shardIds(active.manifest) : [shard]) {
    const reader = await active.readerAt(shardId, range.signal);
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

/** Numbers of the shards that may have rows, ascending. */
function* shardIds(manifest: Manifest): Generator<number, void, undefined> {
  for (const { shardId } of manifest.shards) yield shardId;
  if (directoryOf(manifest) === undefined) return;
  for (let shardId = 0; shardId < manifest.shardCount; shardId++) yield shardId;
}
