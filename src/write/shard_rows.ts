/**
 * The rows of one shard while they arrive: in memory, and beyond the ceiling as sorted runs on disk.
 * @module
 */
import type { ByteSpool, SpoolFactory } from "../bytes/spool.ts";
import { compareBytes } from "../routing/key.ts";
import type { PackedRows, RowCursor, ShardBatch, SortedRows } from "../rows.ts";
import { MergeCursor, type RunBatches } from "./merge_rows.ts";
import { decodePacked, encodePacked, PackedBuilder } from "./packed_builder.ts";
import { RowTable, sortRows } from "./sort_rows.ts";

/** Rows of a run are read and written in pieces of about this size. */
const PIECE_BYTES = 1 << 18;
/** More runs than this are merged into one before they are read: each costs a piece of memory. */
const RUNS_MAX = 32;

/** Collects the batches of a shard and gives its rows sorted. */
export class ShardRows implements AsyncDisposable {
  readonly shardId: number;
  /** Rows offered: repeated keys count. */
  rowsOffered = 0;
  /** Bytes that the batches in memory occupy. */
  heldBytes = 0;
  /** Rows in memory. */
  heldRows = 0;
  #batches: ShardBatch[] = [];
  #runs: ByteSpool[] = [];
  #runRows = 0;
  #minKey: Uint8Array | undefined;
  #maxKey: Uint8Array | undefined;

  constructor(shardId: number) {
    this.shardId = shardId;
  }

  /** Smallest key of all, encoded; known after `spill` or `sorted`. */
  get minKey(): Uint8Array | undefined {
    return this.#minKey;
  }

  /** Largest key of all, encoded; known after `spill` or `sorted`. */
  get maxKey(): Uint8Array | undefined {
    return this.#maxKey;
  }

  /** Takes a batch over. */
  add(batch: ShardBatch): void {
    this.#batches.push(batch);
    this.rowsOffered += batch.rowCount;
    this.heldBytes += batchBytes(batch);
    this.heldRows += batch.rowCount;
  }

