/**
 * Decodes the blocks of a zstd frame: literals by Huffman codes, and sequences that say where to repeat what came
 * before, by finite state entropy (FSE).
 *
 * Compressed parts are streams of bits that are read backwards, from the end of the part to its beginning. Whoever
 * calls checks the content: damage is noticed here only as far as it takes to end and to stay within bounds.
 *
 * Source: RFC 8878, sections 3 and 4.
 * @module
 */

/** Per state: its symbol, how many bits lead to the next state, and what is added to them. */
interface StateTable {
  readonly logSize: number;
  readonly symbols: Uint8Array;
  readonly widths: Uint8Array;
  readonly bases: Uint16Array;
}

/** By the next bits of the stream: symbol, and length of its code times 256. */
interface Codes {
  readonly maxBits: number;
  readonly entries: Uint16Array;
}

/** What goes from one block to the next. */
interface FrameState {
  codes: Codes | undefined;
  /** For lengths of literals, offsets, and lengths of matches. */
  readonly tables: (StateTable | undefined)[];
  readonly offsets: [number, number, number];
}

/** Kinds of symbols in their order in a block: literal lengths, offsets, match lengths. */
const LOG_MAX = [9, 8, 9];
/** What is worth how many slots of the default tables, of 64, 32 and 64; `z` stands for "less than one". */
const DEFAULTS = [
  "43222222222221112222222223211111zzzz",
  "111111222111111111111111zzzzz",
  "1432222221111111111111111111111111111111111111zzzzzzz",
];
/** Extra bits per symbol, in base 36. */
const LITERAL_BITS = /* @__PURE__ */ extraBits("0000000000000000111122334678" + "9abcdefg");
const MATCH_BITS = /* @__PURE__ */ extraBits("0".repeat(32) + "11112233445" + "789abcdefg");

/**
 * Decodes all blocks into an array of the content's length.
 *
 * @param start Where the first block begins.
 * @throws {RangeError} when they cannot be blocks of so much content.
 */
export function decodeBlocks(frame: Uint8Array, start: number, out: Uint8Array): void {
  const state: FrameState = { codes: undefined, tables: [], offsets: [1, 4, 8] };
  let to = 0;
  for (let at = start, isLast = false; !isLast;) {
    const head = frame[at]! | (frame[at + 1]! << 8) | (frame[at + 2]! << 16);
    const size = head >>> 3;
    const kind = (head >> 1) & 3;
    isLast = (head & 1) === 1;
    at += 3;
    const end = at + (kind === 1 ? 1 : size);
    check(end <= frame.length && kind < 3 && (kind === 2 || to + size <= out.length));
    if (kind === 2) {
      to = decodeBlock(frame.subarray(at, end), state, { out, to });
    } else {
      if (kind === 1) out.fill(frame[at]!, to, to + size);
      else out.set(frame.subarray(at, end), to);
      to += size;
    }
    at = end;
  }
  check(to === out.length);
}

/** Decodes a compressed block; tells where its content ends. */
function decodeBlock(block: Uint8Array, state: FrameState, { out, to }: { out: Uint8Array; to: number }): number {
  const [literals, literalsEnd] = decodeLiterals(block, state);
  let at = literalsEnd;
  let count = block[at++]!;
  if (count > 127) {
    count = count < 255 ? ((count - 128) << 8) + block[at++]! : block[at++]! + (block[at++]! << 8) + 0x7f00;
  }
  let taken = 0;
  if (count > 0) {
    const modes = block[at++]!;
    for (let kind = 0; kind < 3; kind++) {
      const mode = (modes >> (6 - 2 * kind)) & 3;
      if (mode === 0) state.tables[kind] = defaultTable(kind);
      else if (mode === 1) state.tables[kind] = constantTable(block[at++]!);
      else if (mode === 2) [state.tables[kind], at] = readTable(block, at, LOG_MAX[kind]!);
    }
    const bits = new BackwardBits(block.subarray(at));
    const machines = [0, 1, 2].map((kind) => new StateMachine(state.tables[kind]!, bits));
    const [literalMachine, offsetMachine, matchMachine] = machines as [StateMachine, StateMachine, StateMachine];
    for (; count > 0; count--) {
      const offsetBits = offsetMachine.symbol;
      const offsetValue = (1 << offsetBits) + bits.read(offsetBits);
      const matchBytes = 3 + extended(MATCH_BITS, matchMachine.symbol, bits);
      const literalBytes = extended(LITERAL_BITS, literalMachine.symbol, bits);
      const offset = nextOffset(state.offsets, offsetValue, literalBytes);
      const matchStart = to + literalBytes;
      const end = matchStart + matchBytes;
      check(taken + literalBytes <= literals.length && offset > 0 && offset <= matchStart && end <= out.length);
      out.set(literals.subarray(taken, taken += literalBytes), to);
      for (to = matchStart; to < end; to++) out[to] = out[to - offset]!;
      if (count > 1) { for (const machine of [literalMachine, matchMachine, offsetMachine]) machine.advance(); }
    }
    check(bits.left === 0);
  }
  const rest = literals.subarray(taken);
  check(to + rest.length <= out.length);
  out.set(rest, to);
  return to + rest.length;
}

