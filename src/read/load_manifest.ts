/**
 * From the pointer to the manifest that it names.
 * @module
 */
import { ReaderStateError } from "../errors.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { CurrentPointer, ManifestOptions, ManifestReader } from "../snapshots/manifest_store.ts";
import type { RequestOptions } from "../stores/store.ts";

/** A manifest and how it was reached. */
export interface LoadedManifest {
  readonly manifest: Manifest;
  readonly ref: string;
  readonly pointer: CurrentPointer;
  /** What a user should know: that an older snapshot is being read, and why. */
  readonly warnings: readonly string[];
}

/**
 * The pointer, as there must be one to open a snapshot.
 *
 * @throws {ReaderStateError} when nothing was published.
 */
export async function requirePointer(manifests: ManifestReader, options: RequestOptions): Promise<CurrentPointer> {
  const pointer = await manifests.loadCurrent(options);
  if (pointer !== null) return pointer;
  throw new ReaderStateError("Cannot open a snapshot as none was published: there is no pointer to a current one");
}

/** The manifest that the pointer names. */
export async function loadNamed(
  manifests: ManifestReader,
  pointer: CurrentPointer,
  options: ManifestOptions,
): Promise<LoadedManifest> {
  return { manifest: await manifests.loadManifest(pointer.ref, options), ref: pointer.ref, pointer, warnings: [] };
}

/** The manifest that a ref names. */
export async function loadManifestAt(
  manifests: ManifestReader,
  ref: string,
  { publishedAtMicros, ...options }: ManifestOptions & { readonly publishedAtMicros?: number },
): Promise<LoadedManifest> {
  const manifest = await manifests.loadManifest(ref, options);
  const pointer: CurrentPointer = {
    ref,
    runId: manifest.runId,
    publishedAtMicros: publishedAtMicros ?? manifest.createdAtMicros,
    generation: null,
    previous: null,
    version: null,
  };
  return { manifest, ref, pointer, warnings: [] };
}

/** Whether a pointer is a later one than another: by generation; where one of them lacks it, by time. */
export function isNewer(candidate: CurrentPointer, active: CurrentPointer): boolean {
  if (candidate.generation !== null && active.generation !== null) return candidate.generation > active.generation;
  return candidate.publishedAtMicros > active.publishedAtMicros;
}
