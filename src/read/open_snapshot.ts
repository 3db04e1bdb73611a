/**
 * Opens the current snapshot of a series for reading.
 * @module
 */
import { createDigest } from "../bytes/fast_digest.ts";
import { ConfigValidationError } from "../errors.ts";
import { routerOf } from "../routing/router_of.ts";
import { directoryOf } from "../snapshots/manifest.ts";
import { openManifest } from "../snapshots/lazy_manifest.ts";
import { objectManifestReader, objectManifestStore } from "../snapshots/object_manifest_store.ts";
import { isVectorOnly } from "../snapshots/vector_fields.ts";
import { isObjectStore } from "../stores/store.ts";
import { tracedStore } from "./traced_store.ts";
import { RateLimiter } from "../token_bucket.ts";
import { loadCurrentManifest } from "./current_manifest.ts";
import { hedged } from "./hedged.ts";
import { checkOpenOptions } from "./open_options.ts";
import { loadPinnedManifest } from "./pinned_manifest.ts";
import { openAll } from "./open_all.ts";
import { rangeAccess } from "./range_access.ts";
import type { CheckedOptions, OpenSnapshotOptions } from "./read_options.ts";
import type { ReaderParts } from "./reader_parts.ts";
import { ReaderState } from "./reader_state.ts";
import { autoMode, canRange, checkedMode, memoryAccess, sizeOf } from "./shard_access.ts";
import { engineOf } from "./snapshot_engine.ts";
import { SnapshotReader } from "./snapshot_reader.ts";
import { SnapshotSource } from "./snapshot_source.ts";

const parts: ReaderParts = {
  async routerOf(manifest, _options, place) {
    if (!isVectorOnly(manifest)) return await routerOf(manifest.routing, manifest.shardCount);
    const { vectorRouterOf } = await import("./vector_snapshot.ts");
    return await vectorRouterOf(manifest, place);
  },
  openerOf: engineOf,
  hedged,
  async openAccess(manifest, rangeMeans) {
    const means = { ...rangeMeans, createDigest };
    const chosen = directoryOf(manifest) === undefined ? autoMode(sizeOf(manifest)) : "range";
    const mode = checkedMode(means.options.access, means.opener, chosen);
    if (mode === "memory") return memoryAccess(means);
    if (mode === "range") return rangeAccess(means);
    if (mode === "hydrate") {
      const { hydrateAccess } = await import("./hydrate_access.ts").catch((cause) => refuseWithoutDisk(mode, cause));
      return await hydrateAccess(means);
    }
    const { downloadAccess } = await import("./download_access.ts").catch((cause) => refuseWithoutDisk(mode, cause));
    return await downloadAccess(means);
  },
  manifestsOf(store, places, { store: whole, clock }) {
    const reader = objectManifestReader(store, { ...places, open: openManifest });
    if (!isObjectStore(whole)) return reader;
    const lister = objectManifestStore(whole, { ...places, clock });
    return Object.assign(reader, { list: lister.list.bind(lister) });
  },
  lazily,
  openAll,
  loadFirst(manifests, options) {
    const { pin, fallbackAttempts, signal } = options;
    const request = { signal, lazily: lazily(options) };
    return pin === undefined
      ? loadCurrentManifest(manifests, fallbackAttempts, request)
      : loadPinnedManifest(manifests, pin, request);
  },
};

/** Engines that the manifest names can all read ranges. */
function lazily({ access, backend }: CheckedOptions): boolean {
  return (access === "auto" || access === "range") && (backend === undefined || canRange(backend));
}

/**
 * Opens the snapshot that is current now, or the pinned one.
 *
 * Sharding, key encoding and engine come from the manifest. Sends GET requests only: one for the pointer, one for the
 * manifest, and where whole files are read one per shard that has rows and is not cached: such a snapshot is read to
 * the end even if it is cleaned up meanwhile. With `access: "hydrate"` shards' files are requested in parts later on;
 * `stats().hydratedShards` tells how far that is. History is listed only for a pin by offset or run, and for falling
 * back where the pointer does not name older snapshots. Of a manifest that lists more than 10,000 shards `"auto"` and
 * `"range"` read the head alone, with one more request, and rows of shards when lookups need them (`info.isLazy`).
 *
 * Snapshots that have vectors and no keys are searched and nothing else; of those sharded by clusters or hyperplanes
 * the file with these is read, too.
 *
 * @throws {ConfigValidationError} for wrong options, and for snapshots sharded in a way that this version does
 * not know.
 * @throws {ReaderStateError} when nothing was published yet, or no manifest can be read.
 * @throws {ManifestParseError} when the pointer is malformed.
 * @throws {CorruptFileError} when a shard is not what was published.
 * @throws the store's errors; the reason of `signal`.
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
  const checked = withTracedStores(checkOpenOptions(options));
  const source = new SnapshotSource(checked, parts);
  const { rateLimit, clock, onEvent } = checked;
  const limiter = rateLimit === undefined
    ? null
    : new RateLimiter({ rowsPerSecond: rateLimit.keysPerSecond }, clock, onEvent);
  return new SnapshotReader(new ReaderState(source, await source.openFirst(), { options: checked, limiter }));
}

/** Requests for ranges are spans of the lookups that send them. */
function withTracedStores(options: CheckedOptions): CheckedOptions {
  const { tracer, store, resolveStore } = options;
  if (tracer === undefined) return options;
  return {
    ...options,
    store: tracedStore(store, tracer),
    resolveStore: resolveStore && ((url) => tracedStore(resolveStore(url), tracer)),
  };
}

/** The file could not be loaded, as the runtime lacks the modules that it needs. */
function refuseWithoutDisk(mode: string, cause: unknown): never {
  throw new ConfigValidationError(
    `Cannot use option "access" as it must be "memory" or "range" where there is no disk: current value is "${mode}"`,
    "access",
    { cause },
  );
}
