/**
 * From bytes of NDJSON, CSV, Arrow or Parquet to arrays of rows.
 * @module
 */
import { CsvParseStream } from "@std/csv";
import { TextLineStream } from "@std/streams";
import { ConfigValidationError } from "../errors.ts";
import { decodedText, type Input } from "./input.ts";
import { columnsOf, csvRowOf, ndjsonRowOf, objectRowOf, type Row, type RowShape } from "./row_shape.ts";

/** The formats of `--format`. */
export const INPUT_FORMATS = Object.freeze(["ndjson", "csv", "arrow", "parquet"] as const);

/** One of them. */
export type InputFormat = typeof INPUT_FORMATS[number];

/** Chunks of so many rows: passing rows on one by one would cost more than reading them. */
const ROWS_PER_ARRAY = 1000;

/** The format that the end of a file name stands for; NDJSON where that says nothing. */
export function formatOf(name: string): InputFormat {
  if (/\.csv$/i.test(name)) return "csv";
  if (/\.(?:arrows?|ipc|feather)$/i.test(name)) return "arrow";
  return /\.parquet$/i.test(name) ? "parquet" : "ndjson";
}

/**
 * Reads rows. Holds about a thousand of them, however long the input is, but for formats that come in larger parts;
 * blank lines are left out.
 *
 * The stream fails with `ConfigValidationError` at the first row that cannot be read, naming its line.
 *
 * @param signal Ends the reading even while nothing comes in.
 */
export function readRows(
  input: Input,
  { format, shape, signal }: { format: InputFormat; shape: RowShape; signal: AbortSignal },
): ReadableStream<Row[]> {
  if (format === "arrow" || format === "parquet") return columnRows(input, { format, shape, signal });
  const text = decodedText(input.bytes, signal);
  if (format === "csv") {
    const records: ReadableStream<string[]> = text.pipeThrough(new CsvParseStream());
    return rowArrays(records, new CsvRecords(input.name, shape));
  }
  const lines: ReadableStream<string> = text.pipeThrough(new TextLineStream());
  return rowArrays(lines, new NdjsonLines(input.name, shape));
}

/** Rows of formats that store columns; what reads them is loaded only then. */
function columnRows(
  input: Input,
  { format, shape, signal }: { format: "arrow" | "parquet"; shape: RowShape; signal: AbortSignal },
): ReadableStream<Row[]> {
  const rowOf = objectRowOf(shape);
  async function* rows(): AsyncGenerator<Row[], void, undefined> {
    const arrays = format === "arrow"
      ? (await import("./arrow_rows.ts")).arrowRows(input, signal)
      : (await import("./parquet_rows.ts")).parquetRows(input, columnsOf(shape), signal);
    for await (const array of arrays) {
      for (let start = 0; start < array.length; start += ROWS_PER_ARRAY) {
        yield array.slice(start, start + ROWS_PER_ARRAY).map(([row, where]) => rowOf(row, where));
      }
    }
  }
  const made = rows();
  return new ReadableStream<Row[]>({
    async pull(controller) {
      const { value, done } = await made.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await made.return();
    },
  }, { highWaterMark: 0 });
}

/** Makes rows of what a parser gives, and knows where it is. */
interface RowMaker<I> {
  /** null when the item is no row. */
  rowOf(item: I): Row | null;
  /** What to tell when the parser itself fails. */
  failure(error: unknown): unknown;
}

class NdjsonLines implements RowMaker<string> {
  #lineNumber = 0;
  readonly #name: string;
  readonly #rowOf: ReturnType<typeof ndjsonRowOf>;
  readonly #where = (): string => `line ${this.#lineNumber} of ${this.#name}`;

  constructor(name: string, shape: RowShape) {
    this.#name = name;
    this.#rowOf = ndjsonRowOf(shape);
  }

  rowOf(line: string): Row | null {
    this.#lineNumber++;
    if (line.trim() === "") return null;
    return this.#rowOf(line, this.#where);
  }

  failure(error: unknown): unknown {
    return error instanceof TypeError ? notUtf8(this.#name, this.#lineNumber, error) : error;
  }
}

/** Counts lines by records and the line breaks inside of them, as the parser does not tell about blank lines. */
class CsvRecords implements RowMaker<string[]> {
  #lineNumber = 0;
  #nextLineNumber = 1;
  #rowOf: ReturnType<typeof csvRowOf> | undefined;
  readonly #name: string;
  readonly #shape: RowShape;
  readonly #where = (): string => `line ${this.#lineNumber} of ${this.#name}`;

  constructor(name: string, shape: RowShape) {
    this.#name = name;
    this.#shape = shape;
  }

  rowOf(record: string[]): Row | null {
    this.#lineNumber = this.#nextLineNumber++;
    for (const field of record) {
      if (field.includes("\n")) this.#nextLineNumber += field.split("\n").length - 1;
    }
    if (this.#rowOf !== undefined) return this.#rowOf(record, this.#where);
    this.#rowOf = csvRowOf(this.#shape, record, this.#where);
    return null;
  }

  failure(error: unknown): unknown {
    if (error instanceof TypeError) return notUtf8(this.#name, this.#lineNumber, error);
    if (!(error instanceof SyntaxError)) return error;
    // The parser's own line number leaves out line breaks inside of records.
    const reason = error.message.replace(/^.*line \d+(?:, column \d+)?: /, "");
    return new ConfigValidationError(
      `Cannot read line ${this.#nextLineNumber} of ${this.#name} as CSV: ${reason}`,
      "rows",
    );
  }
}

function notUtf8(name: string, lineNumber: number, cause: TypeError): ConfigValidationError {
  // Text is decoded ahead of the lines.
  return new ConfigValidationError(`Cannot read ${name} as it is not UTF-8: see after line ${lineNumber}`, "rows", {
    cause,
  });
}

function rowArrays<I>(items: ReadableStream<I>, maker: RowMaker<I>): ReadableStream<Row[]> {
  const reader = items.getReader();
  return new ReadableStream<Row[]>({
    async pull(controller) {
      const rows: Row[] = [];
      try {
        while (rows.length < ROWS_PER_ARRAY) {
          const { value, done } = await reader.read().catch((error) => {
            throw maker.failure(error);
          });
          if (done) {
            if (rows.length > 0) controller.enqueue(rows);
            return controller.close();
          }
          const row = maker.rowOf(value);
          if (row !== null) rows.push(row);
        }
      } catch (error) {
        // Not awaited: a stdin on which nothing comes in may never answer.
        reader.cancel(error).catch(() => {});
        throw error;
      }
      controller.enqueue(rows);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
}
