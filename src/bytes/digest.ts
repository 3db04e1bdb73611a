/**
 * XXH3-64 digests of whole files, fed piece by piece: what manifests and guards record of an object.
 * @module
 */
import { Xxh3 } from "./xxh3.ts";

/** Digest of bytes that come in pieces, cut anywhere. */
export interface Digest {
  /** Appends bytes; they may be changed afterwards. */
  update(bytes: Uint8Array): void;
  /** The digest as 16 lower-case hex digits, the highest first. Call it once, after the last `update`. */
  hex(): string;
}

/**
 * A new digest: in WebAssembly, or in TypeScript where code may not be compiled at run time, as in Workers. Both give
 * the same; WebAssembly is three to four times as fast.
 */
export async function createDigest(): Promise<Digest> {
  if (!await canCompile()) return typescriptDigest();
  const { createXXHash3 } = await import("hash-wasm");
  const hasher = await createXXHash3();
  return {
    update: (bytes) => void hasher.update(bytes),
    hex: () => hasher.digest("hex"),
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

function typescriptDigest(): Digest {
  const hasher = new Xxh3();
  return {
    update: (bytes) => hasher.update(bytes),
    hex: () => hasher.digestHex(),
  };
}
