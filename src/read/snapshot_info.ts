/**
 * What a reader tells about its snapshot.
 * @module
 */
import type { JsonObject } from "../bytes/python_json.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { Manifest, ShardEntry } from "../snapshots/manifest.ts";
import type { AccessMode } from "./read_options.ts";
import type { Generation } from "./generation.ts";

/** The snapshot being read. Times are microseconds since 1970. */
export interface SnapshotInfo {
  readonly runId: string;
  readonly shardCount: number;
  readonly sharding: "hash" | "cel";
  readonly hashAlgorithm: "xxh3_64";
  readonly keyEncoding: KeyEncoding;
  readonly createdAtMicros: number;
  readonly publishedAtMicros: number;
  readonly manifestRef: string;
  /** Raised by every publish and roll back; null where the Python package wrote the pointer. */
  readonly generation: number | null;
  /** Rows over all shards: repeated keys count. */
  readonly rowCount: number;
  /** Size of all shards together. */
  readonly sizeBytes: number;
  /** How the shards are accessed. */
  readonly access: Exclude<AccessMode, "auto">;
  /** Fields of the manifest's column `custom`. */
  readonly custom: JsonObject;
  /** What a user should know, such as that an older snapshot had to be taken. */
  readonly warnings: readonly string[];
}

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

/** Whether a reader works. */
export interface SnapshotHealth {
  /** `"degraded"`: the snapshot is older than asked for; `"unhealthy"`: the reader is closed. */
  readonly status: "healthy" | "degraded" | "unhealthy";
  readonly manifestRef: string;
  /** Milliseconds since the snapshot was published. */
  readonly manifestAgeMs: number;
  readonly shardCount: number;
  readonly isClosed: boolean;
}

/** Describes an opened snapshot. */
export function infoOf(active: Generation, warnings: readonly string[]): SnapshotInfo {
  const { manifest, pointer, access } = active;
  return {
    runId: manifest.runId,
    shardCount: manifest.shardCount,
    sharding: manifest.routing.strategy,
    hashAlgorithm: "xxh3_64",
    keyEncoding: manifest.keyEncoding,
    createdAtMicros: manifest.createdAtMicros,
    publishedAtMicros: pointer.publishedAtMicros,
    manifestRef: active.manifestRef,
    generation: pointer.generation,
    rowCount: manifest.shards.reduce((sum, { rowCount }) => sum + rowCount, 0),
    sizeBytes: manifest.shards.reduce((sum, { dbBytes }) => sum + dbBytes, 0),
    access: access.mode,
    custom: manifest.custom,
    warnings: [...warnings],
  };
}

/** Describes all shards of a manifest. */
export function shardInfosOf(manifest: Manifest): ShardInfo[] {
  const entries = new Map<number, ShardEntry>(manifest.shards.map((shard) => [shard.shardId, shard]));
  return Array.from({ length: manifest.shardCount }, (_, shardId) => {
    const entry = entries.get(shardId);
    return {
      shardId,
      rowCount: entry?.rowCount ?? 0,
      sizeBytes: entry?.dbBytes ?? 0,
      minKey: entry?.minKey ?? null,
      maxKey: entry?.maxKey ?? null,
      dbUrl: entry?.dbUrl ?? null,
    };
  });
}
