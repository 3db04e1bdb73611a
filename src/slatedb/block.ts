/**
 * Rows in a block of a sorted table or of the log, in either of the two encodings.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { compareBytes } from "../routing/key.ts";
import { unsupported } from "./folder.ts";
import type { TableVersion } from "./table_info.ts";

/** What a row says of its key. */
export interface Row {
  readonly key: Uint8Array;
  /** Null where the key was deleted. A view of the block. */
  readonly value: Uint8Array | null;
  readonly sequence: number;
  /** Whether the value is only a part, to be merged with older ones by the program that wrote it. */
  readonly isOperand: boolean;
}

const TOMBSTONE = 1;
const HAS_EXPIRY = 2;
const HAS_CREATION = 4;
const OPERAND = 8;
const KNOWN_FLAGS = 15;

/** Goes through the rows of a block. Fields describe the current row and change with `next`. */
export class BlockCursor {
  /** The key, in the first `keyLength` bytes. */
  keyBytes: Uint8Array = new Uint8Array(64);
  keyLength = 0;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  readonly #version: TableVersion;
  readonly #url: string;
  /** Where rows end and offsets of some rows begin. */
  readonly #end: number;
  /** Rows that can be begun at. */
  readonly #starts: number;
  #at = 0;
  #valueStart = 0;
  #valueLength = 0;
  #flags = 0;
  #sequence = 0;
  /** The block's first key, which keys of the first encoding are shortened against. */
  #firstKey: Uint8Array | null = null;

  /** @throws {RangeError} when it is no block. */
  constructor(block: Uint8Array, version: TableVersion, url: string) {
    this.#bytes = block;
    this.#view = new DataView(block.buffer, block.byteOffset, block.byteLength);
    this.#version = version;
    this.#url = url;
    this.#starts = this.#view.getUint16(block.length - 2);
    this.#end = block.length - 2 - 2 * this.#starts;
    if (this.#starts === 0 || this.#end < 1) throw new RangeError("a block has no rows");
  }

  /** Steps to the next row; false at the end. @throws {RangeError} {@linkcode CorruptFileError} */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    if (this.#version === 1) this.#readPlain();
    else this.#readShort();
    if (this.#at > this.#end) throw new RangeError("a row ends behind the rows");
    return true;
  }

  /** A copy of the key and a view of the value. */
  row(): Row {
    return {
      key: this.keyBytes.slice(0, this.keyLength),
      value: this.#flags & TOMBSTONE
        ? null
        : this.#bytes.subarray(this.#valueStart, this.#valueStart + this.#valueLength),
      sequence: this.#sequence,
      isOperand: (this.#flags & OPERAND) !== 0,
    };
  }

  /** Steps to the first row whose key is not below the given one; false when there is none. */
  seek(key: Uint8Array): boolean {
    let low = 0;
    let high = this.#starts;
    // The last of the rows that can be begun at whose key is below.
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      this.#begin(middle);
      if (this.next() && this.compare(key) < 0) low = middle;
      else high = middle;
    }
    this.#begin(low);
    while (this.next()) if (this.compare(key) >= 0) return true;
    return false;
  }

  /** Below 0 when the current key comes before the given one. */
  compare(key: Uint8Array): number {
    return compareBytes(this.keyBytes.subarray(0, this.keyLength), key);
  }

  #begin(start: number): void {
    if (this.#version === 1 && this.#firstKey === null) {
      this.#at = 0;
      this.next();
    }
    this.#at = this.#view.getUint16(this.#end + 2 * start);
    if (this.#at >= this.#end) throw new RangeError("a row begins behind the rows");
    if (this.#version === 2) this.keyLength = 0;
  }

  /** Lengths of fixed width, and the key shortened against the block's first one. */
  #readPlain(): void {
    const view = this.#view;
    const prefix = view.getUint16(this.#at);
    const suffix = view.getUint16(this.#at + 2);
    const first = this.#firstKey;
    if (prefix > (first?.length ?? 0)) throw new RangeError("a key is shortened by more than there is");
    if (first !== null) this.#setKey(first, 0, [0, prefix]);
    this.#setKey(this.#bytes, this.#at + 4, [prefix, suffix]);
    if (first === null) this.#firstKey = this.keyBytes.slice(0, this.keyLength);
    this.#at += 4 + suffix;
    this.#readMarks();
    this.#valueLength = 0;
    if ((this.#flags & TOMBSTONE) === 0) {
      this.#valueLength = view.getUint32(this.#at);
      this.#valueStart = this.#at + 4;
      this.#at += 4 + this.#valueLength;
    }
  }

  /** Lengths of variable width, and the key shortened against the one before. */
  #readShort(): void {
    const shared = this.#varint();
    const rest = this.#varint();
    this.#valueLength = this.#varint();
    if (shared > this.keyLength) throw new RangeError("a key is shortened by more than there is");
    this.#setKey(this.#bytes, this.#at, [shared, rest]);
    this.#valueStart = this.#at + rest;
    this.#at += rest + this.#valueLength;
    this.#readMarks();
  }

  /** Sequence number, flags and times. Rows do not end by their time before they are compacted. */
  #readMarks(): void {
    const view = this.#view;
    this.#sequence = view.getUint32(this.#at) * 2 ** 32 + view.getUint32(this.#at + 4);
    const flags = this.#flags = view.getUint8(this.#at + 8);
    if ((flags & ~KNOWN_FLAGS) !== 0) throw unsupported(this.#url, `rows with flags ${flags}`);
    if ((flags & TOMBSTONE) !== 0 && (flags & OPERAND) !== 0) {
      throw new CorruptFileError(`Cannot read "${this.#url}" as a row is deleted and to be merged at once`, -1);
    }
    this.#at += 9 + ((flags & HAS_EXPIRY) === 0 ? 0 : 8) + ((flags & HAS_CREATION) === 0 ? 0 : 8);
  }

  #varint(): number {
    let value = 0;
    for (let factor = 1;; factor *= 128) {
      const byte = this.#view.getUint8(this.#at++);
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  }

  #setKey(source: Uint8Array, from: number, [at, length]: readonly [at: number, length: number]): void {
    const end = at + length;
    if (from + length > source.length) throw new RangeError("a key ends behind the block");
    if (end > this.keyBytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.keyBytes.length));
      larger.set(this.keyBytes);
      this.keyBytes = larger;
    }
    if (length < 32) { for (let i = 0; i < length; i++) this.keyBytes[at + i] = source[from + i]!; }
    else this.keyBytes.set(source.subarray(from, from + length), at);
    this.keyLength = end;
  }
}

/** All rows of a block; values are views of it. */
export function rowsOf(block: Uint8Array, version: TableVersion, url: string): Row[] {
  const cursor = new BlockCursor(block, version, url);
  const rows: Row[] = [];
  while (cursor.next()) rows.push(cursor.row());
  return rows;
}
