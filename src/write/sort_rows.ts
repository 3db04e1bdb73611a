/**
 * Sorts packed rows by their keys' bytes without moving them: the result is a list of row numbers.
 *
 * Radix sort on eight key bytes at a time. All rows begin as one group; a group first skips what all its keys share,
 * is then ordered by the next eight bytes (padded with zeros), and rows that are still equal form new groups. Groups
 * of a few rows are ordered by plain comparison. Cost: about one pass per four differing key bytes; 24 bytes a row
 * beside the rows.
 * @module
 */
import type { PackedRows } from "../rows.ts";

/** Rows of several batches under one numbering: batch by batch in order of arrival. */
export class RowTable {
  readonly batches: readonly PackedRows[];
  readonly rowCount: number;
  /** Batch of each row. */
  readonly batchOf: Uint32Array;
  /** Number of each batch's first row. */
  readonly firstRow: readonly number[];

  constructor(batches: readonly PackedRows[]) {
    this.batches = batches;
    this.rowCount = batches.reduce((sum, batch) => sum + batch.rowCount, 0);
    this.batchOf = new Uint32Array(this.rowCount);
    const firstRow: number[] = [];
    let row = 0;
    batches.forEach((batch, index) => {
      firstRow.push(row);
      this.batchOf.fill(index, row, row + batch.rowCount);
      row += batch.rowCount;
    });
    this.firstRow = firstRow;
  }

  /** Key length of a row. */
  keyLength(row: number): number {
    const batch = this.batchOf[row]!;
    return this.batches[batch]!.keyLengths[row - this.firstRow[batch]!]!;
  }

  /** A copy of a row's key. */
  key(row: number): Uint8Array {
    const batch = this.batchOf[row]!;
    const { bytes, starts, keyLengths } = this.batches[batch]!;
    const index = row - this.firstRow[batch]!;
    return bytes.slice(starts[index]!, starts[index]! + keyLengths[index]!);
  }

  /** Compares two keys from byte `depth` on: negative, zero or positive. */
  compare(left: number, right: number, depth: number): number {
    const shared = this.#sharedLength(left, right, depth);
    const leftEnd = this.keyLength(left);
    const rightEnd = this.keyLength(right);
    if (shared === leftEnd || shared === rightEnd) return leftEnd - rightEnd;
    return this.#byte(left, shared) - this.#byte(right, shared);
  }

  /** How many bytes, from the beginning, the keys of some rows share; `depth` of them are known to be equal. */
  sharedLength(rows: Uint32Array, depth: number): number {
    let shared = this.keyLength(rows[0]!);
    for (let i = 1; i < rows.length && shared > depth; i++) {
      shared = Math.min(shared, this.#sharedLength(rows[0]!, rows[i]!, depth));
    }
    return shared;
  }

  #sharedLength(left: number, right: number, depth: number): number {
    const leftBatch = this.batches[this.batchOf[left]!]!;
    const rightBatch = this.batches[this.batchOf[right]!]!;
    const leftStart = leftBatch.starts[left - this.firstRow[this.batchOf[left]!]!]!;
    const rightStart = rightBatch.starts[right - this.firstRow[this.batchOf[right]!]!]!;
    const end = Math.min(this.keyLength(left), this.keyLength(right));
    let at = depth;
    while (at < end && leftBatch.bytes[leftStart + at] === rightBatch.bytes[rightStart + at]) at++;
    return at;
  }

  #byte(row: number, at: number): number {
    const batch = this.batchOf[row]!;
    const { bytes, starts } = this.batches[batch]!;
    return bytes[starts[row - this.firstRow[batch]!]! + at]!;
  }
}

/** Groups of fewer rows are sorted by comparison. */
const RADIX_ROWS_MIN = 96;
const RADIX_WIDE_ROWS_MIN = 8192;

interface Group {
  readonly from: number;
  readonly to: number;
  readonly depth: number;
}

/** Row numbers in ascending order of the keys; of rows with equal keys only the one that arrived last. */
export function sortRows(table: RowTable): Uint32Array {
  const order = new Uint32Array(table.rowCount);
  for (let row = 0; row < order.length; row++) order[row] = row;
  const scratch = new Uint32Array(table.rowCount);
  const high = new Uint32Array(table.rowCount);
  const low = new Uint32Array(table.rowCount);
  // A stack of our own: keys that are prefixes of each other would nest as deep as they are long.
  const groups: Group[] = [{ from: 0, to: order.length, depth: 0 }];
  for (let group = groups.pop(); group !== undefined; group = groups.pop()) {
    const rows = order.subarray(group.from, group.to);
    if (rows.length < 2) continue;
    if (rows.length < RADIX_ROWS_MIN) {
      const { depth } = group;
      rows.sort((left, right) => table.compare(left, right, depth) || left - right);
      continue;
    }
    const depth = table.sharedLength(rows, group.depth);
    loadPrefixes(table, rows, { depth, high, low });
    if (isAscending(rows, high, low)) continue;
    radixSort(rows, scratch, low);
    radixSort(rows, scratch, high);
    pushTies(table, rows, { from: group.from, depth, high, low, groups });
  }
  return dropOverwritten(table, order, { high, low });
}

