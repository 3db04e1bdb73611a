/**
 * A vector is a column: rows that have one travel packed like all others, the vector behind the row's value.
 *
 * ```text
 * value | id, JSON | payload, JSON | float32 × dim | u32 value bytes | u32 id bytes | u32 payload bytes |
 * u32 vector bytes
 * ```
 *
 * Integers and floats are little-endian. The id is what is stored for readers: `{"v": 17, "t": "int"}`, or `"str"` with
 * a text. Without a payload there are no bytes of it; without a vector id, payload and vector have none. Where the
 * value's length is `0xffffffff` the row has no value, not even an empty one.
 * @module
 */
import { dumpJson, type JsonValue, parseJson } from "../bytes/python_json.ts";
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";

/**
 * How far apart two vectors are: 1 − cosine similarity, the Euclidean distance, or by their dot product, which only
 * some engines have.
 */
export type VectorMetric = "cosine" | "l2" | "dot_product";

/** What all vectors of a snapshot have in common. */
export interface VectorSpace {
  /** Numbers in each vector. */
  readonly dim: number;
  readonly metric: VectorMetric;
}

/** What a search names a vector by. */
export type VectorId = number | bigint | string;

/** What the option `vector` gives for a row. */
export interface VectorEntry {
  /** Default: the row's key; of bytes their hex digits. Whole numbers have at most 64 bits. */
  readonly id?: VectorId | undefined;
  /** As many finite numbers as the snapshot's dimension says; they are stored as float32. */
  readonly vector: ArrayLike<number>;
  /** JSON that searches give back together with the id. Default: none, which is given back as null. */
  readonly payload?: JsonValue | undefined;
}

const TRAILER_BYTES = 16;
const NO_VALUE = 0xffffffff;

/** Puts what a cell has beside the row's value: first `prepare`, which checks, then `put`. */
export class VectorCellPacker {
  readonly #space: VectorSpace;
  readonly #vector: Float32Array<ArrayBuffer>;
  readonly #vectorBytes: Uint8Array<ArrayBuffer>;
  #id = "";
  #payload = "";
  #hasVector = false;

  constructor(space: VectorSpace) {
    this.#space = space;
    this.#vector = new Float32Array(space.dim);
    this.#vectorBytes = new Uint8Array(this.#vector.buffer);
  }

  /**
   * Takes the vector of a row, null where it has none; gives the bytes that `put` will add.
   *
   * @param keyId The id of entries that have none.
   * @throws {ConfigValidationError} for anything that cannot be stored, or found again by the metric.
   */
  prepare(entry: VectorEntry | null, keyId: VectorId): number {
    this.#id = this.#payload = "";
    this.#hasVector = entry !== null;
    if (entry === null) return TRAILER_BYTES;
    if (typeof entry !== "object" || typeof entry.vector !== "object" || entry.vector === null) {
      throw wrong("it must be null or an object with a field `vector`", entry);
    }
    this.#takeVector(entry.vector);
    this.#id = encodeId(entry.id ?? keyId);
    const { payload } = entry;
    if (payload !== undefined && payload !== null) this.#payload = dumpJson(payload, { path: "vector.payload" });
    return this.#id.length + this.#payload.length + this.#vectorBytes.length + TRAILER_BYTES;
  }

