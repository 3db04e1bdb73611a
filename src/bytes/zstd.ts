/**
 * Decompresses zstd frames on every runtime: in TypeScript, as Workers can neither compile WebAssembly nor be sure of
 * `node:zlib`.
 *
 * Almost everything in a frame is a number of a few bits. {@linkcode read} takes it from where {@linkcode bit} stands;
 * {@linkcode readBack} from below, as streams of codes are read from their ends. There is neither a window nor a buffer
 * of literals: matches are copied within the content, and the literals of a block wait at the very end of its buffer,
 * as what is written before them cannot get ahead of them.
 *
 * Nothing waits between the first step and the last, so that one set of variables serves everyone in a thread.
 *
 * Source: RFC 8878, of which the sections named here are.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { xxh64Low } from "./xxh64.ts";

/** Most that a block may hold, compressed or not (3.1.1.2.4). */
const BLOCK_BYTES_MAX = 1 << 17;

/**
 * The codes of sequences, in the order of their tables: lengths of literals, offsets, lengths of matches. Each with its
 * largest accuracy log and number of symbols (3.1.1.3.2.1), and its default table as counts plus 1 (3.1.1.3.2.2).
 */
const CODES = [
  [9, 36, "543333333333322233333333343222220000"],
  [8, 32, "22222233322222222222222200000"],
  [9, 53, "25433333322222222222222222222222222222222222220000000"],
] as const;

/** For each symbol of a length, of literals and of matches, its base << 5 | extra bits (3.1.1.3.2.1.1). */
const LITERAL_LENGTHS = lengths("00000000000000001111223346789abcdefg", 0);
const MATCH_LENGTHS = lengths("0000000000000000000000000000000011112233445789abcdefg", 3);

/**
 * The frame. What lies outside throws when it is read, which is the only check of bounds that reading needs; and 32
 * bits can be read from any byte of a block, as there is a checksum behind the last.
 */
let view: DataView;
/** Position in the frame, in bits. */
let bit: number;
/** All of the content, of which the first `length` bytes are done. */
let content: Uint8Array;
let length: number;
/** What blocks leave for those behind them: tables, and the last three offsets (3.1.1.5). */
let huffman: Uint16Array | undefined;
let tables: (Uint32Array | undefined)[];
let last: number, secondLast: number, thirdLast: number;

/**
 * The content of one frame, which must state its length and carry a checksum: unless `isChecked`, any four bytes.
 *
 * @param frame The frame and nothing else, but for skippable frames before it. Less than 256 MiB.
 * @param sizeBytes Length of the content, from 1 up. As much is allocated for it, whatever the frame says.
 * @throws {CorruptFileError} when the frame is damaged, or its content is of another length.
 */
export function decompressFrame(frame: Uint8Array, sizeBytes: number, isChecked = true): Uint8Array {
  try {
    view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    let at = 0;
    // Skippable frames (3.1.2).
    while (view.getUint32(at, true) >>> 4 === 0x184d2a5) at += 8 + view.getUint32(at + 4, true);
    // Positions in bits must fit 31 bits.
    check(view.getUint32(at, true) === 0xfd2fb528 && frame.length < 1 << 28);
    bit = 8 * at + 32;
    check(readSize() === sizeBytes && sizeBytes > 0);
    content = new Uint8Array(sizeBytes);
    length = 0;
    huffman = undefined;
    tables = [];
    [last, secondLast, thirdLast] = [1, 4, 8];
    while (!readBlock());
    check(length === sizeBytes && bit === 8 * frame.length - 32);
    check(!isChecked || xxh64Low(content) === view.getUint32(bit >> 3, true));
    return content;
  } catch (cause) {
    throw new CorruptFileError("Cannot decompress a zstd frame: it is damaged, or of an unknown kind", -1, { cause });
  } finally {
    // Else these two would stay in memory.
    view = content = undefined!;
  }
}

