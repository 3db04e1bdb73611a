/**
 * Whole shards on disk, downloaded when the snapshot is opened.
 * @module
 */
import type { ShardReader } from "../backends/backend.ts";
import { ShardyfusionError, StoreError } from "../errors.ts";
import { CacheSlot, DOWNLOAD_LOCK, writeFully } from "./cache_slot.ts";
import type { AccessMeans } from "./reader_parts.ts";
import { type ShardAccess, wholeShard } from "./shard_access.ts";
import { checkContent, type DigestFactory, requestShard } from "./shard_content.ts";
import type { ShardObject } from "./shard_objects.ts";

// Not static imports: bundlers would lift them to the top of what must load on edge workers too.
const fs = await import("node:fs/promises");
const { tmpdir } = await import("node:os");
const { join } = await import("node:path");

/** End of the names of downloads under way. */
const TEMPORARY = ".tmp";

/** Downloads what is not cached yet. */
export async function downloadAccess(means: AccessMeans): Promise<ShardAccess> {
  const { cacheDir, clock } = means.options;
  const folder = cacheDir ?? await fs.mkdtemp(join(tmpdir(), "shardyfusion-reader-"));
  return {
    mode: "download",
    isLazy: false,
    async open(object, signal): Promise<ShardReader> {
      const whole = wholeShard(object, means);
      const slot = new CacheSlot(folder, whole, means);
      for (;;) {
        await using lock = await slot.lock(DOWNLOAD_LOCK, clock, signal);
        const isFilled = await slot.isFilled(signal);
        const temporary = isFilled ? null : await download(slot, whole, { signal, createDigest: means.createDigest });
        const reader = await slot.open(lock, temporary);
        if (reader !== null) return reader;
      }
    },
    async [Symbol.asyncDispose]() {
      if (cacheDir === undefined) await fs.rm(folder, { recursive: true, force: true });
    },
  };
}

/** What a download takes beside the shard. */
interface DownloadMeans {
  readonly createDigest: DigestFactory;
  readonly signal: AbortSignal | undefined;
}

/**
 * Downloads a shard's file under another name, which it gives. Whoever has the lock is the only one to download.
 *
 * @throws {CorruptFileError} when it is not what was published.
 */
async function download(
  slot: CacheSlot,
  object: ShardObject,
  { createDigest, signal }: DownloadMeans,
): Promise<string> {
  await slot.removeTemporaries(TEMPORARY);
  const temporary = slot.newTemporary(TEMPORARY);
  const stored = await requestShard(object, signal);
  try {
    const check = await checkContent(object, createDigest);
    await using file = await fs.open(temporary, "wx");
    let position = 0;
    for await (const chunk of arriving(stored.body, object.url, signal)) {
      check.update(chunk);
      await writeFully(file, chunk, position);
      position += chunk.length;
      if (position > object.sizeBytes) break;
    }
    if (position < stored.sizeBytes) throw cutError(object.url, position);
    check.finish();
    await file.sync();
    return temporary;
  } catch (error) {
    await stored.body.cancel().catch(() => {}); // It may have been read to its end, or not been begun.
    await fs.rm(temporary, { force: true });
    throw error;
  }
}

/** The chunks of a body, with errors of ours. */
async function* arriving(
  body: ReadableStream<Uint8Array>,
  url: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const chunk of body) {
      signal?.throwIfAborted();
      yield chunk;
    }
    signal?.throwIfAborted();
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof ShardyfusionError) throw cause;
    throw new StoreError(`Cannot read "${url}" to its end`, { url, retryable: true, cause });
  }
}

function cutError(url: string, seenBytes: number): StoreError {
  return new StoreError(`Cannot read "${url}" to its end: only ${seenBytes} bytes arrived`, { url, retryable: true });
}
