/**
 * Shards of the current snapshot that the next one takes over because their bytes would be the same.
 *
 * A reference must not outlive what it names. As long as the current snapshot stays current, no clean-up touches it;
 * but another writer may publish at any time, and our manifest may be stored before we learn of it. So the snapshot is
 * pinned before the first shard is built, and until our manifest is stored and keeps the shards by itself.
 * @module
 */
import type { Backend, BuiltShard } from "../backends/backend.ts";
import { dumpJson, type JsonObject, type JsonValue } from "../bytes/python_json.ts";
import type { Clock } from "../clock.ts";
import { PublishManifestError } from "../errors.ts";
import { locateShard } from "../read/shard_objects.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { Router } from "../routing/router.ts";
import type { Manifest, ShardEntry } from "../snapshots/manifest.ts";
import { ownFields } from "../snapshots/manifest_digest.ts";
import type { CurrentPointer, ManifestReader } from "../snapshots/manifest_store.ts";
import { type Pin, pin, unpin } from "../snapshots/pins.ts";
import type { ObjectStore } from "../stores/store.ts";
import type { KnownShard } from "./shard_attempt.ts";

/** How unchanged shards are taken over. */
export type ReuseMode = "copy" | "reference";

/** What is reused, and by whom. */
export interface ReuseOptions {
  readonly mode: ReuseMode;
  /** The snapshot that may be reused; null when there is none. */
  readonly current: CurrentPointer | null;
  readonly manifests: ManifestReader;
  readonly store: ObjectStore;
  readonly backend: Backend;
  readonly router: Router;
  readonly keyEncoding: KeyEncoding;
  readonly runId: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** A shard that was taken over. */
export interface ReusedShard {
  readonly mode: ReuseMode;
  /** Folder of the attempt, as a key. */
  readonly prefix: string;
  /** Number of the attempt whose folder it is. */
  readonly attempt: number;
  readonly built: BuiltShard;
  /** Null for a copy. */
  readonly checkpointId: string | null;
}

/** Where a shard is copied to. */
export interface CopyTarget {
  readonly store: ObjectStore;
  /** Folder of the attempt, as a key. */
  readonly prefix: string;
  readonly attempt: number;
}

interface EarlierShard {
  readonly entry: ShardEntry;
  /** Folder, as a key. */
  readonly prefix: string;
  readonly known: KnownShard;
}

/** No pin is needed for longer than a write takes; what a killed one leaves ends by itself. */
const PIN_MS = 24 * 3_600_000;
const UNPIN_ATTEMPTS = 3;

/** What may be taken over from the current snapshot. Disposing lets go of it. */
export class Reuse implements AsyncDisposable {
  readonly #options: ReuseOptions;
  readonly #shards: ReadonlyMap<number, EarlierShard>;
  readonly #pins: Pin[] = [];
  #hasReferences = false;

  /**
   * Looks at the current snapshot; null when nothing can come of it: there is none, it is sharded or built otherwise,
   * or it cannot be had. Reuse only saves work, so that its failures are no failures of the write.
   */
  static async open(options: ReuseOptions): Promise<Reuse | null> {
    const { mode, current, manifests, backend, signal } = options;
    if (current === null || (mode === "copy" && backend.copyShard === undefined)) return null;
    if (backend.isReproducible === false) return null;
    let opened: Reuse | undefined;
    try {
      const manifest = await manifests.loadManifest(current.ref, { signal });
      if (!isAlike(manifest, options)) return null;
      opened = new Reuse(options, earlierShards(manifest, options));
      if (mode === "reference") await opened.#pin();
      return opened;
    } catch {
      await opened?.[Symbol.asyncDispose]();
      signal.throwIfAborted();
      return null;
    }
  }

  constructor(options: ReuseOptions, shards: ReadonlyMap<number, EarlierShard>) {
    this.#options = options;
    this.#shards = shards;
  }

  /** The shard as it is in the current snapshot. */
  known(shardId: number): KnownShard | undefined {
    return this.#shards.get(shardId)?.known;
  }

