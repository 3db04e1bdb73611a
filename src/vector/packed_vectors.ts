/**
 * The vectors of packed rows, one after the other.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import type { PackedRows } from "../rows.ts";
import { VectorCell } from "./vector_cell.ts";

/** Takes vectors out of packed rows into one place, where they are aligned. Allocates nothing per row. */
export class PackedVectors {
  /** The vector that was loaded last. */
  readonly vector: Float32Array<ArrayBuffer>;
  readonly #cell = new VectorCell();
  #rows: PackedRows | undefined;
  #view = new DataView(new ArrayBuffer(0));

  /** @param dim Numbers in each vector. */
  constructor(dim: number) {
    this.vector = new Float32Array(dim);
  }

  /** Loads the vector of a row; false when the row has none. */
  load(rows: PackedRows, row: number): boolean {
    if (this.#rows !== rows) {
      const { bytes } = this.#rows = rows;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    const { vector } = this;
    const cell = this.#cell;
    cell.read(rows.bytes, rows.starts[row + 1]!);
    if (!cell.hasVector) return false;
    if (cell.vectorBytes !== vector.byteLength) {
      throw new CorruptFileError(`Cannot route a packed row as its vector must have ${vector.length} numbers`, -1);
    }
    const view = this.#view;
    for (let i = 0, at = cell.vectorStart; i < vector.length; i++, at += 4) vector[i] = view.getFloat32(at, true);
    return true;
  }
}
