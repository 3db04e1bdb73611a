/**
 * Downloads a shard in parallel parts, in the background: rate-limited, resumed after failures, checked as a whole.
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import type { ShardReader } from "../backends/backend.ts";
import type { Clock } from "../clock.ts";
import { StoreError } from "../errors.ts";
import { replacedError } from "../stores/store.ts";
import type { TokenBucket } from "../token_bucket.ts";
import { type CacheSlot, DOWNLOAD_LOCK, HYDRATE_LOCK, writeFully } from "./cache_slot.ts";
import type { Gate } from "./gate.ts";
import { lengthError, type ShardObject } from "./shard_objects.ts";

// Not a static import: bundlers would lift it to the top of what must load on edge workers too.
const fs = await import("node:fs/promises");

/** End of the names of downloads under way; not that of `downloadAccess`, which clears its own away. */
const TEMPORARY = ".part";
/** How often a shard is tried, and how long to wait after the first failure; four times as long after each other. */
const ATTEMPTS_MAX = 4;
const RETRY_MS = 1000;

/** What the downloads of a snapshot share. */
export interface DownloadMeans {
  readonly clock: Clock;
  readonly partBytes: number;
  /** Parts under way at the same time. */
  readonly gate: Gate;
  readonly partsMax: number;
  /** Bytes per second; null for no limit. */
  readonly bucket: TokenBucket | null;
}

/** One shard's download. */
export interface ShardDownload {
  readonly slot: CacheSlot;
  /** With a store through which requests are counted and limited. */
  readonly object: ShardObject;
  readonly means: DownloadMeans;
}

/** Opens the shard's file if it is in the cache, is of this version and has its bytes; else gives null. */
export async function openCached({ slot, means }: ShardDownload, signal: AbortSignal): Promise<ShardReader | null> {
  await using lock = await slot.lock(DOWNLOAD_LOCK, means.clock, signal);
  return await slot.isFilled(signal) ? await slot.open(lock, null) : null;
}

/**
 * Downloads the shard's file into the cache and opens it, unless another reader has done so meanwhile. Waits for
 * readers that hydrate the same place. Failures are told after some attempts; parts that had come are kept in between.
 *
 * @throws {CorruptFileError} when the file is not what was published; the store's errors; what writing files throws;
 *   the signal's reason, after everything has ended.
 */
export async function downloadShard(download: ShardDownload, signal: AbortSignal): Promise<ShardReader> {
  const { slot, means: { clock } } = download;
  await using _turn = await slot.lock(HYDRATE_LOCK, clock, signal);
  await slot.removeTemporaries(TEMPORARY);
  const parts = new PartFile(slot.newTemporary(TEMPORARY), download);
  try {
    for (let failures = 0, restarts = 0;;) {
      const missingCount = parts.missingCount;
      try {
        const reader = await openCached(download, signal) ?? await downloadOnce(download, parts, signal);
        if (reader !== null) return reader;
      } catch (error) {
        signal.throwIfAborted();
        if (isLost(error)) {
          restarts++;
          parts.forget();
        } else {
          // A long download may fail now and then, as long as it goes on.
          failures = parts.missingCount < missingCount ? 1 : failures + 1;
        }
        if (failures + restarts >= ATTEMPTS_MAX) throw error;
        await clock.sleep(RETRY_MS * 4 ** (failures + restarts - 1), signal);
      }
    }
  } finally {
    await fs.rm(parts.path, { force: true });
  }
}

/** Null when the lock was taken away before the file was in place. */
async function downloadOnce(
  { slot, means }: ShardDownload,
  parts: PartFile,
  signal: AbortSignal,
): Promise<ShardReader | null> {
  await parts.complete(signal);
  await slot.check(parts.path, signal);
  await using lock = await slot.lock(DOWNLOAD_LOCK, means.clock, signal);
  const reader = await slot.open(lock, parts.path);
  if (reader === null) parts.forget();
  return reader;
}

/** Whether what was downloaded before is of no use: wrong, of another version, or not on the disk. */
function isLost(error: unknown): boolean {
  return !(error instanceof StoreError) || error.status === 412;
}

/** A file that is filled in parts, in any order. */
class PartFile {
  readonly path: string;
  readonly #object: ShardObject;
  readonly #means: DownloadMeans;
  /** Offsets of parts that have not come. */
  readonly #missing = new Set<number>();
  #isBegun = false;
  /** Version of the file, from the first part on. */
  #etag: string | null | undefined;

  constructor(path: string, { object, means }: ShardDownload) {
    this.path = path;
    this.#object = object;
    this.#means = means;
    this.forget();
  }

  get missingCount(): number {
    return this.#missing.size;
  }

  /** Begins anew. */
  forget(): void {
    this.#isBegun = false;
    this.#etag = undefined;
    this.#missing.clear();
    const { sizeBytes } = this.#object;
    for (let offset = 0; offset < sizeBytes; offset += this.#means.partBytes) this.#missing.add(offset);
  }

  /** Fetches what is missing. Has ended all requests when it throws the first failure. */
  async complete(signal: AbortSignal): Promise<void> {
    await using file = await fs.open(this.path, this.#isBegun ? "r+" : "w");
    this.#isBegun = true;
    const offsets = [...this.#missing].values();
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const work = async (): Promise<void> => {
      try {
        for (const offset of offsets) await this.#fetch(offset, file, either);
      } catch (error) {
        failed.abort(error);
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.#missing.size, this.#means.partsMax) }, work));
    either.throwIfAborted();
    await file.sync();
  }

  async #fetch(offset: number, file: FileHandle, signal: AbortSignal): Promise<void> {
    const { partBytes, gate, bucket } = this.#means;
    const { key, url, store, sizeBytes } = this.#object;
    const lengthBytes = Math.min(partBytes, sizeBytes - offset);
    const leave = await gate.enter(signal);
    try {
      await bucket?.acquire(lengthBytes, signal);
      const stored = await store.getRanges(key, [{ offset, lengthBytes }], { signal });
      if (stored.sizeBytes !== null && stored.sizeBytes !== sizeBytes) {
        throw lengthError(this.#object, stored.sizeBytes);
      }
      if (this.#etag === undefined) this.#etag = stored.etag;
      if (stored.etag !== this.#etag) throw replacedError(url);
      await writeFully(file, stored.parts[0]!, offset);
      this.#missing.delete(offset);
    } finally {
      leave();
    }
  }
}
