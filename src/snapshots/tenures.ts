/**
 * When manifests stopped being current: what the grace period of a clean-up counts from.
 *
 * A manifest store with a history of its own knows. Of an object store, the pointer tells when it was moved last, and
 * each manifest of ours which pointer it was published over (`replaces` in the object `shardyfusion` of `custom`):
 *
 * ```text
 * generation    of that pointer
 * manifest_ref  what it named
 * updated_at    when it had been moved there
 * ```
 *
 * Roll backs store no manifest, so some tenures remain unknown. What may have been one of them counts as having ended
 * when the next known one did. The time stamp of the successor would not do: that one may have become current by a
 * roll back, long after it was published.
 * @module
 */
import type { JsonObject } from "../bytes/python_json.ts";
import { jsonStamp, parseStamp } from "../bytes/timestamps.ts";
import { isJsonObject } from "./checked_fields.ts";
import type { ManifestRef } from "./manifest.ts";
import { ownFields, withOwn } from "./manifest_digest.ts";
import type { CurrentPointer } from "./manifest_store.ts";
import { PREVIOUS_REFS_MAX } from "./pointer.ts";

/** A manifest that was current, and until when at the latest, in microseconds since 1970. */
export interface Tenure {
  readonly ref: string;
  readonly untilMicros: number;
}

/** A pointer that a manifest was published over. */
export interface ReplacedPointer {
  readonly ref: string;
  readonly generation: number;
  readonly sinceMicros: number;
}

const REPLACES = "replaces";

/** `custom` of a manifest of ours that is published over a pointer; that of others as it is. */
export function withReplaced(custom: JsonObject, expected: CurrentPointer | null): JsonObject {
  if (expected === null || expected.generation === null || ownFields(custom) === undefined) return custom;
  const { ref, generation, publishedAtMicros } = expected;
  const fields = { generation, "manifest_ref": ref, "updated_at": jsonStamp(publishedAtMicros) };
  return withOwn(custom, { [REPLACES]: fields });
}

/** The pointer that a manifest was published over; null when it does not tell. */
export function replacedIn(custom: JsonObject): ReplacedPointer | null {
  const fields = ownFields(custom)?.[REPLACES];
  if (!isJsonObject(fields)) return null;
  const { generation, manifest_ref: ref, updated_at: stamp } = fields;
  const sinceMicros = typeof stamp === "string" ? parseStamp(stamp) : null;
  if (typeof generation !== "number" || typeof ref !== "string" || sinceMicros === null) return null;
  return { ref, generation, sinceMicros };
}

/**
 * The tenures that a pointer remembers, newest first, each with the latest time at which it can have ended.
 *
 * @param cutoffMicros Exact times are of no use before it.
 * @param replacedBy Gives what a manifest tells; asked for the current one and as many of those before it as it takes.
 */
export async function tenuresOf(
  pointer: CurrentPointer,
  cutoffMicros: number,
  replacedBy: (ref: string) => Promise<ReplacedPointer | null>,
): Promise<readonly Tenure[]> {
  const { previous, previousUntilMicros: known, generation, publishedAtMicros } = pointer;
  if (previous === null) return [];
  if (known != null) return previous.map((ref, index) => ({ ref, untilMicros: known[index]! }));
  const told = new Map<string, ReplacedPointer>();
  const learn = async (ref: string): Promise<void> => {
    const found = await replacedBy(ref);
    if (found !== null && found.generation > (told.get(found.ref)?.generation ?? -1)) told.set(found.ref, found);
  };
  const tenures: Tenure[] = [];
  let untilMicros = publishedAtMicros;
  // From this generation on, of no two in a row it is unknown what was current. Where one is unknown, it was none of
  // the refs that are still to come: these would stand further ahead.
  let knownSince = generation ?? Infinity;
  for (const [index, ref] of previous.entries()) {
    if (index > 0 && untilMicros > cutoffMicros) {
      const successor = previous[index - 1]!;
      await learn(index === 1 ? pointer.ref : previous[index - 2]!);
      const found = told.get(successor);
      const unknownCount = knownSince - (found?.generation ?? 0) - 1;
      // Below zero: the pointer was deleted once and counts anew.
      if (found !== undefined && (unknownCount === 0 || unknownCount === 1)) {
        untilMicros = Math.min(untilMicros, found.sinceMicros);
        knownSince = found.generation;
      }
    }
    tenures.push({ ref, untilMicros });
  }
  return tenures;
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
 * @param tenures Of the pointer.
 * @param manifests Newest first.
 */
export function replacedAt(
  pointer: CurrentPointer,
  tenures: readonly Tenure[],
  manifests: readonly ManifestRef[],
): ReadonlyMap<string, number> {
  const ends = new Map(tenures.map(({ ref, untilMicros }) => [ref, untilMicros]));
  if (pointer.previous !== null && pointer.previous.length < PREVIOUS_REFS_MAX) return ends;
  for (const [rank, { ref }] of manifests.entries()) {
    if (ref === pointer.ref || ends.has(ref)) continue;
    ends.set(ref, manifests[rank - 1]?.publishedAtMicros ?? pointer.publishedAtMicros);
  }
  return ends;
}
