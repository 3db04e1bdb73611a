/**
 * One snapshot opened for reading. It is closed when it is retired and its last borrower is gone.
 * @module
 */
import type { ShardOpener, ShardReader } from "../backends/backend.ts";
import { RecentResults } from "../recent_results.ts";
import type { Router, RoutingSpec } from "../routing/router.ts";
import { directoryOf, type Manifest, type ShardDirectory, type ShardEntry } from "../snapshots/manifest.ts";
import type { CurrentPointer } from "../snapshots/manifest_store.ts";
import type { LoadedManifest } from "./load_manifest.ts";
import type { ShardAccess } from "./shard_access.ts";
import { type FullShard, locateShard, type ShardPlace } from "./shard_objects.ts";

/** Up to so many shards the array of readers has a place for each, also for empty ones. */
const DENSE_SHARDS_MAX = 1 << 20;
/** So many shards of a lazy manifest stay open. */
const RECENT_SHARDS_MAX = 4096;

/** A manifest, and the warnings that are added to while its snapshot is read. */
export type NotedManifest = Omit<LoadedManifest, "warnings"> & { readonly warnings: Set<string> };

/** What a generation is opened with. */
export interface OpenMeans extends Pick<ShardPlace, "store" | "resolveStore"> {
  readonly opener: ShardOpener;
  readonly routerOf: (spec: RoutingSpec, shardCount: number) => Router;
  /** Makes the access; it is disposed of with the generation. */
  openAccess(): Promise<ShardAccess> | ShardAccess;
  /** Opens all shards, where that is not done when they are asked for. */
  readonly openAll: OpenAll | undefined;
  readonly concurrencyMax: number;
  readonly signal: AbortSignal | undefined;
}

/** Opens the shards of a queue and puts them into their places. */
export type OpenAll = (readers: (ShardReader | null | undefined)[], queue: ShardQueue) => Promise<void>;

/** What {@linkcode OpenAll} goes by. */
export interface ShardQueue extends Pick<OpenMeans, "concurrencyMax" | "signal"> {
  readonly shards: readonly ShardEntry[];
  readonly open: (shard: ShardEntry, signal: AbortSignal) => Promise<ShardReader | null>;
}

/** An opened snapshot. */
export class Generation {
  readonly manifest: Manifest;
  /** Where shards are found that the manifest does not list; undefined where it was read whole. */
  readonly directory: ShardDirectory | undefined;
  readonly manifestRef: string;
  readonly router: Router;
  readonly mode: ShardAccess["mode"];
  /** Whether shards are read when they are asked for. */
  readonly isLazy: boolean;
  /** By shard number; null, or nothing at all, for empty shards and those that were not asked for yet. */
  readonly readers: readonly (ShardReader | null | undefined)[];
  readonly #opened: OpenedShards;
  #pointer: CurrentPointer;
  readonly #warnings: Set<string>;
  #borrowCount = 0;
  #isRetired = false;
  #closed: Promise<void> | undefined;

  /** Use {@linkcode openGeneration}. */
  constructor(loaded: NotedManifest, router: Router, opened: OpenedShards) {
    this.manifest = loaded.manifest;
    this.directory = directoryOf(loaded.manifest);
    this.manifestRef = loaded.ref;
    this.router = router;
    this.mode = opened.access.mode;
    this.isLazy = opened.access.isLazy;
    this.readers = opened.readers;
    this.#opened = opened;
    this.#pointer = loaded.pointer;
    this.#warnings = loaded.warnings;
  }

  /** Shards that are read from files by now, though they were opened over ranges. */
  get hydratedCount(): number {
    return this.#opened.access.hydratedCount ?? 0;
  }

  /** The latest pointer that led to this snapshot; for a pinned snapshot one made up from its ref. */
  get pointer(): CurrentPointer {
    return this.#pointer;
  }

  /** What a user should know: that an older snapshot is read, that a shard is read without its sidecar, and why. */
  get warnings(): ReadonlySet<string> {
    return this.#warnings;
  }

  /** Microseconds since 1970: when the pointer was moved to the snapshot, or after falling back when it was made. */
  get publishedAtMicros(): number {
    const isNamed = this.#pointer.ref === this.manifestRef;
    return isNamed ? this.#pointer.publishedAtMicros : this.manifest.createdAtMicros;
  }

