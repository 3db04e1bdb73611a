/**
 * The option `vector` of writes: which backends take it, and what goes into the packed rows.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { ConfigValidationError } from "../errors.ts";
import type { Key } from "../routing/key.ts";
import { VectorCellPacker, type VectorEntry, type VectorId } from "../vector/vector_cell.ts";

/** What of a write's options is about vectors. */
export interface VectorColumn<T> {
  readonly value?: ((row: T) => string | Uint8Array) | undefined;
  readonly vector?: ((row: T) => VectorEntry | null) | undefined;
  readonly backend?: Pick<Backend, "spec" | "vectors" | "storesValues"> | undefined;
}

/**
 * What packs the vectors of rows; null when they have none.
 *
 * @throws {ConfigValidationError} when options and backend do not fit.
 */
export function vectorPacker<T>({ value, vector, backend }: VectorColumn<T>): VectorCellPacker | null {
  const space = backend?.vectors;
  const name = backend?.spec.name ?? "sqlite";
  if (vector === undefined) {
    if (value === undefined) {
      throw new ConfigValidationError('Cannot use option "value" as it must be a function: it is missing', "value");
    }
    if (space === undefined) return null;
    throw new ConfigValidationError(
      `Cannot use option "vector" as the backend "${name}" needs a function that gives the vector of a row: ` +
        "it is missing",
      "vector",
    );
  }
  if (backend?.storesValues === false && value !== undefined) {
    throw new ConfigValidationError(
      `Cannot use option "value" with the backend "${name}" as that stores vectors only: ` +
        "leave it out, or take compositeBackend(…)",
      "value",
    );
  }
  if (space !== undefined) return new VectorCellPacker(space);
  throw new ConfigValidationError(
    `Cannot use option "vector" with the backend "${name}" as that has no room for vectors: take sqliteVecBackend(…)`,
    "vector",
  );
}

/** The id of vectors without one. */
export function idOfKey(key: Key): VectorId {
  if (!(key instanceof Uint8Array)) return key;
  return Array.from(key, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
