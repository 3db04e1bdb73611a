/**
 * From the routing that a manifest records to the router that follows it.
 * @module
 */
import { hashRouter } from "./hash_router.ts";
import type { Router, RoutingSpec } from "./router.ts";

/**
 * The router of a snapshot. What routes by CEL is loaded when a snapshot needs it.
 *
 * @param shardCount Number of shards that the manifest states.
 * @throws {ConfigValidationError} when the expression is not supported, or the number of shards is wrong.
 */
export async function routerOf(spec: RoutingSpec, shardCount: number): Promise<Router> {
  if (spec.strategy === "hash") return hashRouter(shardCount);
  const { celRouter } = await import("./cel_router.ts");
  return celRouter(spec, shardCount);
}
