/**
 * Publishes a manifest against other writers: gives way to them, or replaces what they published.
 * @module
 */
import { PublishConflictError, PublishCurrentError } from "../errors.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { CurrentPointer, ManifestStore } from "../snapshots/manifest_store.ts";
import type { RequestOptions } from "../stores/store.ts";

/** How often others may be faster before replacing them gives up. */
const REPLACEMENTS_MAX = 10;

/** What is published, and over what. */
export interface Publication {
  readonly manifest: Manifest;
  /** The pointer that may be replaced; null when there must be none. */
  readonly expected: CurrentPointer | null;
  readonly onConflict: "fail" | "replace";
}

/** What was published. */
export interface Published {
  readonly ref: string;
  /** Manifests that others published after `expected` was read, and that this one took the place of: oldest first. */
  readonly replaced: readonly string[];
}

/**
 * Stores the manifest and moves the pointer to it. With `"replace"` the pointer is read again where another writer has
 * moved it, and moved on from there by compare-and-set as ever: the other's manifest stays in the history.
 *
 * @throws {PublishConflictError} when another writer was faster; with `"replace"` eleven times in a row.
 * @throws {PublishCurrentError} also when the pointer could not be read again; errors of publishing.
 */
export async function publishSnapshot(
  manifests: ManifestStore,
  { manifest, expected, onConflict }: Publication,
  request: RequestOptions,
): Promise<Published> {
  try {
    return { ref: (await manifests.publish(manifest, expected, request)).ref, replaced: [] };
  } catch (error) {
    if (onConflict === "fail" || !(error instanceof PublishConflictError)) throw error;
    return await replaceOthers(manifests, { ref: error.manifestRef, expected }, request);
  }
}

/** The manifest is stored by now: that its shards stay is what errors say, whatever happens. */
async function replaceOthers(
  manifests: ManifestStore,
  { ref, expected }: { ref: string; expected: CurrentPointer | null },
  request: RequestOptions,
): Promise<Published> {
  let replaced: readonly string[] = [];
  for (let attempt = 1;; attempt++) {
    try {
      const current = await manifests.loadCurrent(request);
      // It may have been ours for a while, until the next writer came, though we never learned of it.
      if (current?.ref === ref || current?.previous?.includes(ref)) return { ref, replaced };
      replaced = publishedSince(expected, current);
      await manifests.setCurrent(ref, current, request);
      return { ref, replaced };
    } catch (error) {
      if (error instanceof PublishCurrentError) throw error;
      if (error instanceof PublishConflictError) {
        if (attempt === REPLACEMENTS_MAX) throw error;
        continue;
      }
      const reason = error instanceof Error ? error.message : String(error);
      throw new PublishCurrentError(
        `Cannot move the pointer to "${ref}", which is stored, in place of another writer's: ${reason}`,
        ref,
        { cause: error },
      );
    }
  }
}

/** What the pointer has named since it was `expected`, oldest first, as far as it remembers. */
function publishedSince(expected: CurrentPointer | null, current: CurrentPointer | null): readonly string[] {
  const refs = current === null ? [] : [current.ref, ...current.previous ?? []];
  const count = expected === null ? refs.length : refs.indexOf(expected.ref);
  return refs.slice(0, count < 0 ? 1 : count).reverse();
}
