/**
 * Record batches of Arrow's interprocess format, as they come in.
 * @module
 */
import type { RecordBatch, Schema } from "apache-arrow";
import { ConfigValidationError, MissingLibraryError } from "../errors.ts";
import { redacted } from "../redact.ts";
import { decodeLz4Frame } from "./lz4_frame.ts";
import { StreamFrame } from "./stream_frame.ts";

/** The library, which is loaded when it is needed. */
export type Arrow = typeof import("apache-arrow");

/** Bytes that come in, and what errors call them. */
export interface ArrowInput {
  readonly name: string;
  readonly bytes: ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** A stream of batches of which the schema has been read. */
export interface ArrowBatches {
  /** Null when there was not a single byte, which is what an engine's empty partition may come as. */
  readonly schema: Schema | null;
  /** One batch is in memory at a time. */
  readonly batches: AsyncGenerator<RecordBatch, void, undefined>;
  /** Lets go of the input, also while a batch is being waited for, which may never come. */
  close(): void;
}

const MAGIC = "ARROW1";
/** The magic and its padding; then a file goes on as a stream does. */
const MAGIC_BYTES = 8;
/** @throws {MissingLibraryError} when `apache-arrow` is not installed. */
export async function loadArrow(): Promise<Arrow> {
  const name = "apache-arrow";
  const arrow = await import("apache-arrow").catch((cause) => {
    throw new MissingLibraryError(`Cannot read this format without the package "${name}": install it`, name, { cause });
  });
  await registerCodecs(arrow);
  return arrow;
}

/**
 * Reads streams, and files, which are streams with a frame around them. Batches have the size that whoever wrote them
 * chose. Go through `batches` to its end, or `close()` it.
 *
 * @throws {ConfigValidationError} with path `rows`, also from `batches`, for what is no Arrow.
 */
export async function openArrow(input: ArrowInput, signal: AbortSignal): Promise<ArrowBatches> {
  const arrow = await loadArrow();
  const framed = new FramedBytes(input.bytes, signal);
  // Not awaited: a stdin on which nothing comes in may never answer.
  const close = (): void => void framed.cancel().catch(() => {});
  const refused = (error: unknown): unknown => {
    close();
    if (signal.aborted) return signal.reason;
    if (error instanceof ConfigValidationError) return error;
    const said = framed.problem ?? (error instanceof Error ? error.message : String(error));
    const advice = said.startsWith("Unrecognized type") ? ": cast such columns to plain ones" : "";
    const reason = redacted(said + advice);
    return new ConfigValidationError(`Cannot read ${input.name} as Arrow: ${reason}`, "rows", { cause: error });
  };
  try {
    const reader = await arrow.RecordBatchReader.from(framed);
    await reader.open();
    const schema = framed.isEmpty ? null : reader.schema;
    return { schema, batches: readBatches(schema === null ? [] : reader, framed, { signal, refused }), close };
  } catch (error) {
    if (framed.isEmpty && !signal.aborted) {
      return { schema: null, batches: readBatches([], framed, { signal, refused }), close };
    }
    throw refused(error);
  }
}

async function* readBatches(
  reader: AsyncIterable<RecordBatch> | Iterable<RecordBatch>,
  framed: FramedBytes,
  { signal, refused }: { signal: AbortSignal; refused: (error: unknown) => unknown },
): AsyncGenerator<RecordBatch, void, undefined> {
  try {
    for await (const batch of reader) {
      signal.throwIfAborted();
      yield batch;
    }
    await framed.finish();
  } catch (error) {
    throw refused(error);
  } finally {
    framed.cancel().catch(() => {});
  }
}

/** The bytes of an input without the frame of a file, and whether they were whole. */
class FramedBytes {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #frame = new StreamFrame();
  #isFile = false;
  #isEmpty = false;
  #isAtEnd = false;
  /** The end of what was read so far. */
  #tail: Uint8Array = new Uint8Array(0);

  constructor(bytes: ReadableStream<Uint8Array<ArrayBuffer>>, signal: AbortSignal) {
    this.#reader = bytes.pipeThrough(new TransformStream(), { signal }).getReader();
  }

  /** Whether it has ended before its first byte. */
  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    let head: Uint8Array = new Uint8Array(0);
    while (head.byteLength < MAGIC_BYTES) {
      const chunk = await this.#next();
      if (chunk === null) break;
      head = joined(head, chunk);
    }
    this.#isEmpty = head.byteLength === 0;
    this.#isFile = isMagic(head.subarray(0, MAGIC.length));
    yield* inTwo(this.#framed(this.#isFile ? head.subarray(MAGIC_BYTES) : head));
    for (let chunk = await this.#next(); chunk !== null; chunk = await this.#next()) yield* inTwo(this.#framed(chunk));
  }

  /** Reads what nobody asked for. @throws {RangeError} when it does not end as it must. */
  async finish(): Promise<void> {
    for (let chunk = await this.#next(); chunk !== null; chunk = await this.#next()) this.#framed(chunk);
    const { problem } = this;
    if (problem !== null) throw new RangeError(problem);
  }

  /** What is wrong with it as a whole, once its end was read; null: nothing. */
  get problem(): string | null {
    if (!this.#isAtEnd) return null;
    if (!this.#isFile) return this.#frame.problem;
    return isMagic(this.#tail) ? null : "the file is cut short, or its writer was not closed";
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }

  async #next(): Promise<Uint8Array | null> {
    const { value, done } = await this.#reader.read();
    this.#isAtEnd ||= done;
    if (done) return null;
    this.#tail = joined(this.#tail, value.subarray(-MAGIC.length)).slice(-MAGIC.length);
    return value;
  }

  #framed(chunk: Uint8Array): Uint8Array {
    if (this.#isFile) return chunk;
    this.#frame.push(chunk);
    if (this.#frame.hasOtherSchema) throw new RangeError(this.#frame.problem!);
    return chunk;
  }
}

/** Given a batch whole and nothing after it, the library waits for more before it hands it out. */
function* inTwo(chunk: Uint8Array): Generator<Uint8Array, void, undefined> {
  if (chunk.byteLength > 1) yield chunk.subarray(0, -1);
  yield chunk.subarray(-1);
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
