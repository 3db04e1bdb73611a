/**
 * What lies in the place of a snapshot series: the survey that a clean-up decides by. LIST and GET only.
 * @module
 */
import { parseStamp } from "../bytes/timestamps.ts";
import type { Clock } from "../clock.ts";
import { ManifestParseError, ObjectNotFoundError, StoreError } from "../errors.ts";
import type { ObjectStore, OpenUpload } from "../stores/store.ts";
import { dbPath, joinUrl, keyUnder, MANIFESTS_PREFIX, parseManifestFolder } from "./layout.ts";
import type { Manifest, ManifestRef } from "./manifest.ts";
import type { CurrentPointer } from "./manifest_store.ts";
import { objectManifestStore } from "./object_manifest_store.ts";
import { type FoundPin, loadPins } from "./pins.ts";
import { bytesOrNull, folderOfRef, loadRemovals, type Removal } from "./removals.ts";
import { parseRunRecord, type RunRecord } from "./run_record.ts";

/** Where a series is and where its runs are recorded. */
export interface SeriesPlace {
  readonly store: ObjectStore;
  readonly pointerKey: string;
  /** Undefined: that of the current manifest, else `shards`. */
  readonly shardPrefix: string | undefined;
  readonly runRegistryPrefix: string;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
}

/** A manifest and its folder. */
export interface ListedManifest extends ManifestRef {
  /** Name below `manifests/`. */
  readonly folder: string;
}

/** What a manifest names. */
export interface NamedShards {
  /** Folders of attempts, as keys. */
  readonly attempts: readonly string[];
  /** Folder of all attempts at a shard, as a key, with the shard; only of shards that are not empty. */
  readonly shardFolders: ReadonlyMap<string, number>;
  readonly shardPrefix: string;
}

/** What was found. */
export interface Survey {
  readonly pointer: CurrentPointer | null;
  /** Where refs begin. */
  readonly url: string;
  /** Newest first. */
  readonly manifests: readonly ListedManifest[];
  readonly pins: readonly FoundPin[];
  readonly removals: readonly Removal[];
  readonly shardPrefix: string;
  /** Runs that have a folder with shards. */
  readonly shardRuns: ReadonlySet<string>;
  /** Runs that have a folder under `vector_meta/`. */
  readonly vectorRuns: ReadonlySet<string>;
  /** Names of the folders of run records, by run. */
  readonly records: ReadonlyMap<string, readonly string[]>;
  /** Uploads that are not finished; null when the store does not tell. */
  readonly uploads: readonly OpenUpload[] | null;
}

/** Where vector snapshots keep what their router needs. */
export const VECTOR_META_PREFIX = "vector_meta/";
const RUN_FOLDER = /^run_id=(.+)$/;
const RECORD_FOLDER = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z)_run_id=(.+)_[0-9a-f]{32}$/;

/** Surveys one series, again and again; manifests are read once. */
export class SeriesSurveyor {
  readonly place: SeriesPlace;
  readonly #named = new Map<string, NamedShards | null>();

  constructor(place: SeriesPlace) {
    this.place = place;
  }

  /**
   * Lists everything that decisions need.
   *
   * @throws {ManifestParseError} when the pointer, or the manifest that it names, cannot be read.
   */
  async survey(): Promise<Survey> {
    const { store, pointerKey, clock } = this.place;
    const request = this.#request();
    const manifestStore = objectManifestStore(store, { pointerKey, clock });
    const pointer = await manifestStore.loadCurrent(request);
    const current = pointer && await this.namedBy(pointer.ref);
    const shardPrefix = this.place.shardPrefix ?? current?.shardPrefix ?? "shards";
    const uploads = await this.#openUploads();
    const shardRuns = await this.#runsUnder(`${shardPrefix}/`);
    // A run that was killed at its first shards has nothing else.
    for (const { key } of uploads ?? []) addRun(shardRuns, runOfKey(key, shardPrefix));
    const vectorRuns = await this.#runsUnder(VECTOR_META_PREFIX);
    const records = await this.recordFolders();
    // After the folders of runs: a run that was seen and published meanwhile shows its manifest.
    const listed = await manifestStore.list(Number.MAX_SAFE_INTEGER, request);
    const manifests = listed.map((entry) => ({ ...entry, folder: folderOfRef(entry.ref)! }));
    const pins = await loadPins(store, request);
    const removals = await loadRemovals(store, request);
    const url = seriesUrl(pointer, store.url);
    return { pointer, url, manifests, pins, removals, shardPrefix, shardRuns, vectorRuns, records, uploads };
  }

