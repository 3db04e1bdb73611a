/**
 * The place of one shard in a folder of downloaded shards, shared by the readers of one machine.
 *
 * `<cacheDir>/shard=00000/` holds `shard.db` and `shard.identity.json`, which says what version it is (WIRE_FORMATS
 * 21.5), and a lock while a reader looks or downloads. Files are replaced by renaming, so readers that have the old one
 * open keep it. The Python package lays its cache out in the same way and can use ours, and we its; but its lock is not
 * ours, so both must not use one folder at the same time.
 * @module
 */
import type { FileHandle } from "node:fs/promises";
import type { ShardOpener, ShardReader } from "../backends/backend.ts";
import { dumpJson } from "../bytes/python_json.ts";
import type { Clock } from "../clock.ts";
import { CorruptFileError } from "../errors.ts";
import { type CacheLock, takeCacheLock } from "./cache_lock.ts";
import type { FileMeans } from "./shard_access.ts";
import { checkContent, type DigestFactory } from "./shard_content.ts";
import type { ShardObject } from "./shard_objects.ts";

// Not static imports: bundlers would lift them to the top of what must load on edge workers too.
const { renameSync, rmSync, writeFileSync } = await import("node:fs");
const fs = await import("node:fs/promises");
const { join } = await import("node:path");

const CHUNK_BYTES = 1 << 20;

/** Held by whoever looks at the file or puts one there. */
export const DOWNLOAD_LOCK = ".download.lock";
/** Held by whoever hydrates the shard, which may take long; readers that only look do not wait for it. */
export const HYDRATE_LOCK = ".hydrate.lock";

/** Where one shard is cached. */
export class CacheSlot {
  readonly #folder: string;
  readonly #opener: ShardOpener;
  readonly #createDigest: DigestFactory;
  readonly #object: ShardObject;
  readonly #filePath: string;
  readonly #identityPath: string;
  readonly #identity: string;

  /** @param cacheDir Folder of all shards. */
  constructor(cacheDir: string, object: ShardObject, { opener, createDigest }: FileMeans) {
    this.#folder = join(cacheDir, `shard=${String(object.shardId).padStart(5, "0")}`);
    this.#opener = opener;
    this.#createDigest = createDigest;
    this.#object = object;
    this.#filePath = join(this.#folder, opener.fileName);
    this.#identityPath = join(this.#folder, "shard.identity.json");
    const { checkpointId, dbUrl } = object.identity;
    this.#identity = dumpJson({ checkpoint_id: checkpointId, db_url: dbUrl });
  }

  /** Makes the slot's folder if it is missing, and takes a lock in it. */
  async lock(name: string, clock: Clock, signal?: AbortSignal): Promise<CacheLock> {
    await fs.mkdir(this.#folder, { recursive: true });
    return await takeCacheLock(join(this.#folder, name), clock, signal);
  }

  /** Whether the file is said to be of this version; without a lock that may be outdated at once. */
  async hasIdentity(): Promise<boolean> {
    try {
      return await fs.readFile(this.#identityPath, "utf8") === this.#identity;
    } catch {
      return false;
    }
  }

  /** Whether the file is there, is of this version and still has its bytes. */
  async isFilled(signal?: AbortSignal): Promise<boolean> {
    if (!await this.hasIdentity()) return false;
    try {
      await this.check(this.#filePath, signal);
      return true;
    } catch {
      signal?.throwIfAborted();
      return false; // Whatever is wrong with it, it is downloaded again.
    }
  }

  /** Checks all bytes of a file. @throws {CorruptFileError} when they are not those that were published. */
  async check(path: string, signal?: AbortSignal): Promise<void> {
    const check = await checkContent(this.#object, this.#createDigest);
    await using file = await fs.open(path, "r");
    const chunk = new Uint8Array(CHUNK_BYTES);
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES);
      if (bytesRead === 0) break;
      check.update(chunk.subarray(0, bytesRead));
    }
    check.finish();
  }

  /** A name for a file that is not put in place yet. */
  newTemporary(ending: string): string {
    return `${this.#filePath}.${crypto.randomUUID()}${ending}`;
  }

  /** Removes what was left behind by processes that were killed: for the only one who makes files of this ending. */
  async removeTemporaries(ending: string): Promise<void> {
    for (const name of await fs.readdir(this.#folder)) {
      if (!name.startsWith(`${this.#opener.fileName}.`)) continue;
      if (!name.endsWith(ending) && !name.endsWith(`${ending}.json`)) continue;
      await fs.rm(join(this.#folder, name), { force: true });
    }
  }

  /**
   * Opens the file, after putting a new one in place if there is one.
   *
   * @param lock The download lock.
   * @param temporary A file that was checked; null when the one in place was.
   * @returns null when there is nothing to rely on, so that whoever calls begins anew: the lock was taken away, or a
   *   file that lay there is damaged. Files without a recorded digest may have passed `isFilled` in spite of damage.
   */
  async open(lock: CacheLock, temporary: string | null): Promise<ShardReader | null> {
    if (!lock.isHeld()) {
      if (temporary !== null) await fs.rm(temporary, { force: true });
      return null;
    }
    if (temporary !== null) this.#fill(temporary);
    const reader = await this.#openFile(temporary === null);
    // Whoever took the lock away may have put another version there before it was opened.
    if (reader !== null && lock.isHeld()) return reader;
    await reader?.[Symbol.asyncDispose]();
    return null;
  }

  /** Puts a file in place. Without waiting, so that the lock is held to the end. */
  #fill(temporary: string): void {
    // A crash at any point leaves no file with the identity of another one.
    rmSync(this.#identityPath, { force: true });
    renameSync(temporary, this.#filePath);
    const temporaryIdentity = `${temporary}.json`;
    writeFileSync(temporaryIdentity, this.#identity);
    renameSync(temporaryIdentity, this.#identityPath);
  }

  async #openFile(mayBeOld: boolean): Promise<ShardReader | null> {
    try {
      const { sizeBytes } = this.#object;
      return await this.#opener.openShard({ kind: "file", path: this.#filePath, sizeBytes });
    } catch (error) {
      if (!mayBeOld || !(error instanceof CorruptFileError)) throw error;
      rmSync(this.#identityPath, { force: true });
      return null;
    }
  }
}

/** Writes all bytes at a place of a file. */
export async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}
