/**
 * Routing by CEL expressions, for those who write: shards for rows, and at the end how many shards there are.
 *
 * Rows are seen once. Where shards depend on what all rows have, a row is first given a provisional number, in the
 * order in which new tokens come; when no row follows, tokens are sorted, and their places are the shards.
 * @module
 */
import { compareText } from "../cel/strings.ts";
import { ConfigValidationError, ShardAssignmentError, UnknownRoutingTokenError } from "../errors.ts";
import type { RoutingProgram } from "./cel_program.ts";
import { celRouter, type CelRoutingSpec } from "./cel_router.ts";
import { type CelToken, directShard, shownToken, tokenTable } from "./cel_tokens.ts";
import type { Key } from "./key.ts";
import type { Router, RoutingColumns } from "./router.ts";

/** Gives the rows of one write their shards. */
export interface RowAssigner {
  /**
   * A number for a row: its shard, or one that {@linkcode AssignedShards.shardIdOf} turns into its shard.
   *
   * @throws {CelEvaluationError} when the expression has no answer for the row.
   * @throws {ShardAssignmentError} when its answer is no shard.
   */
  assign(key: Key, columns: RoutingColumns | undefined): number;
  /** To be called when no row follows. @throws {ShardAssignmentError} when shards are left out. */
  finish(): AssignedShards;
}

/** What came of it. */
export interface AssignedShards {
  /** Routes as the rows were routed, and says what the manifest records. */
  readonly router: Router;
  /** The shard that a number given by `assign` stands for. */
  readonly shardIdOf: (assigned: number) => number;
}

/** Shards by number are at most so many; more are a slip of the keyboard. */
const SHARDS_MAX = 1_000_000;
/** Beyond so many different tokens they are no categories. */
const TOKENS_MAX = 100_000;
/** Of all tokens together: the manifest lists them. */
const TOKEN_CHARACTERS_MAX = 1 << 24;

/** The expression gives the number of the shard. */
export function directAssigner(program: RoutingProgram, spec: CelRoutingSpec): RowAssigner {
  const seen = new Uint8Array(SHARDS_MAX);
  let seenCount = 0;
  return {
    assign(key, columns) {
      const shardId = directShard(program.tokenOf(key, columns), SHARDS_MAX, spec.expr);
      if (seen[shardId] === 0) {
        seen[shardId] = 1;
        seenCount++;
      }
      return shardId;
    },
    finish() {
      const shardCount = Math.max(1, seen.lastIndexOf(1) + 1);
      const missing = seen.indexOf(0);
      if (seenCount > 0 && missing < shardCount) {
        throw new ShardAssignmentError(
          `Cannot publish the shards of CEL expression ${JSON.stringify(spec.expr)} as all numbers from 0 to ` +
            `${shardCount - 1} must occur: only ${seenCount} of them do, ${missing} is missing; choose fewer shards, ` +
            `as in shard_hash(key) % ${seenCount}u`,
        );
      }
      return { router: celRouter(spec, shardCount), shardIdOf: (shardId) => shardId };
    },
  };
}

/** The expression gives one of the routing values. */
export function categoricalAssigner(
  program: RoutingProgram,
  spec: CelRoutingSpec & { readonly routingValues: readonly (bigint | string)[] },
): RowAssigner {
  const shardOf = tokenTable(spec.routingValues, program.type);
  return {
    assign(key, columns) {
      try {
        return shardOf(program.tokenOf(key, columns));
      } catch (error) {
        if (!(error instanceof UnknownRoutingTokenError)) throw error;
        throw new ShardAssignmentError(
          `Cannot give a row to a shard as option "routingValues" does not have its token: ` +
            `current value is ${shownToken(error.token as CelToken)}`,
          { cause: error },
        );
      }
    },
    finish: () => ({ router: celRouter(spec, spec.routingValues.length), shardIdOf: (shardId) => shardId }),
  };
}

/** The routing values are what the expression gives over all rows. */
export function inferringAssigner(program: RoutingProgram, spec: CelRoutingSpec): RowAssigner {
  const places = new Map<number | bigint | string, number>();
  let characters = 0;
  return {
    assign(key, columns) {
      const token = program.tokenOf(key, columns) as number | bigint | string;
      const place = places.get(token);
      if (place !== undefined) return place;
      characters += typeof token === "string" ? token.length : 8;
      if (places.size === TOKENS_MAX || characters > TOKEN_CHARACTERS_MAX) throw tooManyTokens(spec.expr);
      places.set(token, places.size);
      return places.size - 1;
    },
    finish() {
      const sorted = sortedTokens([...places.keys()]);
      const shardIds = new Uint32Array(sorted.length);
      sorted.forEach((token, shardId) => shardIds[places.get(token)!] = shardId);
      const routingValues = sorted.map((token) => typeof token === "number" ? BigInt(token) : token);
      return {
        router: celRouter({ ...spec, routingValues }, Math.max(1, sorted.length)),
        shardIdOf: (place) => shardIds[place]!,
      };
    },
  };
}

/** Tokens of one type as Python sorts them: whole numbers by value, strings by code point. */
export function sortedTokens<T extends number | bigint | string>(tokens: readonly T[]): T[] {
  return tokens.toSorted((one, other) => {
    if (typeof one === "string") return compareText(one, other as string);
    return one < other ? -1 : one > other ? 1 : 0;
  });
}

function tooManyTokens(expr: string): ConfigValidationError {
  return new ConfigValidationError(
    `Cannot infer routing values from CEL expression ${JSON.stringify(expr)} as there must be at most ${TOKENS_MAX} ` +
      `different ones, of ${TOKEN_CHARACTERS_MAX} characters together: each is a shard of its own, ` +
      "route by hash as in shard_hash(key) % 100u",
    "sharding",
  );
}
