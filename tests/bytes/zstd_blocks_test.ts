// The judge is the zstd of the runtime. Contents are chosen so that all kinds of blocks, literals and tables occur.
import { deepEqual, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import zlib from "node:zlib";
import { decompressFrame } from "../../src/bytes/zstd.ts";

function randomOf(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

function compressed(content: Uint8Array, level: number): Uint8Array {
  const { ZSTD_c_compressionLevel, ZSTD_c_checksumFlag } = zlib.constants;
  const params = { [ZSTD_c_compressionLevel]: level, [ZSTD_c_checksumFlag]: 1 };
  const frame = new Uint8Array(zlib.zstdCompressSync(content, { pledgedSrcSize: content.length, params }));
  // Deno appends an empty frame, which is 13 bytes long.
  return frame.subarray(0, frame.length - (frame.at(-13) === 0x28 && frame.at(-12) === 0xb5 ? 13 : 0));
}

/** Letters of an alphabet, some more often than others, with what was there before coming back now and then. */
function written(sizeBytes: number, seed: number): Uint8Array<ArrayBuffer> {
  const random = randomOf(seed);
  const letters = 1 + Math.floor(random() * 250);
  const slope = 1 + random() * 6;
  const repeats = random() * 0.2;
  const bytes = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes;) {
    if (at > 0 && random() < repeats) {
      const from = Math.floor(random() * at);
      const length = Math.min(Math.floor(3 + random() ** 4 * 3000), sizeBytes - at);
      for (let i = 0; i < length; i++) bytes[at + i] = bytes[from + i]!;
      at += length;
    } else {
      bytes[at++] = Math.floor(letters * random() ** slope);
    }
  }
  return bytes;
}

test("decodeBlocks() gives what the runtime's zstd compressed, at every kind of level", () => {
  const source = new Uint8Array(readFileSync(new URL("../../src/bytes/zstd_blocks.ts", import.meta.url)));
  const contents = [source, new Uint8Array([...source, ...source.toReversed(), ...source])];
  for (let seed = 0; seed < 60; seed++) contents.push(written(1 + Math.floor(4 ** (seed % 10)), seed));
  contents.push(written(400_000, 99));
  for (const level of [-5, 1, 3, 9, 19]) {
    contents.forEach((content, index) => {
      const read = decompressFrame(compressed(content, level), content.length);
      ok(Buffer.compare(read, content) === 0, `${level} ${index}`);
    });
  }
});

test("decodeBlocks() ends on damage anywhere, without writing beyond the content", () => {
  const random = randomOf(7);
  const content = written(5000, 3);
  const frame = compressed(content, 19);
  for (let round = 0; round < 3000; round++) {
    const damaged = frame.slice();
    for (let flips = 0; flips < 3; flips++) damaged[6 + Math.floor(random() * (frame.length - 6))] = random() * 256;
    try {
      decompressFrame(damaged, content.length);
    } catch (error) {
      deepEqual((error as { code?: string }).code, "CORRUPT_FILE");
    }
  }
});
