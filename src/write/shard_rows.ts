/**
 * The rows of one shard while they arrive: in memory, and beyond the ceiling as sorted runs on disk.
 * @module
 */
import type { ByteSpool, SpoolFactory } from "../bytes/spool.ts";
import { type Clock, systemClock } from "../clock.ts";
import { compareBytes } from "../routing/key.ts";
import type { PackedRows, RowCursor, ShardBatch, SortedRows } from "../rows.ts";
import { type Turns, turnsOf } from "../turns.ts";
import type { ArrayPool } from "./array_pool.ts";
import { MergeCursor, type RunBatches } from "./merge_rows.ts";
import { decodePacked, encodePacked, PackedBuilder } from "./packed_builder.ts";
import { RowTable, sortRows } from "./sort_rows.ts";

/** Rows of a run are read and written in pieces of about this size. */
const PIECE_BYTES = 1 << 18;
/**
 * So many runs of one level are merged into one of the next: each run that is read costs a piece of memory and an open
 * file, and a row is rewritten only once per level.
 */
const RUNS_PER_LEVEL = 32;
/** Rows that are looked up together. */
const AHEAD_ROWS = 32;

/** A sorted run on disk. */
interface SpilledRun {
  readonly spool: ByteSpool;
  readonly level: number;
  readonly rowCount: number;
}

/** Collects the batches of a shard and gives its rows sorted. */
export class ShardRows implements AsyncDisposable {
  readonly shardId: number;
  /** Rows offered: repeated keys count. */
  rowsOffered = 0;
  /** Bytes that the batches in memory occupy. */
  heldBytes = 0;
  /** Rows in memory. */
  heldRows = 0;
  readonly #turns: Turns;
  #batches: ShardBatch[] = [];
  /** The oldest first; levels never rise from one to the next. */
  #runs: SpilledRun[] = [];
  #minKey: Uint8Array | undefined;
  #maxKey: Uint8Array | undefined;

  /** @param clock Tells when it is others' turn. */
  constructor(shardId: number, clock: Clock = systemClock()) {
    this.shardId = shardId;
    this.#turns = turnsOf(clock);
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

  /** Writes what is in memory to a run on disk and forgets it; its arrays go to the pool. */
  async spill(openSpool: SpoolFactory, pool?: ArrayPool): Promise<void> {
    if (this.#batches.length === 0) return;
    const rows = await this.#sortBatches();
    const batches = this.#batches;
    this.#forgetBatches();
    await this.#addRun(rows.cursor(), 0, openSpool);
    for (const batch of batches) pool?.give(batch);
    for (let level = 0; this.#runs.filter((run) => run.level === level).length >= RUNS_PER_LEVEL; level++) {
      await this.#mergeLevel(level, openSpool);
    }
  }

  /** All rows, ascending, each key once with the value that arrived last. Call when no batch will follow. */
  async sorted(): Promise<SortedRows> {
    const inMemory = await this.#sortBatches();
    if (this.#runs.length === 0) {
      return { rowCountMax: inMemory.rowCount, open: () => Promise.resolve(inMemory.cursor()) };
    }
    const runs = this.#runs;
    return {
      rowCountMax: runs.reduce((sum, run) => sum + run.rowCount, inMemory.rowCount),
      open: () => Promise.resolve(new MergeCursor([...runs.map(readRun), inMemory.batches()])),
    };
  }

  /** Forgets the rows and removes the runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#forgetBatches();
    for (const { spool } of this.#runs.splice(0)) await spool[Symbol.asyncDispose]();
  }

  #forgetBatches(): void {
    this.#batches = [];
    this.heldBytes = 0;
    this.heldRows = 0;
  }

  async #sortBatches(): Promise<SortedBatches> {
    const table = new RowTable(this.#batches);
    const rows = new SortedBatches(table, await sortRows(table, this.#turns));
    if (rows.rowCount > 0) {
      const first = table.key(rows.order[0]!);
      const last = table.key(rows.order[rows.rowCount - 1]!);
      if (this.#minKey === undefined || compareBytes(first, this.#minKey) < 0) this.#minKey = first;
      if (this.#maxKey === undefined || compareBytes(last, this.#maxKey) > 0) this.#maxKey = last;
    }
    return rows;
  }

  async #addRun(rows: RowCursor, level: number, openSpool: SpoolFactory): Promise<void> {
    const spool = await openSpool();
    try {
      const rowCount = await writeRun(rows, spool);
      this.#runs.push({ spool, level, rowCount });
    } catch (error) {
      await spool[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The runs of a level are the latest ones, as all below were merged before. */
  async #mergeLevel(level: number, openSpool: SpoolFactory): Promise<void> {
    const merged = this.#runs.filter((run) => run.level === level);
    await this.#addRun(new MergeCursor(merged.map(readRun)), level + 1, openSpool);
    this.#runs = this.#runs.filter((run) => run.level !== level);
    for (const { spool } of merged) await spool[Symbol.asyncDispose]();
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

/**
 * Goes through batches in a given order; nothing is copied.
 *
 * Rows are looked up some ahead, and a byte of each is read: neighbours by key lie far apart, and the processor waits
 * for many places in memory at the same time, but not when all the work on a row stands between two of them.
 */
class BatchCursor implements RowCursor {
  bytes: Uint8Array = new Uint8Array(0);
  start = 0;
  keyLength = 0;
  valueLength = 0;
  readonly #table: RowTable;
  readonly #order: Uint32Array;
  #at = 0;
  /** Batch, start, length of the key and end of the rows that come next. */
  readonly #ahead = new Uint32Array(4 * AHEAD_ROWS);
  /** Depends on the bytes that are read ahead, so that no compiler leaves the reading out. */
  #touched = 0;

  constructor(table: RowTable, order: Uint32Array) {
    this.#table = table;
    this.#order = order;
  }

  next(): boolean {
    if (this.#at >= this.#order.length) return false;
    const place = 4 * (this.#at % AHEAD_ROWS);
    if (place === 0) this.#lookAhead();
    this.#at++;
    const ahead = this.#ahead;
    const start = ahead[place + 1]!;
    const keyLength = ahead[place + 2]!;
    this.bytes = this.#table.batches[ahead[place]!]!.bytes;
    this.start = start;
    this.keyLength = keyLength;
    this.valueLength = ahead[place + 3]! - start - keyLength;
    return true;
  }

  #lookAhead(): void {
    const { batches, batchOf, firstRow } = this.#table;
    const order = this.#order;
    const ahead = this.#ahead;
    const end = Math.min(this.#at + AHEAD_ROWS, order.length);
    let touched = 0;
    for (let at = this.#at, place = 0; at < end; at++, place += 4) {
      const row = order[at]!;
      const batchIndex = batchOf[row]!;
      const { bytes, starts, keyLengths } = batches[batchIndex]!;
      const index = row - firstRow[batchIndex]!;
      const start = starts[index]!;
      ahead[place] = batchIndex;
      ahead[place + 1] = start;
      ahead[place + 2] = keyLengths[index]!;
      const rowEnd = starts[index + 1]!;
      ahead[place + 3] = rowEnd;
      if (rowEnd > start) touched ^= bytes[start]! ^ bytes[Math.min(start + 64, rowEnd - 1)]!;
    }
    this.#touched = touched;
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
  await run.seal();
  return rowCount;
}

async function* readRun({ spool }: SpilledRun): RunBatches & AsyncGenerator<PackedRows> {
  for await (const piece of spool.read("reuse")) yield decodePacked(piece);
}
