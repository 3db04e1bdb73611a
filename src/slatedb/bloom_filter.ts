/**
 * Filters of sorted tables: which keys are certainly not there.
 * @module
 */
import { hash, sipHash } from "./sip_hash.ts";

/** Name of the filter of whole keys, among several; others, of prefixes, are of no use for lookups. */
const WHOLE_KEYS = "_bf";

/** Says which keys a table does not have. */
export interface KeyFilter {
  readonly sizeBytes: number;
  mayContain(key: Uint8Array): boolean;
}

/** What a filter part holds. */
export interface FilterPart {
  /** Null where no filter of whole keys is there. */
  readonly filter: KeyFilter | null;
  /** Whether the filters stand there with their names. */
  readonly isComposite: boolean;
}

/**
 * Reads the filters of a table.
 *
 * Which of two forms they have is recorded beside the table, and that record can be wrong: SlateDB 0.12 drops it when
 * it opens a database of 0.13, and both then lose keys. So the form is taken from the bytes themselves: no other
 * filter looks like a list of named ones that ends exactly where it has to.
 *
 * @throws {RangeError} when they should have names and are malformed.
 */
export function readFilters(bytes: Uint8Array, isComposite: boolean): FilterPart {
  const named = namedFilters(bytes);
  if (named === null && isComposite) throw new RangeError("filters end outside of their part");
  const whole = named === null ? bytes : named.get(WHOLE_KEYS);
  return { filter: whole === undefined ? null : bloomFilter(whole), isComposite: named !== null };
}

/** Filters by name; null when the bytes are no such list. */
function namedFilters(bytes: Uint8Array): Map<string, Uint8Array> | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const filters = new Map<string, Uint8Array>();
  try {
    const count = view.getUint16(0);
    let at = 2;
    for (let i = 0; i < count; i++) {
      const nameEnd = at + 2 + view.getUint16(at);
      const name = String.fromCharCode(...bytes.subarray(at + 2, nameEnd));
      const length = view.getUint32(nameEnd) * 2 ** 32 + view.getUint32(nameEnd + 4);
      at = nameEnd + 8 + length;
      filters.set(name, bytes.subarray(nameEnd + 8, at));
    }
    return at === bytes.length && count > 0 ? filters : null;
  } catch {
    return null;
  }
}

/** The number of probes, then the bits. */
function bloomFilter(bytes: Uint8Array): KeyFilter {
  const probes = bytes[0]! << 8 | bytes[1]!;
  const bits = bytes.subarray(2);
  const bitCount = bits.length * 8;
  return {
    sizeBytes: bytes.length,
    mayContain(key) {
      if (bitCount === 0) return false;
      sipHash(key, 0, key.length);
      let place = hash.low % bitCount;
      let step = hash.high % bitCount;
      for (let i = 0; i < probes; i++) {
        step = (step + i) % bitCount;
        if ((bits[place >>> 3]! & 1 << (place & 7)) === 0) return false;
        place = (place + step) % bitCount;
      }
      return true;
    },
  };
}
