/**
 * Objects of a folder store as files: names, versions, and what the system's error codes mean.
 * @module
 */
import type { BigIntStats } from "node:fs";
import { dirname, join } from "node:path";
import { ConfigValidationError, StoreError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import { requireKey } from "./object_key.ts";

/** Files of our own lie beside the objects and begin with this. */
const INTERNAL_PREFIX = ".sf-";
const TEMPORARY_SUFFIX = ".tmp";
const LOCK_SUFFIX = ".lock";
const CLAIM_SUFFIX = ".claim";
const TEMPORARY_NAME = /^\.sf-(.+)\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;
// In UTF-8 at most 180 bytes, so that prefix, random part and suffix fit into the 255 that file systems allow.
const NAME_CHARS = 60;

/** Where an object lies, and the files that its writers need. */
export interface ObjectPath {
  /** The file that is the object. */
  readonly path: string;
  /** The folder of that file. */
  readonly folder: string;
  /** The store's folder. */
  readonly root: string;
  /** The object's public name, for errors. */
  readonly url: string;
  /** A name for a new temporary file, different at each call. */
  temporaryPath(): string;
  /** The lock of the object's writers. Names with the same long beginning share one, which only makes them wait. */
  readonly lockPath: string;
  /** A claim on a stale lock; see `fs_lock.ts`. */
  claimPathOf(token: string): string;
}

/** The path of a claim on a lock in a folder, from the lock's token. */
export function claimPathIn(folder: string, token: string): string {
  return join(folder, `${INTERNAL_PREFIX}${token}${CLAIM_SUFFIX}`);
}

/**
 * Finds the place of a key below `root`.
 *
 * @throws {ConfigValidationError} with path `key`, when the key is no portable path or could be one of our own files.
 */
export function objectPathOf(root: string, storeUrl: string, key: string): ObjectPath {
  requireKey(key);
  requirePortable(key, "key");
  const path = join(root, key);
  const folder = dirname(path);
  const name = key.slice(key.lastIndexOf("/") + 1).slice(0, NAME_CHARS).toWellFormed();
  const internal = (middle: string, suffix: string): string => join(folder, `${INTERNAL_PREFIX}${middle}${suffix}`);
  return {
    path,
    folder,
    root,
    url: `${storeUrl}/${key}`,
    temporaryPath: () => internal(`${name}.${crypto.randomUUID()}`, TEMPORARY_SUFFIX),
    lockPath: internal(name, LOCK_SUFFIX),
    claimPathOf: (token) => claimPathIn(folder, token),
  };
}

/** @throws {ConfigValidationError} when a segment has a backslash, ends as temporary files do or begins as ours do. */
export function requirePortable(key: string, optionPath: string): void {
  const bad = key.split("/").find((segment) => segment.includes("\\") || isHidden(segment));
  if (bad === undefined) return;
  throw new ConfigValidationError(
    `Cannot use ${optionPath} in a folder as it must have no backslash, no segment that ends in ` +
      `"${TEMPORARY_SUFFIX}" and none that begins with "${INTERNAL_PREFIX}": current value is ${shown(key)}`,
    optionPath,
  );
}

/** Whether a file of that name is no object: one of ours, or something unfinished of another program. */
export function isHidden(name: string): boolean {
  return name.startsWith(INTERNAL_PREFIX) || name.endsWith(TEMPORARY_SUFFIX);
}

/** The name of the object, or its beginning, for which a file is temporary; null when its name is no such one. */
export function nameInTemporary(name: string): string | null {
  return TEMPORARY_NAME.exec(name)?.[1] ?? null;
}

/** Whether a file of that name is one of ours that nobody needs once its process has ended. */
export function isLeftover(name: string): boolean {
  return name.startsWith(INTERNAL_PREFIX) && (name.endsWith(TEMPORARY_SUFFIX) || name.endsWith(CLAIM_SUFFIX));
}

/** Whether a file of that name is the lock of an object. */
export function isLock(name: string): boolean {
  return name.startsWith(INTERNAL_PREFIX) && name.endsWith(LOCK_SUFFIX);
}

/**
 * The version of a file: inode, length and time of last change in whole milliseconds (which is all that every runtime
 * tells), each in hexadecimal.
 *
 * It is strong, i.e. differs after each replacement, because an object is never written in place: the file that
 * replaces another is made while that one still exists, so their inodes differ; and though a later file may get the
 * freed inode again, our writers see to it, under the object's lock, that the time of each file is later than that of
 * the file that it replaces. It is the same for all readers and after a restart, and another one after a copy of the
 * folder. Only deleting an object and writing one of the same length within the same millisecond could repeat it.
 */
export function etagOf(stats: BigIntStats): string {
  return `"${stats.ino.toString(16)}-${stats.size.toString(16)}-${modifiedMs(stats).toString(16)}"`;
}

/** Time of last change, rounded down to whole milliseconds since 1970. */
export function modifiedMs(stats: BigIntStats): number {
  return Number(stats.mtimeNs / 1_000_000n);
}

/** Whether a file or one of the folders above it does not exist. */
export function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ENOENT" || code === "ENOTDIR";
}

/** The system's error code, such as `ENOSPC`. */
export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | null)?.code;
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only",
  ENOTDIR: "a file stands where a folder is needed",
  EEXIST: "a file stands where a folder is needed",
  EISDIR: "a folder of that name is there",
  ENOTEMPTY: "a folder with objects of that name is there",
  ENOSPC: "no space left on the device",
  EDQUOT: "the quota is used up",
  ENAMETOOLONG: "the name is too long",
  EMFILE: "too many files are open",
  ENFILE: "too many files are open on this machine",
  EBUSY: "the file is in use",
  ENOENT: "a folder or temporary file was removed meanwhile",
};
// What passes by itself, when other work ends.
const RETRYABLE = new Set(["EMFILE", "ENFILE", "EBUSY", "EAGAIN", "EINTR", "ETIMEDOUT", "ESTALE", "ENOENT"]);

/** Wraps what the file system threw; leaves errors that are ours, and reasons of aborts, as they are. */
export function fsError(action: string, at: { path: string; url: string }, error: unknown): unknown {
  const code = codeOf(error);
  if (error instanceof StoreError || typeof code !== "string" || !/^E[A-Z0-9]+$/.test(code)) return error;
  const reason = REASONS[code] ?? "the file system refused";
  return new StoreError(`Cannot ${action} "${at.path}": ${reason} (${code})`, {
    url: at.url,
    retryable: RETRYABLE.has(code),
    cause: error,
  });
}
