/**
 * From a key to the number of its shard: the interface that writers and readers share.
 * @module
 */
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
  readonly spec: RoutingSpec;
  readonly shardCount: number;
  /**
   * The shard of a key, from 0.
   *
   * @throws {ConfigValidationError} when the key has a type or a size that cannot be routed.
   */
  route(key: Key, columns?: RoutingColumns): number;
}
