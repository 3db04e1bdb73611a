/**
 * What a reader tells about the shards of its snapshot.
 * @module
 */
import type { JsonObject } from "../bytes/python_json.ts";
import { ReaderStateError } from "../errors.ts";
import { directoryOf, type Manifest, type ShardEntry } from "../snapshots/manifest.ts";
import type { Generation } from "./generation.ts";
import { checkShardId } from "./look_up.ts";

/** One shard, as the manifest describes it. */
export interface ShardInfo {
  /** Number of the shard, from 0. */
  readonly shardId: number;
  /** Rows offered; 0 for an empty shard. */
  readonly rowCount: number;
  /** Size of the shard's file. */
  readonly sizeBytes: number;
  /** Smallest key; null when unknown or empty. */
  readonly minKey: bigint | string | null;
  /** Largest key, as `minKey`. */
  readonly maxKey: bigint | string | null;
  /** Folder of the shard; null for an empty shard. */
  readonly dbUrl: string | null;
  /** Size of the file that knows absent keys and checksums of pages; null when none is recorded. */
  readonly guardBytes: number | null;
  /** Size of the file with the pages between the root and the rows; null when none is recorded. */
  readonly sidecarBytes: number | null;
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
    guardBytes: recordedBytes(entry, "shard.guard"),
    sidecarBytes: recordedBytes(entry, "shard.sidecar"),
  };
}

/** The recorded size of a file in the shard's folder. */
function recordedBytes(entry: ShardEntry | null | undefined, name: string): number | null {
  const own = entry?.writerInfo["shardyfusion"] as JsonObject | undefined;
  const objects = own?.["objects"];
  const found = Array.isArray(objects) ? objects.find((object: JsonObject | null) => object?.["name"] === name) : null;
  const sizeBytes = found?.["size_bytes"];
  return typeof sizeBytes === "number" ? sizeBytes : null;
}
