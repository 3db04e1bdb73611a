/**
 * What the doors put together differently: the reader of the package itself has all of it, the one for the edge only
 * what fits a small bundle.
 * @module
 */
import type { ShardOpener } from "../backends/backend.ts";
import type { Router } from "../routing/router.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import type { ManifestReaderOptions } from "../snapshots/object_manifest_reader.ts";
import type { ReadableStore } from "../stores/store.ts";
import type { OpenAll } from "./generation.ts";
import type { Hedging } from "./hedged.ts";
import type { LoadedManifest } from "./load_manifest.ts";
import type { RangeMeans } from "./range_access.ts";
import type { CheckedOptions } from "./read_options.ts";
import type { Requests } from "./requests.ts";
import type { FileMeans, ShardAccess } from "./shard_access.ts";
import type { EnginePlace } from "./snapshot_engine.ts";

/** What makes shards available. */
export interface AccessMeans extends RangeMeans, FileMeans {
  readonly options: CheckedOptions;
}

/** Where the objects of a snapshot are found. */
export interface SnapshotPlace {
  /** Where the manifest was read; null when that was a store of another place. */
  readonly store: ReadableStore | null;
  /** Finds the stores of other places. */
  readonly resolveStore: ((url: string) => ReadableStore) | undefined;
  /** Counts and limits requests. */
  readonly requests: Requests;
  readonly signal: AbortSignal | undefined;
}

/** The parts of a reader that are not the same behind every door. */
export interface ReaderParts {
  /** @param place Finds what the snapshot has beside its shards. */
  routerOf(manifest: Manifest, options: CheckedOptions, place: SnapshotPlace): Promise<Router> | Router;
  /** The engine of a snapshot's shards; looks at one of them where the manifest does not tell. */
  openerOf(manifest: Manifest, place: EnginePlace): Promise<ShardOpener> | ShardOpener;
  /** Chooses the way in which shards are made available. */
  openAccess(
    manifest: Manifest,
    means: Omit<AccessMeans, "createDigest">,
  ): Promise<ShardAccess> | ShardAccess;
  /**
   * Reads manifests.
   *
   * @param store Counts requests; may read only, whatever the store itself can do.
   */
  manifestsOf(store: ReadableStore, places: ManifestReaderOptions, options: CheckedOptions): ManifestReader;
  /** Whether manifests may be lazy, since shards are read when they are asked for. */
  lazily(options: CheckedOptions): boolean;
  /** The manifest to begin with: the current one, or the one that the options pin. */
  loadFirst(manifests: ManifestReader, options: CheckedOptions): Promise<LoadedManifest>;
  /** Opens all shards of files; missing where only ranges are read. */
  readonly openAll?: OpenAll;
  /** Asks a second time where an answer is late. */
  readonly hedged?: Hedging;
}