  /**
   * Writes what was prepared, and gives where it ends.
   *
   * @param valueBytes Length of the value, which ends at `start`; null when the row has none.
   */
  put(target: Uint8Array, start: number, valueBytes: number | null): number {
    let at = putAscii(this.#payload, target, putAscii(this.#id, target, start));
    const vectorBytes = this.#hasVector ? this.#vectorBytes.length : 0;
    if (this.#hasVector) target.set(this.#vectorBytes, at);
    at += vectorBytes;
    for (const length of [valueBytes ?? NO_VALUE, this.#id.length, this.#payload.length, vectorBytes]) {
      target[at++] = length;
      target[at++] = length >>> 8;
      target[at++] = length >>> 16;
      target[at++] = length >>> 24;
    }
    return at;
  }

  #takeVector(numbers: ArrayLike<number>): void {
    const { dim, metric } = this.#space;
    const vector = this.#vector;
    if (numbers.length !== dim) throw wrong(`it must have ${dim} numbers`, numbers.length);
    let sum = 0;
    for (let i = 0; i < dim; i++) {
      const number = numbers[i];
      if (typeof number !== "number") throw wrong("all of it must be numbers", number);
      const stored = vector[i] = number;
      if (!(Math.abs(Math.fround(stored)) < Infinity)) throw wrong("its numbers must be finite as float32", number);
      sum += stored * stored;
    }
    if (metric !== "cosine") return;
    // What is zero or infinite in the arithmetic of searches has no direction.
    const squared = Math.fround(sum);
    if (squared === 0) throw wrong('with metric "cosine" it must not be zero', "a vector of no length");
    if (squared === Infinity) throw wrong('with metric "cosine" its length must be a float32', Math.sqrt(sum));
  }
}

function wrong(rule: string, value: unknown): ConfigValidationError {
  return new ConfigValidationError(
    `Cannot store a vector as ${rule}: current value is ${shown(value)}`,
    "vector",
  );
}

const INT64_MAX = 2n ** 63n;

/** An id as it is stored. @throws {ConfigValidationError} */
function encodeId(id: VectorId): string {
  if (typeof id === "string") return `{"v": ${dumpJson(id)}, "t": "str"}`;
  const isWhole = typeof id === "bigint" ? id >= -INT64_MAX && id < INT64_MAX : Number.isSafeInteger(id);
  if (isWhole) return `{"v": ${id}, "t": "int"}`;
  throw new ConfigValidationError(
    `Cannot store the id of a vector as it must be a string or a whole number of 64 bits: current value is ${
      shown(id)
    }`,
    "vector.id",
  );
}

/**
 * The id that was stored; numbers where they are exact, else bigint. As the Python package reads them, whatever is not
 * said to be an integer is a text.
 *
 * @throws {SyntaxError} when it is none.
 */
export function decodeId(text: string): VectorId {
  const stored = parseJson(text);
  if (typeof stored !== "object" || stored === null || Array.isArray(stored) || !("v" in stored)) {
    throw new SyntaxError(`Cannot read ${shown(text)} as the id of a vector`);
  }
  const { v: value, t: type } = stored as { readonly v: JsonValue; readonly t?: JsonValue };
  if (type !== "int") return typeof value === "string" ? value : dumpJson(value);
  if (typeof value === "bigint" || Number.isSafeInteger(value)) return value as number | bigint;
  throw new SyntaxError(`Cannot read ${shown(text)} as the id of a vector`);
}

/** JSON as `dumpJson` writes it has no other characters. */
function putAscii(text: string, target: Uint8Array, start: number): number {
  const { length } = text;
  for (let i = 0; i < length; i++) target[start + i] = text.charCodeAt(i);
  return start + length;
}

/** Where the parts of a cell stand; one object reads all cells, one after the other. */
export class VectorCell {
  /** The value stands at the beginning of the cell; 0 bytes where there is none. */
  valueBytes = 0;
  /** False when the row has no value, not even an empty one. */
  hasValue = false;
  /** False when the row has no vector. */
  hasVector = false;
  idStart = 0;
  idBytes = 0;
  payloadStart = 0;
  /** 0 when there is none. */
  payloadBytes = 0;
  vectorStart = 0;
  vectorBytes = 0;

  /** Finds the parts of the cell that ends before `end`. */
  read(bytes: Uint8Array, end: number): void {
    const valueBytes = wordAt(bytes, end - 16);
    this.hasValue = valueBytes !== NO_VALUE;
    this.valueBytes = this.hasValue ? valueBytes : 0;
    this.idBytes = wordAt(bytes, end - 12);
    this.payloadBytes = wordAt(bytes, end - 8);
    this.vectorBytes = wordAt(bytes, end - 4);
    this.hasVector = this.vectorBytes > 0;
    this.vectorStart = end - TRAILER_BYTES - this.vectorBytes;
    this.payloadStart = this.vectorStart - this.payloadBytes;
    this.idStart = this.payloadStart - this.idBytes;
  }
}

/** Says of the cell that ends before `end` that it has no value: whoever took the value out of it. */
export function putNoValue(bytes: Uint8Array, end: number): void {
  bytes.fill(0xff, end - TRAILER_BYTES, end - TRAILER_BYTES + 4);
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}
