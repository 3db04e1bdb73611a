/**
 * Builds the filter of a sorted table, in the form without names: all versions of SlateDB read it right, while 0.12
 * takes the other one for it and loses keys.
 * @module
 */
import type { Turns } from "../turns.ts";
import { hash, sipHash } from "./sip_hash.ts";
import type { TableLayout } from "./table_writer.ts";

/** So many are put into the filter before it is looked whether others are to have their turn. */
const STEP_KEYS = 1 << 14;

/** Collects keys; the filter is as large as they need. */
export class FilterBuilder {
  readonly #bitsPerKey: number;
  readonly #keysMin: number;
  /** Upper and lower halves of the hashes, in turns. */
  #hashes = new Uint32Array(1024);
  #count = 0;

  constructor({ filterBitsPerKey, filterKeysMin }: Pick<TableLayout, "filterBitsPerKey" | "filterKeysMin">) {
    this.#bitsPerKey = filterBitsPerKey;
    this.#keysMin = filterKeysMin;
  }

  add(key: Uint8Array): void {
    if (this.#bitsPerKey === 0) return;
    if (2 * this.#count === this.#hashes.length) {
      const larger = new Uint32Array(2 * this.#hashes.length);
      larger.set(this.#hashes);
      this.#hashes = larger;
    }
    sipHash(key, 0, key.length);
    this.#hashes[2 * this.#count] = hash.high;
    this.#hashes[2 * this.#count + 1] = hash.low;
    this.#count++;
  }

  /** The filter of the keys since the last one; null when there is to be none. */
  async finish(turns: Turns): Promise<Uint8Array | null> {
    if (this.#bitsPerKey === 0 || this.#count < this.#keysMin) {
      this.#count = 0;
      return null;
    }
    const probes = Math.floor(this.#bitsPerKey * 0.69);
    const filter = new Uint8Array(2 + Math.ceil(this.#count * this.#bitsPerKey / 8));
    filter[0] = probes >>> 8;
    filter[1] = probes;
    for (let from = 0; from < this.#count; from += STEP_KEYS) {
      this.#set(filter.subarray(2), probes, [from, Math.min(this.#count, from + STEP_KEYS)]);
      if (turns.isOver) await turns.end();
    }
    this.#count = 0;
    return filter;
  }

  #set(bits: Uint8Array, probes: number, [from, to]: readonly [number, number]): void {
    const bitCount = bits.length * 8;
    for (let i = from; i < to; i++) {
      let step = this.#hashes[2 * i]! % bitCount;
      let place = this.#hashes[2 * i + 1]! % bitCount;
      for (let probe = 0; probe < probes; probe++) {
        // Remainders of sums, without dividing: there are more bits than probes.
        step += probe;
        if (step >= bitCount) step -= bitCount;
        bits[place >>> 3]! |= 1 << (place & 7);
        place += step;
        if (place >= bitCount) place -= bitCount;
      }
    }
  }
}