/** Where a frame with a checksum ends, going by its header and those of its blocks. */
export function frameEnd(view: DataView): number {
  const flags = view.getUint8(4);
  for (let at = (flags & 0x20 ? 5 : 6) + (1 << (flags >> 6));;) {
    const head = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    at += 3 + ((head & 6) === 2 ? 1 : head >>> 3);
    if (head & 1) return at + 4;
  }
}

/** Reads the header (3.1.1.1); 0 when it states no length, or one of eight bytes. */
function readSize(): number {
  // No dictionary, a checksum, and nothing in the reserved bit. The next bit means nothing.
  check(read(4) === 4);
  read(1);
  const isSingleSegment = read(1);
  const format = read(2);
  if (!isSingleSegment) read(8);
  if (format === 1) return read(16) + 256;
  if (format === 2) return read(16) + read(16) * 65536;
  return format === 0 && isSingleSegment ? read(8) : 0;
}

/** Decodes a block (3.1.1.2); 1 when it is the last. */
function readBlock(): number {
  const isLast = read(1);
  const kind = read(2);
  const size = read(21);
  const end = (bit >> 3) + (kind === 1 ? 1 : size);
  const lengthMax = length + BLOCK_BYTES_MAX;
  check(kind < 3 && size <= BLOCK_BYTES_MAX && end + 4 <= view.byteLength);
  if (kind < 2) fill(kind, length, length += size);
  else runSequences(readLiterals(), end);
  check(bit === 8 * end && length <= lengthMax);
  return isLast;
}

/** Fills a part of the content with as many bytes (kind 0) or with one that repeats (kind 1). */
function fill(kind: number, from: number, to: number): void {
  check(to <= content.length);
  if (kind) content.fill(read(8), from, to);
  else {
    let at = bit >> 3;
    bit += 8 * (to - from);
    for (const source = view, target = content; from < to; from++) target[from] = source.getUint8(at++);
  }
}

/** Puts the literals of a block (3.1.1.3.1) at the end of the content and returns where they begin. */
function readLiterals(): number {
  const kind = read(2);
  const format = read(2);
  const sizeBits = kind > 1 ? [10, 10, 14, 18][format]! : [5, 12, 5, 20][format]!;
  // Five bits begin with the second of the format's two, which then is no part of it.
  if (sizeBits === 5) bit--;
  const count = read(sizeBits);
  const from = content.length - count;
  check(from >= length);
  if (kind < 2) fill(kind, from, content.length);
  else {
    const end = read(sizeBits) + (bit >> 3);
    if (kind === 2) huffman = huffmanTable(readWeights());
    let to = from;
    if (format) {
      // Four streams, of which the first three have the same number of literals.
      const quarter = (count + 3) >> 2;
      check(3 * quarter <= count);
      for (const size of [read(16), read(16), read(16)]) readStream(to, to += quarter, (bit >> 3) + size);
    }
    readStream(to, content.length, end);
  }
  return from;
}

/** Decodes a stream of Huffman codes (4.2.2), which must end with its last literal. */
function readStream(from: number, to: number, end: number): void {
  // In variables of its own, as those of the module are slow in such a loop.
  const table = huffman!;
  const source = view;
  const target = content;
  check(!!table);
  const start = bit;
  const shift = Math.clz32(table.length) + 1;
  let at = streamTop(end);
  while (from < to) {
    // From the top at least 25 bits, which are enough for two codes.
    const bits = source.getInt32(((at + 7) >> 3) - 4, true) << (-at & 7);
    const entry = table[bits >>> shift]!;
    target[from++] = entry;
    at -= entry >>> 8;
    if (from < to) {
      const second = table[(bits << (entry >>> 8)) >>> shift]!;
      target[from++] = second;
      at -= second >>> 8;
    }
  }
  check(at === start);
  bit = 8 * end;
}

/** Where to begin with a stream that is read back: below the highest 1 in its last byte. */
function streamTop(end: number): number {
  const byte = view.getUint8(end - 1);
  check(bit < 8 * end && byte > 0);
  return 8 * end - 8 + log2(byte);
}

