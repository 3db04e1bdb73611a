/**
 * XXH64 with seed 0, of which zstd frames carry the low 32 bits. In 32-bit arithmetic, as there is no other for 64-bit
 * words that does not allocate.
 *
 * Source: Y. Collet, xxHash specification, section XXH64.
 * @module
 */
import { multiply, result } from "./xxh3_arithmetic.ts";

/** The four accumulators: low half, then high half of each. */
const lanes = new Int32Array(8);

/** The low 32 bits of the digest, unsigned. */
export function xxh64Low(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { length } = bytes;
  let at = 0;
  put(0x165667c5, 0x27d4eb2f);
  if (length >= 32) {
    lanes.set([0xadc0b5d6, 0x60ea27ee, 0x27d4eb4f, 0xc2b2ae3d, 0, 0, 0x7a143579, 0x61c8864e]);
    for (; at <= length - 32; at += 32) {
      for (let lane = 0; lane < 8; lane += 2) {
        put(lanes[lane]!, lanes[lane + 1]!);
        addRound(view.getInt32(at + 4 * lane, true), view.getInt32(at + 4 * lane + 4, true));
        lanes.set(result, lane);
      }
    }
    joinLanes();
  }
  add(length, 0);
  for (; at <= length - 8; at += 8) {
    exclusiveOrRound(view.getInt32(at, true), view.getInt32(at + 4, true));
    rotate(27);
    multiplyFirst();
    add(0xc2b2ae63, 0x85ebca77);
  }
  if (at <= length - 4) {
    mixTail(view.getInt32(at, true), [0x85ebca87, 0x9e3779b1], 23);
    multiplySecond();
    add(0x9e3779f9, 0x165667b1);
    at += 4;
  }
  for (; at < length; at++) {
    mixTail(bytes[at]!, [0x165667c5, 0x27d4eb2f], 11);
    multiplyFirst();
  }
  result[0]! ^= result[1]! >>> 1;
  multiplySecond();
  const low = result[0]!;
  const high = result[1]!;
  put(low ^ ((low >>> 29) | (high << 3)), high ^ (high >>> 29));
  multiply(0x9e3779f9, 0x165667b1);
  return (result[0]! ^ result[1]!) >>> 0;
}

function joinLanes(): void {
  const ends = lanes.slice();
  lanes.fill(0);
  [1, 7, 12, 18].forEach((bits, i) => {
    put(ends[2 * i]!, ends[2 * i + 1]!);
    rotate(bits);
    add(lanes[0]!, lanes[1]!);
    lanes.set(result);
  });
  for (let lane = 0; lane < 8; lane += 2) {
    exclusiveOrRound(ends[lane]!, ends[lane + 1]!);
    multiplyFirst();
    add(0xc2b2ae63, 0x85ebca77);
  }
}

function put(low: number, high: number): void {
  result[0] = low;
  result[1] = high;
}

function add(low: number, high: number): void {
  const total = (result[0]! >>> 0) + (low >>> 0);
  put(total, result[1]! + high + (total > 0xffffffff ? 1 : 0));
}

/** To the left, by 1 to 31. */
function rotate(bits: number): void {
  const low = result[0]!;
  const high = result[1]!;
  put((low << bits) | (high >>> (32 - bits)), (high << bits) | (low >>> (32 - bits)));
}

function multiplyFirst(): void {
  multiply(0x85ebca87, 0x9e3779b1);
}

function multiplySecond(): void {
  multiply(0x27d4eb4f, 0xc2b2ae3d);
}

/** `result = rotate(result + word * second, 31) * first`. */
function addRound(low: number, high: number): void {
  const oldLow = result[0]!;
  const oldHigh = result[1]!;
  put(low, high);
  multiplySecond();
  add(oldLow, oldHigh);
  rotate(31);
  multiplyFirst();
}

/** `result = result ^ round(0, word)`. */
function exclusiveOrRound(low: number, high: number): void {
  const oldLow = result[0]!;
  const oldHigh = result[1]!;
  put(0, 0);
  addRound(low, high);
  result[0]! ^= oldLow;
  result[1]! ^= oldHigh;
}

/** `result = rotate(result ^ word * factor, bits)`; the word is unsigned, of 32 bits. */
function mixTail(word: number, [low, high]: readonly [number, number], bits: number): void {
  const oldLow = result[0]!;
  const oldHigh = result[1]!;
  put(word, 0);
  multiply(low, high);
  result[0]! ^= oldLow;
  result[1]! ^= oldHigh;
  rotate(bits);
}
