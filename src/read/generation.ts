/**
 * One snapshot opened for reading. It is closed when it is retired and its last borrower is gone.
 * @module
 */
import type { ShardOpener, ShardReader } from "../backends/backend.ts";
import { RecentResults } from "../recent_results.ts";
import type { Router } from "../routing/router.ts";
import { directoryOf, type Manifest, type ShardEntry } from "../snapshots/manifest.ts";
import type { CurrentPointer } from "../snapshots/manifest_store.ts";
import type { LoadedManifest } from "./load_manifest.ts";
import type { ShardAccess } from "./shard_access.ts";
import { type FullShard, locateShard, type ShardPlace } from "./shard_objects.ts";

/** So many shards that were opened when they were asked for stay open. */
const RECENT_SHARDS_MAX = 4096;

/** A manifest, and the warnings that are added to while its snapshot is read. */
export type NotedManifest = Omit<LoadedManifest, "warnings"> & { readonly warnings: Set<string> };

/** The reader of a shard; null when the shard is empty. A promise only where it has to be looked for. */
export type ReaderAt = (shardId: number, signal?: AbortSignal) => ShardReader | null | Promise<ShardReader | null>;

/** Opens a shard; null for an empty one. */
export type OpenShard = (
  shard: ShardEntry | null | undefined,
  signal: AbortSignal,
) => Promise<ShardReader | null>;

/** The shards of a snapshot. */
export interface OpenShards {
  readonly readerAt: ReaderAt;
  close(): Promise<void> | void;
}

/** How shards are opened. */
export interface OpeningLimits {
  readonly concurrencyMax: number;
  readonly signal: AbortSignal | undefined;
}

/** Opens all shards at once; closes what it has opened when it fails. */
export type OpenAll = (manifest: Manifest, open: OpenShard, limits: OpeningLimits) => Promise<OpenShards>;

/** What a generation is opened with. */
export interface OpenMeans extends OpeningLimits, Pick<ShardPlace, "store" | "resolveStore"> {
  readonly opener: ShardOpener;
  routerOf(): Promise<Router> | Router;
  /** Makes the access; it is disposed of with the generation. */
  openAccess(): Promise<ShardAccess> | ShardAccess;
  /** For accesses that open shards at once. */
  readonly openAll: OpenAll | undefined;
}

/** An opened snapshot. */
export class Generation {
  readonly manifest: Manifest;
  readonly manifestRef: string;
  readonly router: Router;
  readonly access: ShardAccess;
  readonly readerAt: ReaderAt;
  /** The latest pointer that led to this snapshot; for a pinned snapshot one made up from its ref. */
  pointer: CurrentPointer;
  /** What a user should know: that an older snapshot is read, that a shard is read without its sidecar, and why. */
  readonly warnings: Set<string>;
  readonly #shards: OpenShards;
  #borrowCount = 0;
  #isRetired = false;
  #closed: Promise<void> | undefined;

  /** Use {@linkcode openGeneration}. */
  constructor(
    { manifest, ref, pointer, warnings }: NotedManifest,
    { router, access, shards }: { router: Router; access: ShardAccess; shards: OpenShards },
  ) {
    this.manifest = manifest;
    this.manifestRef = ref;
    this.pointer = pointer;
    this.warnings = warnings;
    this.router = router;
    this.access = access;
    this.readerAt = shards.readerAt;
    this.#shards = shards;
  }

  /** Microseconds since 1970: when the pointer was moved to the snapshot, or after falling back when it was made. */
  get publishedAtMicros(): number {
    const { manifest, pointer } = this;
    return pointer.ref === this.manifestRef ? pointer.publishedAtMicros : manifest.createdAtMicros;
  }

  /** Keeps the snapshot open; give each borrow back once with `release`. */
  borrow(): void {
    this.#borrowCount++;
  }

  /** Gives a borrow back. */
  release(): void {
    this.#borrowCount--;
    // Nobody waits for the last borrower's close; its failure has nobody to be told to.
    if (this.#isRetired) this.retire().catch(() => {});
  }

  /** Does work on the snapshot, which stays open meanwhile. */
  async whileOpen<T>(work: () => Promise<T>): Promise<T> {
    this.borrow();
    try {
      return await work();
    } finally {
      this.release();
    }
  }

  /** The reader is done with this snapshot: it closes now or with its last borrow. */
  async retire(): Promise<void> {
    this.#isRetired = true;
    if (this.#borrowCount === 0) await (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    try {
      await this.#shards.close();
    } finally {
      await this.access[Symbol.asyncDispose]();
    }
  }
}

/**
 * Opens a snapshot.
 *
 * @throws the first failure; what had been opened is closed again.
 */
export async function openGeneration(loaded: NotedManifest, means: OpenMeans): Promise<Generation> {
  const { manifest } = loaded;
  const router = await means.routerOf();
  const place = { ...means, fileName: means.opener.fileName };
  const access = await means.openAccess();
  const open: OpenShard = async (shard, signal) =>
    isFull(shard) ? await access.open(locateShard(manifest, shard, place), signal) : null;
  try {
    const shards = access.isOpenedLate ? lateShards(manifest, open) : await means.openAll!(manifest, open, means);
    return new Generation(loaded, { router, access, shards });
  } catch (error) {
    await access[Symbol.asyncDispose]();
    throw error;
  }
}

function isFull(shard: ShardEntry | null | undefined): shard is FullShard {
  return typeof shard?.dbUrl === "string";
}

/** Shards that are opened when they are asked for. */
function lateShards(manifest: Manifest, open: OpenShard): OpenShards {
  const directory = directoryOf(manifest);
  const entries = new Map(manifest.shards.map((shard) => [shard.shardId, shard]));
  const recent = new RecentResults<ShardReader | null>({
    countMax: RECENT_SHARDS_MAX,
    find: async (shardId, signal) =>
      await open(entries.get(shardId) ?? await directory?.entry(shardId, signal), signal),
    // Lookups under way on it go on, as it holds nothing but memory.
    onDrop: (reader) => void reader?.[Symbol.asyncDispose]().then(undefined, () => {}),
  });
  return {
    // Keys that have no shard are looked for in shard -1.
    readerAt: (shardId, signal) => shardId < 0 ? null : recent.get(shardId, signal),
    close: () => recent.clear(),
  };
}
