/**
 * A lock between processes on one object of a folder store, held only for a few system calls in a row.
 *
 * The lock is a file that `O_EXCL` lets only one process create. What a process does while it holds the lock is
 * synchronous, so the lock lives for microseconds, and a process that waits for long has met one that was left behind:
 *
 * - by a process of this very machine and process namespace that is no more: removed at once;
 * - by any other (another host, a container, an unreadable file): removed after the same file was seen for
 *   {@linkcode STALE_MS}. That is wrong only for a holder that was stopped between two of those system calls for so
 *   long; it then finds its lock gone, and gives up instead of changing anything.
 *
 * Two processes that find the same stale lock must not both remove it, since the second would remove the lock that was
 * taken after the first. So the right to remove a lock is itself a lock, a claim, whose name holds the stale lock's
 * random token: only who has the claim looks again whether that very lock is still there, and removes it. A claim is
 * released after the lock is gone, therefore a later claim on the same token finds another lock or none. A claim that
 * was left behind is recovered in the same way.
 * @module
 */
import * as fs from "node:fs";
import { hostname } from "node:os";
import process from "node:process";
import type { Clock } from "../clock.ts";
import { StoreError } from "../errors.ts";

/** How long the same lock must be seen before it counts as left behind, where its process cannot be asked. */
const STALE_MS = 10_000;
/** When to stop waiting for locks of living processes, which only a disk that hangs explains. */
const WAIT_MAX_MS = 30_000;
const POLL_MS_MAX = 20;

/** What the lock protects and how to wait for it. */
export interface LockTarget {
  /** The lock file; its folder exists. */
  readonly lockPath: string;
  /** Path of a claim on a lock, from the token of that lock. */
  readonly claimPathOf: (token: string) => string;
  /** The object concerned, for errors. */
  readonly url: string;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
}

/** What a lock file says about its holder. */
interface Holder {
  readonly token: string;
  readonly pid: number;
  /** Host and process namespace; empty where they cannot be known. */
  readonly place: string;
}

/**
 * Runs `action` while no other process can be in an action on the same lock.
 *
 * @param action Synchronous, and short. `requireHeld` throws when the lock was taken away: call it right before the
 *   change that the lock protects.
 * @throws {StoreError} retryable, when the lock is not to be had, or was lost.
 */
export async function withLock<T>(target: LockTarget, action: (requireHeld: () => void) => T): Promise<T> {
  const { lockPath, url, clock, signal } = target;
  const startedMs = clock.monotonicMs();
  const watch = new LockWatch(clock);
  for (let pollMs = 1;; pollMs = Math.min(pollMs * 2, POLL_MS_MAX)) {
    signal?.throwIfAborted();
    const lock = tryLock(lockPath, clock);
    if (lock !== null) return runLocked(target, lock, action);
    if (removeIfStale(target, lockPath, watch)) continue;
    if (clock.monotonicMs() - startedMs > WAIT_MAX_MS) {
      throw new StoreError(`Cannot lock "${url}": "${lockPath}" is held by other processes`, { url, retryable: true });
    }
    await clock.sleep(pollMs, signal);
  }
}

/** Removes a lock file if its process has certainly ended: for clearing a folder. */
export function removeDeadLock(target: LockTarget): void {
  removeIfStale(target, target.lockPath, new LockWatch(target.clock));
}

/** Remembers since when each lock file was seen unchanged: by one's own clock, as those of other hosts may be wrong. */
class LockWatch {
  readonly #clock: Clock;
  readonly #seen = new Map<string, { identity: string; sinceMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isOld(path: string, identity: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    const seen = this.#seen.get(path);
    if (seen?.identity === identity) return nowMs - seen.sinceMs >= STALE_MS;
    this.#seen.set(path, { identity, sinceMs: nowMs });
    return false;
  }
}

interface Lock {
  readonly fd: number;
  readonly inode: bigint;
}

function runLocked<T>({ lockPath, url }: LockTarget, lock: Lock, action: (requireHeld: () => void) => T): T {
  const isHeld = (): boolean => fs.statSync(lockPath, { bigint: true, throwIfNoEntry: false })?.ino === lock.inode;
  try {
    return action(() => {
      if (isHeld()) return;
      throw new StoreError(`Cannot change "${url}": this process was stopped for so long that it lost its lock`, {
        url,
        retryable: true,
      });
    });
  } finally {
    // The open descriptor keeps the inode from being given to another lock, so that comparing it is enough.
    if (isHeld()) fs.unlinkSync(lockPath);
    fs.closeSync(lock.fd);
  }
}

/** Creates a lock file; null when there is one. */
function tryLock(path: string, clock: Clock): Lock | null {
  let fd: number;
  try {
    fd = fs.openSync(path, "wx");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return null;
    throw error;
  }
  const holder: Holder = { token: crypto.randomUUID(), pid: process.pid, place: placeName() };
  const since = new Date(clock.nowMicros() / 1000).toISOString(); // only for people who find the file
  try {
    fs.writeSync(fd, JSON.stringify({ ...holder, since }));
    return { fd, inode: fs.fstatSync(fd, { bigint: true }).ino };
  } catch (error) {
    fs.closeSync(fd);
    fs.rmSync(path, { force: true });
    throw error;
  }
}

/** Removes a lock file that was left behind; tells whether it is worth while to try for the lock again at once. */
function removeIfStale(target: LockTarget, path: string, watch: LockWatch): boolean {
  const identity = identityOf(path);
  if (identity === "") return true;
  const holder = holderIn(path);
  const isStale = watch.isOld(path, identity) || (holder !== null && isDead(holder));
  if (!isStale) return false;

  const claimPath = target.claimPathOf(holder?.token ?? `unreadable-${identity}`);
  const claim = tryLock(claimPath, target.clock);
  if (claim === null) {
    removeIfStale(target, claimPath, watch);
    return false;
  }
  try {
    // Only this process may remove that very lock now, so it cannot change between the look and the removal.
    if (identityOf(path) === identity && holderIn(path)?.token === holder?.token) fs.rmSync(path, { force: true });
  } finally {
    fs.rmSync(claimPath, { force: true });
    fs.closeSync(claim.fd);
  }
  return true;
}

/** Tells one lock file from the next of the same name; empty when there is none. */
function identityOf(path: string): string {
  const stats = fs.statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats === undefined ? "" : `${stats.ino}-${stats.mtimeNs / 1_000_000n}`;
}

/** Null when the file is gone, or not yet or not wholly written. */
function holderIn(path: string): Holder | null {
  try {
    const holder = JSON.parse(fs.readFileSync(path, "utf8")) as Holder;
    return /^[\w-]{1,64}$/.test(holder.token) ? holder : null;
  } catch {
    return null;
  }
}

function isDead({ pid, place }: Holder): boolean {
  if (place === "" || place !== placeName() || !Number.isSafeInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

// Containers may share a folder and a host name, but not their process numbers: the namespace tells them apart. Where
// it cannot be read (Deno without full permission), nobody is called dead for a number that means nothing here.
function placeName(): string {
  try {
    const namespace = process.platform === "linux" ? fs.readlinkSync("/proc/self/ns/pid") : process.platform;
    return `${hostname()} ${namespace}`;
  } catch {
    return "";
  }
}
