// The judges are the Python package, by its vectors and the snapshots that it wrote, and hash-wasm with bigint.
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { createXXHash3 } from "hash-wasm";
import { ConfigValidationError } from "../../src/errors.ts";
import { hashRouter } from "../../src/routing/hash_router.ts";
import { routePackedByHash } from "../../src/routing/packed_hash_router.ts";
import { canonicalBytes, encodeKey, type Key, type KeyEncoding } from "../../src/routing/key.ts";
import type { PackedRows } from "../../src/rows.ts";
import { type FixtureKey, fixtureVectors, keyOf } from "./fixture_keys.ts";

interface HashVectors {
  vectors: { key: FixtureKey; shard: Record<string, number> }[];
  errors: { key: FixtureKey }[];
}

interface Snapshot {
  "num_dbs": number;
  manifest: { "build_meta": { "key_encoding": KeyEncoding } };
  entries: { key: FixtureKey; shard: number }[];
}

const judge = await createXXHash3();
const { vectors, errors } = fixtureVectors<HashVectors>("hash_vectors");

test("hashRouter() routes every key as the Python package does", () => {
  for (const { key: fixtureKey, shard } of vectors) {
    const key = keyOf(fixtureKey);
    for (const [shardCount, shardId] of Object.entries(shard)) {
      const router = hashRouter(Number(shardCount));
      equal(router.route(key), shardId);
      if (typeof key === "bigint" && Number.isSafeInteger(Number(key))) equal(router.route(Number(key)), shardId);
    }
  }
});

test("hashRouter() finds the shards that stored keys of Python-made snapshots lie in", () => {
  const root = new URL("../fixtures/snapshots/", import.meta.url);
  const names = readdirSync(root).filter((name) => name.startsWith("hash_"));
  ok(names.length >= 5);
  for (const name of names) {
    const expected: Snapshot = JSON.parse(readFileSync(new URL(`${name}/expected.json`, root), "utf8"));
    const router = hashRouter(expected.num_dbs);
    const keys = expected.entries.map(({ key }) => keyOf(key));
    const shardIds = expected.entries.map(({ shard }) => shard);
    deepEqual(keys.map((key) => router.route(key)), shardIds, name);
    const encoding = expected.manifest.build_meta.key_encoding;
    deepEqual(routedPacked(encoding, keys, expected.num_dbs), shardIds, name);
  }
});

test("hashRouter() refuses keys that have no hash", () => {
  const router = hashRouter(3);
  const wrong: unknown[] = errors.map(({ key }) => keyOf(key));
  for (const key of [...wrong, true, NaN, -Infinity, 2 ** 53, undefined, {}, "\ud800", `${"a".repeat(99)}\udfff`]) {
    throws(() => router.route(key as Key), isKeyError);
  }
});

test("hashRouter() routes by the type of the key", () => {
  const router = hashRouter(1 << 30);
  ok(router.route(5) !== router.route("5"));
  equal(router.route("a"), router.route(Uint8Array.of(0x61)));
  equal(router.route(5), router.route(5n));
  equal(router.route(-0), router.route(0));
  equal(router.route(-1), router.route(-1n));
});

test("hashRouter() routes slices of larger arrays, and strings of any length one after the other", () => {
  const router = hashRouter(1000);
  const bytes = Uint8Array.from({ length: 3000 }, (_, i) => i % 100);
  for (const length of [0, 3, 40, 300, 900, 10, 2000, 5]) {
    equal(router.route(bytes.subarray(7, 7 + length)), expectedShard(bytes.slice(7, 7 + length), 1000));
    const key = "aé\u{1f600}".repeat(length).slice(0, length * 4);
    equal(router.route(key), expectedShard(new TextEncoder().encode(key), 1000));
  }
});

test("routePackedByHash() routes packed rows as hashRouter() routes their keys", () => {
  const batches = fc.oneof(
    fc.tuple(fc.constant<KeyEncoding>("u64be"), fc.array<Key>(fc.bigInt(0n, 2n ** 63n - 1n))),
    fc.tuple(fc.constant<KeyEncoding>("u32be"), fc.array<Key>(fc.bigInt(0n, 2n ** 32n - 1n))),
    fc.tuple(
      fc.constantFrom<KeyEncoding>("utf8", "raw"),
      fc.array(fc.oneof<fc.Arbitrary<Key>[]>(fc.string({ unit: "binary" }), fc.uint8Array({ maxLength: 300 }))),
    ),
  );
  const shardCounts = fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 2 ** 31 }));
  fc.assert(fc.property(batches, shardCounts, ([encoding, keys], shardCount) => {
    const expected = keys.map((key) => expectedShard(canonicalBytes(key), shardCount));
    deepEqual(routedPacked(encoding, keys, shardCount), expected);
    const router = hashRouter(shardCount);
    deepEqual(keys.map((key) => router.route(key)), expected);
  }));
});

test("routePackedByHash() refuses packed integers from 2^63 up, and those of a wrong length", () => {
  for (const shardCount of [1, 8]) {
    throws(() => routedPacked("u64be", [1n, 2n ** 63n], shardCount), isKeyError);
    throws(() => routedPacked("u64be", [2n ** 64n - 1n], shardCount), /18446744073709551615n/);
    const rows = packedRows("u32be", [1, 2]);
    throws(() => routePackedByHash(rows, "u64be", { shardCount, shardIds: new Uint32Array(2) }), isKeyError);
    const longRows = packedRows("u64be", [1, 2]);
    throws(() => routePackedByHash(longRows, "u32be", { shardCount, shardIds: new Uint32Array(2) }), isKeyError);
  }
});

test("hashRouter() takes from 1 to 2^31 shards", () => {
  for (const shardCount of [0, -1, 1.5, NaN, 2 ** 31 + 1, "8", undefined]) {
    throws(() => hashRouter(shardCount as number), { code: "CONFIG_VALIDATION", path: "shardCount" });
  }
  equal(hashRouter(2 ** 31).shardCount, 2 ** 31);
  deepEqual(hashRouter(8).spec, { strategy: "hash" });
});

function isKeyError(error: unknown): boolean {
  ok(error instanceof ConfigValidationError, String(error));
  equal(error.path, "key");
  return true;
}

function expectedShard(canonical: Uint8Array, shardCount: number): number {
  const digest = BigInt(`0x${judge.init().update(canonical).digest("hex")}`);
  return Number(digest % BigInt(shardCount));
}

function routedPacked(encoding: KeyEncoding, keys: Key[], shardCount: number): number[] {
  const shardIds = new Uint32Array(keys.length + 1).fill(0xffff_ffff);
  routePackedByHash(packedRows(encoding, keys), encoding, { shardCount, shardIds });
  equal(shardIds.at(-1), 0xffff_ffff, "an entry behind the last row was written");
  return Array.from(shardIds.subarray(0, -1));
}

/** Rows with values of different lengths, in an array that begins inside its buffer. */
function packedRows(encoding: KeyEncoding, keys: Key[]): PackedRows {
  const encoded = keys.map((key) => encodeKey(encoding, key));
  const starts = new Uint32Array(keys.length + 1);
  encoded.forEach((key, i) => starts[i + 1] = starts[i]! + key.length + i % 5);
  const bytes = new Uint8Array(starts.at(-1)! + 11).subarray(3).fill(0xee);
  encoded.forEach((key, i) => bytes.set(key, starts[i]!));
  const keyLengths = Uint32Array.from(encoded, (key) => key.length);
  return { rowCount: keys.length, bytes, starts, keyLengths };
}
