/**
 * Packs rows one after the other into arrays that grow.
 * @module
 */
import type { PackedRows } from "../rows.ts";
import { ArrayPool } from "./array_pool.ts";

/** Collects rows; `rows` gives what was collected so far without copying it. */
export class PackedBuilder implements PackedRows {
  rowCount = 0;
  bytes: Uint8Array<ArrayBuffer>;
  starts: Uint32Array<ArrayBuffer>;
  keyLengths: Uint32Array<ArrayBuffer>;

  /**
   * @param capacity What to make room for at first; any number of rows and bytes fits in the end.
   * @param pool Where the arrays come from. Default: new ones.
   */
  constructor(capacity: { rows: number; bytes: number }, pool: ArrayPool = new ArrayPool()) {
    const { bytes, starts, keyLengths } = pool.take(capacity);
    this.bytes = bytes;
    this.starts = starts;
    this.keyLengths = keyLengths;
  }

  /** Bytes of keys and values so far. */
  get usedBytes(): number {
    return this.starts[this.rowCount]!;
  }

  /** Bytes that the arrays occupy. */
  get heldBytes(): number {
    return this.bytes.length + 8 * this.keyLengths.length;
  }

  /** Makes room for one more row of so many bytes; `bytes` may be another array afterwards. */
  reserve(rowBytes: number): void {
    const neededBytes = this.usedBytes + rowBytes;
    if (neededBytes > this.bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.bytes.length, neededBytes));
      larger.set(this.bytes.subarray(0, this.usedBytes));
      this.bytes = larger;
    }
    if (this.rowCount === this.keyLengths.length) {
      this.starts = grown(this.starts, 2 * this.rowCount + 1);
      this.keyLengths = grown(this.keyLengths, 2 * this.rowCount);
    }
  }

  /** Records a row whose bytes the caller has put after the rows before it. */
  commit(keyLength: number, rowBytes: number): void {
    this.keyLengths[this.rowCount] = keyLength;
    this.starts[this.rowCount + 1] = this.starts[this.rowCount]! + rowBytes;
    this.rowCount++;
  }

  /** Copies a row. */
  append(source: Uint8Array, start: number, lengths: { keyLength: number; rowBytes: number }): void {
    this.reserve(lengths.rowBytes);
    this.bytes.set(source.subarray(start, start + lengths.rowBytes), this.usedBytes);
    this.commit(lengths.keyLength, lengths.rowBytes);
  }

  /** Forgets the rows and keeps the room. */
  clear(): void {
    this.rowCount = 0;
  }
}

function grown(array: Uint32Array<ArrayBuffer>, length: number): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(length);
  larger.set(array);
  return larger;
}

/**
 * Packed rows as the parts of one piece of bytes: u32 row count, `starts`, `keyLengths`, then the rows. Integers have
 * the machine's byte order: pieces are read where they were written. Parts are views.
 */
export function encodePacked(rows: PackedRows): Uint8Array[] {
  const { rowCount, starts, keyLengths, bytes } = rows;
  return [
    new Uint8Array(Uint32Array.of(rowCount).buffer),
    new Uint8Array(starts.buffer, starts.byteOffset, 4 * (rowCount + 1)),
    new Uint8Array(keyLengths.buffer, keyLengths.byteOffset, 4 * rowCount),
    bytes.subarray(0, starts[rowCount]!),
  ];
}

/** The rows of a piece made by {@linkcode encodePacked}, as views of it. */
export function decodePacked(piece: Uint8Array<ArrayBuffer>): PackedRows {
  const rowCount = new Uint32Array(piece.buffer, piece.byteOffset, 1)[0]!;
  const headBytes = 4 * (2 * rowCount + 2);
  const words = new Uint32Array(piece.buffer, piece.byteOffset, headBytes / 4);
  return {
    rowCount,
    starts: words.subarray(1, rowCount + 2),
    keyLengths: words.subarray(rowCount + 2),
    bytes: piece.subarray(headBytes),
  };
}
