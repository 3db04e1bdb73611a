/**
 * Rows of Arrow's interprocess format, a record batch at a time.
 * @module
 */
import type { DataType, RecordBatch, Vector } from "apache-arrow";
import { ConfigValidationError } from "../errors.ts";
import { messageOf } from "./cli_errors.ts";
import { type ColumnValue, columnValueOf } from "./column_values.ts";
import type { Input } from "./input.ts";
import { decodeLz4Frame } from "./lz4_frame.ts";
import { imported, type RowArrays } from "./parquet_rows.ts";
import type { Where } from "./row_shape.ts";

type Arrow = typeof import("apache-arrow");

const MAGIC = "ARROW1";
/** The magic and its padding; then a file goes on as a stream does. */
const MAGIC_BYTES = 8;

/**
 * Reads streams, and files, which are streams with a frame around them. In memory is one batch, whose size whoever
 * wrote it chose.
 */
export async function* arrowRows(input: Input, signal: AbortSignal): RowArrays {
  const arrow = await imported("apache-arrow", () => import("apache-arrow"));
  await registerCodecs(arrow);
  let rowStart = 0;
  const framed = new FramedBytes(input.bytes, signal);
  try {
    const batches = await arrow.RecordBatchReader.from(framed);
    for await (const batch of batches) {
      signal.throwIfAborted();
      yield rowsOf(arrow, batch, { name: input.name, rowStart });
      rowStart += batch.numRows;
    }
    await framed.finish();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    if (error instanceof ConfigValidationError) throw error;
    throw new ConfigValidationError(`Cannot read ${input.name} as Arrow: ${messageOf(error)}`, "rows", {
      cause: error,
    });
  } finally {
    // Not awaited: a stdin on which nothing comes in may never answer.
    framed.cancel().catch(() => {});
  }
}

function rowsOf(
  arrow: Arrow,
  batch: RecordBatch,
  { name, rowStart }: { name: string; rowStart: number },
): [Record<string, ColumnValue>, Where][] {
  const columns = batch.schema.fields.map(({ name, type }, at) => ({
    name,
    read: readerOf(arrow, type, batch.getChildAt(at)!),
  }));
  return Array.from({ length: batch.numRows }, (_, index) => {
    const where: Where = () => `row ${rowStart + index + 1} of ${name}`;
    const row: Record<string, ColumnValue> = {};
    for (const { name, read } of columns) row[name] = columnValueOf(read(index), where);
    return [row, where];
  });
}

/** What the library gives as bare numbers, and what is a time or a decimal fraction. */
function readerOf({ DataType }: Arrow, type: DataType, column: Vector): (index: number) => unknown {
  const get = column.get.bind(column) as (index: number) => unknown;
  if (DataType.isTimestamp(type)) return withText(get, (value) => new Date(Number(value)).toISOString());
  if (DataType.isDate(type)) return withText(get, (value) => new Date(Number(value)).toISOString().slice(0, 10));
  if (DataType.isDecimal(type)) return withText(get, (value) => decimalText(value as Uint32Array, type.scale));
  return get;
}

function withText(get: (index: number) => unknown, textOf: (value: unknown) => string): (index: number) => unknown {
  return (index) => {
    const value = get(index);
    return value === null || value === undefined ? null : textOf(value);
  };
}

/** Words of 32 bits, the lowest first, in two's complement. */
function decimalText(words: Uint32Array, scale: number): string {
  const bits = words.length * 32;
  const value = BigInt.asIntN(bits, words.reduceRight((sum, word) => (sum << 32n) | BigInt(word), 0n));
  const digits = String(value < 0n ? -value : value).padStart(scale + 1, "0");
  const sign = value < 0n ? "-" : "";
  return scale <= 0 ? `${sign}${digits}` : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** The bytes of an input without the frame of a file, and whether that frame was whole. */
class FramedBytes {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #isFile = false;
  /** The end of what was read so far. */
  #tail: Uint8Array = new Uint8Array(0);

  constructor(bytes: ReadableStream<Uint8Array<ArrayBuffer>>, signal: AbortSignal) {
    this.#reader = bytes.pipeThrough(new TransformStream(), { signal }).getReader();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    let head: Uint8Array = new Uint8Array(0);
    while (head.byteLength < MAGIC_BYTES) {
      const chunk = await this.#next();
      if (chunk === null) break;
      head = joined(head, chunk);
    }
    this.#isFile = isMagic(head.subarray(0, MAGIC.length));
    yield this.#isFile ? head.subarray(MAGIC_BYTES) : head;
    for (let chunk = await this.#next(); chunk !== null; chunk = await this.#next()) yield chunk;
  }

  /** Reads what nobody asked for. @throws {RangeError} when a file does not end as it must. */
  async finish(): Promise<void> {
    while (await this.#next() !== null);
    if (this.#isFile && !isMagic(this.#tail)) throw new RangeError("the file is cut short");
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }

  async #next(): Promise<Uint8Array | null> {
    const { value, done } = await this.#reader.read();
    if (done) return null;
    this.#tail = joined(this.#tail, value.subarray(-MAGIC.length)).slice(-MAGIC.length);
    return value;
  }
}

function isMagic(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes) === MAGIC;
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array {
  const both = new Uint8Array(one.byteLength + other.byteLength);
  both.set(one);
  both.set(other, one.byteLength);
  return both;
}

async function registerCodecs(arrow: Arrow): Promise<void> {
  // Older versions do not read compressed batches, and say so.
  if (arrow.compressionRegistry === undefined) return;
  const { zstdDecompressSync } = await import("node:zlib");
  arrow.compressionRegistry.set(arrow.CompressionType.LZ4_FRAME, { decode: decodeLz4Frame });
  arrow.compressionRegistry.set(arrow.CompressionType.ZSTD, { decode: (bytes) => zstdDecompressSync(bytes) });
}
