// The judge is hash-wasm's one-call function on one side and the Python-made digests of the vectors on the other.
import { equal, notEqual, throws } from "node:assert/strict";
import { test } from "node:test";
import { xxhash3 } from "hash-wasm";
import type { Digest } from "../../src/bytes/digest.ts";
import { createDigest } from "../../src/bytes/fast_digest.ts";
import { Xxh3 } from "../../src/bytes/xxh3.ts";
import { bytesOf, fixtureVectors } from "../routing/fixture_keys.ts";

interface HashVectors {
  vectors: { canonical_hex: string; xxh3_64: string }[];
}

const sample = Uint8Array.from({ length: 70_001 }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
const { vectors } = fixtureVectors<HashVectors>("hash_vectors");

/** Runs with compilation refused as Workers refuse it. */
async function withoutCompiler<T>(run: () => Promise<T>): Promise<T> {
  const { compile } = WebAssembly;
  WebAssembly.compile = () => Promise.reject(new WebAssembly.CompileError("code generation disallowed by embedder"));
  try {
    return await run();
  } finally {
    WebAssembly.compile = compile;
  }
}

// Before any other digest: hash-wasm keeps what it has compiled.
const fallback = await withoutCompiler(createDigest);
const compiled = await createDigest();

test("createDigest() gives what hash-wasm gives, with a compiler and without one", async () => {
  const expected = await xxhash3(sample);
  equal(hexOfPieces(fallback), expected);
  equal(hexOfPieces(compiled), expected);
});

test("createDigest() gives the digests of the Python package, leading zeros included", async () => {
  for (const { canonical_hex: hex, xxh3_64: decimal } of vectors) {
    const expected = BigInt(decimal).toString(16).padStart(16, "0");
    const digest = await createDigest();
    digest.update(bytesOf(hex));
    equal(digest.hex(), expected);
    const pure = new Xxh3();
    pure.update(bytesOf(hex));
    equal(pure.digestHex(), expected);
  }
});

test("createDigest() gives digests that do not disturb each other", async () => {
  const [left, right] = await Promise.all([createDigest(), createDigest()]);
  for (let at = 0; at < 5000; at += 500) {
    left.update(sample.subarray(at, at + 500));
    right.update(sample.subarray(at + 1, at + 501));
  }
  const leftHex = left.hex();
  equal(leftHex, await xxhash3(sample.subarray(0, 5000)));
  notEqual(right.hex(), leftHex);
});

test("createDigest() uses what is done again, but not for who has it still", async () => {
  const first = await createDigest();
  first.update(sample);
  first.hex();
  const second = await createDigest();
  throws(() => first.update(sample), TypeError);
  throws(() => first.hex(), TypeError);
  second.update(sample.subarray(1));
  equal(second.hex(), await xxhash3(sample.subarray(1)));
});

function hexOfPieces(digest: Digest): string {
  for (let at = 0; at < sample.length; at += 9973) digest.update(sample.subarray(at, at + 9973));
  return digest.hex();
}
