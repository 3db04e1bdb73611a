/**
 * Builds the filter of a sorted table, in the form without names: all versions of SlateDB read it right, while 0.12
 * takes the other one for it and loses keys.
 * @module
 */
import { hash, sipHash } from "./sip_hash.ts";

/** Collects keys; the filter is as large as they need. */
export class FilterBuilder {
  readonly #bitsPerKey: number;
  /** Upper and lower halves of the hashes, in turns. */
  #hashes = new Uint32Array(1024);
  #count = 0;

  constructor(bitsPerKey: number) {
    this.#bitsPerKey = bitsPerKey;
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
  finish(): Uint8Array | null {
    if (this.#bitsPerKey === 0) return null;
    const probes = Math.floor(this.#bitsPerKey * 0.69);
    const filter = new Uint8Array(2 + Math.ceil(this.#count * this.#bitsPerKey / 8));
    filter[0] = probes >>> 8;
    filter[1] = probes;
    const bitCount = (filter.length - 2) * 8;
    for (let i = 0; i < this.#count; i++) {
      let step = this.#hashes[2 * i]! % bitCount;
      let place = this.#hashes[2 * i + 1]! % bitCount;
      for (let probe = 0; probe < probes; probe++) {
        step = (step + probe) % bitCount;
        filter[2 + (place >>> 3)]! |= 1 << (place & 7);
        place = (place + step) % bitCount;
      }
    }
    this.#count = 0;
    return filter;
  }
}
