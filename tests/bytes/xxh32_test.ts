// The judge is hash-wasm, which compiles the reference implementation in C.
import { equal, notEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createXXHash32 } from "hash-wasm";
import { xxh32 } from "../../src/bytes/xxh32.ts";

const judge = await createXXHash32();

function expected(bytes: Uint8Array): number {
  return Number(`0x${judge.init().update(bytes).digest("hex")}`);
}

function actual(bytes: Uint8Array): number {
  return xxh32(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0, bytes.byteLength);
}

/** Bytes without a pattern; the same each time. */
function noise(length: number): Uint8Array {
  let state = length;
  return Uint8Array.from({ length }, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24);
}

test("xxh32() agrees with hash-wasm on pages of every size", () => {
  for (let length = 16; length <= 65536; length *= 2) {
    for (const bytes of [noise(length), new Uint8Array(length), new Uint8Array(length).fill(0xff)]) {
      equal(actual(bytes), expected(bytes), `${length} bytes`);
    }
  }
});

test("xxh32() agrees with hash-wasm on parts of a view that begin anywhere", () => {
  const bytes = noise(10_000);
  const view = new DataView(bytes.buffer, 3);
  for (let start = 0; start < 9; start++) {
    equal(xxh32(view, start, 4096), expected(bytes.subarray(3 + start, 3 + start + 4096)), `from ${start}`);
  }
});

test("xxh32() agrees with hash-wasm on arbitrary bytes", () => {
  const lengths = fc.integer({ min: 1, max: 40 }).map((stripes) => 16 * stripes);
  fc.assert(
    fc.property(lengths.chain((length) => fc.uint8Array({ minLength: length, maxLength: length })), (bytes) => {
      equal(actual(bytes), expected(bytes));
    }),
  );
});

test("xxh32() differs after any change within one group of four bytes", () => {
  const page = noise(4096);
  const view = new DataView(page.buffer);
  const whole = xxh32(view, 0, 4096);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 1023 }), fc.integer({ min: 1, max: 0xffffffff }), (word, change) => {
      const before = view.getUint32(4 * word);
      view.setUint32(4 * word, before ^ change);
      const changed = xxh32(view, 0, 4096);
      view.setUint32(4 * word, before);
      notEqual(changed, whole);
    }),
    { numRuns: 2000 },
  );
});
