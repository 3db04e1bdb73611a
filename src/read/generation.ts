/**
 * One snapshot opened for reading. It is closed when it is retired and its last borrower is gone.
 * @module
 */
import type { Backend, ShardReader } from "../backends/backend.ts";
import type { Router } from "../routing/router.ts";
import { routerOf } from "../routing/router_of.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import type { CurrentPointer } from "../snapshots/manifest_store.ts";
import type { LoadedManifest } from "./load_manifest.ts";
import type { ShardAccess } from "./shard_access.ts";
import { type FullShard, locateShard, type ShardPlace } from "./shard_objects.ts";

/** Up to so many shards the array of readers has a place for each, also for empty ones. */
const DENSE_SHARDS_MAX = 1 << 20;

/** What a generation is opened with. */
export interface OpenMeans extends Pick<ShardPlace, "store" | "resolveStore"> {
  readonly backend: Backend;
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
  /** By shard number; null, or nothing at all, for empty shards. */
  readonly readers: readonly (ShardReader | null | undefined)[];
  readonly #opened: OpenedShards;
  #pointer: CurrentPointer;
  #warnings: readonly string[];
  #borrowCount = 0;
  #isRetired = false;
  #closed: Promise<void> | undefined;

  /** Use {@linkcode openGeneration}. */
  constructor(loaded: LoadedManifest, router: Router, opened: OpenedShards) {
    this.manifest = loaded.manifest;
    this.manifestRef = loaded.ref;
    this.router = router;
    this.mode = opened.access.mode;
    this.readers = opened.readers;
    this.#opened = opened;
    this.#pointer = loaded.pointer;
    this.#warnings = loaded.warnings;
  }

  /** The latest pointer that led to this snapshot; for a pinned snapshot one made up from its ref. */
  get pointer(): CurrentPointer {
    return this.#pointer;
  }

  /** What a user should know: that an older snapshot is being read, and why. */
  get warnings(): readonly string[] {
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
    this.#warnings = [];
  }

  /** The reader of a shard; null when the shard is empty. */
  readerAt(shardId: number): ShardReader | null {
    return this.readers[shardId] ?? null;
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
  readonly access: ShardAccess;
}

/**
 * Opens all shards of a snapshot, some at a time.
 *
 * @throws the first failure, when the other requests have ended; what had been opened is closed again.
 */
export async function openGeneration(loaded: LoadedManifest, means: OpenMeans): Promise<Generation> {
  const { routing, shardCount } = loaded.manifest;
  const router = routerOf(routing, shardCount);
  // An absurd number of shards in a manifest must not cost memory: the array then has places for full shards only.
  const readers = shardCount <= DENSE_SHARDS_MAX ? new Array<ShardReader | null>(shardCount).fill(null) : [];
  const opened: OpenedShards = { readers, access: await means.openAccess() };
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
  const place = { store, resolveStore, fileName: means.backend.fileName };
  const queue = manifest.shards.filter((shard): shard is FullShard => shard.dbUrl !== null);
  const failed = new AbortController();
  const signal = means.signal === undefined ? failed.signal : AbortSignal.any([means.signal, failed.signal]);
  async function work(): Promise<void> {
    try {
      for (let shard = queue.shift(); shard !== undefined && !signal.aborted; shard = queue.shift()) {
        readers[shard.shardId] = await access.open(locateShard(manifest, shard, place), signal);
      }
    } catch (error) {
      failed.abort(error);
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrencyMax, queue.length) }, work));
  signal.throwIfAborted();
}

async function closeAll({ readers, access }: OpenedShards): Promise<void> {
  // Unlike a loop over all numbers, this skips places that are not there.
  const outcomes = await Promise.allSettled(Object.values(readers).map((reader) => reader?.[Symbol.asyncDispose]()));
  await access[Symbol.asyncDispose]();
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}
