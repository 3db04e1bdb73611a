/**
 * Merges sorted runs into one ascending sequence of rows.
 * @module
 */
import type { PackedRows, RowCursor } from "../rows.ts";

/** A sorted run: batches of rows, ascending within and across batches. */
export type RunBatches = AsyncIterator<PackedRows>;

/** Compares two byte strings by unsigned bytes, then by length. */
function compareKeys(left: Run, right: Run): number {
  const { bytes: a, start: i } = left;
  const { bytes: b, start: j } = right;
  const shared = Math.min(left.keyLength, right.keyLength);
  for (let k = 0; k < shared; k++) {
    const difference = a[i + k]! - b[j + k]!;
    if (difference !== 0) return difference;
  }
  return left.keyLength - right.keyLength;
}

/** One run and its current row. */
class Run {
  /** Later runs win over earlier ones. */
  readonly age: number;
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  keyLength = 0;
  valueLength = 0;
  readonly #batches: RunBatches;
  #batch: PackedRows | undefined;
  #row = -1;

  constructor(batches: RunBatches, age: number) {
    this.#batches = batches;
    this.age = age;
  }

  /** False when the batch is used up. */
  step(): boolean {
    const batch = this.#batch;
    if (batch === undefined || ++this.#row >= batch.rowCount) return false;
    this.bytes = batch.bytes;
    this.start = batch.starts[this.#row]!;
    this.keyLength = batch.keyLengths[this.#row]!;
    this.valueLength = batch.starts[this.#row + 1]! - this.start - this.keyLength;
    return true;
  }

  /** Loads the next batch; false at the end of the run. */
  async load(): Promise<boolean> {
    const { value, done } = await this.#batches.next();
    this.#batch = done ? undefined : value;
    this.#row = -1;
    return !done;
  }

  async close(): Promise<void> {
    await this.#batches.return?.();
  }
}

/**
 * Goes through several runs at once; of equal keys the one of the latest run is given. Holds one batch of each run.
 */
export class MergeCursor implements RowCursor {
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  keyLength = 0;
  valueLength = 0;
  readonly #runs: readonly Run[];
  /** A binary heap of the runs that stand on a row: the smallest key on top, of equal keys the latest run. */
  readonly #heap: Run[] = [];
  /** Runs whose current row has been given or was overwritten: they step before the next row is chosen. */
  readonly #behind: Run[];

  /** @param runs In order of age, the oldest first. */
  constructor(runs: readonly RunBatches[]) {
    this.#runs = runs.map((batches, age) => new Run(batches, age));
    this.#behind = [...this.#runs];
  }

  next(): boolean {
    const behind = this.#behind;
    while (behind.length > 0) {
      const run = behind[behind.length - 1]!;
      if (!run.step()) return false;
      behind.pop();
      this.#push(run);
    }
    if (this.#heap.length === 0) return false;
    const winner = this.#pop();
    behind.push(winner);
    while (this.#heap.length > 0 && compareKeys(this.#heap[0]!, winner) === 0) behind.push(this.#pop());
    this.bytes = winner.bytes;
    this.start = winner.start;
    this.keyLength = winner.keyLength;
    this.valueLength = winner.valueLength;
    return true;
  }

  async refill(): Promise<boolean> {
    const run = this.#behind[this.#behind.length - 1];
    if (run === undefined) return false;
    if (!(await run.load())) this.#behind.pop();
    return this.#behind.length > 0 || this.#heap.length > 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const run of this.#runs) await run.close();
  }

  #push(run: Run): void {
    const heap = this.#heap;
    let at = heap.push(run) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(run, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = run;
  }

  #pop(): Run {
    const heap = this.#heap;
    const top = heap[0]!;
    const moved = heap.pop()!;
    if (heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, moved)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = moved;
    return top;
  }
}

function isBefore(left: Run, right: Run): boolean {
  const order = compareKeys(left, right);
  return order < 0 || (order === 0 && left.age > right.age);
}
