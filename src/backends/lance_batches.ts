/**
 * Packed rows become tables of LanceDB: a few thousand vectors at a time, in the memory layout of Arrow.
 * @module
 */
import { DbAdapterError } from "../errors.ts";
import type { SortedRows } from "../rows.ts";
import { decodeId, VectorCell } from "../vector/vector_cell.ts";
import type { ArrowData, ArrowField, ArrowTable, ArrowType } from "./lance_library.ts";

/** Vectors in one table, and their bytes: what is in memory at a time, some times over. */
const ROWS_MAX = 8192;
const VECTOR_BYTES_MAX = 8 << 20;

const TEXT: ArrowType = { typeId: 5 };
const FLOAT: ArrowType = { typeId: 3, precision: 1 };
const NO_METADATA: ReadonlyMap<string, string> = new Map();

/** What is told of the rows when all were seen. */
export interface LanceTally {
  rowCount: number;
  vectorCount: number;
}

/**
 * The vectors of the rows, in tables with the columns `id`, `vector` and `payload`. Rows without one are counted only.
 *
 * @throws {DbAdapterError} when a row has a value.
 */
export async function* lanceTables(
  rows: SortedRows,
  { dim, tally, signal }: {
    readonly dim: number;
    readonly tally: LanceTally;
    readonly signal: AbortSignal;
  },
): AsyncGenerator<ArrowTable, void, undefined> {
  const batch = new VectorBatch(dim);
  const cell = new VectorCell();
  await using cursor = await rows.open();
  do {
    while (cursor.next()) {
      tally.rowCount++;
      const { bytes, start, keyLength, valueLength } = cursor;
      cell.read(bytes, start + keyLength + valueLength);
      if (cell.hasValue) throw new DbAdapterError("Cannot store the value of a row in LanceDB: it stores vectors only");
      if (!cell.hasVector) continue;
      tally.vectorCount++;
      batch.add(bytes, cell);
      if (!batch.isFull) continue;
      signal.throwIfAborted();
      yield batch.take();
    }
  } while (await cursor.refill());
  if (batch.rowCount > 0) yield batch.take();
}

class VectorBatch {
  rowCount = 0;
  readonly #dim: number;
  readonly #rowsMax: number;
  readonly #ids = new TextColumn();
  readonly #payloads = new TextColumn();
  #floats: Float32Array<ArrayBuffer>;

  constructor(dim: number) {
    this.#dim = dim;
    this.#rowsMax = Math.max(1, Math.min(ROWS_MAX, Math.floor(VECTOR_BYTES_MAX / (4 * dim))));
    this.#floats = new Float32Array(0);
  }

  get isFull(): boolean {
    return this.rowCount >= this.#rowsMax || this.#payloads.sizeBytes >= VECTOR_BYTES_MAX;
  }

  add(bytes: Uint8Array, cell: VectorCell): void {
    const { idStart, idBytes, payloadStart, payloadBytes, vectorStart, vectorBytes } = cell;
    const dim = this.#dim;
    // The Python package makes the same text of an integer and of a text of its digits.
    this.#ids.add(String(decodeId(decoder.decode(bytes.subarray(idStart, idStart + idBytes)))));
    const hasPayload = payloadBytes > 0;
    this.#payloads.add(hasPayload ? decoder.decode(bytes.subarray(payloadStart, payloadStart + payloadBytes)) : null);
    if (this.#floats.length === 0) this.#floats = new Float32Array(this.#rowsMax * dim);
    // The cell need not begin at a multiple of four.
    new Uint8Array(this.#floats.buffer, this.rowCount * dim * 4, dim * 4).set(
      bytes.subarray(vectorStart, vectorStart + vectorBytes),
    );
    this.rowCount++;
  }

  /** The table; the batch is empty then. */
  take(): ArrowTable {
    const dim = this.#dim;
    const length = this.rowCount;
    const list: ArrowType = { typeId: 16, listSize: dim, children: [column("item", FLOAT)] };
    const fields = [column("id", TEXT), column("vector", list), column("payload", TEXT)];
    const schema = { fields, metadata: NO_METADATA };
    const whole = { offset: 0, nullCount: 0, length };
    const values = this.#floats.subarray(0, length * dim);
    const floats = { ...whole, type: FLOAT, length: length * dim, values, children: [] };
    const vectors = { ...whole, type: list, children: [floats] };
    const children = [this.#ids.take(), vectors, this.#payloads.take()];
    this.rowCount = 0;
    this.#floats = new Float32Array(0);
    return { schema, batches: [{ schema, data: { ...whole, type: { typeId: 13, children: fields }, children } }] };
  }
}

const decoder = new TextDecoder();
const encoder = new TextEncoder();

function column(name: string, type: ArrowType): ArrowField {
  return { name, type, nullable: true, metadata: NO_METADATA };
}

/** A column of texts; null where there is none. */
class TextColumn {
  sizeBytes = 0;
  #texts: (Uint8Array | null)[] = [];

  add(text: string | null): void {
    const bytes = text === null ? null : encoder.encode(text);
    this.sizeBytes += bytes?.length ?? 0;
    this.#texts.push(bytes);
  }

  take(): ArrowData {
    const texts = this.#texts;
    const length = texts.length;
    const valueOffsets = new Int32Array(length + 1);
    const values = new Uint8Array(this.sizeBytes);
    const nullBitmap = new Uint8Array(Math.ceil(length / 64) * 8);
    let nullCount = 0;
    for (let i = 0, at = 0; i < length; i++) {
      const text = texts[i]!;
      if (text === null) nullCount++;
      else {
        values.set(text, at);
        at += text.length;
        nullBitmap[i >> 3]! |= 1 << (i & 7);
      }
      valueOffsets[i + 1] = at;
    }
    this.#texts = [];
    this.sizeBytes = 0;
    const nulls = nullCount > 0 ? { nullBitmap } : {};
    return { type: TEXT, offset: 0, length, nullCount, valueOffsets, values, ...nulls, children: [] };
  }
}
