/**
 * From the pointer to a manifest that can be read, falling back to older ones.
 * @module
 */
import { ManifestParseError, ObjectNotFoundError, ReaderStateError } from "../errors.ts";
import type { CurrentPointer, ManifestOptions, ManifestReader, ManifestStore } from "../snapshots/manifest_store.ts";
import { type LoadedManifest, loadNamed, requirePointer } from "./load_manifest.ts";

/** Whether manifests can be listed: for pins by place, and for fallback where the pointer names no older ones. */
export function canList(manifests: ManifestReader): manifests is ManifestStore {
  return "list" in manifests;
}

/**
 * The current manifest; when it cannot be parsed, the newest older one that can, among `fallbackAttempts`.
 *
 * Lists only where the pointer does not name older manifests, as those of the Python package do not.
 *
 * @throws {ReaderStateError} when nothing was published, or no manifest could be parsed.
 * @throws {ManifestParseError} when the pointer is malformed, or no fallback was allowed.
 * @throws the store's errors: that the current manifest cannot be had is no reason to fall back.
 */
export async function loadCurrentManifest(
  manifests: ManifestReader,
  fallbackAttempts: number,
  options: ManifestOptions,
): Promise<LoadedManifest> {
  const pointer = await requirePointer(manifests, options);
  try {
    return await loadNamed(manifests, pointer, options);
  } catch (error) {
    if (!(error instanceof ManifestParseError) || fallbackAttempts === 0) throw error;
    return await fallBack(manifests, { pointer, fallbackAttempts, failure: error }, options);
  }
}

async function fallBack(
  manifests: ManifestReader,
  { pointer, fallbackAttempts, failure }: {
    pointer: CurrentPointer;
    fallbackAttempts: number;
    failure: ManifestParseError;
  },
  options: ManifestOptions,
): Promise<LoadedManifest> {
  let refs: readonly string[] = pointer.previous ?? [];
  if (pointer.previous === null && canList(manifests)) {
    refs = (await manifests.list(fallbackAttempts + 1, options)).map(({ ref }) => ref);
  }
  for (const ref of refs.filter((ref) => ref !== pointer.ref).slice(0, fallbackAttempts)) {
    try {
      const manifest = await manifests.loadManifest(ref, options);
      const warning = `reading the older snapshot "${ref}": ${failure.message}`;
      return { manifest, ref, pointer, warnings: [warning] };
    } catch (error) {
      // The pointer may still name manifests that were cleaned up since.
      if (!(error instanceof ManifestParseError || error instanceof ObjectNotFoundError)) throw error;
    }
  }
  throw new ReaderStateError(
    `Cannot open a snapshot as neither the current manifest "${pointer.ref}" nor an older one can be read`,
    { cause: failure },
  );
}
