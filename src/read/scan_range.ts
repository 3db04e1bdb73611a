/**
 * What a scan covers, from keys as callers give them to bounds in encoded bytes.
 * @module
 */
import type { ScanRange } from "../backends/backend.ts";
import { compareBytes, encodeKey, type Key, type KeyEncoding } from "../routing/key.ts";

/** What a scan covers. Bounds that are bytes are taken as encoded keys; others are encoded as the snapshot's keys are. */
export interface ScanOptions {
  /** Only this shard. Default: all, one after the other. */
  readonly shard?: number;
  /** First key, included. */
  readonly from?: Key;
  /** Where to stop, excluded. */
  readonly to?: Key;
  /** Only keys whose encoded bytes begin so; a string stands for its UTF-8. */
  readonly prefix?: string | Uint8Array;
  /** At most so many rows. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

/** The bounds of a scan in encoded bytes. @throws {ConfigValidationError} when a bound cannot be a key. */
export function scanRange(encoding: KeyEncoding, options: ScanOptions): ScanRange {
  const { from, to, prefix, signal } = options;
  const prefixBytes = typeof prefix === "string" ? new TextEncoder().encode(prefix) : prefix;
  const lower = larger(bound(encoding, from), prefixBytes);
  const upper = smaller(bound(encoding, to), prefixBytes && afterPrefix(prefixBytes));
  return {
    ...(lower === undefined ? {} : { from: lower }),
    ...(upper === undefined ? {} : { to: upper }),
    ...(signal === undefined ? {} : { signal }),
  };
}

function bound(encoding: KeyEncoding, key: Key | undefined): Uint8Array | undefined {
  return key === undefined || key instanceof Uint8Array ? key : encodeKey(encoding, key);
}

/** The smallest bytes above everything that begins with the prefix; undefined when nothing is. */
function afterPrefix(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const after = prefix.slice(0, length);
  after[length - 1]!++;
  return after;
}

function larger(left: Uint8Array | undefined, right: Uint8Array | undefined): Uint8Array | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return compareBytes(left, right) >= 0 ? left : right;
}

function smaller(left: Uint8Array | undefined, right: Uint8Array | undefined): Uint8Array | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  return compareBytes(left, right) <= 0 ? left : right;
}
