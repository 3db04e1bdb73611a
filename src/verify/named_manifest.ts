/**
 * The manifest of the snapshot that is to be checked.
 * @module
 */
import { ConfigValidationError, ManifestParseError, ObjectNotFoundError } from "../errors.ts";
import { loadPinnedManifest } from "../read/pinned_manifest.ts";
import { joinUrl, keyUnder } from "../snapshots/layout.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import { objectManifestReader, objectManifestStore } from "../snapshots/object_manifest_store.ts";
import { isObjectStore, type ReadableStore } from "../stores/store.ts";
import type { CheckedVerifyOptions } from "./verify_options.ts";
import type { Findings } from "./verify_report.ts";

/** What was found of a manifest. */
export interface NamedManifest {
  /** Null when no pointer names one. */
  readonly ref: string | null;
  /** Null when it cannot be read. */
  readonly manifest: Manifest | null;
  /** Where shards under the manifest's own place lie: null when that is not the store. */
  readonly store: ReadableStore | null;
}

/**
 * Loads the manifest, and nothing else in its place.
 *
 * @throws {ConfigValidationError} and {ReaderStateError} for a choice that leads to no snapshot; the store's errors.
 */
export async function loadNamedManifest(
  store: ReadableStore,
  options: CheckedVerifyOptions,
  findings: Findings,
): Promise<NamedManifest> {
  const { pointerKey, resolveStore, pin, signal, manifestStore } = options;
  let isElsewhere = false;
  const places = {
    pointerKey,
    resolveStore: resolveStore && ((url: string) => {
      isElsewhere = true;
      return resolveStore(url);
    }),
  };
  const manifests = manifestStore ??
    (isObjectStore(store) ? objectManifestStore(store, places) : objectManifestReader(store, places));
  const pointerUrl = manifestStore === undefined ? joinUrl(store.url, pointerKey) : "the pointer of the manifest store";
  if (pin === undefined) {
    const found = await loadCurrent(manifests, { store, pointerUrl, signal }, findings);
    return { ...found, store: isElsewhere ? null : store };
  }
  try {
    const { manifest, ref } = await loadPinnedManifest(manifests, pin, { signal });
    return { manifest, ref, store: isElsewhere ? null : store };
  } catch (error) {
    const ref = noteUnreadable(error, typeof pin === "string" ? pin : null, findings);
    return { manifest: null, ref, store };
  }
}

async function loadCurrent(
  manifests: ManifestReader,
  { store, pointerUrl, signal }: { store: ReadableStore; pointerUrl: string; signal: AbortSignal | undefined },
  findings: Findings,
): Promise<Omit<NamedManifest, "store">> {
  const aboutPointer = { shardId: null, object: pointerUrl, kind: "pointer" } as const;
  const pointer = await manifests.loadCurrent({ signal }).catch((error) => {
    if (!(error instanceof ManifestParseError)) throw error;
    findings.add({ ...aboutPointer, message: error.message });
    return undefined;
  });
  if (pointer === null) {
    const message = "nothing was published: there is no pointer to a current snapshot";
    findings.add({ ...aboutPointer, kind: "missing", message });
  }
  if (!pointer) return { ref: null, manifest: null };
  const { ref, runId } = pointer;
  try {
    const manifest = await manifests.loadManifest(ref, { signal });
    if (manifest.runId !== runId) {
      const message = `the pointer says that the run is "${runId}", its manifest that it is "${manifest.runId}"`;
      findings.add({ ...aboutPointer, message });
    }
    return { ref, manifest };
  } catch (error) {
    // Nobody chose this ref.
    if (error instanceof ConfigValidationError && keyUnder(store.url, ref) === null) {
      findings.add({ ...aboutPointer, message: error.message });
    } else {
      noteUnreadable(error, ref, findings);
    }
    return { ref, manifest: null };
  }
}

/** Collects that a manifest is missing or damaged, and gives its ref; passes other errors on. */
function noteUnreadable(error: unknown, ref: string | null, findings: Findings): string {
  if (error instanceof ObjectNotFoundError) {
    const object = ref ?? error.url;
    findings.add({ shardId: null, object, kind: "missing", message: "the manifest is not there" });
    return object;
  }
  if (!(error instanceof ManifestParseError)) throw error;
  findings.add({ shardId: null, object: error.ref, kind: "manifest", message: error.message });
  return error.ref;
}
