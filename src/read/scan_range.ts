/**
 * What a scan covers, from keys as callers give them to bounds in encoded bytes.
 * @module
 */
import type { ScanRange } from "../backends/backend.ts";
import { ConfigValidationError } from "../errors.ts";
import { checkFields, type FieldCheck, integerFrom, optional, shown, signalCheck } from "../option_fields.ts";
import { compareBytes, encodeKey, type Key, type KeyEncoding } from "../routing/key.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import { checkShardId } from "./look_up.ts";

/** What a scan covers. Bounds that are bytes count as encoded keys; others are encoded as the snapshot's keys are. */
export interface ScanOptions {
  /** Only this shard. Default: all, one after the other. */
  readonly shard?: number | undefined;
  /** First key, included. */
  readonly from?: Key | undefined;
  /** Where to stop, excluded. */
  readonly to?: Key | undefined;
  /** Only keys whose encoded bytes begin so; a string stands for its UTF-8, where keys are strings or bytes. */
  readonly prefix?: string | Uint8Array | undefined;
  /** At most so many rows. */
  readonly limit?: number | undefined;
  /** Aborts the scan. */
  readonly signal?: AbortSignal | undefined;
}

/** A scan that can be done. */
export interface CheckedScan {
  /** Undefined for all. */
  readonly shard: number | undefined;
  readonly range: ScanRange;
  /** Infinite for all rows. */
  readonly limit: number;
}

const isKey: FieldCheck = (value) =>
  ["number", "bigint", "string"].includes(typeof value) || value instanceof Uint8Array
    ? null
    : "a key: a number, bigint, string or Uint8Array";

const checks: Readonly<Record<string, FieldCheck>> = {
  shard: optional(integerFrom(0)),
  from: optional(isKey),
  to: optional(isKey),
  prefix: optional((value) =>
    typeof value === "string" || value instanceof Uint8Array ? null : "a string or Uint8Array"
  ),
  limit: optional(integerFrom(0)),
  signal: optional(signalCheck),
};

/** @throws {ConfigValidationError} for wrong options, a shard that does not exist, and bounds that cannot be keys. */
export function checkScan({ shardCount, keyEncoding }: Manifest, options: ScanOptions): CheckedScan {
  checkFields(options, "", checks);
  const { shard, limit = Infinity, ...bounds } = options;
  if (shard !== undefined) checkShardId(shard, shardCount);
  return { shard, limit, range: scanRange(keyEncoding, bounds) };
}

function scanRange(encoding: KeyEncoding, { from, to, prefix, signal }: ScanOptions): ScanRange {
  const prefixBytes = prefix === undefined ? undefined : encodePrefix(encoding, prefix);
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

function encodePrefix(encoding: KeyEncoding, prefix: string | Uint8Array): Uint8Array {
  if (prefix instanceof Uint8Array) return prefix;
  if (encoding === "utf8" || encoding === "raw") return encodeKey(encoding, prefix);
  throw new ConfigValidationError(
    `Cannot use option "prefix" as it must be bytes where keys are stored as "${encoding}": ` +
      `current value is ${shown(prefix)}`,
    "prefix",
  );
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
