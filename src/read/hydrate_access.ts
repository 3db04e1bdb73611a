/**
 * Shards over ranges at first, and from files as these have been downloaded.
 * @module
 */
import type { ShardReader } from "../backends/backend.ts";
import { ConfigValidationError, ReaderStateError } from "../errors.ts";
import { TokenBucket } from "../token_bucket.ts";
import { CacheSlot } from "./cache_slot.ts";
import { Gate } from "./gate.ts";
import { HydratingShard } from "./hydrating_shard.ts";
import { rangeAccess } from "./range_access.ts";
import type { AccessMeans } from "./reader_parts.ts";
import type { ShardAccess } from "./shard_access.ts";
import { type DownloadMeans, downloadShard, openCached, type ShardDownload } from "./shard_download.ts";
import type { ShardObject } from "./shard_objects.ts";

// Not static imports: bundlers would lift them to the top of what must load on edge workers too.
const fs = await import("node:fs/promises");
const { tmpdir } = await import("node:os");
const { join } = await import("node:path");

const PART_BYTES_DEFAULT = 1 << 23;
/** Shorter parts would cost more than what they save. */
const RATED_PART_BYTES_MIN = 1 << 16;
const SHARDS_AT_ONCE_DEFAULT = 2;

/**
 * Shards that are asked at once and downloaded meanwhile. Opening one sends nothing; disposing ends all downloads and
 * waits for their end.
 *
 * @throws {ConfigValidationError} where there is no place for files, and for engines that cannot read them.
 */
export async function hydrateAccess(means: AccessMeans): Promise<ShardAccess> {
  const { opener, options: { cacheDir } } = means;
  if (!opener.opens.includes("file")) {
    throw new ConfigValidationError(
      'Cannot use option "access" as it must be "memory" or "range" with this engine: current value is "hydrate"',
      "access",
    );
  }
  const folder = await makeFolder(cacheDir);
  const remote = rangeAccess(means);
  const hydration = new Hydration(folder, means);
  return {
    mode: "hydrate",
    isLazy: true,
    get hydratedCount() {
      return hydration.doneCount;
    },
    open: async (object, signal) => hydration.add(object, await remote.open(object, signal)),
    async [Symbol.asyncDispose]() {
      await hydration.end();
      await remote[Symbol.asyncDispose]();
      if (cacheDir === undefined) await fs.rm(folder, { recursive: true, force: true });
    },
  };
}

async function makeFolder(cacheDir: string | undefined): Promise<string> {
  try {
    if (cacheDir === undefined) return await fs.mkdtemp(join(tmpdir(), "shardyfusion-reader-"));
    await fs.mkdir(cacheDir, { recursive: true });
    return cacheDir;
  } catch (cause) {
    const [path, expected, value] = cacheDir === undefined
      ? ["access", '"memory" or "range" where no folder can be made', "hydrate"]
      : ["cacheDir", "a folder that is there or can be made", cacheDir];
    throw new ConfigValidationError(
      `Cannot use option "${path}" as it must be ${expected}: current value is "${value}"`,
      path!,
      { cause },
    );
  }
}

/** A shard that waits for its file. */
interface Candidate extends ShardDownload {
  readonly shard: HydratingShard;
}

/** Brings shards' files here, some at a time, as long as it is not ended. */
class Hydration {
  doneCount = 0;
  readonly #folder: string;
  readonly #access: AccessMeans;
  readonly #download: DownloadMeans;
  /** May be in the cache; these come first, as looking costs little. */
  readonly #toLookAt = new AskedFirst<Candidate>();
  readonly #toDownload = new AskedFirst<Candidate>();
  readonly #end = new AbortController();
  readonly #workers: Promise<void>[] = [];
  #workerCount = 0;
  #diskBytes = 0;

