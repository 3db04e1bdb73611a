/**
 * Opens the snapshots of one series: pointer, manifest, engine, shards.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { ConfigValidationError, ManifestParseError, ReaderStateError } from "../errors.ts";
import { backendOf } from "../registry.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import { objectManifestReader, objectManifestStore } from "../snapshots/object_manifest_store.ts";
import { isObjectStore, type ReadableStore, type RequestOptions } from "../stores/store.ts";
import { type Generation, openGeneration } from "./generation.ts";
import { isNewer, loadCurrentManifest, type LoadedManifest, loadPinnedManifest } from "./load_manifest.ts";
import { meteredStore, type Traffic } from "./metered_store.ts";
import type { CheckedOpenOptions } from "./read_options.ts";
import { chooseMode, memoryAccess, type ShardAccess } from "./shard_access.ts";

/** Where a reader gets its snapshots from. */
export class SnapshotSource {
  readonly #options: CheckedOpenOptions;
  readonly #traffic: Traffic = { requests: 0, bytesRead: 0 };
  readonly #store: ReadableStore;
  readonly #resolveStore: ((url: string) => ReadableStore) | undefined;
  /** Folders of manifests that were not found in the store itself. */
  readonly #foldersElsewhere = new Set<string>();
  readonly #manifests: ManifestReader;

  constructor(options: CheckedOpenOptions) {
    this.#options = options;
    const { store, resolveStore } = options;
    this.#store = this.#metered(store);
    this.#resolveStore = resolveStore && ((url) => this.#metered(resolveStore(url)));
    this.#manifests = options.manifestStore ?? this.#ownManifests();
  }

  /** Requests and bytes so far, without those of a `manifestStore` and of listings. */
  get traffic(): Readonly<Traffic> {
    return this.#traffic;
  }

  /**
   * Opens the snapshot that is current now, or the pinned one.
   *
   * @throws as `openSnapshot`.
   */
  async openFirst(): Promise<Generation> {
    const { pin, fallbackAttempts, signal } = this.#options;
    signal?.throwIfAborted();
    const request = requestOptions(signal);
    const loaded = pin === undefined
      ? await loadCurrentManifest(this.#manifests, fallbackAttempts, request)
      : await loadPinnedManifest(this.#manifests, pin, request);
    return await this.#open(loaded, signal);
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
    const request = requestOptions(signal);
    const pointer = await this.#manifests.loadCurrent(request);
    if (pointer === null) throw new ReaderStateError("Cannot refresh the reader as the pointer is gone");
    if (!isNewer(pointer, active.pointer)) return null;
    if (pointer.ref === active.manifestRef) {
      active.confirm(pointer);
      return null;
    }
    let manifest: Manifest;
    try {
      manifest = await this.#manifests.loadManifest(pointer.ref, request);
    } catch (error) {
      if (error instanceof ManifestParseError) return error;
      throw error;
    }
    return await this.#open({ manifest, ref: pointer.ref, pointer, warnings: [] }, signal);
  }

  async #open(loaded: LoadedManifest, signal: AbortSignal | undefined): Promise<Generation> {
    const { manifest, ref } = loaded;
    refuseVectorOnly(manifest);
    const { concurrencyMax, backend = backendOf(manifest) } = this.#options;
    return await openGeneration(loaded, {
      backend,
      store: this.#foldersElsewhere.has(ref.slice(0, ref.lastIndexOf("/"))) ? null : this.#store,
      resolveStore: this.#resolveStore,
      openAccess: () => this.#openAccess(manifest, backend),
      concurrencyMax,
      signal,
    });
  }

  async #openAccess(manifest: Manifest, backend: Backend): Promise<ShardAccess> {
    const { access, cacheDir, clock } = this.#options;
    if (chooseMode(access, manifest) === "memory") return memoryAccess(backend);
    const { downloadAccess } = await import("./download_access.ts");
    return await downloadAccess(backend, cacheDir, clock);
  }

  #ownManifests(): ManifestReader {
    const { store, pointerKey, clock } = this.#options;
    const resolve = this.#resolveStore;
    const resolveStore = resolve && ((url: string) => {
      this.#foldersElsewhere.add(url);
      return resolve(url);
    });
    const places = { pointerKey, resolveStore };
    const reader = objectManifestReader(this.#store, places);
    if (!isObjectStore(store)) return reader;
    const lister = objectManifestStore(store, { ...places, clock });
    return Object.assign(reader, { list: lister.list.bind(lister) });
  }

  #metered(store: ReadableStore): ReadableStore {
    return meteredStore(store, this.#traffic, this.#options.timeoutMs);
  }
}

function requestOptions(signal: AbortSignal | undefined): RequestOptions {
  return signal === undefined ? {} : { signal };
}

function refuseVectorOnly({ custom, runId }: Manifest): void {
  const { vector } = custom;
  if (typeof vector !== "object" || vector === null || Array.isArray(vector)) return;
  if ((vector as Record<string, unknown>)["unified"]) return;
  throw new ConfigValidationError(`Cannot look up keys in snapshot "${runId}" as it has vectors only`, "store");
}