/** The three offsets used last have numbers of their own, which count from the second where no literals come before. */
function nextOffset(offsets: [number, number, number], value: number, literalBytes: number): number {
  const [first, second, third] = offsets;
  const index = value > 3 ? 3 : value - (literalBytes > 0 ? 1 : 0);
  if (index === 0) return first;
  const offset = value > 3 ? value - 3 : index === 1 ? second : index === 2 ? third : first - 1;
  offsets[2] = index === 1 ? third : second;
  offsets[1] = first;
  return offsets[0] = offset;
}

function decodeLiterals(block: Uint8Array, state: FrameState): [literals: Uint8Array, end: number] {
  const first = block[0]!;
  const kind = first & 3;
  const format = (first >> 2) & 3;
  const word = first + block[1]! * 0x100 + block[2]! * 0x10000 + block[3]! * 0x1000000 + (block[4] ?? 0) * 2 ** 32;
  if (kind < 2) {
    const headBytes = format === 1 ? 2 : format === 3 ? 3 : 1;
    const size = format & 1 ? (word >>> 4) % 2 ** (8 * headBytes - 4) : first >> 3;
    const end = headBytes + (kind === 0 ? size : 1);
    return [kind === 0 ? block.subarray(headBytes, end) : new Uint8Array(size).fill(block[headBytes]!), end];
  }
  const headBytes = format < 2 ? 3 : format + 2;
  const width = 2 ** (4 * headBytes - 2);
  const head = Math.floor(word / 16);
  const literals = new Uint8Array(head % width);
  const end = headBytes + Math.floor(head / width) % width;
  let at = headBytes;
  if (kind === 2) [state.codes, at] = readCodes(block, at);
  const { codes } = state;
  check(codes !== undefined && end <= block.length);
  if (format === 0) {
    decodeCodes(block.subarray(at, end), codes!, literals);
  } else {
    const part = (literals.length + 3) >> 2;
    let from = at + 6;
    for (let stream = 0; stream < 4; stream++) {
      const size = block[at + 2 * stream]! | (block[at + 2 * stream + 1]! << 8);
      const to = stream < 3 ? from + size : end;
      decodeCodes(
        block.subarray(from, Math.min(to, end)),
        codes!,
        literals.subarray(part * stream, stream < 3 ? part * (stream + 1) : undefined),
      );
      from = to;
    }
  }
  return [literals, end];
}

function decodeCodes(stream: Uint8Array, { maxBits, entries }: Codes, out: Uint8Array): void {
  const bits = new BackwardBits(stream);
  for (let i = 0; i < out.length; i++) {
    const entry = entries[bits.peek(maxBits)]!;
    out[i] = entry;
    bits.left -= entry >> 8;
  }
  check(bits.left === 0);
}

/** Reads the weights of the literals and makes the table of their codes. */
function readCodes(block: Uint8Array, start: number): [Codes, end: number] {
  const head = block[start]!;
  const weights: number[] = [];
  let at = start + 1;
  if (head > 127) {
    for (let i = 0; i < head - 127; i++) weights.push((block[at + (i >> 1)]! >> (i & 1 ? 0 : 4)) & 15);
    at += (head - 126) >> 1;
  } else {
    const end = at + head;
    const [table, tableEnd] = readTable(block, at, 6);
    const bits = new BackwardBits(block.subarray(tableEnd, end));
    const machines = [new StateMachine(table, bits), new StateMachine(table, bits)];
    for (let turn = 0; bits.left >= 0; turn ^= 1) {
      check(weights.length < 254);
      weights.push(machines[turn]!.symbol);
      machines[turn]!.advance();
      if (bits.left < 0) weights.push(machines[turn ^ 1]!.symbol);
    }
    at = end;
  }
  const total = weights.reduce((sum, weight) => sum + (1 << weight >> 1), 0);
  const maxBits = 32 - Math.clz32(total);
  const left = (1 << maxBits) - total;
  check(total > 0 && maxBits <= 11 && (left & (left - 1)) === 0);
  weights.push(32 - Math.clz32(left));
  const entries = new Uint16Array(1 << maxBits);
  let next = 0;
  for (let weight = 1; weight <= maxBits; weight++) {
    weights.forEach((own, symbol) => {
      if (own === weight) entries.fill(symbol | ((maxBits + 1 - weight) << 8), next, next += 1 << (weight - 1));
    });
  }
  return [{ maxBits, entries }, at];
}

