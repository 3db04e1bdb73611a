/**
 * A shard's file as a SQLite database: every tree read to its end, and which pages are in none.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { Cursor } from "../sqlite/cursor.ts";
import { type Database, openDatabase } from "../sqlite/database_reader.ts";
import { LOCK_BYTE_OFFSET } from "../sqlite/format.ts";
import { columnsOf } from "../sqlite/key_value_columns.ts";
import type { KeyValueTable } from "../sqlite/key_value_table.ts";
import { copyPart } from "../sqlite/overflow.ts";
import type { PageSource } from "../sqlite/page_source.ts";
import type { Sidecar } from "../sqlite/sidecar.ts";
import { sidecarOf } from "../sqlite/sidecar_walk.ts";
import { corruptPage, type Payload, type TreeShape, u32At } from "../sqlite/tree_shape.ts";
import type { ReportProblem, RowCheck } from "./row_check.ts";

/** After so many rows timers and signals have their turn. */
const ROWS_AT_ONCE = 1 << 14;

/** What a file is compared with. */
export interface DatabaseRules {
  /** Is given all rows. */
  readonly rows: RowCheck;
  /** Whose chains must be those of the rows; null without one. */
  readonly sidecar: Sidecar | null;
  /** Takes what is wrong with the sidecar. */
  readonly reportSidecar: ReportProblem;
  readonly note: (text: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Reads all that a shard's file consists of.
 *
 * @throws {CorruptFileError} at the first damage that keeps the rest from being read.
 */
export async function checkDatabase(source: PageSource, rules: DatabaseRules): Promise<void> {
  const { note, signal } = rules;
  const reached = new ReachedPages(source);
  const database = await openDatabase(reached, signal);
  if (database.table("kv") === undefined) {
    throw new CorruptFileError('Cannot read a shard as it must have a table "kv": the file is some other database', -1);
  }
  await walkRows(database.keyValueTable("kv"), rules);
  if (hasOtherTrees(database)) await sidecarOf(reached, signal);
  const head = await source.load(1, signal);
  followFreeList(reached, database.pageCount);
  // In files of that kind some pages hold nothing but where the others are linked from.
  const isAutoVacuum = u32At(head, 52) !== 0;
  const strayCount = isAutoVacuum ? 0 : reached.strayCount(database.pageCount);
  if (strayCount > 0) note("content of pages that are in no table and not free");
}

function hasOtherTrees(database: Database): boolean {
  return database.schema().some(({ rootPage, name, type }) =>
    rootPage > 0 && !(type === "table" && name.toLowerCase() === "kv")
  );
}

async function walkRows(table: KeyValueTable, rules: DatabaseRules): Promise<void> {
  const { rows, sidecar, reportSidecar, signal } = rules;
  const { tree } = table;
  const { shape } = tree;
  const cursor = new Cursor(shape, tree.rootPage);
  /** By page, 1 for those that rows overflow to. */
  const chained = new Uint8Array(shape.pageCount + 1);
  for (let step = cursor.step(); step !== "end"; step = cursor.step()) {
    if (step === "wait") {
      await cursor.wait(signal);
      continue;
    }
    const payload = cursor.payload();
    const [from, length] = columnsOf(tree, payload).key;
    const offset = (payload.pageNumber - 1) * shape.pageSizeBytes + payload.offset;
    if (payload.overflowPage === 0) {
      rows.add(payload.bytes.subarray(payload.start + from, payload.start + from + length), offset);
    } else {
      // Copying the whole row checks the chain's links and its end.
      const row = await copyPart(shape, payload, { span: [0, payload.sizeBytes], signal });
      rows.add(row.slice(from, from + length), offset);
      const chain = await chainOf(shape, payload, chained);
      if (sidecar !== null) compareChain(sidecar, chain, reportSidecar);
    }
    if (rows.rowCount % ROWS_AT_ONCE === 0) {
      await new Promise((resolve) => setTimeout(resolve));
      signal.throwIfAborted();
    }
  }
}

/** The pages of a row's chain, which was followed to its end before. */
async function chainOf(shape: TreeShape, payload: Payload, chained: Uint8Array): Promise<number[]> {
  const chain: number[] = [];
  for (let next = payload.overflowPage; chain.length < payload.overflowCount;) {
    if (chained[next] === 1) throw corruptPage(shape, [next, 0], "two rows lie on it");
    chained[next] = 1;
    chain.push(next);
    next = u32At(shape.source.peek(next) ?? await shape.source.load(next), 0);
  }
  return chain;
}

function compareChain(sidecar: Sidecar, chain: readonly number[], report: ReportProblem): void {
  const listed = sidecar.chain(chain[0]!);
  if (listed === undefined) return report("sidecar", `it lacks the overflow chain that begins with page ${chain[0]}`);
  if (listed.length === chain.length && chain.every((pageNumber, i) => pageNumber === listed[i])) return;
  report("sidecar", `its overflow chain that begins with page ${chain[0]} is another one than in the file`);
}

/** Marks what the free list consists of. @throws {CorruptFileError} when it is damaged. */
function followFreeList(pages: ReachedPages, pageCount: number): void {
  const { pageSizeBytes } = pages;
  const head = pages.peek(1)!;
  const freeCount = u32At(head, 36);
  let found = 0;
  for (let trunk = u32At(head, 32), namedBy = 1; trunk !== 0;) {
    const page = takeFree(trunk, namedBy);
    const leafCount = u32At(page, 4);
    if (leafCount > pageSizeBytes / 4 - 2) throw freeListError(trunk, "it lists more pages than it has room for");
    for (let i = 0; i < leafCount; i++) takeFree(u32At(page, 8 + 4 * i), trunk);
    namedBy = trunk;
    trunk = u32At(page, 0);
  }
  if (found !== freeCount) throw freeListError(1, `it says that ${freeCount} pages are free: ${found} are listed`);

  function takeFree(pageNumber: number, namedBy: number): Uint8Array {
    if (pageNumber < 2 || pageNumber > pageCount) throw freeListError(namedBy, `there is no free page ${pageNumber}`);
    if (pages.has(pageNumber)) throw freeListError(namedBy, `the free page ${pageNumber} is in use`);
    found++;
    return pages.peek(pageNumber)!;
  }

  function freeListError(pageNumber: number, problem: string): CorruptFileError {
    const byteOffset = (pageNumber - 1) * pageSizeBytes;
    return new CorruptFileError(`Cannot read page ${pageNumber} of the database's free list: ${problem}`, byteOffset);
  }
}

/** Pages that say which of them were asked for. */
class ReachedPages implements PageSource {
  readonly pageSizeBytes: number;
  readonly pageCount: number;
  readonly #source: PageSource;
  readonly #isReached: Uint8Array;

  constructor(source: PageSource) {
    this.pageSizeBytes = source.pageSizeBytes;
    this.pageCount = source.pageCount;
    this.#source = source;
    this.#isReached = new Uint8Array(source.pageCount + 1);
  }

  peek(pageNumber: number): Uint8Array | undefined {
    this.#isReached[pageNumber] = 1;
    return this.#source.peek(pageNumber);
  }

  load(pageNumber: number, signal?: AbortSignal): Promise<Uint8Array> {
    this.#isReached[pageNumber] = 1;
    return this.#source.load(pageNumber, signal);
  }

  has(pageNumber: number): boolean {
    return this.#isReached[pageNumber] === 1;
  }

  /** Pages that nobody asked for, but for the one that SQLite locks files with. */
  strayCount(pageCount: number): number {
    const lockPage = LOCK_BYTE_OFFSET / this.pageSizeBytes + 1;
    let count = 0;
    for (let n = 1; n <= pageCount; n++) if (this.#isReached[n] === 0 && n !== lockPage) count++;
    return count;
  }
}