/** The weights of the symbols of a Huffman code (4.2.1), but for the last. */
function readWeights(): number[] {
  const head = read(8);
  const weights: number[] = [];
  if (head > 127) {
    while (weights.length < head - 127) {
      const pair = read(8);
      weights.push(pair >> 4, pair & 15);
    }
    weights.length = head - 127;
    return weights;
  }
  const end = (bit >> 3) + head;
  const table = fseTable(readCounts(6), 12);
  const start = bit;
  bit = streamTop(end);
  let state = firstState(table);
  let other = firstState(table);
  // The two take turns until one of them wants more bits than there are.
  while (bit >= start) {
    const entry = table[state]!;
    weights.push(entry & 255);
    check(weights.length < 255);
    state = other;
    other = nextState(entry);
  }
  weights.push(table[state]! & 255);
  bit = 8 * end;
  return weights;
}

/** The counts of an FSE code (4.1.1), plus 1. */
function readCounts(logMax: number): number[] {
  const counts: number[] = [];
  const log = 5 + read(4);
  check(log <= logMax);
  for (let left = 1 << log; left;) {
    // From 0 to `left + 1`. Low ones take one bit less.
    const bits = log2(left + 1);
    const lowEnd = (2 << bits) - 2 - left;
    let count = read(bits);
    if (count >= lowEnd && read(1)) count += (1 << bits) - lowEnd;
    left -= Math.abs(count - 1);
    counts.push(count);
    for (let zeros = count === 1 ? 3 : 0; zeros === 3;) {
      zeros = read(2);
      for (let i = 0; i < zeros; i++) counts.push(1);
    }
  }
  bit = (bit + 7) & ~7;
  return counts;
}

/** The decoding table of an FSE code (4.1.1): base of the next state << 16 | bits to add to it << 8 | symbol. */
function fseTable(counts: readonly number[], symbolCount: number): Uint32Array {
  check(counts.length <= symbolCount);
  const next = counts.map((count) => Math.abs(count - 1));
  const size = next.reduce((total, count) => total + count);
  const table = new Uint32Array(size);
  let end = size;
  counts.forEach((count, symbol) => {
    if (!count) table[--end] = symbol;
  });
  let at = 0;
  counts.forEach((count, symbol) => {
    for (; count > 1; count--) {
      table[at] = symbol;
      do at = (at + (size >> 1) + (size >> 3) + 3) & (size - 1); while (at >= end);
    }
  });
  return table.map((symbol) => {
    const state = next[symbol]!++;
    const bits = log2(size) - log2(state);
    return (((state << bits) - size) << 16) | (bits << 8) | symbol;
  });
}

/** The decoding table of a Huffman code (4.2.1), by as many bits as its longest code: length << 8 | symbol. */
function huffmanTable(weights: number[]): Uint16Array {
  const total = weights.reduce((sum, weight) => sum + ((1 << weight) >> 1), 0);
  const bits = log2(total) + 1;
  const left = (1 << bits) - total;
  // What is left is the last symbol's.
  check(total > 0 && bits < 12 && !(left & (left - 1)));
  weights.push(log2(left) + 1);
  const table = new Uint16Array(1 << bits);
  let at = 0;
  for (let length = bits; length; length--) {
    weights.forEach((weight, symbol) => {
      if (weight === bits + 1 - length) table.fill((length << 8) | symbol, at, at += (1 << weight) >> 1);
    });
  }
  return table;
}

