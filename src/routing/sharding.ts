/**
 * The option `sharding` of writers: how many shards there are, and which router fills them.
 * @module
 */
import * as v from "valibot";
import { ConfigValidationError } from "../errors.ts";
import { parseOptions, positiveInteger } from "../options.ts";
import type { CelSharding } from "./cel_sharding.ts";
import { hashRouter } from "./hash_router.ts";
import type { Router } from "./router.ts";
import type { VectorSharding } from "./vector_sharding.ts";

/**
 * Most shards that a writer may ask for. Shard folders carry five digits, so that listings sort by number below
 * 100,000, and each shard costs an upload, a row of the manifest and, on reading, an open file or connection: a million
 * shards are a slip of the keyboard. A power of two lets shard numbers be kept in 16 bits. Reading has no such limit.
 */
export const SHARDS_MAX = 1_000_000;

/** How a writer gives rows their shards; made by a function such as {@linkcode hashSharding}. */
export type Sharding = FixedSharding | CountedSharding | CelSharding | VectorSharding;

/** The router is known before the first row. */
export interface FixedSharding {
  readonly kind: "fixed";
  /** Gives rows their shards. */
  readonly router: Router;
}

/** The router depends on how many rows there are: rows have to be counted before the first one is routed. */
export interface CountedSharding {
  readonly kind: "keysPerShard";
  /** What was asked for: shards hold that many rows on average, some of them more. */
  readonly keysPerShardMax: number;
  /** `max(1, ceil(rowCount / keysPerShardMax))`. @throws {ConfigValidationError} above {@linkcode SHARDS_MAX}. */
  shardCountFor(rowCount: number): number;
  /** The router for that many shards. @throws {ConfigValidationError} above {@linkcode SHARDS_MAX} shards. */
  routerFor(rowCount: number): Router;
}

/** Exactly one of the two. */
export interface HashShardingOptions {
  /** Number of shards, from 1 to 1,000,000. */
  readonly shards?: number;
  /** Rows per shard on average; the number of shards follows from the number of rows. */
  readonly keysPerShard?: number;
}

const SHARDS_EXPECTED = "a whole number from 1 to 1,000,000";

const hashShardingOptions: v.GenericSchema<HashShardingOptions> = v.strictObject({
  shards: v.exactOptional(v.pipe(
    v.number(SHARDS_EXPECTED),
    v.safeInteger(SHARDS_EXPECTED),
    v.minValue(1, SHARDS_EXPECTED),
    v.maxValue(SHARDS_MAX, SHARDS_EXPECTED),
  )),
  keysPerShard: v.exactOptional(positiveInteger),
});

/**
 * Spreads rows over shards by the hash of their keys.
 *
 * With `keysPerShard` the rows are counted first, so a source of unknown length is spooled to disk.
 *
 * @throws {ConfigValidationError} when none or both of the options are given, or one is not a number in its range.
 *
 * @example
 * ```ts
 * import { hashSharding } from "./sharding.ts";
 *
 * const sharding = hashSharding({ keysPerShard: 100_000 });
 * if (sharding.kind !== "keysPerShard" || sharding.shardCountFor(250_000) !== 3) throw new Error("unexpected count");
 * ```
 */
export function hashSharding(options: HashShardingOptions): Sharding {
  const { shards, keysPerShard } = parseOptions(hashShardingOptions, options, "hashSharding");
  if (shards !== undefined && keysPerShard !== undefined) {
    throw new ConfigValidationError(
      'Cannot use option "hashSharding.keysPerShard" together with "hashSharding.shards": give one of them',
      "hashSharding.keysPerShard",
    );
  }
  if (keysPerShard !== undefined) return countedSharding(keysPerShard);
  if (shards !== undefined) return Object.freeze({ kind: "fixed", router: hashRouter(shards) });
  throw new ConfigValidationError(
    `Cannot use option "hashSharding.shards" as it must be ${SHARDS_EXPECTED}: it is missing, and so is "keysPerShard"`,
    "hashSharding.shards",
  );
}

/** Puts all rows into one shard. Recorded as hash sharding with one shard. */
export function singleShard(): Sharding {
  return Object.freeze({ kind: "fixed", router: hashRouter(1) });
}

function countedSharding(keysPerShardMax: number): CountedSharding {
  function shardCountFor(rowCount: number): number {
    const shardCount = Math.max(1, Math.ceil(rowCount / keysPerShardMax));
    if (shardCount <= SHARDS_MAX) return shardCount;
    throw new ConfigValidationError(
      `Cannot use option "hashSharding.keysPerShard" as it must be at least ${Math.ceil(rowCount / SHARDS_MAX)} for ` +
        `${rowCount} rows, which else take more than ${SHARDS_MAX} shards: current value is ${keysPerShardMax}`,
      "hashSharding.keysPerShard",
    );
  }
  return Object.freeze({
    kind: "keysPerShard",
    keysPerShardMax,
    shardCountFor,
    routerFor: (rowCount: number): Router => hashRouter(shardCountFor(rowCount)),
  });
}
