/**
 * Merges what shards found into one list.
 * @module
 */

/**
 * The best of several lists, each of which is in ascending order of its scores: ascending, of equal scores those of
 * earlier lists first, and within a list in its order. Lists need not be sorted; the result is.
 *
 * @param topK At most so many.
 *
 * @example
 * ```ts
 * import { mergeMatches } from "./top_matches.ts";
 *
 * const merged = mergeMatches([[{ id: 1, score: 0.5 }], [{ id: 2, score: 0.1 }, { id: 3, score: 0.5 }]], 2);
 * if (merged.map(({ id }) => id).join() !== "2,1") throw new Error("unexpected order");
 * ```
 */
export function mergeMatches<M extends { readonly score: number }>(
  lists: readonly (readonly M[])[],
  topK: number,
): M[] {
  // Sorting is stable.
  return lists.flat().sort((one, other) => one.score - other.score).slice(0, topK);
}
