/**
 * A SlateDB database, read only: nothing is ever written, and only GET is needed.
 *
 * SlateDB's own readers write checkpoints into the database that they open. This one looks at the manifest, replays the
 * log, and reads blocks of sorted tables by ranges. What it cannot read safely it refuses: unknown versions and fields,
 * clones, and values that a program would have to merge.
 * @module
 */
import { DbAdapterError } from "../errors.ts";
import { compareBytes } from "../routing/key.ts";
import { SharedTask } from "../shared_task.ts";
import { type Row, rowsOf } from "./block.ts";
import { findState } from "./find_state.ts";
import { type DatabaseFolder, decoded } from "./folder.ts";
import { mergedRows, type RowPieces } from "./merge_rows.ts";
import { SortedTable } from "./sorted_table.ts";
import { replayLog } from "./write_ahead_log.ts";

/** Bounds of a scan: the first key, included, and where to stop, excluded. */
export interface KeyRange {
  readonly from?: Uint8Array | undefined;
  readonly to?: Uint8Array | undefined;
}

/** What one request of a scan fetches, at first and at most. */
const SCAN_BYTES_MIN = 1 << 15;
const SCAN_BYTES_MAX = 1 << 20;
const SCAN_ROWS_MAX = 1024;

interface OpenDatabase {
  /** Rows of the log, by key. */
  readonly log: readonly Row[];
  /** Places to look, the newest first: each a run of tables that do not overlap. */
  readonly runs: readonly (readonly SortedTable[])[];
}

/** Reads one database. */
export class SlateDatabase {
  readonly #folder: DatabaseFolder;
  readonly #slot: number;
  #open: OpenDatabase | null = null;
  #opening: SharedTask<OpenDatabase> | null = null;
  /** Why it cannot be read at all: looking again would send as many requests for the same. */
  #refusal: DbAdapterError | null = null;

  /** Sends nothing yet. */
  constructor(folder: DatabaseFolder) {
    this.#folder = folder;
    this.#slot = folder.blocks.newSlot();
  }

  /** The value of a key, as a copy; null where there is none. A promise only where something has to be fetched. */
  get(key: Uint8Array, signal?: AbortSignal): Uint8Array | null | Promise<Uint8Array | null> {
    const open = this.#open;
    const row = open === null ? undefined : this.#peek(open, key);
    return row === undefined ? this.getMany([key], signal).then(([value]) => value!) : this.#valueOf(row);
  }

  /** The values of keys in their order. */
  async getMany(keys: readonly Uint8Array[], signal?: AbortSignal): Promise<(Uint8Array | null)[]> {
    const { log, runs } = await this.#opened(signal);
    const rows = keys.map((key) => find(log, key));
    for (const run of runs) {
      const wanted = new Map<SortedTable, number[]>();
      for (const [i, key] of keys.entries()) {
        if (rows[i] !== null) continue;
        for (const table of tablesOf(run, key)) wanted.set(table, [...wanted.get(table) ?? [], i]);
      }
      const answers = await Promise.all(
        [...wanted].map(([table, places]) => this.#findIn(table, places.map((i) => keys[i]!), signal)),
      );
      // In the order of the tables, as a key may end one and begin the next.
      [...wanted.values()].forEach((places, table) =>
        places.forEach((place, i) => rows[place] ??= answers[table]![i]!)
      );
    }
    return rows.map((row) => this.#valueOf(row));
  }

  /** Rows in ascending order of their keys, as copies. */
  async *scan(
    { from, to }: KeyRange = {},
    signal?: AbortSignal,
  ): AsyncGenerator<[Uint8Array, Uint8Array][], void, undefined> {
    const { log, runs } = await this.#opened(signal);
    const bounds = { from, to };
    const sources = [pieceOfLog(log, bounds), ...runs.map((run) => scanRun(run, bounds, signal))];
    for await (const piece of mergedRows(sources, SCAN_ROWS_MAX)) {
      signal?.throwIfAborted();
      const rows: [Uint8Array, Uint8Array][] = [];
      for (const row of piece) {
        const value = this.#valueOf(row);
        if (value !== null) rows.push([row.key, value]);
      }
      if (rows.length > 0) yield rows;
    }
  }

  /** Fetches ahead what lookups of any key need. */
  async warm(signal?: AbortSignal): Promise<void> {
    const { runs } = await this.#opened(signal);
    await Promise.all(runs.flat().map((table) => table.meta(signal)));
  }

  /** Lets go of what is held in memory; what comes later begins anew. */
  forget(): void {
    const runs = this.#open?.runs ?? [];
    this.#open = null;
    this.#folder.blocks.drop(this.#slot);
    for (const table of runs.flat()) table.forget();
  }

  #peek({ log, runs }: OpenDatabase, key: Uint8Array): Row | null | undefined {
    const logged = find(log, key);
    if (logged !== null) return logged;
    const { tally } = this.#folder;
    const cacheHits = tally.cacheHits;
    for (const run of runs) {
      for (const table of tablesOf(run, key)) {
        const row = table.peek(key);
        if (row !== null) return row;
      }
    }
    if (tally.cacheHits === cacheHits) tally.filterHits++;
    return null;
  }

  async #findIn(
    table: SortedTable,
    keys: readonly Uint8Array[],
    signal: AbortSignal | undefined,
  ): Promise<(Row | null)[]> {
    const meta = await table.meta(signal);
    const spans = keys.map((key) => table.blocksOf(meta, key));
    const numbers = new Set<number>();
    for (const { from, last } of spans) {
      if (last < from) this.#folder.tally.filterHits++;
      for (let block = from; block <= last; block++) numbers.add(block);
    }
    const blocks = await table.blocks([...numbers], meta, signal);
    return keys.map((key, i) => {
      const { from, last } = spans[i]!;
      for (let block = from; block <= last; block++) {
        const row = table.find(blocks.get(block)!, key);
        if (row !== null) return row;
      }
      return null;
    });
  }

