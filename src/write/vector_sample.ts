/**
 * A sample of the vectors that pass by, for training.
 * @module
 */
import type { PackedRows } from "../rows.ts";
import { PackedVectors } from "../vector/packed_vectors.ts";
import { RandomNumbers } from "../vector/random_numbers.ts";

/** How large a sample is, and how it is chosen. */
export interface SampleOptions {
  readonly rowsMax: number;
  /** Numbers in each vector. */
  readonly dim: number;
  readonly seed: number;
}

/**
 * Chooses vectors so that each is as likely as any other, however many there are. Holds `rowsMax × dim × 4` bytes at
 * most, twice that while it grows.
 *
 * Source: J. Vitter, "Random sampling with a reservoir", ACM Trans. Math. Softw. 11(1), 1985, algorithm R.
 */
export class VectorSample {
  readonly #options: SampleOptions;
  readonly #vectors: PackedVectors;
  readonly #random: RandomNumbers;
  #values: Float32Array<ArrayBuffer>;
  #seenCount = 0;

  constructor(options: SampleOptions) {
    const { dim, rowsMax, seed } = this.#options = options;
    this.#vectors = new PackedVectors(dim);
    this.#random = new RandomNumbers(seed);
    this.#values = new Float32Array(Math.min(rowsMax, 256) * dim);
  }

  /** Looks at rows; those without a vector do not count. */
  take(rows: PackedRows): void {
    const { rowsMax, dim } = this.#options;
    for (let row = 0; row < rows.rowCount; row++) {
      if (!this.#vectors.load(rows, row)) continue;
      const place = this.#seenCount < rowsMax ? this.#seenCount : this.#random.below(this.#seenCount + 1);
      this.#seenCount++;
      if (place >= rowsMax) continue;
      if ((place + 1) * dim > this.#values.length) this.#grow();
      this.#values.set(this.#vectors.vector, place * dim);
    }
  }

  /** `[rows × dim]`: all vectors where there were no more than wanted. */
  get values(): Float32Array<ArrayBuffer> {
    const { rowsMax, dim } = this.#options;
    return this.#values.subarray(0, Math.min(this.#seenCount, rowsMax) * dim);
  }

  #grow(): void {
    const { rowsMax, dim } = this.#options;
    const larger = new Float32Array(Math.min(rowsMax * dim, 2 * this.#values.length));
    larger.set(this.#values);
    this.#values = larger;
  }
}
