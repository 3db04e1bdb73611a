/**
 * Where manifests and the pointer to the current one are kept: the interface, whatever keeps them.
 * @module
 */
import type { RequestOptions } from "../stores/store.ts";
import type { Manifest, ManifestRef } from "./manifest.ts";

/** The pointer as it was read. */
export interface CurrentPointer extends ManifestRef {
  /** Raised by every publish and roll back; null where the writer was the Python package. */
  readonly generation: number | null;
  /** Refs of the manifests before this one, newest first, at most 10; null where absent. */
  readonly previous: readonly string[] | null;
  /** When each of `previous` stopped being current, in microseconds since 1970, where the store knows. */
  readonly previousUntilMicros?: readonly number[];
  /** Version of the pointer, for compare-and-set; null when the store gave none. */
  readonly version: string | null;
}

/** What asking for the pointer takes. */
export interface PointerOptions extends RequestOptions {
  /** The pointer as it was read before: given back as it is when it has not changed, for which nothing is sent. */
  readonly known?: CurrentPointer;
}

/** What asking for a manifest takes. */
export interface ManifestOptions extends RequestOptions {
  /** Whether the manifest may be one of {@linkcode LazyManifest}: when it has very many shards, they are not read. */
  readonly lazily?: boolean | undefined;
}

/** Reads manifests: all that an open reader needs. Sends GET only. */
export interface ManifestReader {
  /** The pointer; null when nothing was ever published. @throws {ManifestParseError} */
  loadCurrent(options?: PointerOptions): Promise<CurrentPointer | null>;
  /** @throws {ManifestParseError} when it breaks its format; the store's errors when it cannot be had. */
  loadManifest(ref: string, options?: ManifestOptions): Promise<Manifest>;
}

/** Publishes manifests and lists them. */
export interface ManifestStore extends ManifestReader {
  /**
   * Stores the manifest, then moves the pointer to it; `expected` is the pointer as seen when publishing began.
   *
   * Rejects with the signal's reason only when the manifest is certainly not published: its shards are removed then.
   *
   * @throws {PublishManifestError} when the manifest could not be stored.
   * @throws {PublishCurrentError} when only the pointer failed, after its retries.
   * @throws {PublishConflictError} when the pointer is no longer `expected`.
   */
  publish(manifest: Manifest, expected: CurrentPointer | null, options?: RequestOptions): Promise<ManifestRef>;
  /** Manifests, newest first. */
  list(limit: number, options?: RequestOptions): Promise<ManifestRef[]>;
  /** Moves the pointer to a stored manifest (roll back). */
  setCurrent(ref: string, expected: CurrentPointer | null, options?: RequestOptions): Promise<CurrentPointer>;
  /**
   * Removes manifests for good, all or none; those that are not there count as removed. For stores that can exclude
   * that a manifest becomes current meanwhile. `cleanUp` forgets none by itself: forget what is old, then let it remove
   * the shards that no manifest names any more.
   *
   * @param expected The pointer as seen when it was decided what is old: whoever moved it since may need a manifest.
   * @throws {PublishConflictError} when the pointer is no longer `expected`.
   * @throws {ReaderStateError} when the current manifest is among them.
   */
  forget?(refs: readonly string[], expected: CurrentPointer | null, options?: RequestOptions): Promise<void>;
}
