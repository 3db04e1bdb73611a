/**
 * Manifests that were read, as each of them never changes.
 * @module
 */
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import type { Manifest } from "../snapshots/manifest.ts";

/** So many are kept, those that were asked for last. */
const KEPT_MAX = 24;

/** The same manifests, each read once as long as it is asked for. */
export function knownManifests(inner: ManifestReader): ManifestReader {
  const kept = new Map<string, Promise<Manifest>>();
  return {
    loadCurrent: (options) => inner.loadCurrent(options),
    loadManifest(ref) {
      const found = kept.get(ref) ?? inner.loadManifest(ref, { lazily: true });
      kept.delete(ref);
      kept.set(ref, found);
      found.catch(() => kept.delete(ref));
      const oldest = kept.keys().next().value!;
      if (kept.size > KEPT_MAX) kept.delete(oldest);
      return found;
    },
  };
}
