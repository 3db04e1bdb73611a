/**
 * What a reader tells about its snapshot.
 * @module
 */
import type { JsonObject } from "../bytes/python_json.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { RoutingSpec } from "../routing/router.ts";
import { directoryOf } from "../snapshots/manifest.ts";
import type { Generation } from "./generation.ts";
import type { ChosenMode } from "./shard_access.ts";
import type { ShardStats } from "./shard_tallies.ts";

/** The snapshot being read. Times are microseconds since 1970. */
export interface SnapshotInfo {
  /** The run that wrote it. */
  readonly runId: string;
  /** Shards, those without rows included. */
  readonly shardCount: number;
  /** Whether keys find their shards by hash or by an expression. */
  readonly sharding: "hash" | "cel";
  /** How keys find their shards, with the expression and the columns of CEL sharding. */
  readonly routing: RoutingSpec;
  /** What keys are hashed by. */
  readonly hashAlgorithm: "xxh3_64";
  /** How keys are stored. */
  readonly keyEncoding: KeyEncoding;
  /** When it was made. */
  readonly createdAtMicros: number;
  /** When the pointer was moved to it; when it was made, where an older snapshot had to be taken. */
  readonly publishedAtMicros: number;
  /** URL of its manifest. */
  readonly manifestRef: string;
  /** Raised by every publish and roll back; null for pinned snapshots, and where Python wrote the pointer. */
  readonly generation: number | null;
  /** Rows over all shards: repeated keys count. Null where a lazy manifest does not tell: one that Python wrote. */
  readonly rowCount: number | null;
  /** Size of all shards together; null as above. */
  readonly sizeBytes: number | null;
  /** Whether the manifest has so many shards that they were not read: `reader.shard(…)` reads one. */
  readonly isLazy: boolean;
  /** How the shards are accessed. */
  readonly access: ChosenMode;
  /** Fields of the manifest's column `custom`. */
  readonly custom: JsonObject;
  /** What a user should know, such as that an older snapshot had to be taken. */
  readonly warnings: readonly string[];
}

/** What a reader has asked of the store since it was opened. */
export interface ReaderStats {
  /** GETs sent to the store; those of a `manifestStore` and listings are not counted. */
  readonly requests: number;
  /** Bytes in the answers. */
  readonly bytesRead: number;
  /** Keys looked up. */
  readonly lookUps: number;
  /** Pages of ranges that were at hand when they were needed. */
  readonly cacheHits: number;
  /** Keys that a shard's filter knew to be absent, so that nothing was fetched for them. */
  readonly filterHits: number;
  /** With `access: "hydrate"`: shards of the snapshot being read whose files have come, so that lookups ask nothing. */
  readonly hydratedShards: number;
  /** Requests, bytes and hits by the number of the shard, of those that were asked for; of 10,000 shards at most. */
  readonly shards: ReadonlyMap<number, ShardStats>;
}

/** Describes an opened snapshot. */
export function infoOf(active: Generation, refreshWarning: string | null): SnapshotInfo {
  const { manifest } = active;
  const directory = directoryOf(manifest);
  const { runId, shardCount, routing, keyEncoding, createdAtMicros, custom, shards } = manifest;
  return {
    runId,
    shardCount,
    sharding: routing.strategy,
    routing,
    hashAlgorithm: "xxh3_64",
    keyEncoding,
    createdAtMicros,
    publishedAtMicros: active.publishedAtMicros,
    manifestRef: active.manifestRef,
    generation: active.pointer.generation,
    rowCount: directory ? directory.rowCount : shards.reduce((sum, { rowCount }) => sum + rowCount, 0),
    sizeBytes: directory ? directory.sizeBytes : shards.reduce((sum, { dbBytes }) => sum + dbBytes, 0),
    isLazy: directory !== undefined,
    access: active.access.mode,
    custom,
    warnings: [...active.warnings, ...(refreshWarning === null ? [] : [refreshWarning])],
  };
}
