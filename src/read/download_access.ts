/**
 * Whole shards on disk, shared by the readers of one machine.
 *
 * `<cacheDir>/shard=00000/` holds `shard.db` and `shard.identity.json`, which says what version it is (WIRE_FORMATS
 * 21.5), and `.download.lock` while a reader looks or downloads. Files are replaced by renaming, so readers that have
 * the old one open keep it. The Python package lays its cache out in the same way and can use ours, and we its; but its
 * lock is not ours, so both must not use one folder at the same time.
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import type { ShardOpener, ShardReader } from "../backends/backend.ts";
import { dumpJson } from "../bytes/python_json.ts";
import { CorruptFileError, ShardyfusionError, StoreError } from "../errors.ts";
import { takeCacheLock } from "./cache_lock.ts";
import type { AccessMeans } from "./reader_parts.ts";
import { type FileMeans, type ShardAccess, wholeShard } from "./shard_access.ts";
import { checkContent, type DigestFactory, requestShard, type ShardObject } from "./shard_objects.ts";

// Not static imports: bundlers would lift them to the top of what must load on edge workers too.
const { renameSync, rmSync, writeFileSync } = await import("node:fs");
const fs = await import("node:fs/promises");
const { tmpdir } = await import("node:os");
const { join } = await import("node:path");

const CHUNK_BYTES = 1 << 20;
/** Ends of names of our own files that were not put in place yet. */
const TEMPORARY = ".tmp";
const TEMPORARY_IDENTITY = ".tmp.json";

/** Downloads what is not cached yet. */
export async function downloadAccess(means: AccessMeans): Promise<ShardAccess> {
  const { cacheDir, clock } = means.options;
  const folder = cacheDir ?? await fs.mkdtemp(join(tmpdir(), "shardyfusion-reader-"));
  return {
    mode: "download",
    isLazy: false,
    async open(object, signal) {
      const folderName = `shard=${String(object.shardId).padStart(5, "0")}`;
      const slot = new CacheSlot(join(folder, folderName), wholeShard(object, means), means);
      await fs.mkdir(slot.folder, { recursive: true });
      for (;;) {
        await using lock = await takeCacheLock(join(slot.folder, ".download.lock"), clock, signal);
        const temporary = await slot.isFilled() ? null : await slot.download(signal);
        if (!lock.isHeld()) continue;
        if (temporary !== null) slot.fill(temporary);
        const reader = await slot.openShard(temporary === null);
        // Whoever took the lock away may have put another version there before it was opened.
        if (reader !== null && lock.isHeld()) return reader;
        await reader?.[Symbol.asyncDispose]();
      }
    },
    async [Symbol.asyncDispose]() {
      if (cacheDir === undefined) await fs.rm(folder, { recursive: true, force: true });
    },
  };
}

/** Where one shard is cached. */
class CacheSlot {
  readonly folder: string;
  readonly #opener: ShardOpener;
  readonly #createDigest: DigestFactory;
  readonly #object: ShardObject;
  readonly #filePath: string;
  readonly #identityPath: string;
  readonly #identity: string;

  constructor(folder: string, object: ShardObject, { opener, createDigest }: FileMeans) {
    this.folder = folder;
    this.#opener = opener;
    this.#createDigest = createDigest;
    this.#object = object;
    this.#filePath = join(folder, opener.fileName);
    this.#identityPath = join(folder, "shard.identity.json");
    const { checkpointId, dbUrl } = object.identity;
    this.#identity = dumpJson({ checkpoint_id: checkpointId, db_url: dbUrl });
  }

  /** Whether the file is there, is of this version and still has its bytes. */
  async isFilled(): Promise<boolean> {
    try {
      if (await fs.readFile(this.#identityPath, "utf8") !== this.#identity) return false;
      const check = await checkContent(this.#object, this.#createDigest);
      await using file = await fs.open(this.#filePath, "r");
      const chunk = new Uint8Array(CHUNK_BYTES);
      for (;;) {
        const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES);
        if (bytesRead === 0) break;
        check.update(chunk.subarray(0, bytesRead));
      }
      check.finish();
      return true;
    } catch {
      return false; // Whatever is wrong with it, it is downloaded again.
    }
  }

  /**
   * Downloads the file under another name, which it gives.
   *
   * @throws {CorruptFileError} when it is not what was published.
   */
  async download(signal: AbortSignal | undefined): Promise<string> {
    await this.#removeTemporaries();
    const temporary = `${this.#filePath}.${crypto.randomUUID()}${TEMPORARY}`;
    const stored = await requestShard(this.#object, signal);
    try {
      const check = await checkContent(this.#object, this.#createDigest);
      await using file = await fs.open(temporary, "wx");
      let position = 0;
      for await (const chunk of arriving(stored.body, this.#object.url, signal)) {
        check.update(chunk);
        await writeFully(file, chunk, position);
        position += chunk.length;
        if (position > this.#object.sizeBytes) break;
      }
      if (position < stored.sizeBytes) throw cutError(this.#object.url, position);
      check.finish();
      await file.sync();
      return temporary;
    } catch (error) {
      await stored.body.cancel().catch(() => {}); // It may have been read to its end, or not been begun.
      await fs.rm(temporary, { force: true });
      throw error;
    }
  }

  /** Puts the download in place. Without waiting, so that the lock is held to the end. */
  fill(temporary: string): void {
    // A crash at any point leaves no file with the identity of another one.
    rmSync(this.#identityPath, { force: true });
    renameSync(temporary, this.#filePath);
    const temporaryIdentity = `${temporary}.json`;
    writeFileSync(temporaryIdentity, this.#identity);
    renameSync(temporaryIdentity, this.#identityPath);
  }

  /**
   * Opens the file.
   *
   * @param mayBeOld Whether a file that is damaged is to be downloaded again: then the slot is emptied and null given.
   *   Files without a recorded digest may have passed `isFilled` in spite of damage.
   */
  async openShard(mayBeOld: boolean): Promise<ShardReader | null> {
    try {
      const { sizeBytes } = this.#object;
      return await this.#opener.openShard({ kind: "file", path: this.#filePath, sizeBytes });
    } catch (error) {
      if (!mayBeOld || !(error instanceof CorruptFileError)) throw error;
      rmSync(this.#identityPath, { force: true });
      return null;
    }
  }

  /** What downloads left behind whose process was killed: whoever has the lock is the only one to download. */
  async #removeTemporaries(): Promise<void> {
    for (const name of await fs.readdir(this.folder)) {
      if (!name.startsWith(`${this.#opener.fileName}.`)) continue;
      if (!name.endsWith(TEMPORARY) && !name.endsWith(TEMPORARY_IDENTITY)) continue;
      await fs.rm(join(this.folder, name), { force: true });
    }
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

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}
