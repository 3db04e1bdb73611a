/**
 * Engines for the tests of worker threads: those that behave and those that do not. Loaded by threads, too.
 * @module
 */
import { existsSync, writeFileSync } from "node:fs";
import process from "node:process";
import type { Backend } from "../../mod.ts";
import { sqliteBackend } from "../../mod.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { StoreError } from "../../src/errors.ts";

/** How an engine misbehaves. */
export type Misbehaviour = {
  /** What happens when a shard is built. */
  readonly what: "exits" | "throws" | "spins" | "refuses" | "fails for a moment" | "stalls at first";
  /** In this shard; in all when left out. */
  readonly shardId?: number;
  /** Only once: this file then exists. For stalling: until this file exists. */
  readonly flag?: string;
  /** The engine that misbehaves is the one of vectors. */
  readonly vectors?: { readonly dim: number; readonly metric: "l2" | "cosine" };
};

/** Our own engine, but for one thing. */
export function misbehavingBackend(options: Misbehaviour): Backend {
  const sound = options.vectors === undefined ? sqliteBackend() : sqliteVecBackend(options.vectors);
  return {
    ...sound,
    spec: { name: "misbehaving", options },
    module: {
      url: import.meta.url,
      factory: options.what === "stalls at first" ? "stallingBackend" : "misbehavingBackend",
    },
    async buildShard(rows, target) {
      if (target.shardId === (options.shardId ?? target.shardId) && isDue(options.flag)) await misbehave(options.what);
      return await sound.buildShard(rows, target);
    },
  };
}

/**
 * Blocks its thread while it is being made, until the file `flag` is there: rows pile up meanwhile, or do not. That it
 * has begun says a file of the same name and `.stalled.…`.
 */
export function stallingBackend(options: Misbehaviour): Backend {
  writeFileSync(`${options.flag}.stalled.${crypto.randomUUID()}`, "");
  const never = new Int32Array(new SharedArrayBuffer(4));
  for (let waits = 0; waits < 3000 && !existsSync(options.flag!); waits++) Atomics.wait(never, 0, 0, 10);
  return misbehavingBackend(options);
}

function isDue(flag: string | undefined): boolean {
  if (flag === undefined) return true;
  if (existsSync(flag)) return false;
  writeFileSync(flag, "");
  return true;
}

async function misbehave(what: Misbehaviour["what"]): Promise<void> {
  switch (what) {
    case "exits":
      return process.exit(3);
    case "throws":
      setTimeout(() => {
        throw new TypeError("nobody catches this");
      });
      return await new Promise(() => {});
    case "spins":
      for (;;);
    case "refuses":
      throw new RangeError("not this shard");
    case "fails for a moment":
      throw new StoreError("Cannot reach the store", { url: "memory:///", status: 503, retryable: true });
  }
}
