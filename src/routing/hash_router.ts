/**
 * Hash routing: a key's shard is the remainder of its XXH3-64 digest (WIRE_FORMATS 8).
 * @module
 */
import { hashInteger, hashModulo, hashView } from "../bytes/xxh3.ts";
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import { keyTypeError } from "./key_errors.ts";
import { checkHashable, type Key } from "./key.ts";
import { keyPacker } from "./key_packer.ts";
import type { Router, RoutingSpec } from "./router.ts";

/** Remainders are exact up to here; the manifest has no limit of its own. */
const SHARDS_MAX = 2 ** 31;

const packText = keyPacker("utf8");

/**
 * A router that spreads keys evenly over `shardCount` shards, as every snapshot with hash sharding is laid out.
 *
 * Takes any key that has a hash, whatever the encoding of the snapshot: the number 5, the string "5" and the byte 5 go
 * different ways, the string "a" and the byte 97 the same. It is the encoding that refuses keys of a wrong type.
 *
 * @param shardCount Whole number from 1 to 2^31.
 * @throws {ConfigValidationError} when the number of shards is another.
 *
 * @example
 * ```ts
 * import { hashRouter } from "./hash_router.ts";
 *
 * if (hashRouter(1000).route(5) !== 332) throw new Error("unexpected shard");
 * ```
 */
export function hashRouter(shardCount: number): Router {
  if (!Number.isInteger(shardCount) || shardCount < 1 || shardCount > SHARDS_MAX) {
    throw new ConfigValidationError(
      `Cannot route to shards as their number must be from 1 to 2^31: current value is ${shown(shardCount)}`,
      "shardCount",
    );
  }
  return new HashRouter(shardCount);
}

class HashRouter implements Router {
  readonly spec: RoutingSpec = Object.freeze({ strategy: "hash" });
  readonly shardCount: number;
  readonly isKeyOnly = true;
  /** Holds the string that is looked up. */
  #scratch = new Uint8Array(0);
  #scratchView = new DataView(this.#scratch.buffer);

  constructor(shardCount: number) {
    this.shardCount = shardCount;
  }

  route(key: Key): number {
    if (typeof key === "string") {
      const length = this.#packedLength(key); // May replace the view, so it comes first.
      hashView(this.#scratchView, 0, length);
    } else if (typeof key === "number") {
      checkHashable(key);
      hashInteger(key | 0, Math.floor(key / 0x1_0000_0000));
    } else if (typeof key === "bigint") {
      checkHashable(key);
      hashInteger(Number(BigInt.asIntN(32, key)), Number(key >> 32n));
    } else if (key instanceof Uint8Array) {
      hashView(new DataView(key.buffer, key.byteOffset, key.byteLength), 0, key.byteLength);
    } else {
      throw keyTypeError(key);
    }
    return hashModulo(this.shardCount);
  }

  /** Puts the string into the scratch array, and gives its length there. */
  #packedLength(text: string): number {
    const length = packText(text, this.#scratch, 0);
    if (length >= 0) return length;
    this.#scratch = new Uint8Array(Math.max(64, text.length * 3));
    this.#scratchView = new DataView(this.#scratch.buffer);
    return packText(text, this.#scratch, 0);
  }
}
