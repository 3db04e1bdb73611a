/**
 * XXH3-64 digests of whole files by WebAssembly, for what is not bundled for the edge.
 * @module
 */
import type { IHasher } from "hash-wasm";
import { type Digest, typescriptDigest } from "./digest.ts";

/**
 * A new digest: in WebAssembly, or in TypeScript where code may not be compiled at run time, as in Workers. Both give
 * the same; WebAssembly is three to four times as fast.
 */
export async function createDigest(): Promise<Digest> {
  const idle = idleHashers.pop();
  if (idle !== undefined) return wasmDigest(idle);
  if (!await canCompile()) return typescriptDigest();
  // In turns, so that one hasher does for many who ask at once and are done at once: Bun takes 20 ms to make one.
  const turn = lastTurn.then(newDigest);
  lastTurn = turn.catch(() => {});
  return await turn;
}

/** The digest of bytes whose first `rotatedBytes` count as their last, as 16 hex digits. */
export async function rotatedDigest(bytes: Uint8Array, rotatedBytes: number): Promise<string> {
  const digest = await createDigest();
  digest.update(bytes.subarray(rotatedBytes));
  digest.update(bytes.subarray(0, rotatedBytes));
  return digest.hex();
}

let lastTurn: Promise<unknown> = Promise.resolve();

async function newDigest(): Promise<Digest> {
  const idle = idleHashers.pop();
  if (idle !== undefined) return wasmDigest(idle);
  const { createXXHash3 } = await import("hash-wasm");
  return wasmDigest(await createXXHash3());
}

/** Hashers that are done, for the next digests: to make one takes as long as to hash a megabyte. */
const idleHashers: IHasher[] = [];
const IDLE_HASHERS_MAX = 16;

function wasmDigest(hasher: IHasher): Digest {
  hasher.init();
  let isDone = false;
  return {
    update(bytes) {
      if (isDone) throw new TypeError("Cannot update a digest that is done");
      hasher.update(bytes);
    },
    hex() {
      if (isDone) throw new TypeError("Cannot use a digest twice");
      isDone = true;
      const digits = hasher.digest("hex");
      if (idleHashers.length < IDLE_HASHERS_MAX) idleHashers.push(hasher);
      return digits;
    },
  };
}

/**
 * Tries an empty module. hash-wasm itself must not be what finds out: once a compilation of it has failed, it keeps its
 * lock, and every later call waits for ever.
 */
async function canCompile(): Promise<boolean> {
  try {
    await WebAssembly.compile(Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00));
    return true;
  } catch {
    return false;
  }
}
