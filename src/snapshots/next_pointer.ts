/**
 * What the pointer becomes when it moves: times and generations only grow, and it remembers what it named before.
 * @module
 */
import type { Clock } from "../clock.ts";
import type { ManifestRef } from "./manifest.ts";
import type { CurrentPointer } from "./manifest_store.ts";
import { fieldsOfTenures, type Tenure, tenuresOf } from "./tenures.ts";

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
  const earlier: Tenure[] = [];
  if (expected !== null) {
    // Not the target's time: its process may have been suspended since it stored the manifest.
    const untilMicros = Math.max(target.publishedAtMicros, clock.nowMicros());
    earlier.push({ ref: expected.ref, untilMicros }, ...tenuresOf(expected));
  }
  const refs = earlier.map(({ ref }) => ref);
  const tenures = earlier.filter(({ ref }, index) => ref !== target.ref && refs.indexOf(ref) === index);
  return { ...target, generation: nextGeneration(target, expected), ...fieldsOfTenures(tenures) };
}

/**
 * A pointer without generation was written by the Python package, perhaps over one of ours whose generation is lost.
 * The time in microseconds is above any generation that counting can have reached.
 */
function nextGeneration({ publishedAtMicros }: ManifestRef, expected: CurrentPointer | null): number {
  if (expected === null) return 1;
  return expected.generation === null ? publishedAtMicros : expected.generation + 1;
}