/** Reads how many slots each symbol has, in bits from the lowest on, and makes the table. */
function readTable(block: Uint8Array, start: number, logMax: number): [StateTable, end: number] {
  let at = 8 * start;
  const read = (width: number): number => {
    const byte = at >> 3;
    const word = block[byte]! | (block[byte + 1]! << 8) | (block[byte + 2]! << 16);
    at += width;
    return (word >> ((at - width) & 7)) & ((1 << width) - 1);
  };
  const logSize = read(4) + 5;
  check(logSize <= logMax);
  const slots: number[] = [];
  let left = 1 << logSize;
  while (left > 0) {
    check(at <= 8 * block.length && slots.length < 256);
    // Values that cannot occur make room: the lowest of the others take a bit less.
    const width = 32 - Math.clz32(left + 1);
    const short = (1 << width) - 2 - left;
    let value = read(width - 1);
    if (value >= short) {
      at -= width - 1;
      value = read(width);
      if (value >= 1 << (width - 1)) value -= short;
    }
    slots.push(value - 1);
    left -= Math.abs(value - 1);
    if (value === 1) {
      let repeat = 3;
      while (repeat === 3 && slots.length < 256) {
        repeat = read(2);
        for (let i = 0; i < repeat; i++) slots.push(0);
      }
    }
  }
  check(left === 0);
  return [tableOf(slots, logSize), (at + 7) >> 3];
}

/** Spreads symbols over the states. A symbol of -1 slots has one at the end, which takes all bits anew. */
function tableOf(slots: readonly number[], logSize: number): StateTable {
  const size = 1 << logSize;
  const table = { logSize, symbols: new Uint8Array(size), widths: new Uint8Array(size), bases: new Uint16Array(size) };
  let high = size;
  slots.forEach((count, symbol) => {
    if (count < 0) table.symbols[--high] = symbol;
  });
  let position = 0;
  slots.forEach((count, symbol) => {
    for (let i = 0; i < count; i++) {
      table.symbols[position] = symbol;
      do position = (position + (size >> 1) + (size >> 3) + 3) & (size - 1); while (position >= high);
    }
  });
  const next = slots.map(Math.abs);
  table.symbols.forEach((symbol, state) => {
    const rank = next[symbol]!++;
    const width = logSize - 31 + Math.clz32(rank);
    table.widths[state] = width;
    table.bases[state] = (rank << width) - size;
  });
  return table;
}

function defaultTable(kind: number): StateTable {
  const slots = Array.from(DEFAULTS[kind]!, (digit) => digit === "z" ? -1 : Number(digit));
  return tableOf(slots, kind === 1 ? 5 : 6);
}

function constantTable(symbol: number): StateTable {
  return { logSize: 0, symbols: Uint8Array.of(symbol), widths: new Uint8Array(1), bases: new Uint16Array(1) };
}

/** The least value that each symbol stands for, then how many bits are added to each. */
function extraBits(digits: string): readonly (readonly number[])[] {
  const widths = Array.from(digits, (digit) => parseInt(digit, 36));
  let base = 0;
  return [widths.map((width) => (base += 1 << width) - (1 << width)), widths];
}

function extended([bases, widths]: readonly (readonly number[])[], symbol: number, bits: BackwardBits): number {
  check(symbol < bases!.length);
  return bases![symbol]! + bits.read(widths![symbol]!);
}

/** Reads bits from the end on. Behind the beginning there are zeros, or what comes before the part. */
class BackwardBits {
  readonly #bytes: Uint8Array;
  /** How many there are still; negative when more were read than there are. */
  left: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    const last = bytes.at(-1) ?? 0;
    check(last > 0);
    // The highest bit that is set only marks the end.
    this.left = 8 * bytes.length - 1 - Math.clz32(last) + 24;
  }

  /** The next bits, up to 31, without taking them. */
  peek(width: number): number {
    const at = this.left - width;
    const byte = at >> 3;
    const shift = at & 7;
    const bytes = this.#bytes;
    const word = bytes[byte]! | (bytes[byte + 1]! << 8) | (bytes[byte + 2]! << 16) | (bytes[byte + 3]! << 24);
    const value = shift === 0 ? word : (word >>> shift) | (bytes[byte + 4]! << (32 - shift));
    return value & ((1 << width) - 1);
  }

  read(width: number): number {
    const value = this.peek(width);
    this.left -= width;
    return value;
  }
}

/** A state, which stands for a symbol and leads to the next one. */
class StateMachine {
  readonly #table: StateTable;
  readonly #bits: BackwardBits;
  #state: number;

  constructor(table: StateTable, bits: BackwardBits) {
    check(table !== undefined);
    this.#table = table;
    this.#bits = bits;
    this.#state = bits.read(table.logSize);
  }

  get symbol(): number {
    return this.#table.symbols[this.#state]!;
  }

  advance(): void {
    const { bases, widths } = this.#table;
    this.#state = bases[this.#state]! + this.#bits.read(widths[this.#state]!);
  }
}

function check(isRight: boolean): void {
  if (!isRight) throw new RangeError("Cannot decode a zstd block: it is damaged");
}
