/**
 * Opens the current snapshot of a series: pointer, manifest, router, shards.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { ConfigValidationError, ManifestParseError, ReaderStateError } from "../errors.ts";
import { backendOf } from "../registry.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import { objectManifestReader, objectManifestStore } from "../snapshots/object_manifest_store.ts";
import { isObjectStore } from "../stores/store.ts";
import { countingStore, type Traffic } from "./counting_store.ts";
import { type Generation, openGeneration } from "./generation.ts";
import { isNewer, loadCurrentManifest, type LoadedManifest, loadPinnedManifest } from "./load_manifest.ts";
import { type CheckedOpenOptions, checkOpenOptions, type OpenSnapshotOptions } from "./read_options.ts";
import { chooseMode, memoryAccess, type ShardAccess } from "./shard_access.ts";
import { SnapshotReader } from "./snapshot_reader.ts";

/**
 * Opens the snapshot that is current now, or the pinned one.
 *
 * Sharding, key encoding and engine come from the manifest. All shards are opened before this returns, so a snapshot
 * that is cleaned up later can still be read to the end. Sends GET requests only: one for the pointer, one for the
 * manifest, one per shard (a history is listed where a pin or a fallback needs it).
 *
 * @throws {ConfigValidationError} for wrong options, and for snapshots that have no keys to look up.
 * @throws {ReaderStateError} when nothing was published yet, or no manifest can be read.
 * @throws {ManifestParseError} when the pointer is malformed.
 * @throws {CorruptFileError} when a shard is not what was published.
 *
 * @example Write a snapshot, then read it
 * ```ts
 * import { hashSharding } from "../routing/mod.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { writeSnapshot } from "../write/write_snapshot.ts";
 * import { openSnapshot } from "./open_snapshot.ts";
 *
 * const store = memoryStore();
 * await writeSnapshot(["a", "b", "c"], {
 *   store,
 *   sharding: hashSharding({ shards: 2 }),
 *   key: (row) => row,
 *   value: (row) => row.toUpperCase(),
 * });
 * await using reader = await openSnapshot({ store });
 * const value = await reader.get("b");
 * if (value === null || new TextDecoder().decode(value) !== "B") throw new Error("unexpected value");
 * if (await reader.get("z") !== null) throw new Error("unexpected key");
 * ```
 */
export async function openSnapshot(options: OpenSnapshotOptions): Promise<SnapshotReader> {
  const checked = checkOpenOptions(options);
  const traffic: Traffic = { requests: 0, bytesRead: 0 };
  const manifests = manifestReader(checked, traffic);
  const request = checked.signal === undefined ? {} : { signal: checked.signal };
  const { pin, fallbackAttempts } = checked;
  const loaded = pin === undefined
    ? await loadCurrentManifest(manifests, fallbackAttempts, request)
    : await loadPinnedManifest(manifests, pin, request);
  const first = await openLoaded(loaded, { options: checked, traffic, signal: checked.signal });
  const warnings = [...loaded.warnings];
  return new SnapshotReader({
    options: checked,
    first,
    traffic,
    warnings,
    async openNewer(active, signal) {
      if (pin !== undefined) return null;
      const newer = await loadNewer(manifests, { active, warnings, signal });
      return newer === null ? null : await openLoaded(newer, { options: checked, traffic, signal });
    },
  });
}

function manifestReader(options: CheckedOpenOptions, traffic: Traffic): ManifestReader {
  const { store, manifestStore, pointerKey, clock } = options;
  if (manifestStore !== undefined) return manifestStore;
  const reader = objectManifestReader(countingStore(store, traffic), { pointerKey });
  if (!isObjectStore(store)) return reader;
  const { list } = objectManifestStore(store, { pointerKey, clock });
  return Object.assign(reader, { list });
}

/** The manifest that the pointer names now, if it is later than the active one and can be parsed. */
async function loadNewer(
  manifests: ManifestReader,
  { active, warnings, signal }: { active: Generation; warnings: string[]; signal: AbortSignal | undefined },
): Promise<LoadedManifest | null> {
  const request = signal === undefined ? {} : { signal };
  const pointer = await manifests.loadCurrent(request);
  if (pointer === null) throw new ReaderStateError("Cannot refresh the reader as the pointer is gone");
  if (pointer.ref === active.manifestRef || !isNewer(pointer, active.pointer)) return null;
  try {
    return { manifest: await manifests.loadManifest(pointer.ref, request), ref: pointer.ref, pointer, warnings: [] };
  } catch (error) {
    if (!(error instanceof ManifestParseError)) throw error;
    warnings.push(`not refreshed: ${error.message}`);
    return null;
  }
}

async function openLoaded(
  { manifest, ref, pointer }: LoadedManifest,
  { options, traffic, signal }: { options: CheckedOpenOptions; traffic: Traffic; signal: AbortSignal | undefined },
): Promise<Generation> {
  refuseVectorOnly(manifest);
  const backend = options.backend ?? backendOf(manifest);
  const { resolveStore, concurrencyMax } = options;
  return await openGeneration({
    manifest,
    manifestRef: ref,
    pointer,
    store: countingStore(options.store, traffic),
    backend,
    access: await shardAccess(options, manifest, backend),
    resolveStore,
    concurrencyMax,
    signal,
  });
}

async function shardAccess(options: CheckedOpenOptions, manifest: Manifest, backend: Backend): Promise<ShardAccess> {
  if (chooseMode(options.access, manifest) === "memory") return memoryAccess(backend);
  const { downloadAccess } = await import("./download_access.ts");
  return await downloadAccess(backend, options.cacheDir);
}

function refuseVectorOnly(manifest: Manifest): void {
  const { vector } = manifest.custom;
  if (typeof vector !== "object" || vector === null || Array.isArray(vector)) return;
  if ((vector as Record<string, unknown>)["unified"] === true) return;
  throw new ConfigValidationError(
    `Cannot look up keys in snapshot "${manifest.runId}" as it has vectors only`,
    "store",
  );
}
