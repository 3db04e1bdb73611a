/**
 * One snapshot opened for reading. It is closed when it is retired and its last borrower is gone.
 * @module
 */
import type { ShardOpener, ShardReader } from "../backends/backend.ts";
import type { Router, RoutingSpec } from "../routing/router.ts";
import type { Manifest, ShardEntry } from "../snapshots/manifest.ts";
import type { CurrentPointer } from "../snapshots/manifest_store.ts";
import type { LoadedManifest } from "./load_manifest.ts";
import type { ShardAccess } from "./shard_access.ts";
import { type FullShard, locateShard, type ShardPlace } from "./shard_objects.ts";

/** Up to so many shards the array of readers has a place for each, also for empty ones. */
const DENSE_SHARDS_MAX = 1 << 20;

/** A manifest, and the warnings that are added to while its snapshot is read. */
export type NotedManifest = Omit<LoadedManifest, "warnings"> & { readonly warnings: Set<string> };

/** What a generation is opened with. */
export interface OpenMeans extends Pick<ShardPlace, "store" | "resolveStore"> {
  readonly opener: ShardOpener;
  readonly routerOf: (spec: RoutingSpec, shardCount: number) => Router;
  /** Makes the access; it is disposed of with the generation. */
  openAccess(): Promise<ShardAccess> | ShardAccess;
  readonly concurrencyMax: number;
  readonly signal: AbortSignal | undefined;
}

/** An opened snapshot. */
export class Generation {
  readonly manifest: Manifest;
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
    return reader === undefined ? this.#opened.find(shardId, signal) : reader;
  }

  /** Numbers of the shards that may have rows, ascending. */
  shardIds(): Iterable<number> {
    return this.manifest.shards.map(({ shardId }) => shardId);
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

/** Shards that are open, how others are found, and what is to be disposed of after them. */
interface OpenedShards {
  readonly readers: (ShardReader | null | undefined)[];
  readonly access: ShardAccess;
  find(shardId: number, signal?: AbortSignal): ShardReader | null | Promise<ShardReader | null>;
}

/**
 * Opens a snapshot: all its shards, some at a time, where that takes requests.
 *
 * @throws the first failure, when the other requests have ended; what had been opened is closed again.
 */
export async function openGeneration(loaded: NotedManifest, means: OpenMeans): Promise<Generation> {
  const { routing, shardCount } = loaded.manifest;
  const router = means.routerOf(routing, shardCount);
  // An absurd number of shards in a manifest must not cost memory: the array then has places for full shards only.
  const readers = shardCount <= DENSE_SHARDS_MAX ? new Array<ShardReader | null>(shardCount).fill(null) : [];
  const opened: OpenedShards = { readers, access: await means.openAccess(), find: () => null };
  try {
    await openShards(loaded.manifest, opened, means);
    return new Generation(loaded, router, opened);
  } catch (error) {
    await closeAll(opened).catch(() => {}); // The first failure is the one to tell.
    throw error;
  }
}

async function openShards(manifest: Manifest, { readers, access }: OpenedShards, means: OpenMeans): Promise<void> {
  const { store, resolveStore, concurrencyMax } = means;
  const place = { store, resolveStore, fileName: means.opener.fileName };
  const queue = manifest.shards.filter(isFull);
  const failed = new AbortController();
  const signal = means.signal === undefined ? failed.signal : AbortSignal.any([means.signal, failed.signal]);
  let next = 0;
  async function work(): Promise<void> {
    try {
      for (let shard = queue[next++]; shard !== undefined && !signal.aborted; shard = queue[next++]) {
        readers[shard.shardId] = await access.open(locateShard(manifest, shard, place), signal);
      }
    } catch (error) {
      failed.abort(error);
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrencyMax, queue.length) }, work));
  signal.throwIfAborted();
}

function isFull(shard: ShardEntry): shard is FullShard {
  return shard.dbUrl !== null;
}

async function closeAll({ readers, access }: OpenedShards): Promise<void> {
  // Unlike a loop over all numbers, this skips places that are not there.
  const outcomes = await Promise.allSettled(Object.values(readers).map((reader) => reader?.[Symbol.asyncDispose]()));
  await access[Symbol.asyncDispose]();
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}