  /** A later pointer names this snapshot, again or at last: what was published in between is outdated. */
  confirm(pointer: CurrentPointer): void {
    this.#pointer = pointer;
    this.#warnings.clear();
  }

  /** The reader of a shard; null when the shard is empty. A promise only where it has to be looked for. */
  readerAt(shardId: number, signal?: AbortSignal): ShardReader | null | Promise<ShardReader | null> {
    const reader = this.readers[shardId];
    if (reader !== undefined) return reader;
    // Keys that have no shard are looked for in shard -1.
    return shardId < 0 ? null : this.#opened.recent.get(shardId, signal);
  }

  /** Numbers of the shards that may have rows, ascending. */
  *shardIds(): Generator<number, void, undefined> {
    const { shards, shardCount } = this.manifest;
    for (const { shardId } of shards) yield shardId;
    if (this.directory === undefined) return;
    for (let shardId = 0; shardId < shardCount; shardId++) yield shardId;
  }

  /** Keeps the snapshot open; give each borrow back once with `release`. */
  borrow(): void {
    this.#borrowCount++;
  }

  /** Gives a borrow back. */
  release(): void {
    this.#borrowCount--;
    // Nobody waits for the last borrower's close; its failure has nobody to be told to.
    if (this.#isRetired && this.#borrowCount === 0) this.#close().catch(() => {});
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
    if (this.#borrowCount === 0) await this.#close();
  }

  #close(): Promise<void> {
    this.#closed ??= closeAll(this.#opened);
    return this.#closed;
  }
}

/** Shards that are open, and what is to be disposed of after them. */
interface OpenedShards {
  readonly readers: (ShardReader | null | undefined)[];
  /** Shards that are opened when they are asked for; there are none among `readers` then. */
  readonly recent: RecentResults<ShardReader | null>;
  readonly access: ShardAccess;
}

/**
 * Opens a snapshot: all its shards, some at a time, where that takes requests.
 *
 * @throws the first failure, when the other requests have ended; what had been opened is closed again.
 */
export async function openGeneration(loaded: NotedManifest, means: OpenMeans): Promise<Generation> {
  const { manifest } = loaded;
  const { routing, shardCount, shards } = manifest;
  const router = means.routerOf(routing, shardCount);
  const directory = directoryOf(manifest);
  const access = await means.openAccess();
  const place = { ...means, fileName: means.opener.fileName };
  const open = async (shard: ShardEntry | null | undefined, signal: AbortSignal): Promise<ShardReader | null> =>
    isFull(shard) ? await access.open(locateShard(manifest, shard, place), signal) : null;
  const isAtOnce = means.openAll !== undefined && !access.isOpenedLate;
  const entries = new Map(isAtOnce ? [] : shards.map((shard) => [shard.shardId, shard]));
  const recent = new RecentResults<ShardReader | null>({
    countMax: RECENT_SHARDS_MAX,
    find: async (shardId, signal) =>
      await open(entries.get(shardId) ?? await directory?.entry(shardId, signal), signal),
    // Lookups under way on it go on, as it holds nothing but memory.
    onDrop: (reader) => void reader?.[Symbol.asyncDispose]().then(undefined, () => {}),
  });
  // An absurd number of shards in a manifest must not cost memory: the array then has places for full shards only.
  const isDense = isAtOnce && shardCount <= DENSE_SHARDS_MAX;
  const readers = isDense ? new Array<ShardReader | null>(shardCount).fill(null) : [];
  const opened: OpenedShards = { readers, recent, access };
  try {
    if (isAtOnce) await means.openAll!(readers, { shards, open, ...means });
    return new Generation(loaded, router, opened);
  } catch (error) {
    await closeAll(opened).catch(() => {}); // The first failure is the one to tell.
    throw error;
  }
}

function isFull(shard: ShardEntry | null | undefined): shard is FullShard {
  return typeof shard?.dbUrl === "string";
}

async function closeAll({ readers, recent, access }: OpenedShards): Promise<void> {
  recent.clear();
  // Unlike a loop over all numbers, this skips places that are not there.
  const outcomes = await Promise.allSettled(Object.values(readers).map((reader) => reader?.[Symbol.asyncDispose]()));
  await access[Symbol.asyncDispose]();
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}
