/**
 * Compresses to LZ4 blocks and Snappy, as `copy_codecs.ts` expands them: the same bytes on every runtime.
 * @module
 */

/** Shorter repetitions are not looked for. */
const COPY_BYTES_MIN = 4;
/** How far back a copy may reach: what both formats can say in two bytes. */
const DISTANCE_MAX = 0xffff;
const PLACES_BITS = 12;
/** LZ4 wants the last copy to begin so many bytes before the end, and the last bytes to be literals. */
const TAIL_BYTES = 12;
const TAIL_LITERALS = 5;

/** What is repeated: `length` bytes at `at` stand `distance` before, too. */
interface Copy {
  readonly at: number;
  readonly distance: number;
  readonly length: number;
}

/** An LZ4 block behind its length, in four bytes. */
export function shrinkLz4(bytes: Uint8Array): Uint8Array {
  const output = new Output(bytes);
  for (let i = 0; i < 4; i++) output.put(bytes.length >>> 8 * i);
  let literalsFrom = 0;
  for (const { at, distance, length } of copiesOf(bytes)) {
    putSequence(output, [literalsFrom, at], length - COPY_BYTES_MIN);
    output.put(distance);
    output.put(distance >>> 8);
    putRest(output, length - COPY_BYTES_MIN);
    literalsFrom = at + length;
  }
  putSequence(output, [literalsFrom, bytes.length], 0);
  return output.finish();
}

/** A Snappy block without frame. */
export function shrinkSnappy(bytes: Uint8Array): Uint8Array {
  const output = new Output(bytes);
  let size = bytes.length;
  for (; size >= 128; size = Math.floor(size / 128)) output.put(size & 127 | 128);
  output.put(size);
  let literalsFrom = 0;
  for (const { at, distance, length } of copiesOf(bytes)) {
    putLiterals(output, literalsFrom, at);
    for (let rest = length; rest > 0;) {
      const part = Math.min(rest, 64);
      output.put((part - 1) << 2 | 2);
      output.put(distance);
      output.put(distance >>> 8);
      rest -= part;
    }
    literalsFrom = at + length;
  }
  putLiterals(output, literalsFrom, bytes.length);
  return output.finish();
}

/** Repetitions from the start to the end, found by a table of where four bytes stood last. */
function* copiesOf(bytes: Uint8Array): Generator<Copy, void, undefined> {
  const places = new Int32Array(1 << PLACES_BITS).fill(-1);
  const end = bytes.length - TAIL_BYTES;
  for (let at = 0; at < end;) {
    const word = bytes[at]! | bytes[at + 1]! << 8 | bytes[at + 2]! << 16 | bytes[at + 3]! << 24;
    const place = Math.imul(word, 0x9e3779b1) >>> 32 - PLACES_BITS;
    const before = places[place]!;
    places[place] = at;
    if (before < 0 || at - before > DISTANCE_MAX) {
      at++;
      continue;
    }
    let length = 0;
    const lengthMax = bytes.length - TAIL_LITERALS - at;
    while (length < lengthMax && bytes[before + length] === bytes[at + length]) length++;
    if (length < COPY_BYTES_MIN) {
      at++;
      continue;
    }
    yield { at, distance: at - before, length };
    at += length;
  }
}

/** The head of an LZ4 sequence: lengths of literals and copy, then the literals. */
function putSequence(output: Output, [from, to]: readonly [from: number, to: number], copyLength: number): void {
  const length = to - from;
  output.put(Math.min(length, 15) << 4 | Math.min(copyLength, 15));
  putRest(output, length);
  output.append(from, to);
}

/** What does not fit four bits goes on in bytes, of which the first below 255 is the last. */
function putRest(output: Output, length: number): void {
  if (length < 15) return;
  let rest = length - 15;
  for (; rest >= 255; rest -= 255) output.put(255);
  output.put(rest);
}

function putLiterals(output: Output, from: number, to: number): void {
  if (from === to) return;
  const length = to - from - 1;
  if (length < 60) output.put(length << 2);
  else {
    output.put(63 << 2);
    for (let i = 0; i < 4; i++) output.put(length >>> 8 * i);
  }
  output.append(from, to);
}

/** Compressed bytes, with room for what does not compress. */
class Output {
  readonly #source: Uint8Array;
  readonly #bytes: Uint8Array;
  #length = 0;

  constructor(source: Uint8Array) {
    this.#source = source;
    this.#bytes = new Uint8Array(source.length + Math.ceil(source.length / 100) + 64);
  }

  put(byte: number): void {
    this.#bytes[this.#length++] = byte;
  }

  append(from: number, to: number): void {
    this.#bytes.set(this.#source.subarray(from, to), this.#length);
    this.#length += to - from;
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}
