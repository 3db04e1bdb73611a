/**
 * Arrays that are used again: engines that collect garbage late would otherwise hold twice the memory that is in use.
 * @module
 */
import type { PackedRows } from "../rows.ts";

/** The arrays of packed rows. */
export type PackedArrays = Pick<PackedRows, "bytes" | "starts" | "keyLengths">;

/** Kept at most; the rest is left to the garbage collector. */
const KEPT_MAX = 256;

/** Takes arrays back from stages that are done with them and hands them out again. */
export class ArrayPool {
  #kept: PackedArrays[] = [];

  /** Arrays with room for so many rows and bytes; what is in them is of no meaning, but for `starts[0]`, which is 0. */
  take({ rows, bytes }: { readonly rows: number; readonly bytes: number }): PackedArrays {
    const at = this.#kept.findLastIndex((arrays) => arrays.bytes.length >= bytes && arrays.keyLengths.length >= rows);
    const found = at < 0 ? undefined : this.#kept.splice(at, 1)[0];
    return found ?? {
      bytes: new Uint8Array(Math.max(64, bytes)),
      starts: new Uint32Array(Math.max(8, rows) + 1),
      keyLengths: new Uint32Array(Math.max(8, rows)),
    };
  }

  /** Takes arrays over: nobody may use them any more. */
  give({ bytes, starts, keyLengths }: PackedArrays): void {
    if (this.#kept.length < KEPT_MAX) this.#kept.push({ bytes, starts, keyLengths });
  }
}
