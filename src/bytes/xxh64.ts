/**
 * XXH64 with seed 0, of which zstd frames carry the low 32 bits. In 32-bit arithmetic, as there is no other for 64-bit
 * words that does not allocate.
 *
 * Source: Y. Collet, xxHash specification, section XXH64.
 * @module
 */
import { multiply, result } from "./xxh3_arithmetic.ts";

/** The low 32 bits of the digest, unsigned. */
export function xxh64Low(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { length } = bytes;
  let at = 0;
  put(0x165667c5, 0x27d4eb2f);
  if (length >= 32) {
    // The four accumulators: low half, then high half of each.
    const lanes = Int32Array.of(0xadc0b5d6, 0x60ea27ee, 0x27d4eb4f, 0xc2b2ae3d, 0, 0, 0x7a143579, 0x61c8864e);
    for (; at <= length - 32; at += 32) {
      for (let lane = 0; lane < 8; lane += 2) {
        put(view.getInt32(at + 4 * lane, true), view.getInt32(at + 4 * lane + 4, true));
        round(lanes[lane]!, lanes[lane + 1]!);
        lanes[lane] = result[0]!;
        lanes[lane + 1] = result[1]!;
      }
    }
    joinLanes(lanes);
  }
  add(length, 0);
  for (; at <= length - 8; at += 8) {
    const [low, high] = result;
    put(view.getInt32(at, true), view.getInt32(at + 4, true));
    round(0, 0);
    mix(low!, high!, 27);
    multiplyFirst();
    add(0xc2b2ae63, 0x85ebca77);
  }
  if (at <= length - 4) {
    const [low, high] = result;
    put(view.getInt32(at, true), 0);
    multiplyFirst();
    mix(low!, high!, 23);
    multiplySecond();
    add(0x9e3779f9, 0x165667b1);
    at += 4;
  }
  for (; at < length; at++) {
    const [low, high] = result;
    put(bytes[at]!, 0);
    multiply(0x165667c5, 0x27d4eb2f);
    mix(low!, high!, 11);
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

/** Joins the accumulators: the sum of them rotated, then with each of them mixed in. */
function joinLanes(lanes: Int32Array): void {
  let low = 0;
  let high = 0;
  [1, 7, 12, 18].forEach((bits, i) => {
    put(lanes[2 * i]!, lanes[2 * i + 1]!);
    mix(0, 0, bits);
    add(low, high);
    low = result[0]!;
    high = result[1]!;
  });
  for (let lane = 0; lane < 8; lane += 2) {
    low = result[0]!;
    high = result[1]!;
    put(lanes[lane]!, lanes[lane + 1]!);
    round(0, 0);
    result[0]! ^= low;
    result[1]! ^= high;
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

/** `result = rotate(result ^ word, bits)`, to the left, by 1 to 31. */
function mix(low: number, high: number, bits: number): void {
  low ^= result[0]!;
  high ^= result[1]!;
  put((low << bits) | (high >>> (32 - bits)), (high << bits) | (low >>> (32 - bits)));
}

function multiplyFirst(): void {
  multiply(0x85ebca87, 0x9e3779b1);
}

function multiplySecond(): void {
  multiply(0x27d4eb4f, 0xc2b2ae3d);
}

/** `result = rotate(accumulator + result * second, 31) * first`. */
function round(low: number, high: number): void {
  multiplySecond();
  add(low, high);
  mix(0, 0, 31);
  multiplyFirst();
}