  constructor(folder: string, means: AccessMeans) {
    const { clock, concurrencyMax, hydrate: { bytesPerSecond, partBytes = PART_BYTES_DEFAULT } = {} } = means.options;
    // At least half of the requests are left to lookups.
    const partsMax = Math.max(1, Math.floor(concurrencyMax / 2));
    // No burst of more than a second's bytes.
    const partBytesMax = Math.max(RATED_PART_BYTES_MIN, Math.floor(bytesPerSecond ?? Infinity));
    this.#folder = folder;
    this.#access = means;
    this.#download = {
      clock,
      partBytes: Math.min(partBytes, partBytesMax),
      partsMax,
      gate: new Gate(partsMax),
      bucket: bytesPerSecond === undefined ? null : new TokenBucket(bytesPerSecond, clock),
    };
  }

  /** The shard, whose file will come if nothing goes wrong. */
  add(object: ShardObject, remote: ShardReader): HydratingShard {
    const { requests, tallies, options } = this.#access;
    const tally = tallies.of(object.shardId);
    const metered = { ...object, store: requests.store(object.store, { tally, isBackground: true }) };
    const candidate: Candidate = {
      shard: new HydratingShard(remote, () => {
        this.#toLookAt.ask(candidate);
        this.#toDownload.ask(candidate);
      }),
      object: metered,
      slot: new CacheSlot(this.#folder, metered, this.#access),
      means: this.#download,
    };
    (options.cacheDir === undefined ? this.#toDownload : this.#toLookAt).add(candidate);
    const { shardsAtOnce = SHARDS_AT_ONCE_DEFAULT } = options.hydrate ?? {};
    if (this.#workerCount < shardsAtOnce) this.#workers.push(this.#work());
    return candidate.shard;
  }

  /** Gives up what is under way, and waits until it has ended. */
  async end(): Promise<void> {
    this.#end.abort(new ReaderStateError("Cannot go on downloading shards as their snapshot is closed"));
    await Promise.all(this.#workers);
  }

  async #work(): Promise<void> {
    this.#workerCount++;
    // Not before those who open the snapshot have had the chance to fail, or to ask.
    await this.#download.clock.sleep(0, this.#end.signal).catch(() => {});
    while (!this.#end.signal.aborted) {
      const known = this.#toLookAt.take();
      const candidate = known ?? this.#toDownload.take();
      if (candidate === undefined) break;
      await (known === undefined ? this.#bring(candidate) : this.#lookAt(candidate));
    }
    this.#workerCount--;
  }

  async #lookAt(candidate: Candidate): Promise<void> {
    const { slot, shard, object } = candidate;
    // Whatever keeps it from being opened will be told if downloading fails as well.
    const reader = await slot.hasIdentity() ? await openCached(candidate, this.#end.signal).catch(() => null) : null;
    if (reader === null) return this.#toDownload.add(candidate, shard.isAsked);
    this.#diskBytes += object.sizeBytes;
    await this.#use(shard, reader);
  }

  async #bring(candidate: Candidate): Promise<void> {
    const { shard, object: { shardId, sizeBytes } } = candidate;
    const { warn, options: { hydrate: { diskBytesMax = Infinity } = {} } } = this.#access;
    if (this.#diskBytes + sizeBytes > diskBytesMax) {
      warn(`shards stay in the store as all would take more than hydrate.diskBytesMax, ${diskBytesMax} bytes`);
      return shard.stay();
    }
    this.#diskBytes += sizeBytes;
    try {
      await this.#use(shard, await downloadShard(candidate, this.#end.signal));
    } catch (error) {
      this.#diskBytes -= sizeBytes;
      shard.stay();
      if (this.#end.signal.aborted) return;
      warn(`shard ${shardId} stays in the store: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  async #use(shard: HydratingShard, reader: ShardReader): Promise<void> {
    if (shard.switchTo(reader)) this.doneCount++;
    else await Promise.allSettled([reader[Symbol.asyncDispose]()]); // Nobody is there to be told of a failure.
  }
}

/** A queue in which those that were asked for come first. */
class AskedFirst<T> {
  readonly #asked = new Set<T>();
  readonly #others = new Set<T>();

  add(item: T, isAsked = false): void {
    (isAsked ? this.#asked : this.#others).add(item);
  }

  /** Moves an item, if it still waits. */
  ask(item: T): void {
    if (this.#others.delete(item)) this.#asked.add(item);
  }

  /** Removes the first one. */
  take(): T | undefined {
    for (const items of [this.#asked, this.#others]) {
      for (const item of items) {
        items.delete(item);
        return item;
      }
    }
    return undefined;
  }
}
