/**
 * From the routing that a manifest records to the router that follows it.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { hashRouter } from "./hash_router.ts";
import type { Router, RoutingSpec } from "./router.ts";

/**
 * The router of a snapshot.
 *
 * @param shardCount Number of shards that the manifest states.
 * @throws {ConfigValidationError} when this version cannot follow the strategy, or the number of shards is wrong.
 */
export function routerOf(spec: RoutingSpec, shardCount: number): Router {
  if (spec.strategy === "hash") return hashRouter(shardCount);
  throw new ConfigValidationError(
    'Cannot route by strategy "cel": CEL routing is not supported by this version, update the package',
    "sharding.strategy",
  );
}
