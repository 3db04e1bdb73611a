/**
 * Routing by CEL expressions, for those who read: from the rule that a manifest records to the shard of a key.
 *
 * Only loaded for snapshots that are sharded so; hash routing needs nothing of it.
 * @module
 */
import type { NulRule } from "../cel/compile_cel.ts";
import { ConfigValidationError } from "../errors.ts";
import { routingProgram } from "./cel_program.ts";
import { type CelToken, directShard, tokenTable } from "./cel_tokens.ts";
import type { Key } from "./key.ts";
import type { Router, RoutingColumns, RoutingSpec } from "./router.ts";

/** What a manifest records of CEL sharding. */
export type CelRoutingSpec = RoutingSpec & { readonly strategy: "cel" };

/** How a CEL router reads columns. */
export interface CelRouterOptions {
  /**
   * What becomes of strings and bytes with a NUL in columns: `"cut"` reads them up to there, as Python does, and finds
   * what it wrote; `"refuse"` makes routing fail.
   * @default {"cut"}
   */
  readonly nul?: NulRule;
  /** Take the place of the routing values where these are recorded with bytes among them. Default: they are not. */
  readonly tokens?: readonly (bigint | string | Uint8Array)[] | null | undefined;
}

/**
 * The router of a snapshot with CEL sharding.
 *
 * Without routing values the expression gives the number of the shard; with them it gives one of these, whose place in
 * the list is the shard. Bytes match values that are their UTF-8 text, as which manifests record them.
 *
 * `route` takes the values of the columns, or routes by the key alone where the expression looks at nothing else. It
 * throws {@linkcode CelEvaluationError} where the expression has no answer, {@linkcode UnknownRoutingTokenError} for
 * tokens that are none of the routing values, and {@linkcode ShardAssignmentError} for numbers that are no shard.
 *
 * @param shardCount Number of shards that the manifest states.
 * @throws {ConfigValidationError} when the expression or the type of a column is not supported.
 *
 * @example Two regions
 * ```ts
 * import { celRouter } from "./cel_router.ts";
 *
 * const routingValues = ["eu", "us"];
 * const router = celRouter({ strategy: "cel", expr: "region", columns: { region: "string" }, routingValues }, 2);
 * if (router.route(5, { region: "us" }) !== 1) throw new Error("unexpected shard");
 * ```
 */
export function celRouter(spec: CelRoutingSpec, shardCount: number, options: CelRouterOptions = {}): Router {
  if (!Number.isSafeInteger(shardCount) || shardCount < 1) {
    throw new ConfigValidationError(
      `Cannot route to shards as their number must be from 1 up: current value is ${shardCount}`,
      "shardCount",
    );
  }
  const { expr, routingValues } = spec;
  const { nul = "cut", tokens = routingValues } = options;
  const program = routingProgram(spec, nul);
  const shardOf = tokens === null
    ? (token: CelToken): number => directShard(token, shardCount, expr)
    : tokenTable(tokens, program.type);
  return Object.freeze({
    spec,
    shardCount,
    isKeyOnly: program.isKeyOnly,
    route: (key: Key, columns?: RoutingColumns): number => shardOf(program.tokenOf(key, columns)),
  });
}

/** For option `routers` of the reader in `./reader`: lets it read snapshots with CEL sharding. */
export function celRouting(spec: RoutingSpec, shardCount: number): Router | null {
  return spec.strategy === "cel" ? celRouter(spec, shardCount) : null;
}
