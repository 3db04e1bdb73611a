/**
 * NumPy's files of arrays, in which snapshots keep centroids and hyperplanes (WIRE_FORMATS 13.7).
 *
 * ```text
 * 0  93 4E 55 4D 50 59      magic
 * 6  u8 major, u8 minor     version: 1.0; 2.0 and 3.0 have a longer length
 * 8  u16 header length      (u32 from version 2.0 on), little-endian
 * …  header                 a Python dictionary in text, padded with blanks to a multiple of 64, ends in a line feed
 * …  numbers                little-endian
 * ```
 *
 * Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 * @module
 */
import { ConfigValidationError, CorruptFileError } from "../errors.ts";

/** An array of numbers. */
export interface NpyArray {
  /** Lengths along the axes; none is a single number. */
  readonly shape: readonly number[];
  /** Row-major, in the precision of the file. */
  readonly values: Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;
}

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** No array of ours has more; the header of one that has would not be text any more. */
const HEADER_BYTES_MAX = 4096;
const HEADER = /^\{\s*'descr':\s*'([^']*)',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(([\d,\s]*)\),?\s*\}\s*$/;

/**
 * Reads an array of 32-bit or 64-bit floats, of any shape, whichever axis varies fastest in the file.
 *
 * @throws {CorruptFileError} when it is no such file, holds other numbers, or is not as long as it says.
 */
export function readNpy(bytes: Uint8Array): NpyArray {
  if (bytes.length < 10 || MAGIC.some((byte, i) => bytes[i] !== byte)) throw corrupt("it does not begin as one", 0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const major = bytes[6]!;
  if (major < 1 || major > 3) throw corrupt(`version ${major} is not known`, 6);
  const headerStart = major === 1 ? 10 : 12;
  if (bytes.length < headerStart) throw corrupt("it is cut short", bytes.length);
  const headerBytes = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  const dataStart = headerStart + headerBytes;
  if (headerBytes > HEADER_BYTES_MAX || dataStart > bytes.length) throw corrupt("its header is cut short", 8);
  const found = HEADER.exec(new TextDecoder().decode(bytes.subarray(headerStart, dataStart)));
  if (found === null) throw corrupt("its header is malformed", headerStart);
  const [, kind, isFortran, axes] = found as unknown as [string, string, string, string];
  if (kind !== "<f4" && kind !== "<f8") throw corrupt(`its numbers must be "<f4" or "<f8", not "${kind}"`, headerStart);
  const shape = axes.split(",").map((axis) => axis.trim()).filter((axis) => axis !== "").map(Number);
  const count = shape.reduce((product, axis) => product * axis, 1);
  const dataBytes = count * (kind === "<f4" ? 4 : 8);
  if (!Number.isSafeInteger(dataBytes) || dataBytes !== bytes.length - dataStart) {
    throw corrupt(`it must have ${dataBytes} bytes of numbers, and has ${bytes.length - dataStart}`, dataStart);
  }
  const values = kind === "<f4" ? new Float32Array(count) : new Float64Array(count);
  for (let i = 0; i < count; i++) {
    values[i] = kind === "<f4" ? view.getFloat32(dataStart + 4 * i, true) : view.getFloat64(dataStart + 8 * i, true);
  }
  return { shape, values: isFortran === "True" ? rowMajor(values, shape) : values };
}

/**
 * Writes an array as NumPy does: version 1.0, row-major, in the precision of the values.
 *
 * @throws {ConfigValidationError} when the shape is not that of so many values.
 */
export function writeNpy({ shape, values }: NpyArray): Uint8Array<ArrayBuffer> {
  if (shape.reduce((product, axis) => product * axis, 1) !== values.length) {
    throw new ConfigValidationError(
      `Cannot write an array as its shape must be that of ${values.length} values: current value is (${shape.join()})`,
      "shape",
    );
  }
  const size = values.BYTES_PER_ELEMENT;
  const axes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const header = `{'descr': '<f${size}', 'fortran_order': False, 'shape': (${axes}), }`;
  const dataStart = Math.ceil((10 + header.length + 1) / 64) * 64;
  const bytes = new Uint8Array(dataStart + values.byteLength);
  const view = new DataView(bytes.buffer);
  bytes.set(MAGIC);
  bytes[6] = 1;
  view.setUint16(8, dataStart - 10, true);
  bytes.set(new TextEncoder().encode(`${header.padEnd(dataStart - 11)}\n`), 10);
  for (let i = 0; i < values.length; i++) {
    if (size === 4) view.setFloat32(dataStart + 4 * i, values[i]!, true);
    else view.setFloat64(dataStart + 8 * i, values[i]!, true);
  }
  return bytes;
}

/** The same array with the last axis varying fastest, which before was the first. */
function rowMajor<V extends NpyArray["values"]>(values: V, shape: readonly number[]): V {
  const result = values.slice() as V;
  const index = shape.map(() => 0);
  for (let i = 0; i < result.length; i++) {
    let from = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) from = from * shape[axis]! + index[axis]!;
    result[i] = values[from]!;
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis]! === shape[axis]; axis--) index[axis] = 0;
  }
  return result;
}

function corrupt(problem: string, byteOffset: number): CorruptFileError {
  return new CorruptFileError(`Cannot read a file of numbers (.npy) as ${problem}`, byteOffset);
}