/** Eight key bytes from `depth` on, as two big-endian halves. */
function loadPrefixes(
  table: RowTable,
  rows: Uint32Array,
  { depth, high, low }: { depth: number; high: Uint32Array; low: Uint32Array },
): void {
  const { batches, batchOf, firstRow } = table;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    const batch = batchOf[row]!;
    const { bytes, starts, keyLengths } = batches[batch]!;
    const index = row - firstRow[batch]!;
    const at = starts[index]! + depth;
    const count = keyLengths[index]! - depth;
    if (count >= 8) {
      high[row] = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
      low[row] = (bytes[at + 4]! << 24) | (bytes[at + 5]! << 16) | (bytes[at + 6]! << 8) | bytes[at + 7]!;
      continue;
    }
    let upper = 0;
    let lower = 0;
    for (let k = 0; k < count; k++) {
      if (k < 4) upper |= bytes[at + k]! << (24 - 8 * k);
      else lower |= bytes[at + k]! << (56 - 8 * k);
    }
    high[row] = upper;
    low[row] = lower;
  }
}

/** Stable sort of `rows` by `words[row]`, least significant digit first. */
function radixSort(rows: Uint32Array, scratch: Uint32Array, words: Uint32Array): void {
  const digitBits = rows.length >= RADIX_WIDE_ROWS_MIN ? 16 : 8;
  const mask = (1 << digitBits) - 1;
  const counts = new Uint32Array(mask + 1);
  let from = rows;
  let to = scratch.subarray(0, rows.length);
  for (let shift = 0; shift < 32; shift += digitBits) {
    counts.fill(0);
    for (let i = 0; i < from.length; i++) counts[(words[from[i]!]! >>> shift) & mask]!++;
    if (counts[(words[from[0]!]! >>> shift) & mask] === from.length) continue;
    let sum = 0;
    for (let digit = 0; digit <= mask; digit++) {
      const count = counts[digit]!;
      counts[digit] = sum;
      sum += count;
    }
    for (let i = 0; i < from.length; i++) {
      const row = from[i]!;
      to[counts[(words[row]! >>> shift) & mask]!++] = row;
    }
    [from, to] = [to, from];
  }
  if (from !== rows) rows.set(from);
}

/** Finds runs of rows that the prefixes do not tell apart, and plans what is left to do with them. */
function pushTies(
  table: RowTable,
  rows: Uint32Array,
  ties: { from: number; depth: number; high: Uint32Array; low: Uint32Array; groups: Group[] },
): void {
  const { high, low, depth } = ties;
  const end = depth + 8;
  for (let i = 0; i < rows.length;) {
    const first = rows[i]!;
    let j = i + 1;
    let shortest = table.keyLength(first);
    let longest = shortest;
    while (j < rows.length && high[rows[j]!] === high[first] && low[rows[j]!] === low[first]) {
      const length = table.keyLength(rows[j]!);
      if (length < shortest) shortest = length;
      if (length > longest) longest = length;
      j++;
    }
    if (j - i > 1) {
      if (shortest >= end) {
        if (longest > end) ties.groups.push({ from: ties.from + i, to: ties.from + j, depth: end });
      } else if (shortest < longest) {
        // Keys that end here differ from longer ones by zero bytes only: the shorter is the smaller.
        const tied = rows.subarray(i, j);
        tied.sort((left, right) => table.compare(left, right, depth) || left - right);
      }
    }
    i = j;
  }
}

/** Input that is in order already, as it often is, needs no sorting. */
function isAscending(rows: Uint32Array, high: Uint32Array, low: Uint32Array): boolean {
  for (let i = 1; i < rows.length; i++) {
    const before = rows[i - 1]!;
    const row = rows[i]!;
    if (high[before]! > high[row]! || (high[before] === high[row] && low[before]! >= low[row]!)) return false;
  }
  return true;
}

/** Keeps the last arrival of each key. Equal keys went through the same groups, so their last prefixes are equal. */
function dropOverwritten(
  table: RowTable,
  order: Uint32Array,
  { high, low }: { high: Uint32Array; low: Uint32Array },
): Uint32Array {
  let kept = 0;
  for (let i = 0; i < order.length; i++) {
    const row = order[i]!;
    if (i + 1 < order.length) {
      const next = order[i + 1]!;
      if (high[row] === high[next] && low[row] === low[next] && table.compare(row, next, 0) === 0) continue;
    }
    order[kept++] = row;
  }
  return order.subarray(0, kept);
}
