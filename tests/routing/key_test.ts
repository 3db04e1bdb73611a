// The judge is the Python package, by its vectors; the order of keys is judged by comparing the keys themselves.
import { Buffer } from "node:buffer";
import { deepEqual, equal, match, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ConfigValidationError } from "../../src/errors.ts";
import {
  canonicalBytes,
  compareBytes,
  defaultKeyEncoding,
  encodeKey,
  type Key,
  type KeyEncoding,
  keyEncodings,
  keyPacker,
  logicalKey,
  maxKeyBytes,
} from "../../src/routing/key.ts";
import { bytesOf, type FixtureKey, fixtureVectors, hexOf, keyOf } from "./fixture_keys.ts";

interface EncodingVector {
  encoding: KeyEncoding;
  key: FixtureKey;
  writer: { hex: string } | { error: unknown };
  lookup: { hex: string } | { error: unknown };
}

interface HashVectors {
  vectors: { key: FixtureKey; canonical_hex: string }[];
  errors: { key: FixtureKey }[];
}

const encodingVectors = fixtureVectors<{ vectors: EncodingVector[] }>("key_encoding_vectors").vectors;
const hashVectors = fixtureVectors<HashVectors>("hash_vectors");

const text = fc.string({ unit: "binary", maxLength: 90 });
const unsigned64 = fc.oneof(fc.bigInt(0n, 2n ** 64n - 1n), fc.bigInt(0n, 1000n));
const unsigned32 = fc.oneof(fc.bigInt(0n, 2n ** 32n - 1n), fc.bigInt(0n, 1000n));

test("encodeKey() and keyPacker() store every key as the Python package does, and refuse what it refuses", () => {
  for (const { encoding, key: fixtureKey, writer } of encodingVectors) {
    // True is 1 in Python; here it is no number.
    const isBoolean = fixtureKey.type === "bool";
    for (const key of spellings(keyOf(fixtureKey))) {
      if ("hex" in writer && !isBoolean) {
        equal(hexOf(encodeKey(encoding, key)), writer.hex);
        equal(hexOf(packed(encoding, key)), writer.hex);
      } else {
        throws(() => encodeKey(encoding, key), isKeyError);
        throws(() => packed(encoding, key), isKeyError);
      }
    }
  }
});

test("encodeKey() stores keys as Python looks them up, but takes no bytes for integers", () => {
  for (const { encoding, key: fixtureKey, lookup } of encodingVectors) {
    const isInteger = encoding === "u64be" || encoding === "u32be";
    const takesLessThanPython = fixtureKey.type === "bool" || (isInteger && fixtureKey.type === "bytes");
    const key = keyOf(fixtureKey);
    if ("hex" in lookup && !takesLessThanPython) equal(hexOf(encodeKey(encoding, key)), lookup.hex);
    else throws(() => encodeKey(encoding, key), isKeyError);
  }
});

test("encodeKey() refuses what is no key, no whole number, or out of range", () => {
  const wrong: [KeyEncoding, unknown][] = [
    ["u64be", 1.5],
    ["u64be", NaN],
    ["u64be", Infinity],
    ["u64be", -1],
    ["u64be", 2 ** 53],
    ["u64be", -1n],
    ["u64be", 2n ** 64n],
    ["u64be", "5"],
    ["u64be", new Uint8Array(8)],
    ["u32be", 2 ** 32],
    ["u32be", 2n ** 32n],
    ["u32be", 0.5],
    ["u32be", -1],
    ["u32be", true],
  ];
  for (const encoding of keyEncodings) {
    for (const key of [undefined, null, true, {}, [], Symbol("key"), new Date(0)]) wrong.push([encoding, key]);
  }
  for (const encoding of ["utf8", "raw"] as const) wrong.push([encoding, 5], [encoding, 5n]);
  for (const [encoding, key] of wrong) {
    throws(() => encodeKey(encoding, key as Key), isKeyError);
    throws(() => keyPacker(encoding)(key as Key, new Uint8Array(64), 0), isKeyError);
  }
});

