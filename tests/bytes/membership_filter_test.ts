// The judges are hash-wasm, which gives hashes, and what a filter is: who is in it is found, few others are.
import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createXXHash3 } from "hash-wasm";
import { addToFilter, filterBytes, filterContains } from "../../src/bytes/membership_filter.ts";

const judge = await createXXHash3();
const number = new DataView(new ArrayBuffer(8));
const numberBytes = new Uint8Array(number.buffer);

/** Low and high halves of the hashes of the first numbers that go to one shard. */
function hashesOfShard(shardCount: bigint, count: number, { from }: { from: bigint }): Int32Array {
  const halves = new Int32Array(2 * count);
  for (let found = 0, next = from; found < count; next++) {
    number.setBigUint64(0, next, true);
    const hash = BigInt(`0x${judge.init().update(numberBytes).digest("hex")}`);
    if (hash % shardCount !== 1n % shardCount) continue;
    halves[2 * found] = Number(BigInt.asIntN(32, hash));
    halves[2 * found++ + 1] = Number(hash >> 32n);
  }
  return halves;
}

/** Arbitrary 64-bit numbers with the same remainder: what the hashes of one shard look like. */
function drawnOfShard(shardCount: number, count: number, seed: number): Int32Array {
  let state = seed;
  const draw = () => {
    // SplitMix32, whose outputs are well mixed.
    state = (state + 0x9e3779b9) | 0;
    let word = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
    return word ^ (word >>> 15);
  };
  // For powers of two the remainder is in the low bits.
  return Int32Array.from(
    { length: 2 * count },
    (_, i) => i % 2 === 0 ? (draw() & -shardCount) | 1 % shardCount : draw(),
  );
}

function filterOf(halves: Int32Array): Int32Array {
  const words = new Int32Array(filterBytes(halves.length / 2) / 4);
  for (let i = 0; i < halves.length; i += 2) addToFilter(words, halves[i]!, halves[i + 1]!);
  return words;
}

function foundIn(words: Int32Array, halves: Int32Array): number {
  let found = 0;
  for (let i = 0; i < halves.length; i += 2) if (filterContains(words, halves[i]!, halves[i + 1]!)) found++;
  return found;
}

test("filterContains() finds all that was added, and less than 0.8 % of a million others, in any shard", () => {
  for (const shardCount of [1, 2, 64, 4096, 2 ** 20]) {
    const added = drawnOfShard(shardCount, 200_000, 1);
    const words = filterOf(added);
    equal(foundIn(words, added), 200_000);
    const absentRate = foundIn(words, drawnOfShard(shardCount, 1_000_000, 2)) / 1_000_000;
    ok(absentRate < 0.008 && absentRate > 0.004, `${absentRate} of ${shardCount}`);
  }
});

test("filterContains() passes less than 1 % of the absent keys of a shard by their true hashes", () => {
  for (const [shardCount, count] of [[1n, 50_000], [2n, 50_000], [64n, 10_000]] as const) {
    const added = hashesOfShard(shardCount, count, { from: 0n });
    const words = filterOf(added);
    equal(foundIn(words, added), count);
    const absentRate = foundIn(words, hashesOfShard(shardCount, count, { from: 1n << 40n })) / count;
    ok(absentRate < 0.01, `${absentRate} of ${shardCount}`);
  }
});

test("filterContains() finds any hash that was added, whatever the size of the filter", () => {
  const half = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const hashes = fc.array(fc.tuple(half, half), { minLength: 1, maxLength: 200 });
  fc.assert(fc.property(hashes, fc.nat(5000), (added, keyCountMax) => {
    const words = new Int32Array(filterBytes(keyCountMax) / 4);
    for (const [low, high] of added) addToFilter(words, low, high);
    ok(added.every(([low, high]) => filterContains(words, low, high)));
  }));
});

test("filterContains() finds nothing in a filter of zeros, at either end of the hashes too", () => {
  const words = new Int32Array(filterBytes(0) / 4);
  equal(words.length, 16);
  for (const half of [0, -1, 1, 2 ** 31 - 1, -(2 ** 31)]) equal(filterContains(words, half, half), false);
});

test("filterBytes() gives 11 bits a key in whole blocks", () => {
  equal(filterBytes(1), 64);
  equal(filterBytes(46), 64);
  equal(filterBytes(47), 128);
  equal(filterBytes(1_000_000), 1_375_040);
});
