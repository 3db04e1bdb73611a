/**
 * A lock between processes that share a folder of downloaded shards, held as long as a download takes.
 *
 * The lock is a file that only one process can create. Its holder touches it every two seconds; who waits removes it
 * when its process has ended, or when it was not touched for 15 seconds. The latter is wrong for a holder that was
 * stopped for so long, therefore a holder asks `isHeld` before and after what the lock protects, and begins anew when
 * it lost the lock. Nothing but a second download depends on the lock being kept.
 * @module
 */
import type { Clock } from "../clock.ts";

// Not static imports: bundlers would lift them to the top of what must load on edge workers too.
const { readFileSync } = await import("node:fs");
const fs = await import("node:fs/promises");
const { hostname } = await import("node:os");
const { default: process } = await import("node:process");

const TOUCH_MS = 2_000;
const STALE_MS = 15_000;
const POLL_MS = 25;

/** A lock that was taken. Disposing gives it back. */
export interface CacheLock extends AsyncDisposable {
  /** Whether the lock was not taken away. */
  isHeld(): boolean;
}

/**
 * Waits until the lock is free or left behind, and takes it.
 *
 * @param path Where the lock file is made; its folder exists.
 * @throws what creating files throws; the signal's reason.
 */
export async function takeCacheLock(path: string, clock: Clock, signal?: AbortSignal): Promise<CacheLock> {
  let seenState = "";
  let seenMs = 0;
  for (;;) {
    signal?.throwIfAborted();
    const lock = await tryLock(path);
    if (lock !== null) return lock;
    const state = await stateOf(path);
    if (state === "") continue;
    if (state !== seenState) seenMs = clock.monotonicMs();
    seenState = state;
    // Ages are told by this process's clock, as other machines' clocks may be wrong.
    const isStale = clock.monotonicMs() - seenMs >= STALE_MS || await isLeftBehind(path);
    if (isStale) await fs.rm(path, { force: true });
    else await clock.sleep(POLL_MS, signal);
  }
}

/** Creates the lock file; null when there is one. */
async function tryLock(path: string): Promise<CacheLock | null> {
  const text = JSON.stringify({ host: hostname(), pid: process.pid, token: crypto.randomUUID() });
  try {
    await fs.writeFile(path, text, { flag: "wx" });
  } catch (error) {
    if (codeOf(error) === "EEXIST") return null;
    throw error;
  }
  const touching = setInterval(() => {
    const now = new Date();
    // A lock that cannot be touched goes stale, which `isHeld` tells.
    fs.utimes(path, now, now).catch(() => {});
  }, TOUCH_MS);
  return {
    isHeld: () => isText(path, text),
    async [Symbol.asyncDispose]() {
      clearInterval(touching);
      if (isText(path, text)) await fs.rm(path, { force: true });
    },
  };
}

/** Without waiting, so that nothing of this process comes between the look and what follows it. */
function isText(path: string, text: string): boolean {
  try {
    return readFileSync(path, "utf8") === text;
  } catch {
    return false;
  }
}

/** Changes when the lock is touched or another one; empty when there is none. */
async function stateOf(path: string): Promise<string> {
  try {
    const { ino, mtimeMs } = await fs.stat(path);
    return `${ino} ${mtimeMs}`;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return "";
    throw error;
  }
}

/** Whether the holder was a process of this machine that has ended. */
async function isLeftBehind(path: string): Promise<boolean> {
  try {
    const { host, pid } = JSON.parse(await fs.readFile(path, "utf8"));
    if (host !== hostname() || !Number.isSafeInteger(pid) || pid < 1) return false;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return codeOf(error) === "ESRCH";
  }
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}
