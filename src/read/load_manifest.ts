/**
 * From the pointer to a manifest that can be read, falling back to older ones.
 * @module
 */
import { ConfigValidationError, ManifestParseError, ObjectNotFoundError, ReaderStateError } from "../errors.ts";
import type { Manifest, ManifestRef } from "../snapshots/manifest.ts";
import type { CurrentPointer, ManifestReader, ManifestStore } from "../snapshots/manifest_store.ts";
import type { RequestOptions } from "../stores/store.ts";
import type { SnapshotPin } from "./read_options.ts";

/** A manifest and how it was reached. */
export interface LoadedManifest {
  readonly manifest: Manifest;
  readonly ref: string;
  readonly pointer: CurrentPointer;
  /** What a user should know: that an older snapshot is being read, and why. */
  readonly warnings: readonly string[];
}

/** Whether manifests can be listed: for pins by place, and for fallback where the pointer names no older ones. */
function canList(manifests: ManifestReader): manifests is ManifestStore {
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
  options: RequestOptions,
): Promise<LoadedManifest> {
  const pointer = await manifests.loadCurrent(options);
  if (pointer === null) {
    throw new ReaderStateError("Cannot open a snapshot as none was published: there is no pointer to a current one");
  }
  try {
    return { manifest: await manifests.loadManifest(pointer.ref, options), ref: pointer.ref, pointer, warnings: [] };
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
  options: RequestOptions,
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

/**
 * The manifest of a pin.
 *
 * @throws {ReaderStateError} when the history has no such snapshot.
 * @throws {ConfigValidationError} when the history is needed and the store cannot list.
 */
export async function loadPinnedManifest(
  manifests: ManifestReader,
  pin: SnapshotPin,
  options: RequestOptions,
): Promise<LoadedManifest> {
  const found = typeof pin === "string" ? null : await findPinned(manifests, pin, options);
  const ref = typeof pin === "string" ? pin : found!.ref;
  const manifest = await manifests.loadManifest(ref, options);
  const pointer: CurrentPointer = {
    ref,
    runId: manifest.runId,
    publishedAtMicros: found?.publishedAtMicros ?? manifest.createdAtMicros,
    generation: null,
    previous: null,
    version: null,
  };
  return { manifest, ref, pointer, warnings: [] };
}

async function findPinned(
  manifests: ManifestReader,
  pin: { readonly offset: number } | { readonly runId: string },
  options: RequestOptions,
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

/** Whether a pointer is a later one than another: by generation; where one of them lacks it, by time. */
export function isNewer(candidate: CurrentPointer, active: CurrentPointer): boolean {
  if (candidate.generation !== null && active.generation !== null) return candidate.generation > active.generation;
  return candidate.publishedAtMicros > active.publishedAtMicros;
}
