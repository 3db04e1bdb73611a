/**
 * Made-up vectors that lie in heaps, as embeddings do, the same on every runtime.
 *
 * A vector is a point of a space of 16 dimensions, turned into that of `dim` by a fixed random matrix, plus a little
 * noise in every dimension. Points are normally distributed around 64 centres, at 0.7 of the distance that the centres
 * have from the origin, so that heaps overlap. Easier than real embeddings where these have no structure, harder than
 * heaps that are far apart, of which any sharding finds everything.
 * @module
 */

const LATENT_DIM = 16;
const HEAPS = 64;
const HEAP_SPREAD = 0.7;
const NOISE = 0.05;

/** Numbers of a seed: Marsaglia's xorshift, and the sum of uniform ones for what is nearly normal. */
class Randomness {
  #state: number;

  constructor(seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  }

  /** From 0 to 2^32 - 1. */
  word(): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return state >>> 0;
  }

  normal(): number {
    let sum = -6;
    for (let i = 0; i < 12; i++) sum += this.word() / 2 ** 32;
    return sum;
  }
}

/** Gives the next vector, in one array that is used again; `seed` chooses the points, never the heaps. */
export function clusteredVectors(dim: number, seed: number): () => Float32Array<ArrayBuffer> {
  const shape = new Randomness(0);
  const centres = Float32Array.from({ length: HEAPS * LATENT_DIM }, () => shape.normal());
  const matrix = Float32Array.from({ length: dim * LATENT_DIM }, () => shape.normal() / 4);
  // Noise of its own for each number would take longer than building.
  const noise = Float32Array.from({ length: 8192 + dim }, () => NOISE * shape.normal());
  const random = new Randomness(seed);
  const point = new Float64Array(LATENT_DIM);
  const vector = new Float32Array(dim);
  return () => {
    const heap = random.word() % HEAPS * LATENT_DIM;
    for (let i = 0; i < LATENT_DIM; i++) point[i] = centres[heap + i]! + HEAP_SPREAD * random.normal();
    const noiseStart = random.word() % 8192;
    for (let at = 0; at < dim; at++) {
      let sum = noise[noiseStart + at]!;
      for (let i = 0; i < LATENT_DIM; i++) sum += matrix[at * LATENT_DIM + i]! * point[i]!;
      vector[at] = sum;
    }
    return vector;
  };
}
