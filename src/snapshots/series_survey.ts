/**
 * What lies in the place of a snapshot series: the survey that a clean-up decides by. LIST and GET only.
 * @module
 */
import { parseStamp } from "../bytes/timestamps.ts";
import type { Clock } from "../clock.ts";
import { ManifestParseError, ObjectNotFoundError, StoreError } from "../errors.ts";
import type { ObjectStore, OpenUpload, RequestOptions } from "../stores/store.ts";
import { dbPath, joinUrl, keyUnder, MANIFESTS_PREFIX, parseManifestFolder, runOfKey } from "./layout.ts";
import type { Manifest, ManifestRef } from "./manifest.ts";
import type { CurrentPointer, ManifestStore } from "./manifest_store.ts";
import { objectManifestStore } from "./object_manifest_store.ts";
import { type FoundPin, loadPins } from "./pins.ts";
import { bytesOrNull, folderOfRef, loadRemovals, type Removal } from "./removals.ts";
import { parseRunRecord, type RunRecord } from "./run_record.ts";
import { replacedIn, type ReplacedPointer, type Tenure, tenuresOf } from "./tenures.ts";

/** Where a series is and where its runs are recorded. */
export interface SeriesPlace {
  readonly store: ObjectStore;
  /** Where manifests and the pointer are kept; undefined: in the store. */
  readonly manifestStore: ManifestStore | undefined;
  readonly pointerKey: string;
  /** Undefined: that of the current manifest, else `shards`. */
  readonly shardPrefix: string | undefined;
  readonly runRegistryPrefix: string;
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
}

/** A manifest and its folder. */
export interface ListedManifest extends ManifestRef {
  /** Name below `manifests/`; of a manifest that is kept elsewhere its ref. */
  readonly folder: string;
}

/** What the records of a run tell. */
export interface RecordedRun {
  /**
   * When the run was last seen alive, in microseconds: the end of its lease, while it runs in the future. Null when no
   * record tells.
   */
  readonly lastMicros: number | null;
  /** Whether it has published to a manifest store that is not the one of this survey. */
  readonly isElsewhere: boolean;
}

/** What a manifest names. */
export interface NamedShards {
  /** Folders of attempts, as keys. */
  readonly attempts: readonly string[];
  /** Folder of all attempts at a shard, as a key, with the shard; only of shards that are not empty. */
  readonly shardFolders: ReadonlyMap<string, number>;
  readonly shardPrefix: string;
  /** The pointer that it was published over. */
  readonly replaced: ReplacedPointer | null;
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
  /** Refs of manifests that lie in the store, where others are kept elsewhere. */
  readonly #inStore = new Set<string>();

  constructor(place: SeriesPlace) {
    this.place = place;
  }

