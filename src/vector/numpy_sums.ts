/**
 * Sums of squares and of products, added in the order of NumPy: halves, and below 128 numbers eight lanes.
 * @module
 */

/** NumPy adds up to so many numbers in eight lanes. */
const LANES_MAX = 128;

/** A piece of a vector that is added in lanes, and how many sums are then added to the one before them. */
interface Piece {
  readonly start: number;
  readonly count: number;
  readonly foldCount: number;
}

/** Sums over one vector, which stays, and rows. */
export interface RowSums {
  /** The vector that `squares` and `products` go by. */
  readonly query: Float32Array | Float64Array;
  /** Sum of the squares of `row − query`, for the row that begins at `start`. */
  squares(rows: Float32Array | Float64Array, start: number): number;
  /** Sum of the products of `row` and `query`, for the row that begins at `start`. */
  products(rows: Float32Array | Float64Array, start: number): number;
}

/** The pieces of a vector of so many numbers, in their order. */
function piecesOf(dim: number): readonly Piece[] {
  const pieces: Piece[] = [];
  function split(start: number, count: number, foldCount: number): void {
    if (count <= LANES_MAX) return void pieces.push({ start, count, foldCount });
    const half = (count >> 1) - (count >> 1) % 8;
    split(start, half, 0);
    split(start + half, count - half, foldCount + 1);
  }
  split(0, dim, 0);
  return pieces;
}

/** In single precision, each step rounded. */
export class SingleSums implements RowSums {
  readonly query: Float32Array;
  readonly #pieces: readonly Piece[];
  readonly #waiting: Float32Array;

  /** @param dim Numbers in each vector. */
  constructor(dim: number) {
    this.query = new Float32Array(dim);
    this.#pieces = piecesOf(dim);
    this.#waiting = new Float32Array(this.#pieces.length);
  }

  /** As the interface says. */
  squares(rows: Float32Array, start: number): number {
    let depth = 0;
    for (const piece of this.#pieces) {
      this.#waiting[depth++] = this.#squaresOf(piece, rows, start);
      depth = this.#fold(depth, piece.foldCount);
    }
    return this.#waiting[0]!;
  }

  /** As the interface says. */
  products(rows: Float32Array, start: number): number {
    let depth = 0;
    for (const piece of this.#pieces) {
      this.#waiting[depth++] = this.#productsOf(piece, rows, start);
      depth = this.#fold(depth, piece.foldCount);
    }
    return this.#waiting[0]!;
  }

  #fold(depth: number, foldCount: number): number {
    const waiting = this.#waiting;
    for (let i = 0; i < foldCount; i++) {
      depth--;
      waiting[depth - 1] = waiting[depth - 1]! + waiting[depth]!;
    }
    return depth;
  }

  #squaresOf({ start: first, count }: Piece, rows: Float32Array, start: number): number {
    const { fround } = Math;
    const query = this.query;
    const end = first + count;
    const laneEnd = first + count - count % 8;
    let at = first;
    let [a, b, c, d, e, f, g, h] = [0, 0, 0, 0, 0, 0, 0, 0];
    for (; at < laneEnd; at += 8) {
      const row = start + at;
      const p = fround(rows[row]! - query[at]!), q = fround(rows[row + 1]! - query[at + 1]!);
      const r = fround(rows[row + 2]! - query[at + 2]!), s = fround(rows[row + 3]! - query[at + 3]!);
      const t = fround(rows[row + 4]! - query[at + 4]!), u = fround(rows[row + 5]! - query[at + 5]!);
      const v = fround(rows[row + 6]! - query[at + 6]!), w = fround(rows[row + 7]! - query[at + 7]!);
      a = fround(a + fround(p * p)), b = fround(b + fround(q * q));
      c = fround(c + fround(r * r)), d = fround(d + fround(s * s));
      e = fround(e + fround(t * t)), f = fround(f + fround(u * u));
      g = fround(g + fround(v * v)), h = fround(h + fround(w * w));
    }
    let sum = fround(fround(fround(a + b) + fround(c + d)) + fround(fround(e + f) + fround(g + h)));
    for (; at < end; at++) {
      const p = fround(rows[start + at]! - query[at]!);
      sum = fround(sum + fround(p * p));
    }
    return sum;
  }

  #productsOf({ start: first, count }: Piece, rows: Float32Array, start: number): number {
    const { fround } = Math;
    const query = this.query;
    const end = first + count;
    const laneEnd = first + count - count % 8;
    let at = first;
    let [a, b, c, d, e, f, g, h] = [0, 0, 0, 0, 0, 0, 0, 0];
    for (; at < laneEnd; at += 8) {
      const row = start + at;
      a = fround(a + fround(rows[row]! * query[at]!)), b = fround(b + fround(rows[row + 1]! * query[at + 1]!));
      c = fround(c + fround(rows[row + 2]! * query[at + 2]!)), d = fround(d + fround(rows[row + 3]! * query[at + 3]!));
      e = fround(e + fround(rows[row + 4]! * query[at + 4]!)), f = fround(f + fround(rows[row + 5]! * query[at + 5]!));
      g = fround(g + fround(rows[row + 6]! * query[at + 6]!)), h = fround(h + fround(rows[row + 7]! * query[at + 7]!));
    }
    let sum = fround(fround(fround(a + b) + fround(c + d)) + fround(fround(e + f) + fround(g + h)));
    for (; at < end; at++) sum = fround(sum + fround(rows[start + at]! * query[at]!));
    return sum;
  }
}

/** In double precision, for rows that have it: front to back, as nothing is lost there that could be seen. */
export class DoubleSums implements RowSums {
  readonly query: Float64Array;

  /** @param dim Numbers in each vector. */
  constructor(dim: number) {
    this.query = new Float64Array(dim);
  }

  /** As the interface says. */
  squares(rows: Float64Array, start: number): number {
    const query = this.query;
    let sum = 0;
    for (let i = 0; i < query.length; i++) {
      const difference = rows[start + i]! - query[i]!;
      sum += difference * difference;
    }
    return sum;
  }

  /** As the interface says. */
  products(rows: Float64Array, start: number): number {
    const query = this.query;
    let sum = 0;
    for (let i = 0; i < query.length; i++) sum += rows[start + i]! * query[i]!;
    return sum;
  }
}
