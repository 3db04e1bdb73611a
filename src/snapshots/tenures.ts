/**
 * When manifests stopped being current: what the grace period of a clean-up counts from.
 *
 * The pointer remembers it for the last ten. A time stamp of the successor would not do: that one may have become
 * current by a roll back, long after it was published.
 * @module
 */
import { manifestKeyOfRef, parseManifestFolder } from "./layout.ts";
import type { ManifestRef } from "./manifest.ts";
import type { CurrentPointer } from "./manifest_store.ts";
import { PREVIOUS_REFS_MAX } from "./pointer.ts";

/** A manifest that was current, and until when, in microseconds since 1970. */
export interface Tenure {
  readonly ref: string;
  readonly untilMicros: number;
}

/**
 * The tenures that a pointer remembers, newest first. Where it has no times, the one before it ended when the pointer
 * was moved, and each other one when its successor was published.
 */
export function tenuresOf({ publishedAtMicros, previous, previousUntilMicros }: CurrentPointer): readonly Tenure[] {
  return (previous ?? []).map((ref, index) => {
    const successor = index === 0 ? null : stampOf(previous![index - 1]!);
    return { ref, untilMicros: previousUntilMicros?.[index] ?? successor ?? publishedAtMicros };
  });
}

/** The fields of a pointer that remember these tenures. */
export function fieldsOfTenures(
  tenures: readonly Tenure[],
): { readonly previous: readonly string[]; readonly previousUntilMicros: readonly number[] } {
  const kept = tenures.slice(0, PREVIOUS_REFS_MAX);
  return { previous: kept.map(({ ref }) => ref), previousUntilMicros: kept.map(({ untilMicros }) => untilMicros) };
}

/**
 * When each manifest stopped being current, by its ref; those that never were, as far as anybody knows, are left out.
 *
 * A pointer that remembers nothing was written by the Python package, and one whose memory is full may have forgotten
 * some: what it does not name counts as replaced when the next newer one was published.
 *
 * @param manifests Newest first.
 */
export function replacedAt(pointer: CurrentPointer, manifests: readonly ManifestRef[]): ReadonlyMap<string, number> {
  const ends = new Map(tenuresOf(pointer).map(({ ref, untilMicros }) => [ref, untilMicros]));
  if (pointer.previous !== null && pointer.previous.length < PREVIOUS_REFS_MAX) return ends;
  for (const [rank, { ref }] of manifests.entries()) {
    if (ref === pointer.ref || ends.has(ref)) continue;
    ends.set(ref, manifests[rank - 1]?.publishedAtMicros ?? pointer.publishedAtMicros);
  }
  return ends;
}

function stampOf(ref: string): number | null {
  const folder = manifestKeyOfRef(ref)?.split("/")[1];
  return folder === undefined ? null : parseManifestFolder(folder)?.publishedAtMicros ?? null;
}
