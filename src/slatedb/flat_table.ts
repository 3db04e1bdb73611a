/**
 * Reads FlatBuffers: tables of numbered fields, any of which may be missing.
 *
 * Nothing is copied or unpacked: a table is a position in the bytes. Reading outside of them throws a `RangeError`,
 * which whoever knows the object turns into an error that names it.
 * @module
 */
import { CorruptFileError } from "../errors.ts";

/** Several tables of one kind. */
export interface FlatTables {
  readonly length: number;
  at(index: number): FlatTable;
}

/** One table. Fields are numbered in the order of their schema; a missing one reads as 0. */
export class FlatTable {
  readonly #view: DataView;
  readonly #at: number;
  readonly #fields: number;
  /** Places for fields in this table; those behind are missing. */
  readonly #fieldCount: number;

  constructor(view: DataView, at: number) {
    this.#view = view;
    this.#at = at;
    this.#fields = at - view.getInt32(at, true);
    this.#fieldCount = (view.getUint16(this.#fields, true) - 4) >> 1;
  }

  /** The table that the bytes are. */
  static root(bytes: Uint8Array): FlatTable {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return new FlatTable(view, view.getUint32(0, true));
  }

  has(field: number): boolean {
    return this.#place(field) !== 0;
  }

  /** Whether a field of this number or a higher one is there. */
  hasFrom(field: number): boolean {
    for (let i = field; i < this.#fieldCount; i++) if (this.has(i)) return true;
    return false;
  }

  uint8(field: number): number {
    const place = this.#place(field);
    return place === 0 ? 0 : this.#view.getUint8(place);
  }

  uint16(field: number): number | undefined {
    const place = this.#place(field);
    return place === 0 ? undefined : this.#view.getUint16(place, true);
  }

  /** A number of 64 bits. @throws {CorruptFileError} when it is not a safe integer, which no length or counter is. */
  uint64(field: number): number {
    const place = this.#place(field);
    if (place === 0) return 0;
    const value = this.#view.getUint32(place + 4, true) * 2 ** 32 + this.#view.getUint32(place, true);
    if (Number.isSafeInteger(value)) return value;
    throw new CorruptFileError(`Cannot use ${value} as a length or counter: it must be a safe integer`, place);
  }

  /** All 64 bits, of identifiers. */
  bits64(field: number): bigint {
    const place = this.#place(field);
    return place === 0 ? 0n : this.#view.getBigUint64(place, true);
  }

  /** A view of the bytes of a vector. */
  bytes(field: number): Uint8Array | undefined {
    const place = this.#vector(field);
    if (place === 0) return undefined;
    const { buffer, byteOffset, byteLength } = this.#view;
    const length = this.#view.getUint32(place, true);
    if (place + 4 + length > byteLength) throw new RangeError("a vector ends outside of the buffer");
    return new Uint8Array(buffer, byteOffset + place + 4, length);
  }

  table(field: number): FlatTable | undefined {
    const place = this.#vector(field);
    return place === 0 ? undefined : new FlatTable(this.#view, place);
  }

  /** The tables of a vector; none when it is missing. */
  tables(field: number): FlatTables {
    const view = this.#view;
    const place = this.#vector(field);
    if (place === 0) return { length: 0, at: () => this };
    const length = view.getUint32(place, true);
    if (place + 4 + length * 4 > view.byteLength) throw new RangeError("a vector ends outside of the buffer");
    return {
      length,
      at(index) {
        const entry = place + 4 + index * 4;
        return new FlatTable(view, entry + view.getUint32(entry, true));
      },
    };
  }

  /** Where a field stands; 0 when it is missing. */
  #place(field: number): number {
    if (field >= this.#fieldCount) return 0;
    const offset = this.#view.getUint16(this.#fields + 4 + field * 2, true);
    return offset === 0 ? 0 : this.#at + offset;
  }

  /** What a field points to; 0 when it is missing. */
  #vector(field: number): number {
    const place = this.#place(field);
    return place === 0 ? 0 : place + this.#view.getUint32(place, true);
  }
}

/** All tables of a vector. */
export function listed(tables: FlatTables): FlatTable[] {
  return Array.from({ length: tables.length }, (_, index) => tables.at(index));
}
