/**
 * First stage of the write path: any source of rows comes in, arrays of rows go out.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../options.ts";

/**
 * Where rows come from. Chunks of a `ReadableStream` may be rows or arrays of rows (a row that is itself an array
 * must come in an array of rows); items of the others are rows.
 */
export type RowSource<T> = ReadableStream<T> | ReadableStream<T[]> | AsyncIterable<T> | Iterable<T>;

/** One array goes on when it has so many rows: from about 1,000 on the cost of a chunk no longer shows. */
const ROWS_MAX = 4096;

/**
 * Arrays of at most 4,096 rows, in the order of the source. Pulls from the source only when asked, and cancels it when
 * it is cancelled itself.
 *
 * @throws {ConfigValidationError} at once when `source` is none of the accepted kinds.
 */
export function gather<T>(source: RowSource<T>): ReadableStream<T[]> {
  const chunks = Array.isArray(source) ? slices<T>(source) : gathered(openSource(source), source);
  return new ReadableStream<T[]>({
    async pull(controller) {
      const { value, done } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await chunks.return(undefined);
    },
  }, { highWaterMark: 0 });
}

function openSource<T>(source: RowSource<T>): Iterator<T> | AsyncIterator<T | T[]> {
  if (typeof source === "object" && source !== null) {
    if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
    if (Symbol.iterator in source) return source[Symbol.iterator]();
  }
  throw new ConfigValidationError(
    `Cannot read rows as they must be a ReadableStream, an async iterable or an iterable: current value is ${
      shown(source)
    }`,
    "rows",
  );
}

async function* slices<T>(rows: T[]): AsyncGenerator<T[], void> {
  for (let at = 0; at < rows.length; at += ROWS_MAX) yield rows.slice(at, at + ROWS_MAX);
}

async function* gathered<T>(
  iterator: Iterator<T> | AsyncIterator<T | T[]>,
  source: RowSource<T>,
): AsyncGenerator<T[], void> {
  const isStream = source instanceof ReadableStream;
  const isAsync = isStream || Symbol.asyncIterator in (source as object);
  let rows: T[] = [];
  let isDone = false;
  try {
    for (;;) {
      const step = iterator.next();
      // Awaiting each row of a plain iterable would cost more than everything else.
      const { value, done } = isAsync ? await step : step as IteratorResult<T>;
      if (done) break;
      if (isStream && Array.isArray(value)) {
        if (rows.length > 0) yield rows;
        rows = [];
        if (value.length > 0) yield* slices<T>(value);
        continue;
      }
      rows.push(value as T);
      if (rows.length < ROWS_MAX) continue;
      yield rows;
      rows = [];
    }
    isDone = true;
  } finally {
    if (!isDone) await iterator.return?.();
  }
  if (rows.length > 0) yield rows;
}
