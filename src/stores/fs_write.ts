/**
 * Writing into a folder store: a temporary file beside the object, made durable, then moved into its place at once.
 *
 * Everything is flushed to the disk before its name appears, and the folder after: what a published manifest names is
 * there even after a power cut. Measured on ext4, a small put takes 1 ms
 * with both and 0.2 to 0.4 ms without; uploads of 64 MiB and more vary by more than the flushing costs.
 * @module
 */
import * as fs from "node:fs";
import { copyFile, type FileHandle, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "../clock.ts";
import { withLock } from "./fs_lock.ts";
import { codeOf, etagOf, fsError, isLeftover, isMissing, modifiedMs, type ObjectPath } from "./fs_path.ts";
import { removeEmptyFolders } from "./fs_walk.ts";
import type { ObjectUpload, ObjectVersion, UploadOptions, WriteOptions } from "./store.ts";
import { requireHead, requireState, uploadEndedError } from "./stored_object.ts";

const LEFTOVER_MS = 3_600_000;
const FOLDERS_REMEMBERED_MAX = 1000;
const OPEN_ATTEMPTS_MAX = 20;

/** The folders in which one store has looked for what killed processes left behind. */
export class SweptFolders {
  #folders = new Set<string>();

  /**
   * Removes temporary files that nobody has written to for an hour; once per folder. What cannot be removed stays.
   *
   * @param nowMs Time by the clock of the file system, which is the one that dates the files.
   */
  async sweep(folder: string, nowMs: number): Promise<void> {
    if (this.#folders.has(folder)) return;
    if (this.#folders.size >= FOLDERS_REMEMBERED_MAX) this.#folders.clear();
    this.#folders.add(folder);
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter(isLeftover)) {
      const path = join(folder, name);
      const stats = await stat(path, { bigint: true }).catch(() => null);
      if (stats === null || modifiedMs(stats) >= nowMs - LEFTOVER_MS) continue;
      await rm(path, { force: true }).catch(() => {});
    }
  }
}

/** A file that is not yet an object. */
export class TemporaryFile {
  readonly path: string;
  readonly #target: ObjectPath;
  readonly #handle: FileHandle;
  readonly #firstNewFolder: string | undefined;
  #isOpen = true;

  /** Creates the file, and the folders above it, empty. */
  static async create(target: ObjectPath): Promise<TemporaryFile> {
    const path = target.temporaryPath();
    let firstNewFolder: string | undefined;
    for (let attempt = 1;; attempt++) {
      try {
        firstNewFolder = await mkdir(target.folder, { recursive: true }) ?? firstNewFolder;
        return new TemporaryFile(target, { path, handle: await open(path, "wx"), firstNewFolder });
      } catch (error) {
        // Someone who deletes the last object beside it may remove the folder, as it is empty, between the two calls.
        if (codeOf(error) !== "ENOENT" || attempt === OPEN_ATTEMPTS_MAX) throw error;
      }
    }
  }

  constructor(
    target: ObjectPath,
    opened: { path: string; handle: FileHandle; firstNewFolder: string | undefined },
  ) {
    this.#target = target;
    this.path = opened.path;
    this.#handle = opened.handle;
    this.#firstNewFolder = opened.firstNewFolder;
  }

  /** When the file was last changed, by the file system's clock. */
  async changedMs(): Promise<number> {
    return modifiedMs(await this.#handle.stat({ bigint: true }));
  }

  /** Writes all bytes at an offset, without copying them. */
  async write(bytes: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < bytes.byteLength;) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.byteLength - done, offset + done);
      done += bytesWritten;
    }
  }

  /** Takes the content of another file over; without copying a byte where the file system can share them. */
  async fillFrom(path: string): Promise<void> {
    await copyFile(path, this.path, fs.constants.COPYFILE_FICLONE);
    // Some systems replace the file instead of filling it, so it is this one that has to be flushed.
    const copied = await open(this.path, "r+");
    await copied.sync().finally(() => copied.close());
  }

  /** Makes the file the object, if the object is in the state that is demanded; returns its version. */
  async moveIntoPlace({ precondition, signal, clock }: WriteOptions & { clock: Clock }): Promise<string> {
    await this.#handle.sync();
    await this.#close();
    const { path, url } = this.#target;
    const etag = await withLock({ ...this.#target, clock, signal }, (requireHeld) => {
      let old = fs.statSync(path, { bigint: true, throwIfNoEntry: false });
      if (old?.isDirectory()) {
        fs.rmdirSync(path); // empty, or this throws: what remains of objects that were deleted is no object
        old = undefined;
      }
      requireState(url, precondition, old === undefined ? null : etagOf(old));
      let stats = fs.statSync(this.path, { bigint: true });
      if (old !== undefined && modifiedMs(old) >= modifiedMs(stats)) {
        // In the middle of the next millisecond: exact stamps come out a little too low after rounding.
        const laterS = (modifiedMs(old) + 1.5) / 1000;
        fs.utimesSync(this.path, laterS, laterS);
        stats = fs.statSync(this.path, { bigint: true });
      }
      requireHeld();
      fs.renameSync(this.path, path);
      return etagOf(stats);
    });
    await this.#syncFolders();
    return etag;
  }

  /** Removes the file unless it has become the object, and folders that are empty then. Never throws. */
  async remove(): Promise<void> {
    await this.#close().catch(() => {});
    await rm(this.path, { force: true }).catch(() => {});
    await removeEmptyFolders(this.#target.folder, this.#target.root);
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#handle.close();
  }

  /** Flushes the folder's new entry, and the entries of folders that were made for it. */
  async #syncFolders(): Promise<void> {
    const last = this.#firstNewFolder === undefined ? this.#target.folder : dirname(this.#firstNewFolder);
    for (let folder = this.#target.folder;; folder = dirname(folder)) {
      await syncFolder(folder);
      if (folder === last || folder === dirname(folder)) return;
    }
  }
}

