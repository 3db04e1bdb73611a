/**
 * A hash table over the rows of a file that lies in memory: from a key's hash to where its row stands. A search in the
 * tree waits for memory about ten times, once for each key it compares; here it waits two times.
 * @module
 */
import { copyOf } from "./tree_shape.ts";
import { varintAt, varintEnd } from "./varint.ts";

/** Hash of `bytes[start]` up to `end`, as a whole number of 32 bits, signed or not. */
export type KeyHash = (bytes: Uint8Array, start: number, end: number) => number;

/** Five slots of eight are taken at most, so that most keys stand where they are looked for or right behind. */
const SLOTS_PER_ROW = 1.6;
/** Chance never makes such runs. Keys chosen to collide do; without an index they cost no more than others. */
const PROBES_MAX = 512;

/** Where rows stand in a file, by key, in 6.4 bytes a row. Holds no keys: each answer is compared with the file. */
export class KeyIndex {
  readonly #bytes: Uint8Array;
  readonly #localMax: number;
  readonly #hash: KeyHash;
  /**
   * 0 where free. Else the low bits say where the row's cell stands in the file; what 32 bits have left above that is
   * of the hash, so that cells of other keys are seldom looked at.
   */
  readonly #slots: Uint32Array;
  readonly #slotsPerHash: number;
  readonly #positionBits: number;
  readonly #positionMask: number;
  #rowsLeft: number;
  /** Keys of this length and above may be in the tree without being in here. */
  #longKeyBytesMin: number = Infinity;

  /**
   * @param bytes The file, shorter than 4 GiB.
   * @param localMax Length up to which a payload has no overflow chain.
   * @param rowsMax How many rows will be added at most.
   */
  constructor(bytes: Uint8Array, localMax: number, { rowsMax, hash }: { rowsMax: number; hash: KeyHash }) {
    this.#bytes = bytes;
    this.#localMax = localMax;
    this.#hash = hash;
    this.#slots = new Uint32Array(Math.ceil(rowsMax * SLOTS_PER_ROW) + 1);
    this.#slotsPerHash = this.#slots.length / 2 ** 32;
    this.#positionBits = 32 - Math.clz32(bytes.byteLength - 1);
    this.#positionMask = this.#positionBits === 32 ? -1 : (1 << this.#positionBits) - 1;
    this.#rowsLeft = rowsMax;
  }

  /**
   * Adds a row whose key was not added before and is on the page whole. Its cell must have been checked.
   *
   * @param cell Where the payload size of the row stands in the file.
   * @returns false when the row cannot be added; then the index is of no use.
   */
  add(cell: number, [keyStart, keyEnd]: readonly [start: number, end: number]): boolean {
    const slots = this.#slots;
    const hash = this.#hash(this.#bytes, keyStart, keyEnd);
    if (--this.#rowsLeft < 0) return false;
    let slot = this.#firstSlot(hash);
    for (let probe = 0; slots[slot] !== 0; probe++) {
      if (probe === PROBES_MAX) return false;
      if (++slot === slots.length) slot = 0;
    }
    slots[slot] = this.#tagOf(hash) | cell;
    return true;
  }

  /** Takes note of a row whose key is not on the page whole, and which is therefore not added. */
  leaveOut(keyBytes: number): void {
    if (keyBytes < this.#longKeyBytesMin) this.#longKeyBytesMin = keyBytes;
  }

  /** A copy of the key's value, null when there is no such key, undefined when the tree has to be asked. */
  get(key: Uint8Array): Uint8Array<ArrayBuffer> | null | undefined {
    const slots = this.#slots;
    const positionMask = this.#positionMask;
    const hash = this.#hash(key, 0, key.length);
    const tag = this.#tagOf(hash);
    let slot = this.#firstSlot(hash);
    for (;;) {
      const entry = slots[slot]!;
      if (entry === 0) return key.length < this.#longKeyBytesMin ? null : undefined;
      if (((entry ^ tag) & ~positionMask) === 0) {
        const value = this.#valueAt((entry & positionMask) >>> 0, key);
        if (value !== null) return value;
      }
      if (++slot === slots.length) slot = 0;
    }
  }

  /** The value of a row, null when its key is another, undefined when the value is not on the page whole. */
  #valueAt(cell: number, key: Uint8Array): Uint8Array<ArrayBuffer> | null | undefined {
    const bytes = this.#bytes;
    const body = bytes[cell]! > 0x7f ? varintEnd(bytes, cell, cell + 9) : cell + 1;
    const headerEnd = body + bytes[body]!;
    let typeAt = body + 2;
    let keyType = bytes[body + 1]!;
    if (keyType > 0x7f) {
      keyType = varintAt(bytes, body + 1);
      typeAt = varintEnd(bytes, body + 1, headerEnd);
    }
    const keyBytes = key.length;
    if (keyType !== 12 + 2 * keyBytes) return null;
    for (let i = 0; i < keyBytes; i++) if (bytes[headerEnd + i] !== key[i]) return null;
    if (varintAt(bytes, cell) > this.#localMax) return undefined;
    const start = headerEnd + keyBytes;
    return copyOf(bytes, start, start + ((varintAt(bytes, typeAt) - 12) >>> 1));
  }

  #firstSlot(hash: number): number {
    return Math.floor((hash >>> 0) * this.#slotsPerHash);
  }

  /** The slot follows from the high bits of the hash, so that the tag is made of the low ones. */
  #tagOf(hash: number): number {
    return (hash << this.#positionBits) & ~this.#positionMask;
  }
}

/** Four bytes at a time; the rounds at the end spread what the last bytes changed over all bits. */
export function hashKeyBytes(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  let at = start;
  for (; at + 4 <= end; at += 4) {
    const word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    hash = Math.imul(hash ^ word, 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  for (; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
