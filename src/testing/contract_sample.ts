/**
 * Rows for the contract of shard engines, and what is to be found of them.
 * @module
 */
import type { Backend, SearchHit } from "../backends/backend.ts";
import { compareBytes } from "../routing/key.ts";
import type { RowCursor, SortedRows } from "../rows.ts";
import { VectorCellPacker, type VectorEntry, type VectorMetric, type VectorSpace } from "../vector/vector_cell.ts";
import { SeededRandom } from "./seeded_random.ts";

/** A row before it is packed. */
export interface SampleRow {
  readonly key: Uint8Array<ArrayBuffer>;
  /** Null where the engine stores vectors only. */
  readonly value: Uint8Array<ArrayBuffer> | null;
  /** Null where the engine stores none, or the row has none. */
  readonly entry: VectorEntry | null;
}

const ROWS = 1200;

/** Keys and values of all lengths, in no order; every fifth row has no vector where it has a value. */
export function sampleOf(space: VectorSpace | undefined, storesValues: boolean): SampleRow[] {
  const random = new SeededRandom(20);
  const bytesOf = (length: number): Uint8Array<ArrayBuffer> =>
    Uint8Array.from({ length }, () => Math.floor(random.next() * 256));
  const rows = Array.from({ length: ROWS }, (_, number): SampleRow => {
    const hasVector = space !== undefined && (number % 5 !== 4 || !storesValues);
    return {
      key: new TextEncoder().encode(`${((number * 7919) % 1201).toString(3)}${"é".repeat(number % 7)}`),
      value: storesValues ? bytesOf(number % 100) : null,
      entry: hasVector ? entryOf(number, space, random) : null,
    };
  });
  if (!storesValues) return rows;
  const extremes: [key: Uint8Array<ArrayBuffer>, valueBytes: number][] = [
    [Uint8Array.of(0), 1],
    [Uint8Array.of(0, 0), 0],
    [Uint8Array.of(255, 255), 20_000],
    [new Uint8Array(5000).fill(107), 7],
  ];
  return [...rows, ...extremes.map(([key, length]) => ({ key, value: bytesOf(length), entry: null }))];
}

function entryOf(number: number, { dim }: VectorSpace, random: SeededRandom): VectorEntry {
  return {
    id: number % 2 === 0 ? number : `id ${number} é`,
    vector: Float32Array.from({ length: dim }, () => random.next() * 2 - 1),
    ...(number % 3 === 0 && { payload: { number, "ü": [null, "\u{1f600}"] } }),
  };
}

/** The rows as engines are given them. */
export function sortedRows(rows: readonly SampleRow[], { vectors }: Pick<Backend, "vectors">): SortedRows {
  const packer = vectors && new VectorCellPacker(vectors);
  const packed = rows.map(({ key, value, entry }): [Uint8Array, Uint8Array] => {
    if (packer === undefined) return [key, value!];
    const cell = new Uint8Array((value?.length ?? 0) + packer.prepare(entry, ""));
    if (value !== null) cell.set(value);
    packer.put(cell, value?.length ?? 0, value?.length ?? null);
    return [key, cell];
  }).sort(([one], [other]) => compareBytes(one, other));
  return { rowCountMax: rows.length, open: () => Promise.resolve(new SampleCursor(packed)) };
}

/** Gives the rows in pieces, as rows from a disk come. */
class SampleCursor implements RowCursor {
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  keyLength = 0;
  valueLength = 0;
  readonly #rows: readonly (readonly [Uint8Array, Uint8Array])[];
  #at = 0;
  #end = 0;

  constructor(rows: readonly (readonly [Uint8Array, Uint8Array])[]) {
    this.#rows = rows;
  }

  next(): boolean {
    if (this.#at === this.#end) return false;
    const [key, value] = this.#rows[this.#at++]!;
    // Not at the beginning, and nothing is left of the row before.
    this.start = 3;
    this.bytes.fill(0xee);
    this.bytes = new Uint8Array(3 + key.length + value.length + 5);
    this.bytes.set(key, 3);
    this.bytes.set(value, 3 + key.length);
    this.keyLength = key.length;
    this.valueLength = value.length;
    return true;
  }

  refill(): Promise<boolean> {
    this.#end = Math.min(this.#rows.length, this.#end + 100);
    return Promise.resolve(this.#at < this.#end);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

/** What a search must find: ids as texts, as some engines have no others. */
export type ExpectedHit = Pick<SearchHit, "payload"> & { readonly id: string; readonly distance: number };

/** The nearest of all, measured one by one. */
export function nearestRows(
  rows: readonly SampleRow[],
  query: Float32Array,
  { metric, topK }: { readonly metric: VectorMetric; readonly topK: number },
): ExpectedHit[] {
  const hits = rows.flatMap(({ entry }) => {
    if (entry === null) return [];
    const { id, vector, payload = null } = entry;
    return [{ id: String(id), payload, distance: distanceOf(query, vector, metric) }];
  });
  return hits.sort((one, other) => one.distance - other.distance).slice(0, topK);
}

function distanceOf(one: Float32Array, other: ArrayLike<number>, metric: VectorMetric): number {
  let squares = 0, product = 0, oneSquares = 0, otherSquares = 0;
  one.forEach((number, index) => {
    const second = other[index]!;
    squares += (number - second) ** 2;
    product += number * second;
    oneSquares += number ** 2;
    otherSquares += second ** 2;
  });
  if (metric === "l2") return squares;
  return metric === "cosine" ? 1 - product / Math.sqrt(oneSquares * otherSquares) : 1 - product;
}