test("encodeKey() says which key is wrong, what it must be and what to do, at any length", () => {
  const messageOf = (encoding: KeyEncoding, key: unknown) => {
    try {
      encodeKey(encoding, key as Key);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error("the key was taken");
  };
  match(messageOf("u64be", 2 ** 53), /^Cannot store key 9007199254740992 as "u64be" .* 2\^64 - 1 .*pass a bigint$/);
  match(messageOf("u32be", 2n ** 40n), /key 1099511627776n as "u32be" .* 2\^32 - 1: choose keyEncoding "u64be"$/);
  match(messageOf("utf8", 5), /key 5 as "utf8" as it must be a string, or bytes: choose keyEncoding "u64be"$/);
  match(messageOf("u64be", "abc"), /key "abc" .*choose keyEncoding "utf8"$/);
  ok(messageOf("u64be", "x".repeat(10_000)).length < 300);
  ok(messageOf("u64be", 10n ** 1000n).length < 300);
});

test("encodeKey(), keyPacker() and canonicalBytes() refuse lone surrogates, which have no UTF-8", () => {
  for (const key of ["\ud800", "\udc00a", `${"a".repeat(100)}\ud83d`, "\ude00\ud83d"]) {
    for (const encoding of ["utf8", "raw"] as const) {
      throws(() => encodeKey(encoding, key), isKeyError);
      throws(() => packed(encoding, key), isKeyError);
    }
    throws(() => canonicalBytes(key), isKeyError);
  }
});

test("keyPacker() writes what encodeKey() gives at any offset, and nothing beside it", () => {
  const keys = fc.oneof(
    fc.tuple(fc.constant<KeyEncoding>("u64be"), fc.oneof<fc.Arbitrary<Key>[]>(unsigned64, fc.maxSafeNat())),
    fc.tuple(fc.constant<KeyEncoding>("u32be"), fc.oneof<fc.Arbitrary<Key>[]>(unsigned32, fc.nat())),
    fc.tuple(
      fc.constantFrom<KeyEncoding>("utf8", "raw"),
      fc.oneof<fc.Arbitrary<Key>[]>(text, fc.string({ maxLength: 90 }), fc.uint8Array({ maxLength: 90 })),
    ),
  );
  fc.assert(fc.property(keys, fc.nat(20), ([encoding, key], offset) => {
    const expected = encodeKey(encoding, key);
    const room = maxKeyBytes(encoding, key);
    const target = new Uint8Array(offset + room + 3).fill(0xaa);
    const end = keyPacker(encoding)(key, target, offset);
    equal(end, offset + expected.length);
    equal(hexOf(target.subarray(offset, end)), hexOf(expected));
    ok(target.subarray(0, offset).every((byte) => byte === 0xaa));
    ok(target.subarray(offset + room).every((byte) => byte === 0xaa));
  }));
});

test("keyPacker() gives -1 and writes nothing when there is less room than maxKeyBytes() says", () => {
  const long = "a".repeat(70);
  const cases: [KeyEncoding, Key][] = [
    ["u64be", 1],
    ["u64be", 2n ** 40n],
    ["u32be", 1],
    ["utf8", "é"],
    ["utf8", long],
    ["raw", new Uint8Array(5)],
    ["raw", new Uint8Array(100)],
  ];
  for (const [encoding, key] of cases) {
    const room = maxKeyBytes(encoding, key);
    const target = new Uint8Array(room + 9).fill(0xaa);
    equal(keyPacker(encoding)(key, target, 10), -1);
    equal(keyPacker(encoding)(key, target, 1000), -1);
    ok(target.every((byte) => byte === 0xaa));
    ok(keyPacker(encoding)(key, target, 9) > 9);
  }
});

test("keyPacker() takes keys without bytes, also at the end of the target", () => {
  for (const key of ["", new Uint8Array(0)]) equal(keyPacker("raw")(key, new Uint8Array(3), 3), 3);
});

test("defaultKeyEncoding() follows the type of the key", () => {
  equal(defaultKeyEncoding(1), "u64be");
  equal(defaultKeyEncoding(1n), "u64be");
  equal(defaultKeyEncoding("1"), "utf8");
  equal(defaultKeyEncoding(Uint8Array.of(1)), "raw");
  for (const key of [true, null, undefined, {}]) throws(() => defaultKeyEncoding(key as unknown as Key), isKeyError);
});

test("canonicalBytes() gives the bytes that the Python package hashes", () => {
  for (const { key, canonical_hex: hex } of hashVectors.vectors) {
    for (const spelling of spellings(keyOf(key))) equal(hexOf(canonicalBytes(spelling)), hex);
  }
});

test("canonicalBytes() refuses what the Python package cannot hash, booleans and inexact numbers", () => {
  const wrong: unknown[] = hashVectors.errors.map(({ key }) => keyOf(key));
  for (const key of [...wrong, true, false, NaN, 2 ** 53, -(2 ** 53), undefined, {}]) {
    throws(() => canonicalBytes(key as Key), isKeyError);
  }
});

test("logicalKey() gives back the key that was stored", () => {
  fc.assert(fc.property(unsigned64, (key) => equal(logicalKey("u64be", encodeKey("u64be", key)), key)));
  fc.assert(fc.property(unsigned32, (key) => equal(logicalKey("u32be", encodeKey("u32be", key)), key)));
  fc.assert(fc.property(text, (key) => equal(logicalKey("utf8", encodeKey("utf8", key)), key)));
  equal(logicalKey("utf8", encodeKey("utf8", "\ufeffmark")), "\ufeffmark");
  equal(logicalKey("raw", new Uint8Array(0)), "");
});

test("logicalKey() gives null for bytes that are no UTF-8, and refuses integers of another length", () => {
  for (const hex of ["ff", "c0af", "eda080", "61e2"]) {
    equal(logicalKey("raw", bytesOf(hex)), null);
    equal(logicalKey("utf8", bytesOf(hex)), null);
  }
  throws(() => logicalKey("u64be", new Uint8Array(4)), isKeyError);
  throws(() => logicalKey("u32be", new Uint8Array(8)), isKeyError);
});

test("compareBytes() orders stored keys as the keys themselves", () => {
  for (const [encoding, keys] of [["u64be", unsigned64], ["u32be", unsigned32]] as const) {
    fc.assert(fc.property(keys, keys, (a, b) => {
      equal(Math.sign(storedOrder(encoding, a, b)), a < b ? -1 : a > b ? 1 : 0);
    }));
  }
  fc.assert(fc.property(text, text, (a, b) => {
    equal(Math.sign(storedOrder("utf8", a, b)), Math.sign(codePointOrder(a, b)));
  }));
  fc.assert(fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
    equal(Math.sign(storedOrder("raw", a, b)), Buffer.compare(a, b));
  }));
});

