/**
 * Goes through the rows of a key-value table in the order of their keys.
 * @module
 */
import { Cursor } from "./cursor.ts";
import type { KeyValueTable } from "./key_value_table.ts";
import { columnsOf } from "./key_value_columns.ts";
import { type KeyValueTree, Lookup } from "./lookup.ts";
import { copyPart, feed } from "./overflow.ts";

/** A row of a key-value table; both are copies that the caller owns. */
export type KeyValueRow = [key: Uint8Array<ArrayBuffer>, value: Uint8Array<ArrayBuffer>];

/** What rows a scan gives. */
export interface KeyRange {
  /** First key, included; all from the beginning without one. */
  readonly from?: Uint8Array;
  /** Where to stop, excluded; all to the end without one. */
  readonly to?: Uint8Array;
  readonly signal?: AbortSignal;
}

const BATCH_ROWS_MAX = 1024;
const BATCH_BYTES_MAX = 1 << 18;

/**
 * Rows in ascending order of their keys, in arrays of up to 1024 rows or about 256 KiB (more where one row is
 * larger).
 *
 * @throws {CorruptFileError} as soon as damage is met; rows before it have been given.
 */
export async function* scanTable(
  { tree }: KeyValueTable,
  range: KeyRange = {},
): AsyncGenerator<KeyValueRow[], void, undefined> {
  const { to, signal } = range;
  signal?.throwIfAborted();
  const { shape } = tree;
  const cursor = await cursorAt(tree, range);
  let batch: KeyValueRow[] = [];
  let batchBytes = 0;
  let last: Uint8Array | undefined;
  for (let step = cursor.step(); step !== "end"; step = cursor.step()) {
    if (step === "wait") {
      await cursor.wait(signal);
      continue;
    }
    const payload = cursor.payload();
    const columns = columnsOf(tree, payload);
    const keyCopy = copyPart(shape, payload, { span: columns.key, signal });
    const key = keyCopy instanceof Uint8Array ? keyCopy : await keyCopy;
    if (last !== undefined && compareBytes(last, key) >= 0) throw cursor.corruptRow("keys must ascend");
    if (to !== undefined && compareBytes(key, to) >= 0) break;
    last = key;
    const valueCopy = copyPart(shape, payload, { span: columns.value, signal });
    const value = valueCopy instanceof Uint8Array ? valueCopy : await valueCopy;
    batch.push([key, value]);
    batchBytes += key.byteLength + value.byteLength;
    if (batch.length < BATCH_ROWS_MAX && batchBytes < BATCH_BYTES_MAX) continue;
    yield batch;
    signal?.throwIfAborted();
    // The caller owns the last key and may have changed it.
    last = undefined;
    batch = [];
    batchBytes = 0;
  }
  if (batch.length > 0) yield batch;
}

async function cursorAt(tree: KeyValueTree, { from, signal }: KeyRange): Promise<Cursor> {
  const { shape, rootPage } = tree;
  if (from === undefined) return new Cursor(shape, rootPage);
  const lookup = new Lookup(tree).begin(from);
  lookup.path = [];
  await feed(shape, lookup, signal);
  return Cursor.from(shape, lookup.path);
}

/** Negative, 0 or positive, as SQLite orders blobs: by bytes, then the shorter first. */
function compareBytes(one: Uint8Array, other: Uint8Array): number {
  const shared = Math.min(one.length, other.length);
  for (let i = 0; i < shared; i++) {
    if (one[i] !== other[i]) return one[i]! - other[i]!;
  }
  return one.length - other.length;
}
