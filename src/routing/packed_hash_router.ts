/**
 * Hash routing of packed rows: what writers need beside `hash_router.ts`, which routes one key.
 * @module
 */
import { hashInteger, hashModulo, hashView } from "../bytes/xxh3.ts";
import type { PackedRows } from "../rows.ts";
import { integerHashError, storedLengthError } from "./key_errors.ts";
import type { KeyEncoding } from "./key.ts";

/** Where the shards of a batch go. */
export interface PackedRouting {
  /** Whole number from 1 to 2^31. */
  readonly shardCount: number;
  /** Takes the result; as many entries as there are rows are written. */
  readonly shardIds: Uint32Array;
}

/**
 * The shards of a batch, from the stored keys, as `hashRouter` gives them for the keys themselves. Allocates nothing
 * per row.
 *
 * @param encoding How the keys of the batch were stored.
 * @throws {ConfigValidationError} at the first key that has no hash; what was written before stays.
 */
export function routePackedByHash(rows: PackedRows, encoding: KeyEncoding, routing: PackedRouting): void {
  const view = new DataView(rows.bytes.buffer, rows.bytes.byteOffset, rows.bytes.byteLength);
  if (encoding === "u64be") routeU64(rows, view, routing);
  else if (encoding === "u32be") routeU32(rows, view, routing);
  else routeBytes(rows, view, routing);
}

/** The integer is hashed from its low end, and stored from its high end. */
function routeU64(rows: PackedRows, view: DataView, { shardCount, shardIds }: PackedRouting): void {
  const { rowCount, starts, keyLengths } = rows;
  for (let row = 0; row < rowCount; row++) {
    if (keyLengths[row] !== 8) throw storedLengthError("u64be", keyLengths[row]!);
    const start = starts[row]!;
    const high = view.getInt32(start);
    if (high < 0) throw integerHashError(view.getBigUint64(start));
    hashInteger(view.getInt32(start + 4), high);
    shardIds[row] = hashModulo(shardCount);
  }
}

/** Four bytes are stored, but all eight are hashed. */
function routeU32(rows: PackedRows, view: DataView, { shardCount, shardIds }: PackedRouting): void {
  const { rowCount, starts, keyLengths } = rows;
  for (let row = 0; row < rowCount; row++) {
    if (keyLengths[row] !== 4) throw storedLengthError("u32be", keyLengths[row]!);
    hashInteger(view.getInt32(starts[row]!), 0);
    shardIds[row] = hashModulo(shardCount);
  }
}

function routeBytes(rows: PackedRows, view: DataView, { shardCount, shardIds }: PackedRouting): void {
  const { rowCount, starts, keyLengths } = rows;
  for (let row = 0; row < rowCount; row++) {
    hashView(view, starts[row]!, keyLengths[row]!);
    shardIds[row] = hashModulo(shardCount);
  }
}
