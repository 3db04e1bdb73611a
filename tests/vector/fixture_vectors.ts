// Vectors of the fixtures: little-endian floats in hex.

/** Floats from the hex of their bytes. */
export function floats(hex: string): Float32Array<ArrayBuffer> {
  const bytes = bytesOf(hex);
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
}

/** Bytes from their hex. */
export function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Normally distributed vectors around `heaps` centres; the generator is not that of the code under test. */
export function heaps(
  { rows, dim, heaps, spread = 0.3, seed = 1 }: {
    rows: number;
    dim: number;
    heaps: number;
    spread?: number;
    seed?: number;
  },
): Float32Array<ArrayBuffer> {
  let state = seed >>> 0;
  function fraction(): number { // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 0x1_0000_0000;
  }
  function normal(): number {
    return Math.sqrt(-2 * Math.log(1 - fraction())) * Math.cos(2 * Math.PI * fraction());
  }
  const centres = Float64Array.from({ length: heaps * dim }, normal);
  return Float32Array.from({ length: rows * dim }, (_, at) => {
    const heap = Math.floor(at / dim) % heaps;
    return centres[heap * dim + at % dim]! + spread * normal();
  });
}

/** Distances in float64, by the definitions. */
export function exactDistance(metric: string, one: ArrayLike<number>, other: ArrayLike<number>): number {
  let squares = 0, product = 0, oneSquares = 0, otherSquares = 0;
  for (let i = 0; i < one.length; i++) {
    squares += (one[i]! - other[i]!) ** 2;
    product += one[i]! * other[i]!;
    oneSquares += one[i]! ** 2;
    otherSquares += other[i]! ** 2;
  }
  if (metric === "l2") return squares;
  if (metric === "dot_product") return -product;
  return otherSquares === 0 || oneSquares === 0 ? 1 : 1 - product / Math.sqrt(oneSquares * otherSquares);
}
