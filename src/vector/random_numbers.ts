/**
 * Random numbers from a seed: the same on all runtimes and in all versions.
 * @module
 */

/**
 * The generator sfc32, seeded with a whole number. Good enough for samples and directions; not for secrets.
 *
 * Source: C. Doty-Humphrey, PractRand (public domain).
 */
export class RandomNumbers {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param seed A safe whole number. */
  constructor(seed: number) {
    this.#a = seed >>> 0;
    this.#b = Math.floor(seed / 0x1_0000_0000) >>> 0;
    this.#c = 0x9e3779b9;
    for (let i = 0; i < 20; i++) this.#next();
  }

  /** From 0 to 1, 1 excluded, with 53 random bits. */
  fraction(): number {
    return ((this.#next() >>> 5) * 0x4000000 + (this.#next() >>> 6)) / 0x20_0000_0000_0000;
  }

  /** A whole number from 0 to `end`, `end` excluded. */
  below(end: number): number {
    return Math.floor(this.fraction() * end);
  }

  /** Normally distributed around 0 with variance 1. Source: G. Box, M. Muller, Ann. Math. Statist. 29(2), 1958. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.fraction()));
    return radius * Math.cos(2 * Math.PI * this.fraction());
  }

  #next(): number {
    const result = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0;
    return result >>> 0;
  }
}
