/**
 * Goes through tables whose rows are long, such as the chunks of an index of vectors: what rows overflow to is fetched
 * in few, large pieces, the next one while the last is being used, and kept nowhere.
 * @module
 */
import { feed, loadTogether, payloadCopy } from "./overflow.ts";
import { serialBytes } from "./record.ts";
import { childOf, payloadOf, rowidAt, rowidPageOf, type RowidTree } from "./rowid_rows.ts";
import { corruptPage, DEPTH_MAX, type Payload, type TreeShape, u32At } from "./tree_shape.ts";
import { varintAt, varintEnd } from "./varint.ts";

/** Pieces are about so long where the source does not say, or as one row. */
const PIECE_BYTES = 1 << 23;
/** The longest piece that is asked for at once. */
const RUN_BYTES_MAX = 1 << 23;
/** What lies between two chains is fetched with them up to this length. */
const GAP_BYTES_MAX = 1 << 16;
/** Leaves that are loaded together. */
const LEAVES_AT_ONCE_MAX = 64;

/** A row, of which columns can be copied as long as the next one was not asked for. */
export interface LongRow {
  readonly rowid: number | bigint;
  /** Bytes of each column, up to the one that was asked for. */
  readonly columnBytes: readonly number[];
  /** Copies a column's bytes to the beginning of `target`, which has room for them. */
  copy(column: number, target: Uint8Array<ArrayBuffer>, signal?: AbortSignal): undefined | Promise<void>;
}

/** A row's cell. */
interface LongCell {
  readonly rowid: number | bigint;
  readonly payload: Payload;
  /** The pages that its chain is likely to consist of. */
  readonly chain: readonly number[];
}

/**
 * All rows of a table in ascending order of their ids. Holds two pieces of 8 MiB, or of one row where that is longer.
 *
 * @throws {CorruptFileError} as soon as damage is met; rows before it have been given.
 */
export async function* longRows(tree: RowidTree, signal?: AbortSignal): AsyncGenerator<LongRow, void, undefined> {
  const { shape } = tree;
  let ahead: Promise<Window> | undefined;
  /** Where pages were that are needed no more. */
  const rooms: Uint8Array<ArrayBuffer>[] = [];
  try {
    for await (const cells of windows(tree, signal)) {
      const next = loadWindow(shape, cells, { signal, rooms });
      // It may be looked at only after another one has failed.
      next.catch(() => {});
      const window = await ahead;
      ahead = next;
      if (window === undefined) continue;
      yield* rowsOf(shape, window);
      rooms.push(...window.rooms);
    }
    const last = await ahead;
    if (last !== undefined) yield* rowsOf(shape, last);
  } finally {
    // Nothing goes on behind the caller's back.
    await ahead?.catch(() => {});
  }
}

const NO_PAGES: ReadonlyMap<number, Uint8Array> = new Map();

/** Pages of some chains, in a few pieces. */
interface Window {
  readonly cells: readonly LongCell[];
  readonly pages: Pick<ReadonlyMap<number, Uint8Array>, "get">;
  /** What can be used again when the window is not needed any more. */
  readonly rooms: readonly Uint8Array<ArrayBuffer>[];
}

function* rowsOf(shape: TreeShape, { cells, pages }: Window): Generator<LongRow, void, undefined> {
  for (const { rowid, payload } of cells) {
    const spans = columnSpans(shape, payload);
    yield {
      rowid,
      columnBytes: spans.map(([, length]) => length),
      copy(column, target, signal) {
        const span = spans[column] ?? [0, 0];
        if (copyNow({ shape, payload, pages }, span, target)) return;
        return feed(shape, payloadCopy(shape, payload, [...span, target]), signal);
      },
    };
  }
}

/**
 * Copies a part of a payload; false when a page is not at hand, or is not what it should be. What `payloadCopy` does
 * for any consumer, this does for very long rows with a quarter of the effort.
 */
function copyNow(
  { shape, payload, pages }: { shape: TreeShape; payload: Payload } & Pick<Window, "pages">,
  [from, length]: readonly [from: number, length: number],
  target: Uint8Array,
): boolean {
  const { bytes, start, localBytes, sizeBytes } = payload;
  const { pageSizeBytes, usableBytes, pageCount, source: { contiguous } } = shape;
  const end = from + length;
  if (from < localBytes) target.set(bytes.subarray(start + from, start + Math.min(end, localBytes)));
  let pageNumber = payload.overflowPage;
  for (let position = localBytes; position < end; position += usableBytes - 4) {
    if (pageNumber < 2 || pageNumber > pageCount) return false;
    const page = contiguous ?? pages.get(pageNumber);
    if (page === undefined) return false;
    const pageStart = contiguous === undefined ? 0 : (pageNumber - 1) * pageSizeBytes;
    const count = Math.min(usableBytes - 4, sizeBytes - position);
    pageNumber = u32At(page, pageStart);
    if ((position + count === sizeBytes) !== (pageNumber === 0)) return false;
    const first = Math.max(from - position, 0);
    const last = Math.min(count, end - position);
    if (first >= last) continue;
    target.set(page.subarray(pageStart + 4 + first, pageStart + 4 + last), position + first - from);
  }
  return true;
}

