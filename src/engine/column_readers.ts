/**
 * Reads columns of a record batch value by value.
 * @module
 */
import { isUtf8 } from "node:buffer";
import type { Data, DataType, Timestamp, Vector } from "apache-arrow";
import { ConfigValidationError } from "../errors.ts";
import type { Arrow } from "./arrow_input.ts";

/** The value of a row; null or undefined where there is none. */
export type Read = (index: number) => unknown;

/** A column and its name, for errors. */
export interface NamedColumn {
  readonly name: string;
  readonly column: Vector;
}

/** What stands for a value that would lose something as a key, or as the value of one: `shown` says its type. */
export class OtherValue {
  readonly type: string;

  constructor(type: string) {
    this.type = type;
  }
}

/**
 * Values for JSON: what the library gives as bare numbers, and what is a time or a decimal fraction, becomes text.
 *
 * @throws {ConfigValidationError} from the reader, for text that is no UTF-8.
 */
export function columnReader(arrow: Arrow, named: NamedColumn): Read {
  const { DataType } = arrow;
  const { type } = named.column;
  if (DataType.isTimestamp(type)) return timestampReader(arrow, named.column as Vector<Timestamp>);
  const get = named.column.get.bind(named.column) as Read;
  if (DataType.isDate(type)) return withText(get, (value) => new Date(Number(value)).toISOString().slice(0, 10));
  if (DataType.isDecimal(type)) return withText(get, (value) => decimalText(value as Uint32Array, type.scale));
  const bytes = textBytesReader(arrow, named);
  return bytes === null ? get : withText(bytes, (value) => decoder.decode(value as Uint8Array));
}

/**
 * Values for keys, and for values that are stored as they are: numbers, text and bytes; {@linkcode OtherValue} for
 * others.
 *
 * @param textAsBytes Whether text comes as the bytes that it is stored as, which saves making a string of it.
 */
export function exactReader(arrow: Arrow, named: NamedColumn, { textAsBytes }: { textAsBytes: boolean }): Read {
  const { column } = named;
  const { type } = column;
  const integers = integerReader(arrow, column);
  if (integers !== null) return integers;
  if (isOther(arrow, type)) {
    const other = new OtherValue(String(type));
    const get = column.get.bind(column) as Read;
    return (index) => get(index) === null ? null : other;
  }
  const bytes = textAsBytes ? textBytesReader(arrow, named) : null;
  return bytes ?? columnReader(arrow, named);
}

/** What would lose something as text, or is a number of some unit. */
function isOther({ DataType }: Arrow, type: DataType): boolean {
  return DataType.isTimestamp(type) || DataType.isDate(type) || DataType.isTime(type) || DataType.isDuration(type) ||
    DataType.isInterval(type) || DataType.isDecimal(type) || DataType.isBool(type) || type.children?.length > 0;
}

/** Whole numbers of 64 bits as numbers where these are exact, without a `bigint` for each. */
function integerReader({ DataType }: Arrow, column: Vector): Read | null {
  const { type } = column;
  if (!DataType.isInt(type) || type.bitWidth !== 64 || column.data.length !== 1) return null;
  const data = column.data[0] as Data;
  const values = data.values as BigInt64Array | BigUint64Array;
  const words = new Int32Array(values.buffer, values.byteOffset, 2 * values.length);
  const hasNulls = data.nullCount > 0;
  return (index) => {
    if (hasNulls && !data.getValid(index)) return null;
    const high = words[2 * index + 1]!;
    if (high >= 0 && high < 0x20_0000) return high * 0x1_0000_0000 + (words[2 * index]! >>> 0);
    return values[index];
  };
}

/** The bytes of text, checked; null for columns of other types. */
function textBytesReader(arrow: Arrow, { name, column }: NamedColumn): Read | null {
  const { DataType } = arrow;
  const { type } = column;
  if (DataType.isDictionary(type)) {
    const [data] = column.data;
    if (column.data.length !== 1 || !data?.dictionary) return null;
    const dictionary = textBytesReader(arrow, { name, column: data.dictionary });
    if (dictionary === null) return null;
    return (index) => data.getValid(index) ? dictionary(Number(data.values[index])) : null;
  }
  const bytesType = DataType.isUtf8(type)
    ? new arrow.Binary()
    : DataType.isLargeUtf8(type)
    ? new arrow.LargeBinary()
    : DataType.isUtf8View(type)
    ? new arrow.BinaryView()
    : null;
  if (bytesType === null) return null;
  const bytes = new arrow.Vector(column.data.map((data: Data) => data.clone(bytesType as never)));
  return (index) => {
    const value = bytes.get(index) as Uint8Array | null;
    if (value === null || isText(value)) return value;
    throw new ConfigValidationError(
      `Cannot read column "${name}" as text as it must be UTF-8: current value is the bytes ` +
        `${value.subarray(0, 20).toHex()}${value.length > 20 ? "…" : ""}; give such columns as bytes`,
      "rows",
    );
  };
}

/** Short ASCII is told by hand: calls of the runtime cost more. */
function isText(bytes: Uint8Array): boolean {
  const { length } = bytes;
  if (length > 64) return isUtf8(bytes);
  for (let at = 0; at < length; at++) {
    if (bytes[at]! > 0x7f) return isUtf8(bytes);
  }
  return true;
}

/** Text that was checked; a mark of byte order is part of it. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

function withText(get: Read, textOf: (value: unknown) => string): Read {
  return (index) => {
    const value = get(index);
    return value === null || value === undefined ? null : textOf(value);
  };
}

/** In milliseconds, and what is finer where there is something. */
function timestampReader({ TimeUnit }: Arrow, column: Vector<Timestamp>): Read {
  const { unit } = column.type;
  const get = column.get.bind(column) as Read;
  if ((unit !== TimeUnit.MICROSECOND && unit !== TimeUnit.NANOSECOND) || column.data.length !== 1) {
    return withText(get, (value) => new Date(Number(value)).toISOString());
  }
  const data = column.data[0] as Data<Timestamp>;
  const digits = unit === TimeUnit.MICROSECOND ? 3 : 6;
  const perMs = 10n ** BigInt(digits);
  return (index) => {
    if (!data.getValid(index)) return null;
    const value = (data.values as unknown as BigInt64Array)[index]!;
    const rest = ((value % perMs) + perMs) % perMs;
    const text = new Date(Number((value - rest) / perMs)).toISOString();
    return rest === 0n ? text : `${text.slice(0, -1)}${String(rest).padStart(digits, "0")}Z`;
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
