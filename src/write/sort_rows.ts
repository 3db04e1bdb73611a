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
import type { Turns } from "../turns.ts";

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

  /**
   * How many bytes, from the beginning, the keys of some rows share with one of them: `depth` at least, as is known,
   * and `most` at most.
   */
  sharedLength(first: number, rows: Uint32Array, [depth, most]: readonly [depth: number, most: number]): number {
    let shared = most;
    for (let i = 0; i < rows.length && shared > depth; i++) {
      shared = Math.min(shared, this.#sharedLength(first, rows[i]!, depth));
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

/** So many rows are gone through at a time, which takes a few milliseconds at most; then it may be others' turn. */
const SLICE_ROWS = 1 << 15;
/** Groups of fewer rows are sorted by comparison. */
const RADIX_ROWS_MIN = 96;
const RADIX_WIDE_ROWS_MIN = 8192;

interface Group {
  readonly from: number;
  readonly to: number;
  readonly depth: number;
}

/** Goes through rows, or what stands for them, slice by slice. */
type InSlices = (rowCount: number, step: (from: number, to: number) => void) => Promise<void> | void;

function slicer(turns: Turns): InSlices {
  async function many(rowCount: number, step: (from: number, to: number) => void): Promise<void> {
    for (let from = 0; from < rowCount; from += SLICE_ROWS) {
      step(from, Math.min(rowCount, from + SLICE_ROWS));
      if (turns.isOver) await turns.end();
    }
  }
  return (rowCount, step) => rowCount <= SLICE_ROWS ? step(0, rowCount) : many(rowCount, step);
}

/** Row numbers in ascending order of the keys; of rows with equal keys only the one that arrived last. */
export async function sortRows(table: RowTable, turns: Turns): Promise<Uint32Array> {
  const order = new Uint32Array(table.rowCount);
  for (let row = 0; row < order.length; row++) order[row] = row;
  const inSlices = slicer(turns);
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
    if (turns.isOver) await turns.end();
    const depth = await sharedDepth(table, rows, { from: group.depth, inSlices });
    const prefixes = { depth, high, low };
    await inSlices(rows.length, (from, to) => loadPrefixes(table, rows.subarray(from, to), prefixes));
    if (await isAscending(rows, prefixes, inSlices)) continue;
    await radixSort(rows, scratch, { words: low, inSlices });
    await radixSort(rows, scratch, { words: high, inSlices });
    await pushTies(table, rows, { from: group.from, ...prefixes, groups, turns });
  }
  return await dropOverwritten(table, order, { high, low, inSlices });
}

/** How many bytes all keys of a group share. */
async function sharedDepth(
  table: RowTable,
  rows: Uint32Array,
  { from: depth, inSlices }: { from: number; inSlices: InSlices },
): Promise<number> {
  const first = rows[0]!;
  let shared = table.keyLength(first);
  await inSlices(rows.length, (from, to) => {
    shared = table.sharedLength(first, rows.subarray(from, to), [depth, shared]);
  });
  return shared;
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
async function radixSort(
  rows: Uint32Array,
  scratch: Uint32Array,
  { words, inSlices }: { words: Uint32Array; inSlices: InSlices },
): Promise<void> {
  const digitBits = rows.length >= RADIX_WIDE_ROWS_MIN ? 16 : 8;
  const counts = new Uint32Array(1 << digitBits);
  let from = rows;
  let to = scratch.subarray(0, rows.length);
  for (let shift = 0; shift < 32; shift += digitBits) {
    const digits = { words, shift, counts };
    counts.fill(0);
    await inSlices(rows.length, (start, end) => countDigits(from.subarray(start, end), digits));
    if (counts[words[from[0]!]! >>> shift & counts.length - 1] === rows.length) continue;
    let sum = 0;
    for (let digit = 0; digit < counts.length; digit++) {
      const count = counts[digit]!;
      counts[digit] = sum;
      sum += count;
    }
    await inSlices(rows.length, (start, end) => moveByDigit(from.subarray(start, end), to, digits));
    [from, to] = [to, from];
  }
  if (from !== rows) rows.set(from);
}

/** The digit of each row's word, and how often it occurs or where its rows go. */
interface Digits {
  readonly words: Uint32Array;
  readonly shift: number;
  readonly counts: Uint32Array;
}

function countDigits(rows: Uint32Array, { words, shift, counts }: Digits): void {
  const mask = counts.length - 1;
  for (let i = 0; i < rows.length; i++) counts[words[rows[i]!]! >>> shift & mask]!++;
}

function moveByDigit(rows: Uint32Array, to: Uint32Array, { words, shift, counts }: Digits): void {
  const mask = counts.length - 1;
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i]!;
    to[counts[words[row]! >>> shift & mask]!++] = row;
  }
}

/** Finds runs of rows that the prefixes do not tell apart, and plans what is left to do with them. */
async function pushTies(
  table: RowTable,
  rows: Uint32Array,
  ties: { from: number; depth: number; high: Uint32Array; low: Uint32Array; groups: Group[]; turns: Turns },
): Promise<void> {
  const { high, low, depth, turns } = ties;
  const end = depth + 8;
  for (let i = 0, sliceEnd = SLICE_ROWS; i < rows.length;) {
    if (i >= sliceEnd) {
      sliceEnd = i + SLICE_ROWS;
      if (turns.isOver) await turns.end();
    }
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
async function isAscending(
  rows: Uint32Array,
  { high, low }: { high: Uint32Array; low: Uint32Array },
  inSlices: InSlices,
): Promise<boolean> {
  let isSo = true;
  await inSlices(rows.length, (from, to) => {
    for (let i = Math.max(1, from); i < to && isSo; i++) {
      const before = rows[i - 1]!;
      const row = rows[i]!;
      isSo = high[before]! < high[row]! || (high[before] === high[row] && low[before]! < low[row]!);
    }
  });
  return isSo;
}

/** Keeps the last arrival of each key. Equal keys went through the same groups, so their last prefixes are equal. */
async function dropOverwritten(
  table: RowTable,
  order: Uint32Array,
  { high, low, inSlices }: { high: Uint32Array; low: Uint32Array; inSlices: InSlices },
): Promise<Uint32Array> {
  let kept = 0;
  await inSlices(order.length, (from, to) => {
    for (let i = from; i < to; i++) {
      const row = order[i]!;
      if (i + 1 < order.length) {
        const next = order[i + 1]!;
        if (high[row] === high[next] && low[row] === low[next] && table.compare(row, next, 0) === 0) continue;
      }
      order[kept++] = row;
    }
  });
  return order.subarray(0, kept);
}
