/**
 * Second stage of the write path: rows become bytes early, and stay bytes.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { CelEvaluationError, ConfigValidationError, ShardAssignmentError } from "../errors.ts";
import type { RowAssigner } from "../routing/cel_assigner.ts";
import { shown } from "../option_fields.ts";
import {
  defaultKeyEncoding,
  type Key,
  type KeyEncoding,
  type KeyPacker,
  keyPacker,
  maxKeyBytes,
} from "../routing/key.ts";
import type { RoutingColumns } from "../routing/router.ts";
import type { PackedRows } from "../rows.ts";
import { ArrayPool } from "./array_pool.ts";
import type { VectorCellPacker, VectorEntry } from "../vector/vector_cell.ts";
import { PackedBuilder } from "./packed_builder.ts";
import { idOfKey, vectorPacker } from "./vector_column.ts";

/** What is read from a row. */
export interface RowReader<T> {
  readonly key: (row: T) => Key;
  /** May be missing where rows have vectors. */
  readonly value?: ((row: T) => string | Uint8Array) | undefined;
  /** The vector of a row, or null. */
  readonly vector?: ((row: T) => VectorEntry | null) | undefined;
  /** What says how vectors are checked and packed. */
  readonly backend?: Pick<Backend, "spec" | "vectors" | "storesValues"> | undefined;
  /** What the assigner looks at beside the key. */
  readonly columns?: ((row: T) => RoutingColumns) | undefined;
  /** Gives rows their shards, where a row's bytes are not enough for that: `celSharding(…).assigner()`. */
  readonly assigner?: RowAssigner | undefined;
  /** Undefined: what suits the first key. */
  readonly keyEncoding?: KeyEncoding | undefined;
}

/** A chunk goes on when it has so many bytes, even within an array of rows. */
export const CHUNK_BYTES = 1 << 20;
/** SQLite refuses larger rows. */
const ROW_BYTES_MAX = 1_000_000_000;

/**
 * Encodes keys and values. A stage with its own readable side, so that one array of large rows does not become a queue
 * of chunks: holds the array and one chunk (1 MiB, or one row where that is more).
 */
export class PackStream<T> implements ReadableWritablePair<PackedRows, T[]> {
  readonly readable: ReadableStream<PackedRows>;
  readonly writable: WritableStream<T[]>;
  readonly #packer: RowPacker<T>;

  /**
   * @param onEncoding Told once, with the first row, how keys are stored.
   * @param pool Gives the arrays of the chunks. Default: new ones.
   * @throws {ConfigValidationError} when there are vectors and the backend has no room for them, or the reverse.
   */
  constructor(reader: RowReader<T>, onEncoding: (encoding: KeyEncoding) => void, pool?: ArrayPool) {
    const packer = this.#packer = new RowPacker(reader, onEncoding, pool ?? new ArrayPool());
    const arrays = new TransformStream<T[], T[]>();
    const source = arrays.readable.getReader();
    let rows: readonly T[] = [];
    let at = 0;
    this.writable = arrays.writable;
    this.readable = new ReadableStream<PackedRows>({
      async pull(controller) {
        try {
          while (at === rows.length) {
            const { value, done } = await source.read();
            if (done) return controller.close();
            rows = value;
            at = 0;
          }
          while (at < rows.length && !packer.add(rows[at++]!));
          controller.enqueue(packer.take());
        } catch (error) {
          const located = packer.located(error);
          await source.cancel(located);
          throw located;
        }
      },
      cancel: (reason) => source.cancel(reason),
    }, { highWaterMark: 0 });
  }

  /** How many rows make about one chunk, going by those seen so far. */
  get rowsWanted(): number {
    return this.#packer.rowsWanted;
  }
}

/** Before anything is known about the size of rows. */
const ROWS_WANTED_FIRST = 64;

class RowPacker<T> {
  readonly #reader: RowReader<T>;
  readonly #onEncoding: (encoding: KeyEncoding) => void;
  readonly #pool: ArrayPool;
  readonly #vectors: VectorCellPacker | null;
  #builder: PackedBuilder;
  #shardIds: Uint32Array<ArrayBuffer> = new Uint32Array(1024);
  #encoding: KeyEncoding | undefined;
  #pack: KeyPacker | undefined;
  #rowNumber = 0;
  #packedBytes = 0;

  constructor(reader: RowReader<T>, onEncoding: (encoding: KeyEncoding) => void, pool: ArrayPool) {
    this.#reader = reader;
    this.#onEncoding = onEncoding;
    this.#pool = pool;
    this.#vectors = vectorPacker(reader);
    this.#builder = new PackedBuilder({ rows: 1024, bytes: 1 << 16 }, pool);
  }

