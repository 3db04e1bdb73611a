/**
 * Reads LZ4 frames, in which Arrow's files compress their buffers. Source: lz4_Frame_format.md and
 * lz4_Block_format.md of the LZ4 project.
 * @module
 */

const MAGIC = 0x184d2204;
const INDEPENDENT_SIZE_FLAG = 0x08;
const BLOCK_CHECKSUM_FLAG = 0x10;
const CONTENT_CHECKSUM_FLAG = 0x04;
const DICTIONARY_FLAG = 0x01;
const STORED_FLAG = 0x80000000;

/**
 * The content of a frame; checksums are not looked at.
 *
 * ```text
 * 0 u32 magic   4 u8 flags   5 u8 largest block   6 u64 size of the content, if flagged   u8 checksum of these
 * then blocks: u32 size (highest bit: stored as it is), bytes, u32 checksum if flagged; a size of 0 ends the frame
 * ```
 *
 * @throws {RangeError} when the bytes are no such frame.
 */
export function decodeLz4Frame(bytes: Uint8Array): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < 11 || view.getUint32(0, true) !== MAGIC) throw new RangeError("no LZ4 frame");
  const flags = bytes[4]!;
  if ((flags & DICTIONARY_FLAG) !== 0) throw new RangeError("an LZ4 frame with a dictionary");
  const hasSize = (flags & INDEPENDENT_SIZE_FLAG) !== 0;
  const output = new Output(hasSize ? Number(view.getBigUint64(6, true)) : bytes.byteLength * 4);
  let at = 6 + (hasSize ? 8 : 0) + 1;
  for (;;) {
    const word = view.getUint32(at, true);
    at += 4;
    if (word === 0) break;
    const size = word & ~STORED_FLAG;
    const block = bytes.subarray(at, at + size);
    if (block.byteLength < size) throw new RangeError("an LZ4 block cut short");
    if (word >>> 31 === 1) output.append(block);
    else decodeBlock(block, output);
    at += size + ((flags & BLOCK_CHECKSUM_FLAG) === 0 ? 0 : 4);
  }
  if ((flags & CONTENT_CHECKSUM_FLAG) !== 0 && at + 4 > bytes.byteLength) {
    throw new RangeError("an LZ4 frame cut short");
  }
  return output.bytes();
}

function decodeBlock(block: Uint8Array, output: Output): void {
  let at = 0;
  const length = (nibble: number): number => {
    if (nibble < 15) return nibble;
    let sum = 15;
    for (let more = 255; more === 255; sum += more) {
      if (at >= block.byteLength) throw new RangeError("an LZ4 block cut short");
      more = block[at++]!;
    }
    return sum;
  };
  while (at < block.byteLength) {
    const token = block[at++]!;
    const literals = length(token >> 4);
    if (at + literals > block.byteLength) throw new RangeError("an LZ4 block cut short");
    output.append(block.subarray(at, at + literals));
    at += literals;
    if (at === block.byteLength) return;
    if (at + 2 > block.byteLength) throw new RangeError("an LZ4 block cut short");
    const offset = block[at]! | (block[at + 1]! << 8);
    at += 2;
    output.repeat(offset, length(token & 15) + 4);
  }
}

/** Grows by doubling; blocks may refer to what came before them. */
class Output {
  #bytes: Uint8Array;
  #size = 0;

  constructor(expectedBytes: number) {
    this.#bytes = new Uint8Array(Math.min(expectedBytes, 1 << 26));
  }

  append(part: Uint8Array): void {
    this.#reserve(part.byteLength);
    this.#bytes.set(part, this.#size);
    this.#size += part.byteLength;
  }

  repeat(offset: number, count: number): void {
    if (offset === 0 || offset > this.#size) throw new RangeError("an LZ4 match before the beginning");
    this.#reserve(count);
    const bytes = this.#bytes;
    // Byte by byte, as a match may reach into what it writes.
    for (let i = 0; i < count; i++, this.#size++) bytes[this.#size] = bytes[this.#size - offset]!;
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#size);
  }

  #reserve(count: number): void {
    if (this.#size + count <= this.#bytes.byteLength) return;
    const larger = new Uint8Array(Math.max(this.#size + count, this.#bytes.byteLength * 2));
    larger.set(this.#bytes.subarray(0, this.#size));
    this.#bytes = larger;
  }
}
