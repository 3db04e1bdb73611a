/**
 * How far vectors are from a query, in the metrics of vector searches.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { VectorMetric, VectorSpace } from "./vector_cell.ts";

/** The metrics that are computed here. */
export type SearchedMetric = Exclude<VectorMetric, "dot_product">;

/** Vectors that can be searched here. */
export interface SearchedSpace extends VectorSpace {
  readonly metric: SearchedMetric;
}

/**
 * Writes how far vectors are from the query.
 *
 * @param vectors As many as there are `scores`, row-major: `[scores.length × dim]`.
 * @param scores What is written: rounded to float32. Infinity where a vector has no distance: of the length 0 under
 * cosine, or with numbers that are not finite.
 */
export type Scorer = (vectors: Float32Array, scores: Float32Array) => void;

/**
 * What measures distances from a query, by `cosine` 1 − cosine similarity, by `l2` the Euclidean distance. Sums are
 * 64-bit, as more exact than the sums of native engines: scores differ from theirs in the last digits of a float32.
 *
 * Cost: `scores.length × dim` multiplications, twice that with `cosine`.
 *
 * @throws {ConfigValidationError} when the query has another dimension or numbers that are not finite, or the length 0
 * under cosine.
 *
 * @example
 * ```ts
 * import { scorerOf } from "./distance.ts";
 *
 * const scores = new Float32Array(2);
 * scorerOf(Float32Array.of(0, 1), { dim: 2, metric: "l2" })(Float32Array.of(3, 5, 0, 1), scores);
 * if (scores.join() !== "5,0") throw new Error("unexpected distances");
 * ```
 */
export function scorerOf(query: Float32Array, { dim, metric }: SearchedSpace): Scorer {
  checkQuery(query, { dim, metric });
  const own = Float64Array.from(query);
  if (metric === "l2") return (vectors, scores) => scoreL2(own, vectors, scores);
  const norm = Math.sqrt(own.reduce((sum, number) => sum + number * number, 0));
  return (vectors, scores) => scoreCosine(own, { vectors, scores, norm });
}

function checkQuery(query: Float32Array, { dim, metric }: SearchedSpace): void {
  const wrong = (rule: string, value: unknown): ConfigValidationError =>
    new ConfigValidationError(`Cannot search for a vector as ${rule}: current value is ${shown(value)}`, "query");
  if (!(query instanceof Float32Array)) throw wrong("it must be a Float32Array", query);
  if (query.length !== dim) throw wrong(`it must have ${dim} numbers`, query.length);
  const infinite = query.find((number) => !Number.isFinite(number));
  if (infinite !== undefined) throw wrong("its numbers must be finite", infinite);
  const isLong = metric === "l2" || query.some((number) => number !== 0);
  if (!isLong) throw wrong('with metric "cosine" it must not be zero', "a vector of no length");
}

function scoreL2(query: Float64Array, vectors: Float32Array, scores: Float32Array): void {
  const dim = query.length;
  const whole = dim - dim % 4;
  for (let row = 0; row < scores.length; row++) {
    const start = row * dim;
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    for (let i = 0; i < whole; i += 4) {
      const at = start + i;
      const da = vectors[at]! - query[i]!;
      const db = vectors[at + 1]! - query[i + 1]!;
      const dc = vectors[at + 2]! - query[i + 2]!;
      const dd = vectors[at + 3]! - query[i + 3]!;
      a += da * da;
      b += db * db;
      c += dc * dc;
      d += dd * dd;
    }
    for (let i = whole; i < dim; i++) {
      const difference = vectors[start + i]! - query[i]!;
      a += difference * difference;
    }
    const score = Math.sqrt(a + b + c + d);
    scores[row] = score === score ? score : Infinity;
  }
}

function scoreCosine(
  query: Float64Array,
  { vectors, scores, norm }: { vectors: Float32Array; scores: Float32Array; norm: number },
): void {
  const dim = query.length;
  const whole = dim - dim % 2;
  for (let row = 0; row < scores.length; row++) {
    const start = row * dim;
    let dotA = 0;
    let dotB = 0;
    let sumA = 0;
    let sumB = 0;
    for (let i = 0; i < whole; i += 2) {
      const a = vectors[start + i]!;
      const b = vectors[start + i + 1]!;
      dotA += a * query[i]!;
      dotB += b * query[i + 1]!;
      sumA += a * a;
      sumB += b * b;
    }
    if (whole < dim) {
      const a = vectors[start + whole]!;
      dotA += a * query[whole]!;
      sumA += a * a;
    }
    const score = 1 - (dotA + dotB) / (norm * Math.sqrt(sumA + sumB));
    // Rounding may have made it a hair less than nothing.
    scores[row] = score >= 0 ? score : score < 0 ? 0 : Infinity;
  }
}
