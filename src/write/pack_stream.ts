/**
 * Second stage of the write path: rows become bytes early, and stay bytes.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../options.ts";
import {
  defaultKeyEncoding,
  type Key,
  type KeyEncoding,
  type KeyPacker,
  keyPacker,
  maxKeyBytes,
} from "../routing/key.ts";
import type { PackedRows } from "../rows.ts";
import { PackedBuilder } from "./packed_builder.ts";

/** What is read from a row. */
export interface RowReader<T> {
  readonly key: (row: T) => Key;
  readonly value: (row: T) => string | Uint8Array;
  /** Undefined: what suits the first key. */
  readonly keyEncoding?: KeyEncoding | undefined;
}

/** A chunk goes on when it has so many bytes, even within an array of rows. */
const CHUNK_BYTES = 1 << 20;
/** SQLite refuses larger rows. */
const ROW_BYTES_MAX = 1_000_000_000;

/** Encodes keys and values. Holds one chunk: 1 MiB, or one row where that is more. */
export class PackStream<T> extends TransformStream<T[], PackedRows> {
  /** @param onEncoding Told once, with the first row, how keys are stored. */
  constructor(reader: RowReader<T>, onEncoding: (encoding: KeyEncoding) => void) {
    const packer = new RowPacker(reader, onEncoding);
    super({
      transform(rows, controller) {
        try {
          for (const row of rows) {
            if (packer.add(row)) controller.enqueue(packer.take());
          }
        } catch (error) {
          throw packer.located(error);
        }
        if (packer.rowCount > 0) controller.enqueue(packer.take());
      },
    });
  }
}

class RowPacker<T> {
  readonly #reader: RowReader<T>;
  readonly #onEncoding: (encoding: KeyEncoding) => void;
  #builder = new PackedBuilder({ rows: 1024, bytes: 1 << 16 });
  #encoding: KeyEncoding | undefined;
  #pack: KeyPacker | undefined;
  #rowNumber = 0;

  constructor(reader: RowReader<T>, onEncoding: (encoding: KeyEncoding) => void) {
    this.#reader = reader;
    this.#onEncoding = onEncoding;
  }

  get rowCount(): number {
    return this.#builder.rowCount;
  }

  /** True when the chunk should go on. */
  add(row: T): boolean {
    const { key: keyOf, value: valueOf } = this.#reader;
    const key = keyOf(row);
    const value = valueOf(row);
    this.#rowNumber++;
    if (this.#pack === undefined) this.#begin(key);
    const builder = this.#builder;
    const isText = typeof value === "string";
    if (!isText && !(value instanceof Uint8Array)) throw this.#badValue(value);
    builder.reserve(maxKeyBytes(this.#encoding!, key) + (isText ? 3 * value.length : value.length));
    const start = builder.usedBytes;
    const keyEnd = this.#pack!(key, builder.bytes, start);
    let end = keyEnd;
    if (isText) end = putText(value, builder.bytes, keyEnd);
    else {
      builder.bytes.set(value, keyEnd);
      end += value.length;
    }
    if (end - start > ROW_BYTES_MAX) throw this.#badValue(value);
    builder.commit(keyEnd - start, end - start);
    return end >= CHUNK_BYTES;
  }

  take(): PackedRows {
    const rows = this.#builder;
    this.#builder = new PackedBuilder({
      rows: rows.rowCount + (rows.rowCount >> 4),
      bytes: Math.min(CHUNK_BYTES + (CHUNK_BYTES >> 2), rows.usedBytes + (rows.usedBytes >> 3)),
    });
    return rows;
  }

  #begin(key: Key): void {
    this.#encoding = this.#reader.keyEncoding ?? defaultKeyEncoding(key);
    this.#pack = keyPacker(this.#encoding);
    this.#onEncoding(this.#encoding);
  }

  /** Errors about keys and values tell which row they are about; what the caller's functions throw stays as it is. */
  located(error: unknown): unknown {
    if (!(error instanceof ConfigValidationError)) return error;
    return new ConfigValidationError(`${error.message} (row ${this.#rowNumber} of the source)`, error.path, {
      cause: error.cause,
    });
  }

  #badValue(value: unknown): ConfigValidationError {
    const limits = `a string or a Uint8Array, together with its key of at most ${ROW_BYTES_MAX} bytes`;
    return new ConfigValidationError(
      `Cannot store a value as it must be ${limits}: current value is ${shown(value)}`,
      "value",
    );
  }
}

const encoder: { text?: TextEncoder } = {};

/** UTF-8 into `target`, which has room for it; gives the end. Short ASCII goes faster by hand. */
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
  encoder.text ??= new TextEncoder();
  return start + encoder.text.encodeInto(text, target.subarray(start)).written;
}
