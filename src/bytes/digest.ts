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

/** A new digest in TypeScript: needs no compiler at run time and little code. `createDigest` is faster where it can. */
export function typescriptDigest(): Digest {
  const hasher = new Xxh3();
  return {
    update: (bytes) => hasher.update(bytes),
    hex: () => hasher.digestHex(),
  };
}
