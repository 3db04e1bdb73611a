/**
 * Refuses keys that come twice where what a row says beside its key decides about its shard.
 *
 * Elsewhere the last row of a key counts, which a shard finds out by itself. Rows of one key in two shards would both
 * stay, and searches would find vectors that were meant to be replaced.
 * @module
 */
import { hashView } from "../bytes/xxh3.ts";
import { result } from "../bytes/xxh3_arithmetic.ts";
import { ConfigValidationError } from "../errors.ts";
import type { PackedRows } from "../rows.ts";

/**
 * Lets packed rows pass unchanged. Holds 11 to 22 bytes for each row that has passed, half as much again while growing.
 *
 * Keys are told apart by XXH3: whole numbers for certain, as no two have one hash; of ten million other keys two are
 * taken for one in 1 of 400,000 writes, which fail.
 *
 * @throws {ConfigValidationError} for the second row of a key.
 */
export class DistinctKeysStream extends TransformStream<PackedRows, PackedRows> {
  constructor() {
    const seen = new HashSet();
    let rowsBefore = 0;
    super({
      transform(rows, controller) {
        const { rowCount, bytes, starts, keyLengths } = rows;
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        for (let row = 0; row < rowCount; row++) {
          hashView(view, starts[row]!, keyLengths[row]!);
          if (seen.add(result[0]!, result[1]!)) continue;
          throw new ConfigValidationError(
            "Cannot store a second vector with the same key as such rows may lie in several shards: give every key " +
              `once, and let option "vector" give ids where these may repeat (row ${
                rowsBefore + row + 1
              } of the source)`,
            "key",
          );
        }
        rowsBefore += rowCount;
        controller.enqueue(rows);
      },
    });
  }
}

/** Hashes of 64 bits; places are looked at one after the other from the one that the lower half tells. */
class HashSet {
  #words = new Int32Array(2 << 10);
  #count = 0;
  /** Zeros stand for nothing in the table. */
  #hasZero = false;

  /** False when it is there already. */
  add(low: number, high: number): boolean {
    if (low === 0 && high === 0) {
      const isNew = !this.#hasZero;
      this.#hasZero = true;
      return isNew;
    }
    const at = placeOf(this.#words, low, high);
    if (this.#words[at] === low && this.#words[at + 1] === high) return false;
    this.#words[at] = low;
    this.#words[at + 1] = high;
    if (++this.#count * 2 > this.#words.length * 0.72) this.#grow();
    return true;
  }

  #grow(): void {
    const words = new Int32Array(2 * this.#words.length);
    for (let from = 0; from < this.#words.length; from += 2) {
      const low = this.#words[from]!;
      const high = this.#words[from + 1]!;
      if (low === 0 && high === 0) continue;
      const at = placeOf(words, low, high);
      words[at] = low;
      words[at + 1] = high;
    }
    this.#words = words;
  }
}

/** Where a hash is, or else where it goes. */
function placeOf(words: Int32Array, low: number, high: number): number {
  const mask = words.length - 1;
  let at = (low << 1) & mask;
  while ((words[at] !== 0 || words[at + 1] !== 0) && (words[at] !== low || words[at + 1] !== high)) {
    at = (at + 2) & mask;
  }
  return at;
}
