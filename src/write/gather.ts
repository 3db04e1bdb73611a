/**
 * First stage of the write path: any source of rows comes in, arrays of rows go out.
 * @module
 */
import type { Clock } from "../clock.ts";
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import { turnsOf } from "../turns.ts";

/**
 * Where rows come from. Chunks of a `ReadableStream` may be rows or arrays of rows (a row that is itself an array
 * must come in an array of rows); items of the others are rows.
 */
export type RowSource<T> = ReadableStream<T> | ReadableStream<T[]> | AsyncIterable<T> | Iterable<T>;

/** One array goes on when it has so many rows: from about 1,000 on the cost of a chunk no longer shows. */
const ROWS_MAX = 4096;

/** A source opened: asked for rows, or let go of. */
interface OpenSource<T> {
  /** At most so many rows, at least one; null at the end. */
  read(rowsMax: number): T[] | null | Promise<T[] | null>;
  /** Does not wait for a read under way, which may never end. */
  cancel(reason: unknown): void | Promise<void>;
}

/**
 * Arrays of rows, in the order of the source. Pulls from the source only when asked; cancelling it cancels the source
 * with the same reason.
 *
 * @param rowsWanted How many rows the next array may have at most. Default: 4,096.
 * @param clock Tells when other tasks are to have their turn, which a source that never waits would not give them.
 * Default: never.
 * @throws {ConfigValidationError} at once when `source` is none of the accepted kinds.
 */
export function gather<T>(
  source: RowSource<T>,
  rowsWanted: () => number = () => ROWS_MAX,
  clock?: Clock,
): ReadableStream<T[]> {
  const open = openSource(source);
  const turns = clock && turnsOf(clock);
  return new ReadableStream<T[]>({
    async pull(controller) {
      if (turns?.isOver) await turns.end();
      const rows = await open.read(Math.max(1, Math.min(ROWS_MAX, rowsWanted())));
      if (rows === null) controller.close();
      else controller.enqueue(rows);
    },
    cancel: (reason) => open.cancel(reason),
  }, { highWaterMark: 0 });
}

function openSource<T>(source: RowSource<T>): OpenSource<T> {
  if (Array.isArray(source)) return openArray<T>(source);
  if (source instanceof ReadableStream) return openStream<T>(source as ReadableStream<T | T[]>);
  if (typeof source === "object" && source !== null) {
    if (Symbol.asyncIterator in source) return openAsync<T>(source[Symbol.asyncIterator]());
    if (Symbol.iterator in source) return openSync<T>(source[Symbol.iterator]());
  }
  throw new ConfigValidationError(
    `Cannot read rows as they must be a ReadableStream, an async iterable or an iterable: current value is ${
      shown(source)
    }`,
    "rows",
  );
}

function openArray<T>(rows: readonly T[]): OpenSource<T> {
  let at = 0;
  return {
    read(rowsMax) {
      const slice = rows.slice(at, at + rowsMax);
      at += slice.length;
      return slice.length === 0 ? null : slice;
    },
    cancel() {},
  };
}

function openSync<T>(iterator: Iterator<T>): OpenSource<T> {
  let isDone = false;
  return {
    // Awaiting each row of a plain iterable would cost more than everything else.
    read(rowsMax) {
      const rows: T[] = [];
      while (!isDone && rows.length < rowsMax) {
        const step = iterator.next();
        if (step.done) isDone = true;
        else rows.push(step.value);
      }
      return rows.length === 0 ? null : rows;
    },
    cancel() {
      if (!isDone) iterator.return?.();
    },
  };
}

function openAsync<T>(iterator: AsyncIterator<T>): OpenSource<T> {
  let isDone = false;
  return {
    async read(rowsMax) {
      const rows: T[] = [];
      while (!isDone && rows.length < rowsMax) {
        const step = await iterator.next();
        if (step.done) isDone = true;
        else rows.push(step.value);
      }
      return rows.length === 0 ? null : rows;
    },
    cancel() {
      // A generator that is waiting comes to its end only after that; nobody waits for it here.
      if (!isDone) Promise.resolve(iterator.return?.()).catch(() => {});
    },
  };
}

function openStream<T>(stream: ReadableStream<T | T[]>): OpenSource<T> {
  const reader = stream.getReader();
  let waiting: T[] = [];
  let isDone = false;
  return {
    async read(rowsMax) {
      const rows = waiting.splice(0, rowsMax);
      while (!isDone && rows.length < rowsMax && waiting.length === 0) {
        const { value, done } = await reader.read();
        if (done) isDone = true;
        else if (Array.isArray(value)) {
          waiting = rows.length + value.length <= rowsMax ? append(rows, value) : [...value];
        } else rows.push(value);
        if (waiting.length > 0 && rows.length === 0) rows.push(...waiting.splice(0, rowsMax));
      }
      return rows.length === 0 ? null : rows;
    },
    cancel: (reason) => reader.cancel(reason),
  };
}

/** Puts all rows into the array that is being filled; nothing is left waiting. */
function append<T>(rows: T[], more: readonly T[]): T[] {
  for (const row of more) rows.push(row);
  return [];
}
