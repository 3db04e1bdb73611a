/**
 * Opens a snapshot that is uploaded but not published, for those who judge whether it may be.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import type { Clock } from "../clock.ts";
import { openSnapshot } from "../read/open_snapshot.ts";
import { canRange } from "../read/shard_access.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import { joinUrl, MANIFESTS_PREFIX } from "../snapshots/layout.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { CurrentPointer, ManifestReader } from "../snapshots/manifest_store.ts";
import type { ObjectStore } from "../stores/store.ts";

/** What judging takes beside the manifest. */
export interface CandidateOptions {
  readonly store: ObjectStore;
  readonly validate: (candidate: SnapshotReader) => Promise<void>;
  readonly backend: Backend;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** What a candidate's reader reads. */
export interface Candidate extends Omit<CandidateOptions, "validate" | "clock"> {
  readonly manifest: Manifest;
  /** Where the manifest would lie; it does not. */
  readonly ref: string;
}

const candidates = new WeakMap<SnapshotReader, Candidate>();

/** What is behind the reader that `validate` was given; undefined for other readers. */
export function candidateOf(reader: SnapshotReader): Candidate | undefined {
  return candidates.get(reader);
}

/**
 * Lets `validate` judge a snapshot by the reader that everybody will read it with. Its shards lie in the store; its
 * manifest does not yet, and so it is given to the reader as it is.
 *
 * @throws what `validate` throws; the reason of the signal, without waiting for `validate`; errors of opening.
 */
export async function validateCandidate(manifest: Manifest, options: CandidateOptions): Promise<void> {
  const { store, validate, backend, clock, signal } = options;
  const ref = joinUrl(store.url, `${MANIFESTS_PREFIX}candidate/manifest`);
  const manifestStore = manifestReaderOf(manifest, ref);
  // What is not looked at need not be fetched.
  const access = canRange(backend) ? "range" : "auto";
  await using candidate = await openSnapshot({ store, manifestStore, backend, access, clock, signal });
  candidates.set(candidate, { manifest, ref, store, backend, signal });
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    signal.throwIfAborted();
    await Promise.race([validate(candidate), aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** A series of this one snapshot. */
function manifestReaderOf(manifest: Manifest, ref: string): ManifestReader {
  const pointer: CurrentPointer = {
    ref,
    runId: manifest.runId,
    publishedAtMicros: manifest.createdAtMicros,
    generation: null,
    previous: [],
    version: null,
  };
  return { loadCurrent: () => Promise.resolve(pointer), loadManifest: () => Promise.resolve(manifest) };
}
