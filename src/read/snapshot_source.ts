/**
 * Opens the snapshots of one series: pointer, manifest, engine, shards.
 * @module
 */
import { ManifestParseError, ReaderStateError } from "../errors.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import type { ReadableStore } from "../stores/store.ts";
import { type Generation, openGeneration } from "./generation.ts";
import { isNewer, type LoadedManifest, loadNamed } from "./load_manifest.ts";
import type { CheckedOptions } from "./read_options.ts";
import type { ReaderParts } from "./reader_parts.ts";
import { Requests } from "./requests.ts";
import { ShardTallies } from "./shard_tallies.ts";

/** Beyond so many a snapshot's warnings are no longer told. */
const WARNINGS_MAX = 20;

/** Where a reader gets its snapshots from. */
export class SnapshotSource {
  /** What was asked of each shard. */
  readonly tallies: ShardTallies = new ShardTallies();
  /** All that was asked, without the requests of a `manifestStore` and without listings. */
  readonly requests: Requests;
  readonly #options: CheckedOptions;
  readonly #parts: ReaderParts;
  /** Folders of manifests that were not found in the store itself. */
  readonly #foldersElsewhere = new Set<string>();
  readonly #manifests: ManifestReader;

  constructor(options: CheckedOptions, parts: ReaderParts) {
    this.#options = options;
    this.#parts = parts;
    const { concurrencyMax, timeoutMs, hedgeAfterMs, clock, manifestStore } = options;
    const hedged = hedgeAfterMs === undefined ? undefined : parts.hedged?.(hedgeAfterMs, clock);
    this.requests = new Requests({ concurrencyMax, timeoutMs, hedged, clock });
    this.#manifests = manifestStore ?? this.#ownManifests();
  }

  /**
   * Opens the snapshot that is current now, or the pinned one.
   *
   * @throws as `openSnapshot`.
   */
  async openFirst(): Promise<Generation> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    return await this.#open(await this.#parts.loadFirst(this.#manifests, this.#options), signal);
  }

  /**
   * Opens the snapshot that the pointer names now.
   *
   * @returns null when it is not newer than the active one; an error when its manifest cannot be parsed.
   * @throws {ReaderStateError} when the pointer is gone.
   * @throws {ManifestParseError} when the pointer is malformed; what else keeps the snapshot from being opened.
   */
  async openNewer(active: Generation, signal: AbortSignal): Promise<Generation | ManifestParseError | null> {
    if (this.#options.pin !== undefined) return null;
    const pointer = await this.#manifests.loadCurrent({ signal, known: active.pointer });
    if (pointer === null) throw new ReaderStateError("Cannot refresh the reader as the pointer is gone");
    if (!isNewer(pointer, active.pointer)) return null;
    if (pointer.ref === active.manifestRef) {
      // What was published in between is outdated, and so is what was said of it.
      active.pointer = pointer;
      active.warnings.clear();
      return null;
    }
    let loaded: LoadedManifest;
    try {
      loaded = await loadNamed(this.#manifests, pointer, { signal, lazily: this.#parts.lazily(this.#options) });
    } catch (error) {
      if (error instanceof ManifestParseError) return error;
      throw error;
    }
    return await this.#open(loaded, signal);
  }

  async #open(loaded: LoadedManifest, signal: AbortSignal | undefined): Promise<Generation> {
    const { manifest, ref, warnings } = loaded;
    const options = this.#options;
    const { concurrencyMax, resolveStore, cacheBytesMax } = options;
    const noted = new Set(warnings);
    const store = this.#foldersElsewhere.has(ref.slice(0, ref.lastIndexOf("/"))) ? null : options.store;
    const { requests } = this;
    const opener = options.backend ?? await this.#parts.openerOf(manifest, { ...options, store, requests, signal });
    return await openGeneration({ ...loaded, warnings: noted }, {
      opener,
      store,
      resolveStore,
      routerOf: () => this.#parts.routerOf(manifest, options, { store, resolveStore, requests, signal }),
      openAll: this.#parts.openAll,
      openAccess: () =>
        this.#parts.openAccess(manifest, {
          opener,
          options,
          cacheBytesMax,
          requests,
          tallies: this.tallies,
          warn: (message) => void (noted.size < WARNINGS_MAX && noted.add(message)),
        }),
      concurrencyMax,
      signal,
    });
  }

  #ownManifests(): ManifestReader {
    const { store, pointerKey, resolveStore } = this.#options;
    const metered = (store: ReadableStore): ReadableStore => this.requests.store(store);
    return this.#parts.manifestsOf(metered(store), {
      pointerKey,
      resolveStore: resolveStore && ((url) => {
        this.#foldersElsewhere.add(url);
        return metered(resolveStore(url));
      }),
    }, this.#options);
  }
}
