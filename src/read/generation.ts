/**
 * One snapshot opened for reading. It is closed when it is retired and its last borrower is gone.
 * @module
 */
import type { Backend, ShardReader } from "../backends/backend.ts";
import type { Router } from "../routing/router.ts";
import { routerOf } from "../routing/router_of.ts";
import type { Manifest, ShardEntry } from "../snapshots/manifest.ts";
import type { CurrentPointer } from "../snapshots/manifest_store.ts";
import type { ReadableStore } from "../stores/store.ts";
import type { ShardAccess } from "./shard_access.ts";
import { locateShard } from "./shard_objects.ts";

/** What a generation is made from. */
export interface GenerationSource {
  readonly manifest: Manifest;
  /** Where the manifest was read: another one than the pointer's after falling back. */
  readonly manifestRef: string;
  /** The pointer that led to the manifest; for a pinned snapshot one made up from its ref. */
  readonly pointer: CurrentPointer;
  readonly store: ReadableStore;
  readonly backend: Backend;
  readonly access: ShardAccess;
  readonly resolveStore?: ((url: string) => ReadableStore) | undefined;
  readonly concurrencyMax: number;
  readonly signal?: AbortSignal | undefined;
}

/** An opened snapshot. */
export class Generation {
  readonly manifest: Manifest;
  readonly manifestRef: string;
  readonly pointer: CurrentPointer;
  readonly router: Router;
  readonly access: ShardAccess;
  /** By shard number; null for empty shards. */
  readonly readers: readonly (ShardReader | null)[];
  #borrowCount = 0;
  #isRetired = false;
  #closed: Promise<void> | undefined;

  /** Use {@linkcode openGeneration}. */
  constructor(source: GenerationSource, router: Router, readers: readonly (ShardReader | null)[]) {
    this.manifest = source.manifest;
    this.manifestRef = source.manifestRef;
    this.pointer = source.pointer;
    this.access = source.access;
    this.router = router;
    this.readers = readers;
  }

  /** Handles and operations that still use the snapshot. */
  get borrowCount(): number {
    return this.#borrowCount;
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

  /** The reader is done with this snapshot: it closes now or with its last borrow. */
  async retire(): Promise<void> {
    this.#isRetired = true;
    if (this.#borrowCount === 0) await this.#close();
  }

  #close(): Promise<void> {
    this.#closed ??= closeAll(this.readers, this.access);
    return this.#closed;
  }
}

/**
 * Opens all shards of a snapshot, some at a time.
 *
 * @throws the first failure; what had been opened is closed again.
 */
export async function openGeneration(source: GenerationSource): Promise<Generation> {
  const { manifest, access } = source;
  const readers: (ShardReader | null)[] = new Array(manifest.shardCount).fill(null);
  const queue = manifest.shards.filter((shard): shard is ShardEntry & { dbUrl: string } => shard.dbUrl !== null);
  let failed = false;
  async function work(): Promise<void> {
    for (let shard = queue.shift(); shard !== undefined && !failed; shard = queue.shift()) {
      const { fileName } = source.backend;
      const object = locateShard(manifest, shard, { store: source.store, fileName, resolveStore: source.resolveStore });
      const { dbUrl, checkpointId } = shard;
      try {
        readers[shard.shardId] = await access.open(shard.shardId, object, { dbUrl, checkpointId }, source.signal);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  }
  try {
    const router = routerOf(manifest.routing, manifest.shardCount);
    const outcomes = await Promise.allSettled(Array.from({ length: source.concurrencyMax }, work));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    return new Generation(source, router, readers);
  } catch (error) {
    await closeAll(readers, access).catch(() => {});
    throw error;
  }
}

async function closeAll(readers: readonly (ShardReader | null)[], access: ShardAccess): Promise<void> {
  for (const reader of readers) await reader?.[Symbol.asyncDispose]();
  await access[Symbol.asyncDispose]();
}
