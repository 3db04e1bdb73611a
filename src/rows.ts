/**
 * Shapes in which rows travel: packed in bytes, never one object per row.
 * @module
 */

/**
 * Rows in one byte array. Row `i` stands at `starts[i] … starts[i + 1]`: its encoded key of `keyLengths[i]` bytes,
 * then its value. Costs 8 bytes a row beside the rows themselves.
 */
export interface PackedRows {
  /** How many rows there are. */
  readonly rowCount: number;
  /** `starts[rowCount]` bytes are in use; the array may be longer. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** `rowCount + 1` entries are in use. */
  readonly starts: Uint32Array<ArrayBuffer>;
  /** `rowCount` entries are in use. */
  readonly keyLengths: Uint32Array<ArrayBuffer>;
  /** Where what routes looked at the rows before they were packed: as of {@linkcode RoutedRows}. */
  readonly shardIds?: Uint32Array<ArrayBuffer>;
}

/** Rows in order of arrival, each with the number of its shard. */
export interface RoutedRows extends PackedRows {
  /** `rowCount` entries are in use. Until all rows are there the numbers may be provisional ones. */
  readonly shardIds: Uint32Array<ArrayBuffer>;
}

/** Rows of one shard, in order of arrival. */
export interface ShardBatch extends PackedRows {
  /** The shard of all of them. */
  readonly shardId: number;
  /** True when the rate limiter has been asked for these rows already and allowed them. */
  readonly isPaid: boolean;
}

/**
 * A cursor over rows in ascending order of their keys' bytes, each key once. Fields describe the current row and
 * change with `next()`; nothing is allocated per row.
 */
export interface RowCursor extends AsyncDisposable {
  /** Holds the current row; valid until the next call of `next` or `refill`. */
  readonly bytes: Uint8Array;
  /** Where the key begins in `bytes`; the value follows the key. */
  readonly start: number;
  readonly keyLength: number;
  readonly valueLength: number;
  /** Steps to the next row that is in memory; false when `refill` has to be asked. */
  next(): boolean;
  /** Loads more rows; false at the end. Call only after `next` gave false. */
  refill(): Promise<boolean>;
}

/** Sorted, distinct rows of one shard that can be gone through more than once. */
export interface SortedRows {
  /** Distinct keys; an upper bound while duplicates may still be hidden in spilled runs. */
  readonly rowCountMax: number;
  /** A new cursor before the first row. */
  open(): Promise<RowCursor>;
}
