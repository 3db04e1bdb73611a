/**
 * How far vectors are from centroids, in the arithmetic of the Python package: which shard a vector goes to must not
 * depend on who computes it. (Searches measure by `distance.ts`.)
 *
 * Steps are rounded to the precision of the rows that are compared with, float32 as a rule. Squared distances are then
 * NumPy's to the last bit. Products, in the other two metrics, come from a library there whose order of summation
 * differs from machine to machine, so that they may differ in the last bits.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import { DoubleSums, type RowSums, SingleSums } from "./numpy_sums.ts";

/**
 * How far apart two vectors are, smaller is nearer: `"l2"` the squared Euclidean distance, `"cosine"` 1 − cosine
 * similarity, `"dot_product"` the negative dot product.
 */
export type DistanceMetric = "cosine" | "l2" | "dot_product";

/** Vectors one after the other, `[rows × dim]`. */
export interface VectorRows {
  readonly values: Float32Array | Float64Array;
  /** Numbers in each row. */
  readonly dim: number;
}

/** Keeps the quotient finite where a row is zero. */
const COSINE_EPSILON = 1e-10;

/**
 * The distances of one vector after the other from rows that stay.
 *
 * Allocates nothing per vector. Cost of each: `rows × dim` multiplications.
 */
export class DistanceTable {
  readonly dim: number;
  readonly metric: DistanceMetric;
  /** What `measure` found, one for each row. */
  readonly distances: Float32Array | Float64Array;
  readonly #rows: Float32Array | Float64Array;
  /** Lengths of the rows, for the cosine. */
  readonly #lengths: Float32Array | Float64Array;
  readonly #sums: RowSums;

  /** @throws {ConfigValidationError} when there is no row, or one is cut short; for an unknown metric. */
  constructor({ values, dim }: VectorRows, metric: DistanceMetric) {
    const rowCount = rowCountOf(values, dim, "centroids");
    this.dim = dim;
    this.metric = checkMetric(metric);
    const isSingle = values instanceof Float32Array;
    this.distances = isSingle ? new Float32Array(rowCount) : new Float64Array(rowCount);
    this.#lengths = isSingle ? new Float32Array(rowCount) : new Float64Array(rowCount);
    this.#rows = values;
    this.#sums = isSingle ? new SingleSums(dim) : new DoubleSums(dim);
    if (metric !== "cosine") return;
    for (let row = 0; row < rowCount; row++) {
      this.#sums.query.set(values.subarray(row * dim, (row + 1) * dim));
      this.#lengths[row] = Math.sqrt(this.#sums.products(values, row * dim));
    }
  }

  /** Puts the distances of the vector that begins at `start` of `vectors` into `distances`. */
  measure(vectors: Float32Array, start: number): void {
    const { query } = this.#sums;
    for (let i = 0; i < query.length; i++) query[i] = vectors[start + i]!;
    if (this.metric === "cosine") this.#measureCosine();
    else if (this.metric === "l2") this.#measureSquares();
    else this.#measureProducts();
  }

  #measureSquares(): void {
    const { dim, distances } = this;
    for (let row = 0; row < distances.length; row++) distances[row] = this.#sums.squares(this.#rows, row * dim);
  }

  #measureProducts(): void {
    const { dim, distances } = this;
    for (let row = 0; row < distances.length; row++) distances[row] = -this.#sums.products(this.#rows, row * dim);
  }

  #measureCosine(): void {
    const { dim, distances } = this;
    const sums = this.#sums;
    const { query } = sums;
    const length = Math.fround(Math.sqrt(sums.products(query, 0)));
    if (length === 0) return void distances.fill(1);
    const isSingle = distances instanceof Float32Array;
    for (let row = 0; row < distances.length; row++) {
      const product = sums.products(this.#rows, row * dim);
      const divisor = this.#lengths[row]! * length;
      distances[row] = isSingle
        ? 1 - Math.fround(product / Math.fround(Math.fround(divisor) + Math.fround(COSINE_EPSILON)))
        : 1 - product / (divisor + COSINE_EPSILON);
    }
  }
}

/**
 * Number of rows.
 *
 * @param name What the rows are, for errors.
 * @throws {ConfigValidationError} when there is none, or the last one is cut short.
 */
export function rowCountOf(values: ArrayLike<number>, dim: number, name: string): number {
  if (!Number.isSafeInteger(dim) || dim < 1) {
    throw new ConfigValidationError(
      `Cannot use ${name} as their dimension must be a whole number from 1 up: current value is ${shown(dim)}`,
      name,
    );
  }
  if (values.length > 0 && values.length % dim === 0) return values.length / dim;
  throw new ConfigValidationError(
    `Cannot use ${name} as they must be whole rows of ${dim} numbers, one at least: ` +
      `current length is ${values.length}`,
    name,
  );
}

/** @throws {ConfigValidationError} for all but the three metrics. */
export function checkMetric(metric: DistanceMetric): DistanceMetric {
  if (metric === "cosine" || metric === "l2" || metric === "dot_product") return metric;
  throw new ConfigValidationError(
    `Cannot use option "metric" as it must be "cosine", "l2" or "dot_product": current value is ${shown(metric)}`,
    "metric",
  );
}