  /** What a manifest names; null when there is no such manifest. @throws {ManifestParseError} */
  async namedBy(ref: string): Promise<NamedShards | null> {
    const known = this.#named.get(ref);
    if (known !== undefined) return known;
    const { store, pointerKey } = this.place;
    let named: NamedShards | null = null;
    try {
      named = namedShards(await objectManifestStore(store, { pointerKey }).loadManifest(ref, this.#request()), store);
    } catch (error) {
      if (!(error instanceof ObjectNotFoundError)) throw error;
    }
    if (named !== null) this.#named.set(ref, named);
    return named;
  }

  /** Names of the folders of manifests. */
  async manifestFolders(): Promise<string[]> {
    const folders = await this.place.store.listFolders(MANIFESTS_PREFIX, this.#request());
    return folders.map(withoutSlash).filter((folder) => parseManifestFolder(folder) !== null);
  }

  /** Names of the folders of run records, by run. */
  async recordFolders(): Promise<Map<string, string[]>> {
    const { store, runRegistryPrefix } = this.place;
    const byRun = new Map<string, string[]>();
    for (const folder of await store.listFolders(`${runRegistryPrefix}/`, this.#request())) {
      const runId = RECORD_FOLDER.exec(withoutSlash(folder))?.[2];
      if (runId === undefined) continue;
      byRun.set(runId, [...byRun.get(runId) ?? [], withoutSlash(folder)]);
    }
    return byRun;
  }

  /**
   * When a run was last seen alive, by its records, in microseconds: the end of its lease, while it runs in the future.
   * Null when no record tells.
   */
  async lastSignOfLife(folders: readonly string[]): Promise<number | null> {
    const { store, runRegistryPrefix } = this.place;
    let last: number | null = null;
    for (const folder of folders) {
      const key = `${runRegistryPrefix}/${folder}/run.yaml`;
      const bytes = await bytesOrNull(store, key, this.#request());
      const record = bytes && recordOrNull(bytes, joinUrl(store.url, key));
      if (record !== null) last = Math.max(last ?? 0, record.updatedAtMicros, record.leaseExpiresAtMicros);
    }
    return last;
  }

  /** Null also when the store refuses, as it takes a permission that nothing else takes. */
  async #openUploads(): Promise<OpenUpload[] | null> {
    try {
      return await this.place.store.listUploads?.("", this.#request()) ?? null;
    } catch (error) {
      if (error instanceof StoreError && !error.retryable) return null;
      throw error;
    }
  }

  async #runsUnder(prefix: string): Promise<Set<string>> {
    const folders = await this.place.store.listFolders(prefix, this.#request());
    return new Set(folders.flatMap((folder) => RUN_FOLDER.exec(withoutSlash(folder))?.[1] ?? []));
  }

  #request(): { signal?: AbortSignal } {
    const { signal } = this.place;
    signal?.throwIfAborted();
    return signal === undefined ? {} : { signal };
  }
}

/** The run in whose folder an object lies. */
export function runOfKey(key: string, shardPrefix: string): string | null {
  const start = `${shardPrefix}/run_id=`;
  return key.startsWith(start) ? key.slice(start.length).split("/")[0]! : null;
}

/** When the record of this name was created. */
export function recordStamp(folder: string): number {
  return parseStamp(RECORD_FOLDER.exec(folder)?.[1] ?? "") ?? 0;
}

function addRun(runs: Set<string>, runId: string | null): void {
  if (runId !== null) runs.add(runId);
}

function recordOrNull(bytes: Uint8Array, ref: string): RunRecord | null {
  try {
    return parseRunRecord(bytes, ref);
  } catch (error) {
    if (error instanceof ManifestParseError) return null;
    throw error;
  }
}

function namedShards(manifest: Manifest, store: ObjectStore): NamedShards {
  const { s3Prefix, shardPrefix, runId, dbPathTemplate, shards } = manifest;
  const attempts: string[] = [];
  const shardFolders = new Map<string, number>();
  for (const { dbUrl, shardId } of shards) {
    if (dbUrl === null) continue;
    shardFolders.set(`${shardPrefix}/run_id=${runId}/${dbPath(dbPathTemplate, shardId)}`, shardId);
    const url = withoutSlash(dbUrl);
    const key = keyUnder(s3Prefix, url) ?? keyUnder(store.url, url);
    if (key !== null) attempts.push(key);
  }
  return { attempts, shardFolders, shardPrefix };
}

/** In a copy of a series, refs keep naming the place where it was published. */
function seriesUrl(pointer: CurrentPointer | null, storeUrl: string): string {
  const folder = pointer && folderOfRef(pointer.ref);
  const at = folder === null ? -1 : pointer!.ref.lastIndexOf(`/${MANIFESTS_PREFIX}${folder}/`);
  return at < 0 ? joinUrl(storeUrl) : pointer!.ref.slice(0, at);
}

function withoutSlash(name: string): string {
  return name.endsWith("/") ? name.slice(0, -1) : name;
}
