/**
 * Tokens, which routing expressions give: from tokens to shards (WIRE_FORMATS 14).
 * @module
 */
import { ShardAssignmentError, UnknownRoutingTokenError } from "../errors.ts";

/** What a routing expression may give: whole numbers are bigint only where they are not safe as a number. */
export type CelToken = number | bigint | string | Uint8Array;

/** Types that a routing expression may have. */
export type CelTokenType = "int" | "uint" | "string" | "bytes";

/** Whole numbers in text, as Python's int() reads them; other digits than those of ASCII are not read. */
const WHOLE_NUMBER = /^[\t-\r ]*([+-]?\d+(?:_\d+)*)[\t-\r ]*$/;

/**
 * The shard that a token names by its number: what Python's int() makes of it, as in snapshots that Python wrote.
 *
 * @param shardsEnd The first number that is none any more.
 * @throws {ShardAssignmentError} when it is no number of a shard.
 */
export function directShard(token: CelToken, shardsEnd: number, expr: string): number {
  let shardId = token;
  if (typeof token === "string" || token instanceof Uint8Array) {
    const digits = WHOLE_NUMBER.exec(typeof token === "string" ? token : latinText(token))?.[1];
    shardId = digits === undefined ? -1 : Number(digits.replaceAll("_", ""));
  }
  if (typeof shardId === "number" && shardId >= 0 && shardId < shardsEnd) return shardId + 0;
  throw new ShardAssignmentError(
    `Cannot take the result of CEL expression ${JSON.stringify(expr)} as a shard as it must be a whole number from 0 ` +
      `to ${shardsEnd - 1}: current value is ${shownToken(token)}`,
  );
}

/** A token as messages show it. */
export function shownToken(token: CelToken): string {
  if (typeof token === "string") return JSON.stringify(token.length > 100 ? `${token.slice(0, 100)}…` : token);
  if (!(token instanceof Uint8Array)) return `${token}`;
  const digits = Array.from(token.subarray(0, 50), (byte) => byte.toString(16).padStart(2, "0"));
  return `x'${digits.join("")}${token.length > 50 ? "…" : ""}'`;
}

/** Each byte as the character of its number. */
export function latinText(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

/**
 * Gives tokens their places in a list. Whole numbers match whole numbers only, and strings match strings; bytes match
 * bytes, and strings that they are the UTF-8 of.
 *
 * @returns A function that throws {@linkcode UnknownRoutingTokenError} for a token that is not in the list.
 */
export function tokenTable(
  values: readonly (bigint | string | Uint8Array)[],
  type: CelTokenType,
): (token: CelToken) => number {
  const places = new Map<unknown, number>();
  values.forEach((value, place) => {
    if (type === "bytes") {
      if (typeof value === "bigint") return;
      places.set(latinText(typeof value === "string" ? new TextEncoder().encode(value) : value), place);
    } else if (typeof value === "bigint") {
      const near = Number(value);
      places.set(Number.isSafeInteger(near) ? near : value, place);
    } else if (typeof value === "string") {
      places.set(value, place);
    }
  });
  return (token) => {
    const place = places.get(token instanceof Uint8Array ? latinText(token) : token);
    if (place !== undefined) return place;
    throw new UnknownRoutingTokenError(
      `Cannot route to a shard as none of them is for token ${shownToken(token)}: see the routing values`,
      token,
    );
  };
}
