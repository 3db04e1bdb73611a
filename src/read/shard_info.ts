/**
 * What a reader tells about the shards of its snapshot.
 * @module
 */
import { ReaderStateError } from "../errors.ts";
import { directoryOf, type Manifest, type ShardEntry } from "../snapshots/manifest.ts";
import type { Generation } from "./generation.ts";
import { checkShardId } from "./look_up.ts";

/** One shard, as the manifest describes it. */
export interface ShardInfo {
  readonly shardId: number;
  /** Rows offered; 0 for an empty shard. */
  readonly rowCount: number;
  readonly sizeBytes: number;
  /** Smallest key; null when unknown or empty. */
  readonly minKey: bigint | string | null;
  readonly maxKey: bigint | string | null;
  /** Folder of the shard; null for an empty shard. */
  readonly dbUrl: string | null;
}

/** Describes all shards. @throws {ReaderStateError} when they were not read. */
export function shardInfosOf(manifest: Manifest): ShardInfo[] {
  if (directoryOf(manifest) !== undefined) {
    throw new ReaderStateError("Cannot list the shards as there are too many to read them all: use reader.shard(id)");
  }
  const entries = new Map<number, ShardEntry>(manifest.shards.map((shard) => [shard.shardId, shard]));
  return Array.from({ length: manifest.shardCount }, (_, shardId) => shardInfo(shardId, entries.get(shardId)));
}

/** Describes one shard. */
export async function shardInfoOf(
  { manifest }: Generation,
  shardId: number,
  signal: AbortSignal | undefined,
): Promise<ShardInfo> {
  checkShardId(shardId, manifest.shardCount);
  const directory = directoryOf(manifest);
  const entry = directory === undefined
    ? manifest.shards.find((shard) => shard.shardId === shardId)
    : await directory.entry(shardId, signal);
  return shardInfo(shardId, entry);
}

function shardInfo(shardId: number, entry: ShardEntry | null | undefined): ShardInfo {
  return {
    shardId,
    rowCount: entry?.rowCount ?? 0,
    sizeBytes: entry?.dbBytes ?? 0,
    minKey: entry?.minKey ?? null,
    maxKey: entry?.maxKey ?? null,
    dbUrl: entry?.dbUrl ?? null,
  };
}
