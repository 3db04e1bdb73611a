/**
 * Writes blocks of rows in SlateDB's second encoding: each key is shortened against the one before it, but for every
 * sixteenth.
 * @module
 */
import { crc32 } from "../bytes/crc32.ts";
import type { Compressor } from "./compressor.ts";
import type { TableLayout } from "./table_writer.ts";

const RESTART_INTERVAL = 16;
/** Sequence number and flags: what stands behind a row. */
const MARK_BYTES = 9;
/** Filter and index take a few hundredths of a table. */
const TABLE_ROOM = 1.0625;
/** All rows come from one batch, which is the first. */
export const SEQUENCE = 1;
/** Up to here a row may begin in a block. */
const START_MAX = 0xffff;

/** Appends blocks to an array that grows, and is given back for the next table. */
export class BlockWriter {
  /** The first `length` bytes are in use. */
  bytes: Uint8Array = new Uint8Array(1 << 16);
  length = 0;
  readonly #blockBytes: number;
  readonly #compress: Compressor;
  /** What a table needs in all, more or less: memory grows to it by doubling, and then by small steps. */
  readonly #tableBytes: number;
  /** Where the block begins that is being written. */
  #blockStart = 0;
  #starts: number[] = [];
  #rowCount = 0;
  /** The key before, in `bytes`' own copy: what it stands in may be overwritten. */
  #lastKey = new Uint8Array(64);
  #lastKeyLength = 0;

  /** @param layout Blocks of one long row may be longer than it says. */
  constructor(
    { blockSizeBytes, tableSizeBytes }: Pick<TableLayout, "blockSizeBytes" | "tableSizeBytes">,
    compress: Compressor,
  ) {
    this.#blockBytes = blockSizeBytes;
    this.#tableBytes = Math.ceil(tableSizeBytes * TABLE_ROOM);
    this.#compress = compress;
  }

  get isEmpty(): boolean {
    return this.#rowCount === 0;
  }

  get lastKey(): Uint8Array {
    return this.#lastKey.subarray(0, this.#lastKeyLength);
  }

  /** Whether a row would make the block too long. It never does when it is the first. */
  isFull(key: Uint8Array, valueLength: number): boolean {
    if (this.#rowCount === 0) return false;
    const isRestart = this.#rowCount % RESTART_INTERVAL === 0;
    const shared = isRestart ? 0 : this.#sharedWith(key);
    const rest = key.length - shared;
    const rowBytes = varintBytes(shared) + varintBytes(rest) + varintBytes(valueLength) + rest + valueLength +
      MARK_BYTES;
    const used = this.length - this.#blockStart;
    return used + 2 * this.#starts.length + 2 + rowBytes + (isRestart ? 2 : 0) > this.#blockBytes || used > START_MAX;
  }

  /** Adds a row whose key is above all before. */
  add(key: Uint8Array, value: Piece): void {
    const isRestart = this.#rowCount % RESTART_INTERVAL === 0;
    if (isRestart) this.#starts.push(this.length - this.#blockStart);
    const shared = isRestart ? 0 : this.#sharedWith(key);
    const rest = key.length - shared;
    this.#reserve(15 + rest + value.length + MARK_BYTES);
    this.#putVarint(shared);
    this.#putVarint(rest);
    this.#putVarint(value.length);
    const { bytes } = this;
    copy(bytes, this.length, { bytes: key, start: shared, length: rest });
    this.length += rest;
    copy(bytes, this.length, value);
    this.length += value.length;
    bytes.fill(0, this.length, this.length + MARK_BYTES);
    bytes[this.length + 7] = SEQUENCE;
    this.length += MARK_BYTES;
    this.#rowCount++;
    if (key.length > this.#lastKey.length) this.#lastKey = new Uint8Array(2 * key.length);
    copy(this.#lastKey, 0, { bytes: key, start: 0, length: key.length });
    this.#lastKeyLength = key.length;
  }

  /** Ends the block with the places of its rows and a checksum. */
  endBlock(): void {
    const starts = this.#starts;
    this.#reserve(2 * starts.length + 6);
    for (const start of starts) this.#putUint16(start);
    this.#putUint16(starts.length);
    if (this.#compress !== null) this.#compressBlock(this.#compress);
    this.endPart(this.#blockStart);
    this.#blockStart = this.length;
    this.#starts = [];
    this.#rowCount = 0;
  }

  /** Appends bytes as they are. */
  append(part: Uint8Array): void {
    this.#reserve(part.length);
    this.bytes.set(part, this.length);
    this.length += part.length;
  }

  /** Appends the checksum of what stands from `start` on. */
  endPart(start: number): void {
    this.#reserve(4);
    const checksum = crc32(this.bytes.subarray(start, this.length));
    this.#putUint16(checksum >>> 16);
    this.#putUint16(checksum & 0xffff);
  }

  /** Begins the next table. */
  clear(): void {
    this.length = this.#blockStart = 0;
  }

  #compressBlock(compress: Exclude<Compressor, null>): void {
    const compressed = compress(this.bytes.subarray(this.#blockStart, this.length));
    this.length = this.#blockStart;
    this.append(compressed);
  }

  #sharedWith(key: Uint8Array): number {
    const last = this.#lastKey;
    const length = Math.min(this.#lastKeyLength, key.length);
    let shared = 0;
    while (shared < length && last[shared] === key[shared]) shared++;
    return shared;
  }

  #putVarint(value: number): void {
    while (value >= 128) {
      this.bytes[this.length++] = value & 127 | 128;
      value = Math.floor(value / 128);
    }
    this.bytes[this.length++] = value;
  }

  #putUint16(value: number): void {
    this.bytes[this.length++] = value >>> 8;
    this.bytes[this.length++] = value & 255;
  }

  #reserve(sizeBytes: number): void {
    const needed = this.length + sizeBytes;
    if (needed <= this.bytes.length) return;
    const grownBytes = Math.min(2 * this.bytes.length, Math.max(this.#tableBytes, 1.125 * this.bytes.length));
    const larger = new Uint8Array(Math.max(needed, Math.ceil(grownBytes)));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }
}

function varintBytes(value: number): number {
  return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : value < 268435456 ? 4 : 5;
}

/** A part of an array. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly length: number;
}

/** Short pieces byte by byte, which is faster. */
function copy(target: Uint8Array, at: number, { bytes, start, length }: Piece): void {
  if (length > 48) target.set(bytes.subarray(start, start + length), at);
  else for (let i = 0; i < length; i++) target[at + i] = bytes[start + i]!;
}
