/**
 * What the doors put together differently: the reader of the package itself has all of it, the one for the edge only
 * what fits a small bundle.
 * @module
 */
import type { ShardOpener } from "../backends/backend.ts";
import type { Router, RoutingSpec } from "../routing/router.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import type { ManifestReaderOptions } from "../snapshots/object_manifest_reader.ts";
import type { ReadableStore, RequestOptions } from "../stores/store.ts";
import type { LoadedManifest } from "./load_manifest.ts";
import type { RangeMeans } from "./range_access.ts";
import type { CheckedOptions, SnapshotPin } from "./read_options.ts";
import type { ChosenMode, ShardAccess, SnapshotSize } from "./shard_access.ts";
import type { DigestFactory } from "./shard_objects.ts";

/** What makes shards available. */
export interface AccessMeans extends RangeMeans {
  readonly options: CheckedOptions;
}

/** The parts of a reader that are not the same behind every door. */
export interface ReaderParts {
  readonly createDigest: DigestFactory;
  readonly routerOf: (spec: RoutingSpec, shardCount: number) => Router;
  /** The engine of a snapshot's shards. */
  openerOf(manifest: Manifest): ShardOpener;
  /** What `"auto"` takes. */
  autoMode(size: SnapshotSize): ChosenMode;
  openAccess(mode: ChosenMode, means: AccessMeans): Promise<ShardAccess> | ShardAccess;
  /**
   * Reads manifests.
   *
   * @param store Counts requests; may read only, whatever the store itself can do.
   */
  manifestsOf(store: ReadableStore, places: ManifestReaderOptions, options: CheckedOptions): ManifestReader;
  loadPinned(manifests: ManifestReader, pin: SnapshotPin, options: RequestOptions): Promise<LoadedManifest>;
}