  /**
   * Lists everything that decisions need.
   *
   * @throws {ManifestParseError} when the pointer, or the manifest that it names, cannot be read.
   */
  async survey(): Promise<Survey> {
    const { store, manifestStore = this.#storedManifests() } = this.place;
    const request = this.#request();
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
    const manifests = await this.#listed(manifestStore);
    const pins = await loadPins(store, request);
    const removals = await loadRemovals(store, request);
    const url = seriesUrl(pointer, store.url);
    return { pointer, url, manifests, pins, removals, shardPrefix, shardRuns, vectorRuns, records, uploads };
  }

  /** What a manifest names; null when there is no such manifest. @throws {ManifestParseError} */
  async namedBy(ref: string): Promise<NamedShards | null> {
    const known = this.#named.get(ref);
    if (known !== undefined) return known;
    const { store, manifestStore } = this.place;
    const manifests = manifestStore === undefined || this.#inStore.has(ref) ? this.#storedManifests() : manifestStore;
    let named: NamedShards | null = null;
    try {
      named = namedShards(await manifests.loadManifest(ref, this.#request()), store);
    } catch (error) {
      if (!(error instanceof ObjectNotFoundError)) throw error;
    }
    if (named !== null) this.#named.set(ref, named);
    return named;
  }

  /** Until when the manifests before a pointer may have been current; see {@linkcode tenuresOf}. */
  async tenures(pointer: CurrentPointer, cutoffMicros: number): Promise<readonly Tenure[]> {
    return await tenuresOf(pointer, cutoffMicros, async (ref) => {
      try {
        return (await this.namedBy(ref))?.replaced ?? null;
      } catch (error) {
        // What nobody can read tells nothing, and need not stay.
        if (error instanceof ManifestParseError) return null;
        throw error;
      }
    });
  }

  /** Names of the folders of manifests. */
  async manifestFolders(): Promise<string[]> {
    const folders = await this.place.store.listFolders(MANIFESTS_PREFIX, this.#request());
    return folders.map(withoutSlash).filter((folder) => parseManifestFolder(folder) !== null);
  }

  /** Manifests as they are now; those in the store by one listing, with the refs that they have below `url`. */
  async manifestsNow(url: string): Promise<Pick<ListedManifest, "ref" | "folder" | "runId">[]> {
    const stored = (await this.manifestFolders()).map((folder) => {
      const ref = `${url}/${MANIFESTS_PREFIX}${folder}/manifest`;
      return { ref, folder, runId: parseManifestFolder(folder)!.runId };
    });
    const { manifestStore } = this.place;
    if (manifestStore === undefined) return stored;
    for (const { ref } of stored) this.#inStore.add(ref);
    return [...stored, ...await manifestsOf(manifestStore, this.#request())];
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

  /** Runs of which anything is there: shards, vector data, records. */
  async runsNow(shardPrefix: string): Promise<ReadonlySet<string>> {
    const records = await this.recordFolders();
    return new Set([
      ...records.keys(),
      ...await this.#runsUnder(`${shardPrefix}/`),
      ...await this.#runsUnder(VECTOR_META_PREFIX),
    ]);
  }

  /** What these records of a run tell. */
  async recordedRun(folders: readonly string[]): Promise<RecordedRun> {
    const { store, manifestStore, runRegistryPrefix } = this.place;
    let lastMicros: number | null = null;
    let isElsewhere = false;
    for (const folder of folders) {
      const key = `${runRegistryPrefix}/${folder}/run.yaml`;
      const bytes = await bytesOrNull(store, key, this.#request());
      const record = bytes && recordOrNull(bytes, joinUrl(store.url, key));
      if (record === null) continue;
      lastMicros = Math.max(lastMicros ?? 0, record.updatedAtMicros, record.leaseExpiresAtMicros);
      if (manifestStore === undefined && !isInSeries(record)) isElsewhere = true;
    }
    return { lastMicros, isElsewhere };
  }

  /**
   * Newest first. Where another manifest store was given, those that lie in the store are listed too: a series that
   * moved there may have left them.
   */
  async #listed(manifestStore: ManifestStore): Promise<ListedManifest[]> {
    const listed = await manifestsOf(manifestStore, this.#request());
    if (this.place.manifestStore === undefined) return listed;
    const known = new Set(listed.map(({ ref }) => ref));
    for (const manifest of await manifestsOf(this.#storedManifests(), this.#request())) {
      if (known.has(manifest.ref)) continue;
      this.#inStore.add(manifest.ref);
      listed.push(manifest);
    }
    return listed.sort((one, other) => other.publishedAtMicros - one.publishedAtMicros);
  }

  #storedManifests(): ManifestStore {
    const { store, pointerKey, clock } = this.place;
    return objectManifestStore(store, { pointerKey, clock });
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

/** When the record of this name was created. */
export function recordStamp(folder: string): number {
  return parseStamp(RECORD_FOLDER.exec(folder)?.[1] ?? "") ?? 0;
}

function addRun(runs: Set<string>, runId: string | null): void {
  if (runId !== null) runs.add(runId);
}

async function manifestsOf(manifests: ManifestStore, request: RequestOptions): Promise<ListedManifest[]> {
  const listed = await manifests.list(Number.MAX_SAFE_INTEGER, request);
  return listed.map((entry) => ({ ...entry, folder: folderOfRef(entry.ref) ?? entry.ref }));
}

/** Whether the run's manifest, if it has one, is kept beside its shards. */
function isInSeries({ manifestRef, s3Prefix }: RunRecord): boolean {
  return manifestRef === null || manifestRef.startsWith(`${joinUrl(s3Prefix)}/${MANIFESTS_PREFIX}`);
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
  const { s3Prefix, shardPrefix, runId, dbPathTemplate, shards, custom } = manifest;
  const attempts: string[] = [];
  const shardFolders = new Map<string, number>();
  for (const { dbUrl, shardId } of shards) {
    if (dbUrl === null) continue;
    shardFolders.set(`${shardPrefix}/run_id=${runId}/${dbPath(dbPathTemplate, shardId)}`, shardId);
    const url = withoutSlash(dbUrl);
    const key = keyUnder(s3Prefix, url) ?? keyUnder(store.url, url);
    if (key !== null) attempts.push(key);
  }
  return { attempts, shardFolders, shardPrefix, replaced: replacedIn(custom) };
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
