// The judge is hash-wasm, which compiles the reference implementation in C.
import { equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createXXHash3 } from "hash-wasm";
import { hashBigint, hashInteger, hashModulo, hashView, Xxh3, xxh3, xxh3Hex } from "../../src/bytes/xxh3.ts";

const judge = await createXXHash3();
const sample = sampleBytes((1 << 20) + 64);
const longLengths = [2047, 2048, 2049, 3072, 3073, 4095, 4096, 4097, 10_239, 10_240, 10_241, 100_000, (1 << 20) + 3];

test("xxh3Hex() agrees with hash-wasm at every length from 0 to 2,000", () => {
  for (let length = 0; length <= 2000; length++) {
    const bytes = sample.subarray(0, length);
    equal(xxh3Hex(bytes), expectedHex(bytes), `${length} bytes`);
  }
});

test("xxh3Hex() agrees with hash-wasm at long lengths around whole blocks", () => {
  for (const length of longLengths) {
    const bytes = sample.subarray(0, length);
    equal(xxh3Hex(bytes), expectedHex(bytes), `${length} bytes`);
  }
});

test("xxh3Hex() agrees with hash-wasm on slices that begin at any offset", () => {
  for (let offset = 1; offset < 9; offset++) {
    for (const length of [1, 4, 9, 17, 100, 129, 240, 241, 1024, 1025, 5000]) {
      const bytes = sample.subarray(offset, offset + length);
      equal(xxh3Hex(bytes), expectedHex(bytes), `${length} bytes from ${offset}`);
    }
  }
});

test("xxh3Hex() agrees with hash-wasm where all bits are set, and carries are most frequent", () => {
  const ones = new Uint8Array(5000).fill(0xff);
  for (const length of [3, 8, 16, 17, 128, 240, 241, 1024, 1025, 2048, 2049, 5000]) {
    equal(xxh3Hex(ones.subarray(0, length)), expectedHex(ones.subarray(0, length)), `${length} bytes`);
  }
});

test("xxh3() agrees with hash-wasm on arbitrary bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
    equal(xxh3(bytes), BigInt(`0x${expectedHex(bytes)}`));
  }));
});

test("hashInteger() agrees with hash-wasm on the eight little-endian bytes", () => {
  fc.assert(fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), (integer) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigInt64(0, integer, true);
    hashInteger(Number(BigInt.asIntN(32, integer)), Number(integer >> 32n));
    equal(hashBigint(), BigInt(`0x${expectedHex(bytes)}`));
  }));
});

test("hashModulo() is the remainder of the unsigned 64-bit digest", () => {
  const divisors = fc.oneof(
    fc.integer({ min: 1, max: 1000 }),
    fc.integer({ min: 1, max: 2 ** 31 }),
    fc.integer({ min: 2 ** 31 - 100, max: 2 ** 31 }),
    fc.integer({ min: 2 ** 21 - 100, max: 2 ** 21 + 100 }),
    fc.integer({ min: 0, max: 31 }).map((exponent) => 2 ** exponent),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 20 }), divisors, (bytes, divisor) => {
      hashView(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength);
      equal(hashModulo(divisor), Number(BigInt(`0x${expectedHex(bytes)}`) % BigInt(divisor)));
    }),
    { numRuns: 3000 },
  );
});

test("Xxh3 agrees with hash-wasm however the input is cut", () => {
  const pieces = fc.array(fc.oneof(fc.nat(80), fc.nat(3000), fc.constantFrom(0, 64, 1023, 1024, 1025)), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(pieces, fc.nat(7), (lengths, offset) => {
      const hasher = new Xxh3();
      let at = offset;
      for (const length of lengths) {
        hasher.update(sample.subarray(at, at + length));
        at += length;
      }
      equal(hasher.digestHex(), expectedHex(sample.subarray(offset, at)));
    }),
    { numRuns: 1000 },
  );
});

test("Xxh3 takes single bytes, and gives the digest at every length without being disturbed", () => {
  const hasher = new Xxh3();
  for (let length = 0; length <= 2100; length++) {
    const expected = expectedHex(sample.subarray(0, length));
    equal(hasher.digestHex(), expected, `${length} bytes`);
    equal(hasher.digestHex(), expected, `${length} bytes, asked twice`);
    hasher.update(sample.subarray(length, length + 1));
  }
});

test("Xxh3 keeps nothing of the arrays that it was given", () => {
  const hasher = new Xxh3();
  const piece = new Uint8Array(700);
  for (let at = 0; at < 7000; at += 700) {
    piece.set(sample.subarray(at, at + 700));
    hasher.update(piece);
    piece.fill(0);
  }
  equal(hasher.digestHex(), expectedHex(sample.subarray(0, 7000)));
});

function expectedHex(bytes: Uint8Array): string {
  return judge.init().update(bytes).digest("hex");
}

/** Bytes without a pattern, the same in every run. */
function sampleBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}
