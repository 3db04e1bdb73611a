/**
 * Compression by copying alone, without codes of a few bits: LZ4 blocks and Snappy.
 * @module
 */

/** The content of an LZ4 block behind its length. @throws {RangeError} when it is damaged. */
export function expandLz4(bytes: Uint8Array, sizeMax: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const output = new Output(view.getUint32(0, true), sizeMax);
  let at = 4;
  function rest(length: number): number {
    if (length < 15) return length;
    for (;;) {
      const byte = view.getUint8(at++);
      length += byte;
      if (byte < 255) return length;
    }
  }
  while (at < bytes.length) {
    const token = view.getUint8(at++);
    const literalLength = rest(token >>> 4);
    output.append(bytes, at, literalLength);
    at += literalLength;
    if (at >= bytes.length) break;
    const distance = view.getUint16(at, true);
    at += 2;
    output.repeat(distance, rest(token & 15) + 4);
  }
  return output.finish();
}

/** The content of a Snappy block without frame. @throws {RangeError} when it is damaged. */
export function expandSnappy(bytes: Uint8Array, sizeMax: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let sizeBytes = 0;
  for (let factor = 1;; factor *= 128) {
    const byte = view.getUint8(at++);
    sizeBytes += (byte & 127) * factor;
    if (byte < 128) break;
  }
  const output = new Output(sizeBytes, sizeMax);
  while (at < bytes.length) {
    const tag = view.getUint8(at++);
    const kind = tag & 3;
    if (kind === 0) {
      const extra = Math.max(0, (tag >>> 2) - 59);
      let length = extra === 0 ? tag >>> 2 : 0;
      for (let i = 0; i < extra; i++) length += view.getUint8(at + i) * 256 ** i;
      at += extra;
      output.append(bytes, at, length + 1);
      at += length + 1;
    } else if (kind === 1) {
      output.repeat(tag >>> 5 << 8 | view.getUint8(at++), (tag >>> 2 & 7) + 4);
    } else {
      output.repeat(kind === 2 ? view.getUint16(at, true) : view.getUint32(at, true), (tag >>> 2) + 1);
      at += kind === 2 ? 2 : 4;
    }
  }
  return output.finish();
}

/** Content as it is put together. */
class Output {
  readonly #bytes: Uint8Array;
  #length = 0;

  constructor(sizeBytes: number, sizeMax: number) {
    if (sizeBytes > sizeMax) throw new RangeError(`the content has ${sizeBytes} bytes`);
    this.#bytes = new Uint8Array(sizeBytes);
  }

  append(source: Uint8Array, from: number, length: number): void {
    if (from + length > source.length) throw new RangeError("literals end behind the block");
    this.#bytes.set(source.subarray(from, from + length), this.#length);
    this.#length += length;
  }

  /** Copies what stands `distance` bytes before; it may reach into itself. */
  repeat(distance: number, length: number): void {
    const bytes = this.#bytes;
    const from = this.#length - distance;
    if (distance === 0 || from < 0 || this.#length + length > bytes.length) {
      throw new RangeError("a copy is of what is not there");
    }
    for (let i = 0; i < length; i++) bytes[this.#length + i] = bytes[from + i]!;
    this.#length += length;
  }

  finish(): Uint8Array {
    if (this.#length !== this.#bytes.length) throw new RangeError("the content is of another length");
    return this.#bytes;
  }
}