test("compareBytes() orders strings by code point where UTF-16 would order otherwise", () => {
  const keys = ["\u{1f600}", "\uffee", "z", "", "zz"];
  const sorted = keys.map((key) => encodeKey("utf8", key)).sort(compareBytes).map((bytes) => logicalKey("utf8", bytes));
  deepEqual(sorted, ["", "z", "zz", "\uffee", "\u{1f600}"]);
});

function isKeyError(error: unknown): boolean {
  ok(error instanceof ConfigValidationError, String(error));
  equal(error.path, "key");
  match(error.message, /^Cannot .* as it must be .*: .*[^.]$/s);
  return true;
}

/** The key, and as a number too if it is a bigint that a number can be. */
function spellings(key: Key): Key[] {
  return typeof key === "bigint" && Number.isSafeInteger(Number(key)) ? [key, Number(key)] : [key];
}

function packed(encoding: KeyEncoding, key: Key): Uint8Array {
  const target = new Uint8Array(maxKeyBytes(encoding, key));
  return target.subarray(0, keyPacker(encoding)(key, target, 0));
}

function storedOrder(encoding: KeyEncoding, a: Key, b: Key): number {
  return compareBytes(encodeKey(encoding, a), encodeKey(encoding, b));
}

function codePointOrder(a: string, b: string): number {
  const left = Array.from(a, (character) => character.codePointAt(0)!);
  const right = Array.from(b, (character) => character.codePointAt(0)!);
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (left[i] !== right[i]) return left[i]! - right[i]!;
  }
  return left.length - right.length;
}