  /**
   * Takes an unchanged shard over.
   *
   * @param to The attempt that a copy becomes, and the store that it is written through.
   * @returns null when the source is gone, or is not what it was: then it has to be built.
   */
  async take(shardId: number, { store, ...to }: CopyTarget): Promise<ReusedShard | null> {
    const { mode, backend, signal } = this.#options;
    const { entry, prefix, known: { objects, rowCount } } = this.#shards.get(shardId)!;
    try {
      if (mode === "reference") {
        if (!await this.#isThere(shardId)) return null;
        this.#hasReferences = true;
        const { attempt, dbBytes, checkpointId } = entry;
        return { mode, prefix, attempt, checkpointId, built: { dbBytes, rowCount, objects } };
      }
      const built = await backend.copyShard!({ prefix, rowCount, objects }, { store, prefix: to.prefix, signal });
      return { mode, ...to, checkpointId: null, built };
    } catch {
      signal.throwIfAborted();
      return null;
    }
  }

  /**
   * Makes sure, before the manifest is stored, that all that it refers to stays. Sends nothing unless the write took
   * many hours.
   *
   * @throws {ReaderStateError} when the snapshot was removed since its pin ended; the store's errors.
   */
  async hold(): Promise<void> {
    const until = this.#pins.at(-1)?.untilMicros ?? null;
    const { clock } = this.#options;
    // As long as the manifest is there and nobody has announced its removal, its shards are there.
    if (this.#hasReferences && until !== null && until - clock.nowMicros() < PIN_MS * 500) await this.#pin();
  }

  /** Says why publishing failed. A manifest may still be on its way to the store: the pin ends by itself then. */
  failed(error: unknown): void {
    if (this.#hasReferences && error instanceof PublishManifestError) this.#pins.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const held of this.#pins.splice(0)) {
      for (let attempt = 1; attempt <= UNPIN_ATTEMPTS; attempt++) {
        if (await unpin(this.#options.store, held).then(() => true, () => false)) break;
      }
    }
  }

  /** Other clean-ups than ours may have removed it: then building anew mends what a reference would pass on. A LIST. */
  async #isThere(shardId: number): Promise<boolean> {
    const { store, signal } = this.#options;
    const { prefix, known: { objects } } = this.#shards.get(shardId)!;
    const found = new Map<string, number>();
    for await (const page of store.list(`${prefix}/`, { signal })) {
      for (const { key, sizeBytes } of page) found.set(key, sizeBytes);
    }
    return objects.every(({ name, sizeBytes }) => found.get(`${prefix}/${name}`) === sizeBytes);
  }

  async #pin(): Promise<void> {
    const { store, current, runId, clock, signal } = this.#options;
    const until = new Date(Math.floor(clock.nowMicros() / 1000) + PIN_MS);
    this.#pins.push(await pin(store, current!.ref, { until, note: `reused by run ${runId}`, clock, signal }));
  }
}

/** Fields of the manifest's `shardyfusion` that say what was taken over. */
export function reuseFields(shards: readonly ShardEntry[]): JsonObject {
  const count = reusedCount(shards);
  return count === 0 ? {} : { "reused_shards": count };
}

/** How many of the shards were taken over. */
export function reusedCount(shards: readonly ShardEntry[]): number {
  return shards.filter(({ writerInfo }) => ownFields(writerInfo)?.["reused"] !== undefined).length;
}

/** Whether the same rows would be in the same shards, and these built by the same engine with the same options. */
function isAlike(manifest: Manifest, { backend, router, keyEncoding }: ReuseOptions): boolean {
  const own = ownFields(manifest.custom);
  return own?.["format_version"] === 1 && isSameJson(own["backend"] ?? null, { ...backend.spec }) &&
    manifest.shardCount === router.shardCount && manifest.keyEncoding === keyEncoding &&
    isSameJson({ ...manifest.routing }, { ...router.spec });
}

function isSameJson(one: JsonValue, other: JsonValue): boolean {
  return dumpJson(one) === dumpJson(other);
}

function earlierShards(manifest: Manifest, { store, backend }: ReuseOptions): Map<number, EarlierShard> {
  const shards = new Map<number, EarlierShard>();
  for (const entry of manifest.shards) {
    const shard = earlierShard(manifest, entry, { store, backend });
    if (shard !== null) shards.set(entry.shardId, shard);
  }
  return shards;
}

/** Null for shards of which too little is recorded, or which lie in another place. */
function earlierShard(
  manifest: Manifest,
  entry: ShardEntry,
  { store, backend: { fileName } }: Pick<ReuseOptions, "store" | "backend">,
): EarlierShard | null {
  const { dbUrl, minKey, maxKey } = entry;
  const rowCount = ownFields(entry.writerInfo)?.["distinct_rows"];
  if (dbUrl === null || typeof rowCount !== "number") return null;
  try {
    const { key, objects } = locateShard(manifest, { ...entry, dbUrl }, { store, fileName, resolveStore: undefined });
    if (objects === undefined) return null;
    return { entry, prefix: key.slice(0, -fileName.length - 1), known: { rowCount, objects, minKey, maxKey } };
  } catch {
    return null;
  }
}
