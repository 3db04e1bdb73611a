/**
 * Records: what rows look like in the payload of a cell.
 *
 * ```text
 * varint  bytes of the header, itself included
 * varint  serial type of each column: 0 NULL, 1-6 integers of 1, 2, 3, 4, 6, 8 bytes, 7 float64, 8 the constant 0,
 *         9 the constant 1, 12 + 2n blob of n bytes, 13 + 2n text of n bytes
 * …       the columns, without anything between them
 * ```
 *
 * Source: https://www.sqlite.org/fileformat2.html, section 2.1.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { exactInteger, varintAt, varintEnd } from "./varint.ts";

/** A value as SQLite stores it; integers are bigints where a number would not be exact. */
export type SqlValue = null | number | bigint | string | Uint8Array<ArrayBuffer>;

const FIXED_BYTES = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0];

/** Bytes of a column of this serial type; -1 for the two reserved types. */
export function serialBytes(serialType: number): number {
  if (serialType >= 12) return Math.floor((serialType - 12) / 2);
  return FIXED_BYTES[serialType] ?? -1;
}

/**
 * Decodes a record; blobs are copies.
 *
 * @param payload The whole record and nothing else.
 * @param byteOffset Where the record's cell stands in the file, for errors.
 * @throws {CorruptFileError} when lengths contradict each other, or text is not UTF-8.
 */
export function decodeRecord(payload: Uint8Array, byteOffset: number): SqlValue[] {
  const typesStart = varintEnd(payload, 0, payload.byteLength);
  const headerBytes = typesStart < 0 ? Infinity : varintAt(payload, 0);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const values: SqlValue[] = [];
  let column = headerBytes;
  if (headerBytes < typesStart || headerBytes > payload.byteLength) throw corrupt(byteOffset);
  for (let at = typesStart; at < headerBytes;) {
    const next = varintEnd(payload, at, headerBytes);
    const type = next < 0 ? 10 : varintAt(payload, at);
    const length = serialBytes(type);
    if (length < 0 || length > payload.byteLength - column) throw corrupt(byteOffset);
    values.push(decodeColumn(view, [column, length, type], byteOffset));
    column += length;
    at = next;
  }
  return values;
}

function corrupt(byteOffset: number): CorruptFileError {
  return new CorruptFileError("Cannot read a record as its header and each column must lie inside it", byteOffset);
}

function decodeColumn(
  view: DataView,
  [at, length, type]: readonly [number, number, number],
  byteOffset: number,
): SqlValue {
  if (type === 0) return null;
  if (type === 6) return exactInteger(view.getBigInt64(at));
  if (type === 7) return view.getFloat64(at);
  if (type < 10) {
    // The constants take no bytes, other integers up to six.
    let value = length === 0 ? type - 8 : view.getInt8(at);
    for (let i = 1; i < length; i++) value = value * 256 + view.getUint8(at + i);
    return value;
  }
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, length);
  return type % 2 === 0 ? new Uint8Array(bytes) : decodeText(bytes, byteOffset);
}

function decodeText(bytes: Uint8Array, byteOffset: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new CorruptFileError("Cannot read a text as it must be UTF-8", byteOffset, { cause });
  }
}
