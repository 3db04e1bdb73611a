/**
 * Chance that can be repeated: the same seed gives the same numbers on every runtime.
 * @module
 */

/** Numbers that look random and depend on nothing but the seed. Not for secrets. */
export class SeededRandom {
  #state: number;

  /** @param seed Any integer; its low 32 bits count. */
  constructor(seed: number) {
    this.#state = seed | 0;
    // Neighbouring seeds would begin alike.
    for (let round = 0; round < 4; round++) this.next();
  }

  /** From 0 up to, but not, 1. */
  next(): number {
    // A counter through a mixing function (the finalizer of MurmurHash3): 32 bits, period 2 ** 32.
    this.#state = (this.#state + 0x9e3779b9) | 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  }

  /** A whole number from 0 up to, but not, `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  /** True in so many of all cases: 0 is never, 1 is always. */
  chance(rate: number): boolean {
    return this.next() < rate;
  }
}

/** A whole number that a text stands for in seeds. */
export function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash;
}
