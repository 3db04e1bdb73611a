/**
 * `shard_hash`, and its remainders, which never become a bigint.
 * @module
 */
import { hashBigint, hashInteger, hashModulo } from "../bytes/xxh3.ts";
import type { CheckedCall, CheckedNode, Place } from "./ast.ts";
import type { RowSlots } from "./bindings.ts";
import { Fault } from "./cel_error.ts";
import { canonical, type Integer } from "./numbers.ts";
import { type Compile, hashBytes, hashWritten, textSink } from "./text_sink.ts";

/** Largest divisor of {@linkcode hashModulo}. */
const DIVISOR_MAX = 2 ** 31;

/** `shard_hash(x)`, from 0 to 2^64 - 1. */
export function hashOf(node: CheckedCall, row: RowSlots, compile: Compile): () => Integer {
  const hash = hasherOf(node, row, compile);
  return () => {
    hash();
    return canonical(hashBigint());
  };
}

/** `shard_hash(x) % Nu`, when an expression is that and `N` is from 1 to 2^31; otherwise null. */
export function hashRemainder(node: CheckedCall, row: RowSlots, compile: Compile): (() => number) | null {
  const [dividend, divisor] = node.args;
  if (node.name !== "%" || dividend!.kind !== "call" || dividend!.name !== "shard_hash") return null;
  const count = divisor!.kind === "literal" ? divisor!.value as Integer : 0;
  if (typeof count !== "number" || count < 1 || count > DIVISOR_MAX) return null;
  const hash = hasherOf(dividend!, row, compile);
  return () => {
    hash();
    return hashModulo(count);
  };
}

/** Leaves the digest of the argument in the registers. */
function hasherOf(node: CheckedCall, row: RowSlots, compile: Compile): () => void {
  const argument = node.args[0]!;
  if (argument.type === "string") {
    const write = textSink(argument, row, compile);
    return () => hashWritten(write(0));
  }
  if (argument.type === "bytes") {
    const value = compile(argument) as () => Uint8Array;
    return () => hashBytes(value());
  }
  return integerHasher(argument, compile(argument) as () => Integer, node);
}

/** Hashes eight bytes, signed: a uint from 2^63 up has none. */
function integerHasher(argument: CheckedNode, read: () => Integer, place: Place): () => void {
  return () => {
    const value = read();
    if (typeof value === "number") {
      hashInteger(value | 0, Math.floor(value / 0x1_0000_0000));
      return;
    }
    if (argument.type === "uint" && value >= 2n ** 63n) throw new Fault("shard_hash takes no uint from 2^63 up", place);
    hashInteger(Number(BigInt.asIntN(32, value)), Number(value >> 32n));
  };
}
