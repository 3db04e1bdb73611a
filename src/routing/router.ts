/**
 * From a key to the number of its shard: the interface that writers and readers share.
 * @module
 */
import type { PackedRows } from "../rows.ts";
import type { Key } from "./key.ts";

/** Values that a routing expression may look at, by column name. */
export type RoutingColumns = Readonly<Record<string, unknown>>;

/** How a snapshot is sharded, as the manifest's column `sharding` records it (WIRE_FORMATS 5.1). */
export type RoutingSpec =
  | { readonly strategy: "hash" }
  | {
    readonly strategy: "cel";
    readonly expr: string;
    readonly columns: Readonly<Record<string, string>>;
    readonly routingValues: readonly (bigint | string)[] | null;
  };

/** Gives each key its shard. Pure: the same key always gets the same number. */
export interface Router {
  /** What the manifest says of it. */
  readonly spec: RoutingSpec;
  /** How many shards there are. */
  readonly shardCount: number;
  /** Whether the key alone tells the shard, so that `columns` may be left out. */
  readonly isKeyOnly: boolean;
  /**
   * The shard of a key, from 0.
   *
   * @param columns What a routing expression looks at; not needed where that is the key alone.
   * @throws {ConfigValidationError} when the key has a type or a size that cannot be routed, or columns are missing.
   * @throws {CelEvaluationError} when a routing expression has no answer.
   * @throws {UnknownRoutingTokenError} when its answer is none of the snapshot's routing values.
   * @throws {ShardAssignmentError} when its answer is no shard's number.
   */
  route(key: Key, columns?: RoutingColumns): number;
  /** Gives packed rows their shards, where these depend on more of a row's bytes than its key. */
  routePacked?(rows: PackedRows, shardIds: Uint32Array): void;
}
