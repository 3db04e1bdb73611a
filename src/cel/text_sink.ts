/**
 * Writes what is to be hashed into one array that is used again and again, so that hashing a text makes no garbage: the
 * pieces of a concatenation never become a string.
 * @module
 */
import type { CheckedNode } from "./ast.ts";
import type { ColumnNode, RowSlots } from "./bindings.ts";
import { hashView } from "../bytes/xxh3.ts";
import type { Integer } from "./numbers.ts";

/** Writes a piece behind the first `at` bytes, and says where it ends. */
export type Sink = (at: number) => number;

/** How the parts of an expression that are no texts are evaluated. */
export type Compile = (node: CheckedNode) => () => unknown;

/** Up to this length a loop in here beats the engine's encoder. */
const LOOP_LENGTH_MAX = 64;

let bytes = new Uint8Array(256);
let view = new DataView(bytes.buffer);
const encoder = new TextEncoder();

/** Hashes what has been written, and leaves the digest in the registers of `bytes/xxh3.ts`. */
export function hashWritten(length: number): void {
  hashView(view, 0, length);
}

/** Hashes bytes, and leaves the digest where the above leaves it. */
export function hashBytes(value: Uint8Array): void {
  const { length } = value;
  if (length > LOOP_LENGTH_MAX) {
    hashView(new DataView(value.buffer, value.byteOffset, length), 0, length);
    return;
  }
  for (let i = 0; i < length; i++) bytes[i] = value[i]!;
  hashView(view, 0, length);
}

/** What writes the value of an expression of type string. */
export function textSink(node: CheckedNode, row: RowSlots, compile: Compile): Sink {
  if (node.kind === "literal") return literalSink(encoder.encode(node.value as string));
  if (node.kind === "column") return columnSink(node, row, compile(node) as () => string);
  // Hashing inside of what is to be hashed would write over it.
  if (node.kind === "call" && !hasHash(node)) {
    const [first, second] = node.args;
    if (node.name === "+") {
      const left = textSink(first!, row, compile);
      const right = textSink(second!, row, compile);
      return (at) => right(left(at));
    }
    if (node.name === "string" && (first!.type === "int" || first!.type === "uint")) {
      const value = compile(first!) as () => Integer;
      return (at) => writeInteger(value(), at);
    }
    if (node.name === "string" && first!.type === "string") return textSink(first!, row, compile);
  }
  const value = compile(node) as () => string;
  return (at) => writeText(value(), at);
}

function literalSink(text: Uint8Array): Sink {
  return (at) => {
    makeRoom(at, text.length);
    for (let i = 0; i < text.length; i++) bytes[at + i] = text[i]!;
    return at + text.length;
  };
}

/** ASCII is checked and written in one go; all else, and NULs, are left to the reader of the column. */
function columnSink(column: ColumnNode, { slots }: RowSlots, read: () => string): Sink {
  const { slot } = column;
  return (at) => {
    const value = slots[slot];
    if (typeof value === "string" && value.length <= LOOP_LENGTH_MAX) {
      makeRoom(at, value.length);
      let i = 0;
      for (; i < value.length; i++) {
        const unit = value.charCodeAt(i);
        if (unit === 0 || unit > 0x7f) break;
        bytes[at + i] = unit;
      }
      if (i === value.length) return at + i;
    }
    return writeText(read(), at);
  };
}

function writeText(text: string, at: number): number {
  makeRoom(at, text.length * 3);
  if (text.length > LOOP_LENGTH_MAX) return at + encoder.encodeInto(text, bytes.subarray(at)).written;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) return at + encoder.encodeInto(text, bytes.subarray(at)).written;
    bytes[at + i] = unit;
  }
  return at + text.length;
}

function writeInteger(value: Integer, at: number): number {
  if (typeof value !== "number" || value < -0x7fffffff || value > 0x7fffffff) return writeText(String(value), at);
  makeRoom(at, 11);
  let start = at;
  let rest = value | 0;
  if (rest < 0) {
    bytes[start++] = 45;
    rest = -rest;
  }
  let end = start + 1;
  for (let limit = 10; rest >= limit; limit *= 10) end++;
  for (let i = end - 1; i >= start; i--) {
    const tenth = (rest / 10) | 0;
    bytes[i] = 48 + rest - tenth * 10;
    rest = tenth;
  }
  return end;
}

function makeRoom(at: number, length: number): void {
  if (at + length <= bytes.length) return;
  const larger = new Uint8Array(2 * (at + length));
  larger.set(bytes);
  bytes = larger;
  view = new DataView(bytes.buffer);
}

function hasHash(node: CheckedNode): boolean {
  switch (node.kind) {
    case "call":
      return node.name === "shard_hash" || node.args.some(hasHash);
    case "list":
      return node.items.some(hasHash);
    case "map":
      return node.keys.some(hasHash) || node.values.some(hasHash);
    case "macro":
      return hasHash(node.range) || node.args.some(hasHash);
    default:
      return false;
  }
}
