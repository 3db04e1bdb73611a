/**
 * The snapshot that a reader is pinned to.
 * @module
 */
import { ConfigValidationError, ReaderStateError } from "../errors.ts";
import type { ManifestRef } from "../snapshots/manifest.ts";
import type { ManifestOptions, ManifestReader } from "../snapshots/manifest_store.ts";
import { canList } from "./current_manifest.ts";
import { type LoadedManifest, loadManifestAt } from "./load_manifest.ts";
import type { SnapshotPin } from "./read_options.ts";

/**
 * The manifest of a pin.
 *
 * @throws {ReaderStateError} when the history has no such snapshot.
 * @throws {ConfigValidationError} when the history is needed and the store cannot list.
 */
export async function loadPinnedManifest(
  manifests: ManifestReader,
  pin: SnapshotPin,
  options: ManifestOptions,
): Promise<LoadedManifest> {
  if (typeof pin === "string") return await loadManifestAt(manifests, pin, options);
  const { ref, publishedAtMicros } = await findPinned(manifests, pin, options);
  return await loadManifestAt(manifests, ref, { ...options, publishedAtMicros });
}

async function findPinned(
  manifests: ManifestReader,
  pin: { readonly offset: number } | { readonly runId: string },
  options: ManifestOptions,
): Promise<ManifestRef> {
  if (!canList(manifests)) {
    throw new ConfigValidationError(
      "Cannot find a pinned snapshot in the history as the store cannot list: pin it by its ref",
      "pin",
    );
  }
  const refs = await manifests.list("offset" in pin ? pin.offset + 1 : Number.MAX_SAFE_INTEGER, options);
  const found = "offset" in pin ? refs[pin.offset] : refs.find(({ runId }) => runId === pin.runId);
  if (found !== undefined) return found;
  throw new ReaderStateError(
    "offset" in pin
      ? `Cannot read the snapshot at offset ${pin.offset} as the history has ${refs.length} snapshots`
      : `Cannot read the snapshot of run "${pin.runId}" as none of the ${refs.length} in the history is of that run`,
  );
}