/** Decodes and executes the sequences of a block (3.1.1.3.2): literals, which begin at `from`, and a match each. */
function runSequences(from: number, end: number): void {
  let count = read(8);
  if (count > 127) count = count < 255 ? ((count - 128) << 8) + read(8) : read(16) + 0x7f00;
  if (count) {
    const modes = read(8);
    check(!(modes & 3));
    tables = CODES.map(([logMax, symbolCount, defaults], i) => {
      const mode = (modes >> (6 - 2 * i)) & 3;
      if (mode === 3) return tables[i];
      // A symbol that repeats is a code of that symbol only.
      const counts = mode === 0
        ? Array.from(defaults, Number)
        : mode === 1
        ? [...new Array(read(8)).fill(1), 2]
        : readCounts(logMax);
      return fseTable(counts, symbolCount);
    });
    from = run(count, from, end);
  }
  copy(from, content.length - from);
}

/** Returns where the literals begin that are left. The sequences must take up all of their stream. */
function run(count: number, from: number, end: number): number {
  const [literalTable, offsetTable, matchTable] = tables;
  check(!!literalTable && !!offsetTable && !!matchTable);
  const start = bit;
  bit = streamTop(end);
  let literalState = firstState(literalTable);
  let offsetState = firstState(offsetTable);
  let matchState = firstState(matchTable);
  for (;;) {
    const literalEntry = literalTable[literalState]!;
    const offsetEntry = offsetTable[offsetState]!;
    const matchEntry = matchTable[matchState]!;
    const bits = offsetEntry & 31;
    // In two parts, as it may have more bits than can be read at once.
    const value = ((1 << bits) | (readBack(bits & 16) << (bits & 15)) | readBack(bits & 15)) >>> 0;
    const matchLength = readLength(MATCH_LENGTHS, matchEntry);
    const literalLength = readLength(LITERAL_LENGTHS, literalEntry);
    // 0 to 2 for one of the last three, 3 for a new one. Without literals, values count from the second (3.1.1.5).
    const which = value > 3 ? 3 : literalLength ? value - 1 : value;
    const offset = value > 3 ? value - 3 : which > 2 ? last - 1 : which > 1 ? thirdLast : which ? secondLast : last;
    if (which > 1) thirdLast = secondLast;
    if (which) secondLast = last;
    last = offset;
    check(from + literalLength <= content.length);
    copy(from, literalLength);
    from += literalLength;
    check(offset > 0 && offset <= length && length + matchLength <= from);
    copy(length - offset, matchLength);
    if (!--count) break;
    literalState = nextState(literalEntry);
    matchState = nextState(matchEntry);
    offsetState = nextState(offsetEntry);
  }
  check(bit === start);
  bit = 8 * end;
  return from;
}

/** Appends what the content has elsewhere. */
function copy(from: number, count: number): void {
  const target = content;
  let to = length;
  const end = length = to + count;
  // Byte by byte where a match repeats what it appends, or is too short for a call. Literals come from behind.
  if (count < 40 || (to - from) >>> 0 < count) { while (to < end) target[to++] = target[from++]!; }
  else target.copyWithin(to, from, from + count);
}

/** Base << 5 | extra bits of each symbol. Bases follow from these, which are given as digits in base 36. */
function lengths(extraBits: string, base: number): Uint32Array {
  return Uint32Array.from(extraBits, (digit) => {
    const bits = parseInt(digit, 36);
    base += 1 << bits;
    return ((base - (1 << bits)) << 5) | bits;
  });
}

function readLength(codes: Uint32Array, entry: number): number {
  const code = codes[entry & 255]!;
  return (code >>> 5) + readBack(code & 31);
}

function firstState(table: Uint32Array): number {
  return readBack(log2(table.length));
}

function nextState(entry: number): number {
  return (entry >>> 16) + readBack((entry >>> 8) & 255);
}

function read(bits: number): number {
  bit += bits;
  return bitsAt(bit - bits, bits);
}

function readBack(bits: number): number {
  return bitsAt(bit -= bits, bits);
}

/** Up to 25 bits. */
function bitsAt(at: number, bits: number): number {
  return (view.getUint32(at >> 3, true) >>> (at & 7)) & ((1 << bits) - 1);
}

function log2(value: number): number {
  return 31 - Math.clz32(value);
}

function check(isRight: boolean): asserts isRight {
  if (!isRight) throw new RangeError();
}
