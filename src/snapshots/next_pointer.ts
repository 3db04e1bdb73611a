/**
 * What the pointer becomes when it moves: times and generations only grow, and it remembers what it named before.
 * @module
 */
import type { Clock } from "../clock.ts";
import type { ManifestRef } from "./manifest.ts";
import type { CurrentPointer } from "./manifest_store.ts";
import { PREVIOUS_REFS_MAX } from "./pointer.ts";

/** Now, or just after the pointer that is replaced, whatever the clock says. */
export function laterThan(expected: CurrentPointer | null, clock: Clock): number {
  const now = clock.nowMicros();
  return expected === null ? now : Math.max(now, expected.publishedAtMicros + 1);
}

/** The pointer that names `target`, over the one that is expected to be there. */
export function nextPointer(
  target: ManifestRef,
  expected: CurrentPointer | null,
  clock: Clock,
): Omit<CurrentPointer, "version"> {
  const earlier = expected === null ? [] : [expected.ref, ...expected.previous ?? []];
  const previous = earlier.filter((ref, index) => ref !== target.ref && earlier.indexOf(ref) === index);
  return {
    ...target,
    // Not the target's time: its process may have been suspended since it stored the manifest.
    publishedAtMicros: Math.max(target.publishedAtMicros, laterThan(expected, clock)),
    generation: nextGeneration(target, expected),
    previous: previous.slice(0, PREVIOUS_REFS_MAX),
  };
}

/**
 * A pointer without generation was written by the Python package, perhaps over one of ours whose generation is lost.
 * The time in microseconds is above any generation that counting can have reached.
 */
function nextGeneration({ publishedAtMicros }: ManifestRef, expected: CurrentPointer | null): number {
  if (expected === null) return 1;
  return expected.generation === null ? publishedAtMicros : expected.generation + 1;
}