// Not every system opens folders or flushes them; the object is in its place by now, so that is no failure.
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch {
    return;
  }
}

async function createTemporary(target: ObjectPath, swept: SweptFolders): Promise<TemporaryFile> {
  const file = await TemporaryFile.create(target);
  await swept.sweep(target.folder, await file.changedMs());
  return file;
}

/** Writes a whole object. */
export async function putFile(
  target: ObjectPath,
  bytes: Uint8Array,
  options: WriteOptions & { clock: Clock; swept: SweptFolders },
): Promise<ObjectVersion> {
  options.signal?.throwIfAborted();
  let file: TemporaryFile | undefined;
  try {
    file = await createTemporary(target, options.swept);
    options.signal?.throwIfAborted();
    await file.write(bytes, 0);
    options.signal?.throwIfAborted();
    return { etag: await file.moveIntoPlace(options), sizeBytes: bytes.byteLength };
  } catch (error) {
    await file?.remove();
    throw fsError("write", target, error);
  }
}

/** The file that is copied. */
export interface CopySource {
  readonly path: string;
  readonly sizeBytes: number;
  /** Throws when the file is no longer the one that was found. */
  readonly requireSame: () => Promise<void>;
}

/** Writes an object as a copy of a file. */
export async function copyFileTo(
  target: ObjectPath,
  { path, sizeBytes, requireSame }: CopySource,
  options: WriteOptions & { clock: Clock; swept: SweptFolders },
): Promise<ObjectVersion> {
  options.signal?.throwIfAborted();
  let file: TemporaryFile | undefined;
  try {
    file = await createTemporary(target, options.swept);
    options.signal?.throwIfAborted();
    await file.fillFrom(path);
    await requireSame();
    options.signal?.throwIfAborted();
    return { etag: await file.moveIntoPlace(options), sizeBytes };
  } catch (error) {
    await file?.remove();
    throw fsError("write", target, error);
  }
}

/** Begins an object whose bytes come in pieces. */
export async function uploadFile(
  target: ObjectPath,
  options: UploadOptions & { clock: Clock; swept: SweptFolders },
): Promise<ObjectUpload> {
  options.signal?.throwIfAborted();
  try {
    return new FsUpload(target, await createTemporary(target, options.swept), options);
  } catch (error) {
    throw fsError("write", target, error);
  }
}

class FsUpload implements ObjectUpload {
  readonly #target: ObjectPath;
  readonly #file: TemporaryFile;
  readonly #options: UploadOptions & { clock: Clock };
  #sizeBytes: number;
  #isOpen = true;
  /** The call under way, so that giving up does not close the file below it. */
  #running: Promise<unknown> = Promise.resolve();

  constructor(target: ObjectPath, file: TemporaryFile, options: UploadOptions & { clock: Clock }) {
    this.#target = target;
    this.#file = file;
    this.#options = options;
    this.#sizeBytes = options.headBytes;
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#run(async () => {
      await this.#file.write(chunk, this.#sizeBytes);
      this.#sizeBytes += chunk.byteLength;
    });
  }

  finish(head: Uint8Array): Promise<ObjectVersion> {
    return this.#run(async () => {
      requireHead(this.#target.url, head, this.#options.headBytes);
      this.#isOpen = false;
      try {
        await this.#file.write(head, 0);
        return { etag: await this.#file.moveIntoPlace(this.#options), sizeBytes: this.#sizeBytes };
      } catch (error) {
        await this.#file.remove();
        throw error;
      }
    });
  }

  async abort(): Promise<void> {
    await this.#running;
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#file.remove();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    this.#options.signal?.throwIfAborted();
    if (!this.#isOpen) throw uploadEndedError(this.#target.url);
    const running = work();
    this.#running = running.catch(() => {});
    try {
      return await running;
    } catch (error) {
      throw fsError("write", this.#target, error);
    }
  }
}

/** Removes an object, and folders that are empty then; one that is not there is no error. */
export async function removeFile(target: ObjectPath, options: { clock: Clock; signal?: AbortSignal }): Promise<void> {
  options.signal?.throwIfAborted();
  try {
    const stats = await stat(target.path, { bigint: true });
    if (!stats.isFile()) return;
    // Locked, so that no conditional write can find the object in its state and then replace nothing.
    await withLock({ ...target, ...options }, (requireHeld) => {
      requireHeld();
      fs.rmSync(target.path, { force: true });
    });
    await removeEmptyFolders(target.folder, target.root);
  } catch (error) {
    if (isMissing(error)) return;
    throw fsError("remove", target, error);
  }
}