  #valueOf(row: Row | null): Uint8Array | null {
    if (row === null || row.value === null) return null;
    if (!row.isOperand) return row.value.slice();
    throw new DbAdapterError(
      `Cannot read a value of "${this.#folder.url}" as it is in parts that only the program that wrote them can merge`,
    );
  }

  async #opened(signal?: AbortSignal): Promise<OpenDatabase> {
    if (this.#open !== null) return this.#open;
    if (this.#refusal !== null) throw this.#refusal;
    if (this.#opening === null || this.#opening.isAborted) {
      const opening = this.#opening = new SharedTask(async (signal) => {
        try {
          return await this.#openNow(signal);
        } catch (error) {
          if (error instanceof DbAdapterError) this.#refusal = error;
          throw error;
        } finally {
          if (this.#opening === opening) this.#opening = null;
        }
      });
    }
    return await this.#opening.join(signal);
  }

  async #openNow(signal: AbortSignal): Promise<OpenDatabase> {
    const folder = this.#folder;
    const state = await findState(folder, signal);
    const { rows: log, sizeBytes } = await replayLog(folder, state, signal);
    const runs = [...state.level0.map((view) => [view]), ...state.runs];
    const open = { log, runs: runs.map((run) => run.map((view) => new SortedTable(view, folder))) };
    if (sizeBytes === 0 || folder.blocks.hold(this.#slot, sizeBytes, () => this.#open = null)) this.#open = open;
    else {
      folder.warn(`the log of "${folder.url}" is read with every lookup: there is no room, raise cacheBytesMax`);
    }
    return open;
  }
}

/** The tables of a run that may have a key: one, but for a key that ends one table and begins the next. */
function tablesOf(run: readonly SortedTable[], key: Uint8Array): readonly SortedTable[] {
  // Those that begin above the key are left out.
  let end = 0;
  for (let high = run.length; end < high;) {
    const middle = (end + high) >>> 1;
    const { firstKey } = run[middle]!.view.info;
    if (firstKey === undefined || compareBytes(firstKey, key) <= 0) end = middle + 1;
    else high = middle;
  }
  let start = end;
  while (start > 0 && mayReach(run[start - 1]!, key)) start--;
  return run.slice(start, end).filter((table) => table.covers(key));
}

/** Whether a table does not end below the key. Old ones do not tell where they end. */
function mayReach({ view: { info: { lastKey } } }: SortedTable, key: Uint8Array): boolean {
  return lastKey === undefined || compareBytes(lastKey, key) >= 0;
}

function find(rows: readonly Row[], key: Uint8Array): Row | null {
  const row = rows[firstFrom(rows, key)];
  return row !== undefined && compareBytes(row.key, key) === 0 ? row : null;
}

/** Number of the first row that is not below the key. */
function firstFrom(rows: readonly Row[], key: Uint8Array): number {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(rows[middle]!.key, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

async function* pieceOfLog(rows: readonly Row[], { from, to }: KeyRange): AsyncGenerator<readonly Row[], void> {
  const first = from === undefined ? 0 : firstFrom(rows, from);
  const last = to === undefined ? rows.length : firstFrom(rows, to);
  if (first < last) yield rows.slice(first, last);
}

/** Rows of tables that do not overlap, one after the other. */
async function* scanRun(
  run: readonly SortedTable[],
  range: KeyRange,
  signal: AbortSignal | undefined,
): RowPiecesGenerator {
  for (const table of run) {
    const { firstKey, lastKey } = table.view.info;
    if (range.from !== undefined && lastKey !== undefined && compareBytes(lastKey, range.from) < 0) continue;
    if (range.to !== undefined && firstKey !== undefined && compareBytes(firstKey, range.to) >= 0) return;
    yield* scanTable(table, range, signal);
  }
}

type RowPiecesGenerator = AsyncGenerator<readonly Row[], void, undefined> & RowPieces;

/** Requests grow, so that a scan that ends soon has not read much in vain. */
async function* scanTable(
  table: SortedTable,
  { from, to }: KeyRange,
  signal: AbortSignal | undefined,
): RowPiecesGenerator {
  const { index } = await table.meta(signal);
  let bytesMax = SCAN_BYTES_MIN;
  let block = from === undefined ? 0 : Math.max(0, index.blocksOf(from).from);
  while (block < index.blockCount) {
    if (to !== undefined && block > 0 && compareBytes(index.lowerBound(block), to) >= 0) return;
    let end = block + 1;
    while (end < index.blockCount && index.offset(end + 1) - index.offset(block) <= bytesMax) end++;
    const { version } = table.view;
    for (const content of await table.run([block, end], index, signal)) {
      const rows = decoded(table.url, () => rowsOf(content, version, table.url)).filter(({ key }) =>
        table.covers(key) && (from === undefined || compareBytes(key, from) >= 0) &&
        (to === undefined || compareBytes(key, to) < 0)
      );
      if (rows.length > 0) yield rows;
    }
    block = end;
    bytesMax = Math.min(SCAN_BYTES_MAX, 2 * bytesMax);
  }
}