/** Where the columns of a record stand in its payload. @throws {CorruptFileError} */
function columnSpans(shape: TreeShape, payload: Payload): (readonly [from: number, length: number])[] {
  const { bytes, start, localBytes, sizeBytes } = payload;
  const typesStart = varintEnd(bytes, start, start + localBytes);
  const headerBytes = typesStart < 0 ? Infinity : varintAt(bytes, start);
  const spans: [number, number][] = [];
  let from = headerBytes;
  let at = typesStart;
  while (headerBytes <= localBytes && at >= 0 && at < start + headerBytes) {
    const next = varintEnd(bytes, at, start + headerBytes);
    const length = next < 0 ? -1 : serialBytes(varintAt(bytes, at));
    at = length < 0 ? -1 : next;
    spans.push([from, length]);
    from += length;
  }
  if (headerBytes <= localBytes && at >= 0 && from <= sizeBytes) return spans;
  throw corruptPage(shape, [payload.pageNumber, payload.offset], "the columns of a row must lie inside the row");
}

/** The table's cells, as many together as make a piece. */
async function* windows(tree: RowidTree, signal?: AbortSignal): AsyncGenerator<LongCell[], void, undefined> {
  let cells: LongCell[] = [];
  let sizeBytes = 0;
  const { runBytes = PIECE_BYTES } = tree.shape.source;
  for await (const cell of cellsUnder(tree, signal)) {
    if (cells.length > 0 && sizeBytes + cell.payload.sizeBytes > runBytes) {
      yield cells;
      cells = [];
      sizeBytes = 0;
    }
    cells.push(cell);
    sizeBytes += cell.payload.sizeBytes;
  }
  if (cells.length > 0) yield cells;
}

async function* cellsUnder(
  { shape, rootPage }: RowidTree,
  signal?: AbortSignal,
): AsyncGenerator<LongCell, void, undefined> {
  const { source } = shape;
  const level = { numbers: [rootPage], depth: 1 };
  let pagesLeft = shape.pageCount;
  let last: number | bigint | undefined;
  const open: { numbers: readonly number[]; depth: number }[] = [level];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { numbers, depth } = next;
    if (numbers.length > LEAVES_AT_ONCE_MAX) open.push({ numbers: numbers.slice(LEAVES_AT_ONCE_MAX), depth });
    const together = numbers.slice(0, LEAVES_AT_ONCE_MAX);
    pagesLeft -= together.length;
    if (pagesLeft < 0 || depth > DEPTH_MAX) {
      throw corruptPage(shape, [together[0]!, 0], "a page is reached more than once, or at too great a depth");
    }
    signal?.throwIfAborted();
    const loaded = await loadTogether(shape, together, signal);
    const below: { numbers: readonly number[]; depth: number }[] = [];
    for (const pageNumber of together) {
      const page = rowidPageOf(shape, pageNumber, loaded.get(pageNumber)!);
      if (!page.isLeaf) {
        const children = Array.from({ length: page.cells.length + 1 }, (_, index) => childOf(page, index));
        below.push({ numbers: children, depth: depth + 1 });
        continue;
      }
      for (const cell of page.cells) {
        const rowid = rowidAt(page, cell);
        if (last !== undefined && rowid <= last) throw corruptPage(shape, [pageNumber, cell], "row ids must ascend");
        last = rowid;
        const payload = payloadOf(page, cell);
        const { overflowPage, overflowCount } = payload;
        const chain = overflowCount === 0 ? [] : source.chain?.(overflowPage, overflowCount) ??
          Array.from({ length: overflowCount }, (_, i) => overflowPage + i);
        yield { rowid, payload, chain };
      }
    }
    open.push(...below.reverse());
  }
}

/** Fetches what chains are likely to consist of; what turns out to be elsewhere is loaded when it is asked for. */
async function loadWindow(
  shape: TreeShape,
  cells: readonly LongCell[],
  { signal, rooms }: { signal: AbortSignal | undefined; rooms: Uint8Array<ArrayBuffer>[] },
): Promise<Window> {
  const { source, pageSizeBytes } = shape;
  if (source.contiguous !== undefined || source.loadRun === undefined) return { cells, pages: NO_PAGES, rooms: [] };
  const gapPagesMax = GAP_BYTES_MAX / pageSizeBytes;
  const runPagesMax = RUN_BYTES_MAX / pageSizeBytes;
  const runs: { first: number; end: number }[] = [];
  const isPage = (pageNumber: number): boolean => pageNumber >= 2 && pageNumber <= shape.pageCount;
  const numbers = cells.flatMap(({ chain }) => chain.filter(isPage)).sort((one, other) => one - other);
  for (const pageNumber of numbers) {
    const run = runs.at(-1);
    const isNear = run !== undefined && pageNumber <= run.end + gapPagesMax;
    if (isNear && pageNumber < run.first + runPagesMax) run.end = pageNumber + 1;
    else runs.push({ first: pageNumber, end: pageNumber + 1 });
  }
  // All have ended before one's failure is told.
  const outcomes = await Promise.allSettled(
    runs.map(({ first, end }) => source.loadRun!(first, end - first, { signal, room: rooms.pop() })),
  );
  const pieces = outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
  let at = 0;
  function get(pageNumber: number): Uint8Array | undefined {
    // Pages of a chain mostly follow each other.
    if (!has(at, pageNumber)) at = runs.findIndex((_, index) => has(index, pageNumber));
    const piece = pieces[at];
    if (piece === undefined) {
      at = 0;
      return undefined;
    }
    const start = (pageNumber - runs[at]!.first) * pageSizeBytes;
    return piece.subarray(start, start + pageSizeBytes);
  }
  function has(index: number, pageNumber: number): boolean {
    const run = runs[index];
    return run !== undefined && pageNumber >= run.first && pageNumber < run.end;
  }
  const whole = pieces.map(({ buffer }) => new Uint8Array(buffer as ArrayBuffer));
  return { cells, pages: { get }, rooms: source.canReuseRuns ? whole : [] };
}
