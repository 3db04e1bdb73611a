/**
 * What a published snapshot says about itself (WIRE_FORMATS 3 and 5), as values.
 * @module
 */
import type { JsonObject } from "../bytes/python_json.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { RoutingSpec } from "../routing/router.ts";

/** One non-empty shard. */
export interface ShardEntry {
  /** Number of the shard, from 0. */
  readonly shardId: number;
  /** URL of the folder of the winning attempt, without trailing slash; null means empty (read only, never written). */
  readonly dbUrl: string | null;
  /** Which attempt at the shard it is, from 0. */
  readonly attempt: number;
  /** Rows offered to the shard: repeated keys count. */
  readonly rowCount: number;
  /** Size of the shard's file. */
  readonly dbBytes: number;
  /** Smallest key before encoding; null when unknown. Whole numbers are bigint, byte keys appear as strings. */
  readonly minKey: bigint | string | null;
  /** Largest key, as `minKey`. */
  readonly maxKey: bigint | string | null;
  /** 32 hex digits, opaque. */
  readonly checkpointId: string | null;
  /** What the writer says of itself and of its objects. */
  readonly writerInfo: JsonObject;
}

/** A snapshot: how it is sharded and where its shards are. */
export interface Manifest {
  /** Name of the run that wrote the snapshot. */
  readonly runId: string;
  /** Microseconds since 1970. */
  readonly createdAtMicros: number;
  /** Shards, those without rows included. */
  readonly shardCount: number;
  /** As configured; may carry a trailing slash. */
  readonly s3Prefix: string;
  /** What the key is called. */
  readonly keyColumn: string;
  /** How keys find their shards. */
  readonly routing: RoutingSpec;
  /** Folder of a shard below the run's. */
  readonly dbPathTemplate: string;
  /** Folder of the shards. */
  readonly shardPrefix: string;
  /** How keys are stored. */
  readonly keyEncoding: KeyEncoding;
  /** Fields of the writer's own, and of this package. */
  readonly custom: JsonObject;
  /** Ascending by `shardId`; a shard that is missing here is empty. */
  readonly shards: readonly ShardEntry[];
}

/** Finds the shards of a manifest one by one. */
export interface ShardDirectory {
  /** Rows and bytes of all shards together; null where the manifest does not tell, as those of the Python package. */
  readonly rowCount: number | null;
  /** Size of all shards together; null where it is not told. */
  readonly sizeBytes: number | null;
  /**
   * What the manifest says of a shard; null when it is empty. Costs a request or two, unless it was asked for lately.
   *
   * @throws {ManifestParseError} when the manifest turns out to be damaged; the store's errors.
   */
  entry(shardId: number, signal?: AbortSignal): Promise<ShardEntry | null>;
}

/** A manifest of so many shards that they were not read: `shards` is empty, ask the directory. */
export interface LazyManifest extends Manifest {
  /** Gives the shards one by one. */
  readonly directory: ShardDirectory;
}

/** Finds the shards of a lazy manifest; undefined for manifests that were read whole. */
export function directoryOf(manifest: Manifest): ShardDirectory | undefined {
  return (manifest as Partial<LazyManifest>).directory;
}

/** A manifest and where it was found. */
export interface ManifestRef {
  /** URL of the manifest object. */
  readonly ref: string;
  /** Name of the run that wrote the snapshot. */
  readonly runId: string;
  /** Microseconds since 1970: `updated_at` of the pointer, or the time stamp of the manifest's folder in listings. */
  readonly publishedAtMicros: number;
}
