/**
 * Locality-sensitive hashing by random hyperplanes: vectors of similar direction lie on the same sides of most planes.
 *
 * Source: M. Charikar, "Similarity estimation techniques from rounding algorithms", STOC 2002.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { type DistanceMetric, DistanceTable, rowCountOf, type VectorRows } from "./distance_table.ts";
import { RandomNumbers } from "./random_numbers.ts";

/** Codes are numbers, and stay exact. */
export const HASH_BITS_MAX = 48;

const PRODUCTS: DistanceMetric = "dot_product";

/** What hyperplanes are drawn by. */
export interface HyperplaneOptions {
  /** How many, from 1 to 48: each gives a bit. */
  readonly hashBits: number;
  /** Numbers in each vector. */
  readonly dim: number;
  /** A whole number; the same one gives the same hyperplanes. @default {42} */
  readonly seed?: number | undefined;
}

/**
 * Random hyperplanes through the origin: their normals, `[hashBits × dim]`, row-major, in float32.
 *
 * @throws {ConfigValidationError} when one of the numbers is out of its range.
 */
export function randomHyperplanes(
  { hashBits, dim, seed = 42 }: HyperplaneOptions,
): VectorRows & { readonly values: Float32Array<ArrayBuffer> } {
  if (!Number.isSafeInteger(hashBits) || hashBits < 1 || hashBits > HASH_BITS_MAX) throw bitsError(hashBits);
  const random = new RandomNumbers(seed);
  const values = new Float32Array(hashBits * dim);
  rowCountOf(values, dim, "hyperplanes");
  for (let i = 0; i < values.length; i++) values[i] = random.normal();
  return { values, dim };
}

/** Gives vectors their codes and their shards. Allocates nothing per vector. */
export class HyperplaneHash {
  readonly #table: DistanceTable;

  /** @throws {ConfigValidationError} when there are no hyperplanes, or more than 48. */
  constructor(hyperplanes: VectorRows) {
    const hashBits = rowCountOf(hyperplanes.values, hyperplanes.dim, "hyperplanes");
    if (hashBits > HASH_BITS_MAX) throw bitsError(hashBits);
    this.#table = new DistanceTable(hyperplanes, PRODUCTS);
  }

  /**
   * Code of the vector that begins at `start` of `vectors`: bit `i` tells that it lies on the side that the normal of
   * hyperplane `i` shows to. The first hyperplane gives the lowest bit; on the plane itself the bit is 0.
   */
  codeOf(vectors: Float32Array, start: number = 0): number {
    const { distances } = this.#table;
    this.#table.measure(vectors, start);
    let code = 0;
    for (let bit = distances.length - 1; bit >= 0; bit--) code = 2 * code + (distances[bit]! < 0 ? 1 : 0);
    return code;
  }

  /** Shard of the vector that begins at `start` of `vectors`. */
  shardOf(vectors: Float32Array, start: number, shardCount: number): number {
    return this.codeOf(vectors, start) % shardCount;
  }

  /**
   * The shards to look for neighbours of a vector in: its own, then those of codes that differ in one bit, the lowest
   * bit first; each once.
   *
   * @param query `[dim]`.
   * @param options.probes How many are wanted; fewer when there are not as many.
   */
  probe(
    query: Float32Array,
    { shardCount, probes }: { readonly shardCount: number; readonly probes: number },
  ): number[] {
    const code = this.codeOf(query);
    const shards = new Set([code % shardCount]);
    for (let bit = 0, weight = 1; bit < this.#table.distances.length && shards.size < probes; bit++, weight *= 2) {
      const isSet = Math.floor(code / weight) % 2 === 1;
      shards.add((isSet ? code - weight : code + weight) % shardCount);
    }
    return [...shards];
  }
}

function bitsError(hashBits: number): ConfigValidationError {
  return new ConfigValidationError(
    `Cannot use option "hashBits" as it must be a whole number from 1 to ${HASH_BITS_MAX}: ` +
      `current value is ${hashBits}`,
    "hashBits",
  );
}
