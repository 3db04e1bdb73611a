/**
 * XXH3-64 of more than 240 bytes: eight 64-bit lanes that take 64 bytes at a time.
 * @module
 */
import {
  addToSum,
  finishSum,
  foldProduct,
  FROM_BYTE_121,
  FROM_BYTE_3,
  multiply,
  result,
  secret,
  startSum,
} from "./xxh3_arithmetic.ts";

/** What one step takes in. */
export const STRIPE_BYTES = 64;

/** Stripes in a block: then the lanes are scrambled and the secret starts again. */
const BLOCK_STRIPES = 16;

/** 1,024 bytes. */
export const BLOCK_BYTES: number = BLOCK_STRIPES * STRIPE_BYTES;

/** First word of the secret that scrambles a full block. */
const SCRAMBLE_KEY = 32;

// deno-fmt-ignore
const INITIAL_LANES = Int32Array.of(
  0xc2b2ae3d, 0, 0x85ebca87, 0x9e3779b1, 0x27d4eb4f, 0xc2b2ae3d, 0x9e3779f9, 0x165667b1,
  0xc2b2ae63, 0x85ebca77, 0x85ebca77, 0, 0x165667c5, 0x27d4eb2f, 0x9e3779b1, 0,
);

/**
 * The state between stripes. Takes whole blocks, then the whole stripes of the last block, then the last 64 bytes of
 * the input whether or not they were taken before; then gives the digest. A block counts as the last one, and is not
 * taken as a whole, when no byte follows it.
 */
export class XxhLanes {
  /** Low and high halves in turn. */
  readonly #lanes: Int32Array = INITIAL_LANES.slice();
  /** Word of the secret that the next stripes start at. */
  #key = 0;

  /** Back to the state before the first block. */
  reset(): void {
    this.#lanes.set(INITIAL_LANES);
  }

  /** Takes over another state, to go on from it without changing it. */
  copyFrom(other: XxhLanes): void {
    this.#lanes.set(other.#lanes);
  }

  /** Takes 1,024 bytes. */
  addBlock(view: DataView, start: number): void {
    this.#add(view, start, BLOCK_STRIPES);
    this.#scramble();
  }

  /** Takes up to 15 stripes, from the first of the last block on. */
  addStripes(view: DataView, start: number, stripeCount: number): void {
    this.#add(view, start, stripeCount);
  }

  /** Takes the last 64 bytes of the input. */
  addLast(view: DataView, start: number): void {
    this.#key = FROM_BYTE_121;
    this.#add(view, start, 1);
    this.#key = 0;
  }

  /** Leaves the digest in `result`; the state is of no use any more. */
  finish(length: number): void {
    const lanes = this.#lanes;
    startSum(length);
    for (let word = 0; word < 16; word += 4) {
      // From byte 11 of the secret on.
      const key = FROM_BYTE_3 + word + 2;
      result[0] = lanes[word]! ^ secret[key]!;
      result[1] = lanes[word + 1]! ^ secret[key + 1]!;
      foldProduct(lanes[word + 2]! ^ secret[key + 2]!, lanes[word + 3]! ^ secret[key + 3]!);
      addToSum(result[0]!, result[1]!);
    }
    finishSum();
  }

  /**
   * Each lane takes the product of the halves of its own keyed word, and its neighbour's word as it is.
   *
   * Lanes go in pairs through all stripes, so that their sums stay in processor registers, as doubles: a product of 16
   * and 32 bits is below 2^48 - 2^32, so 16 of them with as many words beside stay below 2^53, and no carry has to be
   * looked after until the end. `small` counts ones, `large` counts 65,536s.
   */
  #add(view: DataView, start: number, stripeCount: number): void {
    for (let word = 0; word < 16; word += 4) {
      let evenSmall = 0;
      let evenLarge = 0;
      let oddSmall = 0;
      let oddLarge = 0;
      let at = start + 4 * word;
      let key = this.#key + word;
      for (let stripe = 0; stripe < stripeCount; stripe++) {
        const evenLow = view.getInt32(at, true);
        const evenHigh = view.getInt32(at + 4, true);
        const oddLow = view.getInt32(at + 8, true);
        const oddHigh = view.getInt32(at + 12, true);
        const evenKeyed = evenLow ^ secret[key]!;
        const evenFactor = (evenHigh ^ secret[key + 1]!) >>> 0;
        const oddKeyed = oddLow ^ secret[key + 2]!;
        const oddFactor = (oddHigh ^ secret[key + 3]!) >>> 0;
        evenSmall += (evenKeyed & 0xffff) * evenFactor + (oddLow >>> 0);
        evenLarge += (evenKeyed >>> 16) * evenFactor + (oddHigh >>> 0) * 0x10000;
        oddSmall += (oddKeyed & 0xffff) * oddFactor + (evenLow >>> 0);
        oddLarge += (oddKeyed >>> 16) * oddFactor + (evenHigh >>> 0) * 0x10000;
        at += STRIPE_BYTES;
        key += 2;
      }
      this.#settle(word, evenSmall, evenLarge);
      this.#settle(word + 2, oddSmall, oddLarge);
    }
  }

  /** Adds what a lane has gathered to the lane, with the carries. */
  #settle(word: number, small: number, large: number): void {
    const lanes = this.#lanes;
    const low = (lanes[word]! >>> 0) + (small >>> 0) + (large & 0xffff) * 0x10000;
    const carry = Math.floor(low / 0x100000000);
    lanes[word] = low;
    lanes[word + 1] = lanes[word + 1]! + Math.floor(small / 0x100000000) + Math.floor(large / 0x10000) + carry;
  }

  #scramble(): void {
    const lanes = this.#lanes;
    for (let word = 0; word < 16; word += 2) {
      const high = lanes[word + 1]!;
      const low = lanes[word]! ^ (high >>> 15) ^ secret[SCRAMBLE_KEY + word]!;
      result[0] = low;
      result[1] = high ^ secret[SCRAMBLE_KEY + word + 1]!;
      multiply(0x9e3779b1, 0);
      lanes[word] = result[0]!;
      lanes[word + 1] = result[1]!;
    }
  }
}

/** Serves {@linkcode hashLong}, so that long keys allocate nothing. */
const sharedLanes = new XxhLanes();

/** Hashes `length` bytes (241 or more) of a view from `start` on; the digest is left in `result`. */
export function hashLong(view: DataView, start: number, length: number): void {
  const lanes = sharedLanes;
  const end = start + length;
  lanes.reset();
  let at = start;
  for (; end - at > BLOCK_BYTES; at += BLOCK_BYTES) lanes.addBlock(view, at);
  lanes.addStripes(view, at, Math.floor((end - at - 1) / STRIPE_BYTES));
  lanes.addLast(view, end - STRIPE_BYTES);
  lanes.finish(length);
}