  /** Writes what is in memory to a run on disk and forgets it. */
  async spill(openSpool: SpoolFactory): Promise<void> {
    if (this.#batches.length === 0) return;
    const rows = this.#sortBatches();
    this.#forgetBatches();
    const run = await openSpool();
    this.#runs.push(run);
    this.#runRows += rows.rowCount;
    await writeRun(rows.cursor(), run);
    if (this.#runs.length >= RUNS_MAX) await this.#mergeRuns(openSpool);
  }

  /** All rows, ascending, each key once with the value that arrived last. Call when no batch will follow. */
  sorted(): SortedRows {
    const inMemory = this.#sortBatches();
    if (this.#runs.length === 0) {
      return { rowCountMax: inMemory.rowCount, open: () => Promise.resolve(inMemory.cursor()) };
    }
    const runs = this.#runs;
    return {
      rowCountMax: this.#runRows + inMemory.rowCount,
      open: () => Promise.resolve(new MergeCursor([...runs.map(readRun), inMemory.batches()])),
    };
  }

  /** Forgets the rows and removes the runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#forgetBatches();
    for (const run of this.#runs.splice(0)) await run[Symbol.asyncDispose]();
  }

  #forgetBatches(): void {
    this.#batches = [];
    this.heldBytes = 0;
    this.heldRows = 0;
  }

  #sortBatches(): SortedBatches {
    const table = new RowTable(this.#batches);
    const rows = new SortedBatches(table, sortRows(table));
    if (rows.rowCount > 0) {
      const first = table.key(rows.order[0]!);
      const last = table.key(rows.order[rows.rowCount - 1]!);
      if (this.#minKey === undefined || compareBytes(first, this.#minKey) < 0) this.#minKey = first;
      if (this.#maxKey === undefined || compareBytes(last, this.#maxKey) > 0) this.#maxKey = last;
    }
    return rows;
  }

  async #mergeRuns(openSpool: SpoolFactory): Promise<void> {
    const merged = await openSpool();
    const runs = this.#runs;
    this.#runs = [merged, ...runs];
    this.#runRows = await writeRun(new MergeCursor(runs.map(readRun)), merged);
    this.#runs = [merged];
    for (const run of runs) await run[Symbol.asyncDispose]();
  }
}

function batchBytes(batch: PackedRows): number {
  return batch.bytes.length + 4 * (batch.starts.length + batch.keyLengths.length);
}

/** Batches in memory, and the order of their rows. */
class SortedBatches {
  readonly order: Uint32Array;
  readonly #table: RowTable;

  constructor(table: RowTable, order: Uint32Array) {
    this.#table = table;
    this.order = order;
  }

  get rowCount(): number {
    return this.order.length;
  }

  cursor(): RowCursor {
    return new BatchCursor(this.#table, this.order);
  }

  /** The rows packed anew in their order, a piece at a time: what a merge takes. */
  async *batches(): RunBatches & AsyncGenerator<PackedRows> {
    const cursor = this.cursor();
    let builder = new PackedBuilder({ rows: 1024, bytes: PIECE_BYTES });
    while (cursor.next()) {
      const { keyLength, valueLength } = cursor;
      builder.append(cursor.bytes, cursor.start, { keyLength, rowBytes: keyLength + valueLength });
      if (builder.usedBytes < PIECE_BYTES) continue;
      yield builder;
      builder = new PackedBuilder({ rows: builder.rowCount, bytes: PIECE_BYTES });
    }
    if (builder.rowCount > 0) yield builder;
  }
}

/** Goes through batches in a given order; nothing is copied. */
class BatchCursor implements RowCursor {
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  keyLength = 0;
  valueLength = 0;
  readonly #table: RowTable;
  readonly #order: Uint32Array;
  #at = 0;

  constructor(table: RowTable, order: Uint32Array) {
    this.#table = table;
    this.#order = order;
  }

  next(): boolean {
    if (this.#at >= this.#order.length) return false;
    const { batches, batchOf, firstRow } = this.#table;
    const row = this.#order[this.#at++]!;
    const batch = batches[batchOf[row]!]!;
    const index = row - firstRow[batchOf[row]!]!;
    this.bytes = batch.bytes;
    this.start = batch.starts[index]!;
    this.keyLength = batch.keyLengths[index]!;
    this.valueLength = batch.starts[index + 1]! - this.start - this.keyLength;
    return true;
  }

  refill(): Promise<boolean> {
    return Promise.resolve(false);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

/** Writes rows as a run; gives their number. While one piece is being written the next one is filled. */
async function writeRun(rows: RowCursor, run: ByteSpool): Promise<number> {
  await using cursor = rows;
  let builder = new PackedBuilder({ rows: 4096, bytes: 2 * PIECE_BYTES });
  let spare = new PackedBuilder({ rows: 4096, bytes: 2 * PIECE_BYTES });
  let writing = Promise.resolve();
  let rowCount = 0;
  do {
    while (cursor.next()) {
      const { keyLength, valueLength } = cursor;
      builder.append(cursor.bytes, cursor.start, { keyLength, rowBytes: keyLength + valueLength });
      rowCount++;
      if (builder.usedBytes < PIECE_BYTES) continue;
      await writing;
      writing = run.append(...encodePacked(builder));
      writing.catch(() => {}); // It is awaited before the next piece, where the error surfaces.
      [builder, spare] = [spare, builder];
      builder.clear();
    }
  } while (await cursor.refill());
  await writing;
  if (builder.rowCount > 0) await run.append(...encodePacked(builder));
  return rowCount;
}

async function* readRun(run: ByteSpool): RunBatches & AsyncGenerator<PackedRows> {
  for await (const piece of run.read()) yield decodePacked(piece);
}
