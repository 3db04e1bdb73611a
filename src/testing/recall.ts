/**
 * How much of the exact answer an approximate search finds.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";

/** A result of a search: what matters here is which one it is. */
export interface RankedMatch {
  readonly id: number | bigint | string;
}

/**
 * Recall at k: the part of the `k` best matches that a search found among its own `k` best, from 0 to 1. Their order
 * does not matter; numbers and bigint of one value are one id. Where the exact answer has fewer than `k` matches, all
 * of these count; when it has none, the recall is 1.
 *
 * @param found What the search gave, best first.
 * @param exact The true answer, best first.
 * @throws {ConfigValidationError} when `k` is no whole number from 1 up.
 *
 * @example One of two found
 * ```ts
 * import { recallAtK } from "./recall.ts";
 *
 * const exact = [{ id: 1 }, { id: 2 }, { id: 3 }];
 * if (recallAtK([{ id: 2 }, { id: 7 }], exact, 2) !== 0.5) throw new Error("unexpected recall");
 * ```
 */
export function recallAtK(found: readonly RankedMatch[], exact: readonly RankedMatch[], k: number): number {
  if (!Number.isSafeInteger(k) || k < 1) {
    throw new ConfigValidationError(`Cannot tell the recall at ${k} as it must be a whole number from 1 up`, "k");
  }
  const wanted = new Set(exact.slice(0, k).map(identity));
  if (wanted.size === 0) return 1;
  const hits = new Set(found.slice(0, k).map(identity).filter((id) => wanted.has(id)));
  return hits.size / wanted.size;
}

function identity({ id }: RankedMatch): string {
  return `${typeof id === "string" ? "text" : "number"}:${id}`;
}
