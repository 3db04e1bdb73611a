/**
 * Listing and clearing the folders of a folder store.
 * @module
 */
import type { BigIntStats, Dirent } from "node:fs";
import { readdir, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { etagOf, isHidden, isLeftover, isLock, isMissing, modifiedMs, nameInTemporary } from "./fs_path.ts";
import { compareUtf8 } from "./object_key.ts";
import type { ObjectEntry, OpenUpload } from "./store.ts";

/** A place to begin: a folder, the key that it stands for (empty or with a slash at its end), and what to look at. */
export interface WalkStart {
  readonly folder: string;
  readonly keyPrefix: string;
  /** Only names that begin so; for folders the slash counts as part of the name. */
  readonly namePrefix: string;
}

/** Yields the objects below a folder, ascending by the UTF-8 bytes of their keys; nothing when there is no folder. */
export async function* walkObjects(start: WalkStart, signal?: AbortSignal): AsyncGenerator<ObjectEntry> {
  signal?.throwIfAborted();
  for (const { name, isFolder } of await namesIn(start.folder, start.namePrefix)) {
    const path = join(start.folder, name);
    if (isFolder) {
      yield* walkObjects({ folder: path, keyPrefix: `${start.keyPrefix}${name}/`, namePrefix: "" }, signal);
      continue;
    }
    signal?.throwIfAborted();
    const stats = await statsOf(path);
    if (stats === null) continue;
    yield { key: `${start.keyPrefix}${name}`, sizeBytes: Number(stats.size), etag: etagOf(stats) };
  }
}

/** Names of the folders directly below a folder that have an object somewhere in them, ascending. */
export async function foldersWithObjects(folder: string, signal?: AbortSignal): Promise<string[]> {
  const found: string[] = [];
  for (const { name, isFolder } of await namesIn(folder, "")) {
    if (!isFolder) continue;
    const objects = walkObjects({ folder: join(folder, name), keyPrefix: "", namePrefix: "" }, signal);
    if (!(await objects.next()).done) found.push(name);
    await objects.return(undefined);
  }
  return found;
}

/** Temporary files below a folder, as uploads: a walk over all of it. The ids are their names. */
export async function temporaryFiles(
  folder: string,
  keyPrefix: string,
  signal?: AbortSignal,
): Promise<OpenUpload[]> {
  const found: OpenUpload[] = [];
  for (const name of await readNames(folder)) {
    signal?.throwIfAborted();
    const path = join(folder, name);
    const objectName = nameInTemporary(name);
    if (objectName === null && isHidden(name)) continue;
    const stats = await statsOf(path);
    if (stats === null) continue;
    if (objectName !== null) {
      const changedAtMicros = modifiedMs(stats) * 1000;
      found.push({ key: `${keyPrefix}${objectName}`, uploadId: name, changedAtMicros });
    } else if (stats.isDirectory()) {
      found.push(...await temporaryFiles(path, `${keyPrefix}${name}/`, signal));
    }
  }
  return found;
}

/**
 * Removes a folder and those above it, up to `root`, which stays, as long as they are empty. Whoever writes into one
 * meanwhile keeps it, or makes it anew. Never throws.
 */
export async function removeEmptyFolders(folder: string, root: string): Promise<void> {
  for (let path = folder; path.length > root.length && path.startsWith(root); path = dirname(path)) {
    try {
      await rmdir(path);
    } catch (error) {
      if (!isMissing(error)) return;
    }
  }
}

/** What clearing a folder needs to know. */
export interface ClearOptions {
  readonly signal?: AbortSignal | undefined;
  /** Removes a lock whose process has ended. */
  readonly removeDeadLock: (folder: string, name: string) => void;
}

/**
 * Removes all objects below a folder, temporary files of any age, and the folders that are empty then.
 *
 * @returns How many objects were removed.
 */
export async function clearFolder(folder: string, options: ClearOptions): Promise<number> {
  let removedCount = 0;
  for (const name of await readNames(folder)) {
    options.signal?.throwIfAborted();
    const path = join(folder, name);
    if (isLock(name)) {
      options.removeDeadLock(folder, name);
    } else if (isLeftover(name)) {
      await rm(path, { force: true });
    } else if (!isHidden(name)) {
      const stats = await statsOf(path);
      if (stats?.isDirectory()) removedCount += await clearFolder(path, options);
      else if (stats !== null && await removed(path)) removedCount++;
    }
  }
  // Not empty when someone writes into it meanwhile; what is written then is not ours to remove.
  await rmdir(folder).catch(() => {});
  return removedCount;
}

async function removed(path: string): Promise<boolean> {
  try {
    await rm(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function namesIn(folder: string, namePrefix: string): Promise<{ name: string; isFolder: boolean }[]> {
  const found: { name: string; isFolder: boolean; sortName: string }[] = [];
  for (const entry of await readEntries(folder)) {
    const { name } = entry;
    if (isHidden(name)) continue;
    const isFolder = entry.isSymbolicLink() ? await isFolderAt(join(folder, name)) : entry.isDirectory();
    // A folder sorts as its objects' keys do, with the slash: "a-b" comes before "a/b".
    const sortName = isFolder ? `${name}/` : name;
    if (sortName.startsWith(namePrefix)) found.push({ name, isFolder, sortName });
  }
  return found.sort((a, b) => compareUtf8(a.sortName, b.sortName));
}

async function isFolderAt(path: string): Promise<boolean> {
  return (await statsOf(path))?.isDirectory() ?? false;
}

async function readEntries(folder: string): Promise<Dirent[]> {
  return await orWhenMissing(readdir(folder, { withFileTypes: true }), []);
}

async function readNames(folder: string): Promise<string[]> {
  return await orWhenMissing(readdir(folder), []);
}

async function statsOf(path: string): Promise<BigIntStats | null> {
  return await orWhenMissing(stat(path, { bigint: true }), null);
}

// Whoever lists sees each folder as it is when its turn comes: what vanishes meanwhile is not there.
async function orWhenMissing<T>(result: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await result;
  } catch (error) {
    if (isMissing(error)) return otherwise;
    throw error;
  }
}