  get rowsWanted(): number {
    if (this.#rowNumber === 0) return ROWS_WANTED_FIRST;
    return Math.ceil(CHUNK_BYTES / (1 + this.#packedBytes / this.#rowNumber));
  }

  /** True when the chunk should go on. */
  add(row: T): boolean {
    const { key: keyOf, value: valueOf } = this.#reader;
    this.#rowNumber++;
    const key = keyOf(row);
    const value = valueOf === undefined ? "" : valueOf(row);
    if (this.#pack === undefined) this.#begin(key);
    const builder = this.#builder;
    const isText = typeof value === "string";
    if (!isText && !(value instanceof Uint8Array)) throw this.#badValue(value);
    const vectorBytes = this.#vectors?.prepare(this.#vectorOf(row), idOfKey(key)) ?? 0;
    builder.reserve(maxKeyBytes(this.#encoding!, key) + (isText ? 3 * value.length : value.length) + vectorBytes);
    const start = builder.usedBytes;
    const keyEnd = this.#pack!(key, builder.bytes, start);
    let end = keyEnd;
    if (isText) {
      end = putText(value, builder.bytes, keyEnd);
      if (end < 0) throw this.#badValue(value);
    } else {
      builder.bytes.set(value, keyEnd);
      end += value.length;
    }
    if (this.#vectors !== null) {
      end = this.#vectors.put(builder.bytes, end, valueOf === undefined ? null : end - keyEnd);
    }
    if (end - start > ROW_BYTES_MAX) throw this.#badValue(value);
    if (this.#reader.assigner !== undefined) this.#assign(this.#reader.assigner, row, key);
    builder.commit(keyEnd - start, end - start);
    this.#packedBytes += end - start;
    return end >= CHUNK_BYTES;
  }

  take(): PackedRows {
    const rows = this.#builder;
    this.#builder = new PackedBuilder({
      rows: rows.rowCount + (rows.rowCount >> 4),
      bytes: Math.min(CHUNK_BYTES + (CHUNK_BYTES >> 2), rows.usedBytes + (rows.usedBytes >> 3)),
    }, this.#pool);
    if (this.#reader.assigner === undefined) return rows;
    const { rowCount, bytes, starts, keyLengths } = rows;
    const shardIds = this.#shardIds;
    this.#shardIds = new Uint32Array(shardIds.length);
    return { rowCount, bytes, starts, keyLengths, shardIds };
  }

  #assign(assigner: RowAssigner, row: T, key: Key): void {
    const columns = this.#reader.columns?.(row);
    if (columns === null || (typeof columns !== "object" && this.#reader.columns !== undefined)) {
      throw new ConfigValidationError(
        `Cannot route a row as option "columns" must give an object: current value is ${shown(columns)}`,
        "columns",
      );
    }
    const at = this.#builder.rowCount;
    if (at === this.#shardIds.length) {
      const larger = new Uint32Array(2 * at);
      larger.set(this.#shardIds);
      this.#shardIds = larger;
    }
    this.#shardIds[at] = assigner.assign(key, columns);
  }

  #vectorOf(row: T): VectorEntry | null {
    const { value, vector } = this.#reader;
    const entry = vector!(row);
    if (entry !== null || value !== undefined) return entry;
    throw new ConfigValidationError("Cannot store a row that has neither value nor vector: leave it out", "vector");
  }

  #begin(key: Key): void {
    this.#encoding = this.#reader.keyEncoding ?? defaultKeyEncoding(key);
    this.#pack = keyPacker(this.#encoding);
    this.#onEncoding(this.#encoding);
  }

  /** Errors about rows tell which row they are about; what the caller's functions throw stays as it is. */
  located(error: unknown): unknown {
    const located = (message: string): string => `${message} (row ${this.#rowNumber} of the source)`;
    if (error instanceof ConfigValidationError) {
      return new ConfigValidationError(located(error.message), error.path, { cause: error.cause });
    }
    if (error instanceof CelEvaluationError) {
      return new CelEvaluationError(located(error.message), error.expr, { cause: error.cause });
    }
    if (error instanceof ShardAssignmentError) {
      return new ShardAssignmentError(located(error.message), { cause: error.cause });
    }
    return error;
  }

  #badValue(value: unknown): ConfigValidationError {
    const limits =
      `a string without lone surrogates or a Uint8Array, together with its key of at most ${ROW_BYTES_MAX} bytes`;
    return new ConfigValidationError(
      `Cannot store a value as it must be ${limits}: current value is ${shown(value)}`,
      "value",
    );
  }
}

const encoder: { text?: TextEncoder } = {};

/** UTF-8 into `target`, which has room for it; gives the end, -1 for lone surrogates. Short ASCII is faster by hand. */
function putText(text: string, target: Uint8Array<ArrayBuffer>, start: number): number {
  const { length } = text;
  if (length < 48) {
    let i = 0;
    for (; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) break;
      target[start + i] = unit;
    }
    if (i === length) return start + length;
  }
  if (!text.isWellFormed()) return -1;
  encoder.text ??= new TextEncoder();
  return start + encoder.text.encodeInto(text, target.subarray(start)).written;
}
