// The judges are Python's xxhash and sqlite3, which work the format out from its byte table, and hash-wasm.
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { createXXHash3 } from "hash-wasm";
import { decodeGuard } from "../../src/backends/guard.ts";
import { GuardBuilder } from "../../src/backends/guard_builder.ts";
import { encodeKey, type Key, type KeyEncoding, keyEncodings } from "../../src/routing/key.ts";
import { DatabaseWriter } from "../../src/sqlite/database_writer.ts";
import { putKeyValueHead } from "../../src/sqlite/record_writer.ts";

const DIGEST = "00123456789abcde";
const xxh3 = await createXXHash3();
const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

/** Bytes without a pattern; the same each time. */
function noise(length: number): Uint8Array<ArrayBuffer> {
  let state = length;
  return Uint8Array.from({ length }, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 24);
}

interface GuardContent {
  readonly keyEncoding: KeyEncoding;
  readonly keys: readonly Uint8Array[];
  /** Whole pages, page 1 first. */
  readonly file: Uint8Array;
  readonly pageSizeBytes?: number;
}

function buildGuard({ keyEncoding, keys, file, pageSizeBytes = 4096 }: GuardContent): Uint8Array<ArrayBuffer> {
  const builder = new GuardBuilder({ rowCountMax: keys.length, pageSizeBytes, keyEncoding });
  for (const key of keys) {
    const row = Buffer.concat([noise(3), key, noise(5)]);
    builder.addKey(row, 3, key.length);
  }
  const middle = file.length > 3 * pageSizeBytes ? 3 * pageSizeBytes : file.length;
  builder.addPages(2, file.subarray(pageSizeBytes, middle));
  builder.addPages(middle / pageSizeBytes + 1, file.subarray(middle));
  builder.addPages(1, file.subarray(0, pageSizeBytes));
  return builder.finish({ shardXxh3: DIGEST });
}

const someKeys = Array.from({ length: 40 }, (_, i) => encodeKey("u64be", i * 3));

/** A guard of 40 keys and 5 pages. */
function smallGuard(): Uint8Array<ArrayBuffer> {
  return buildGuard({ keyEncoding: "u64be", keys: someKeys, file: noise(5 * 4096) });
}

/** A copy with a byte changed, and with the digest that then belongs to it. */
function rewritten(bytes: Uint8Array, changes: readonly (readonly [offset: number, byte: number])[]): Uint8Array {
  const copy = bytes.slice();
  for (const [offset, byte] of changes) copy[offset] = byte;
  const digest = xxh3.init().update(copy.subarray(0, -8)).digest("binary");
  copy.set(digest.reverse(), copy.length - 8);
  return copy;
}

test("decodeGuard() gives back what the guard was built from", () => {
  const bytes = smallGuard();
  const { pageSizeBytes, pageCount, shardXxh3, sizeBytes } = decodeGuard(bytes);
  deepEqual({ pageSizeBytes, pageCount, shardXxh3, sizeBytes }, {
    pageSizeBytes: 4096,
    pageCount: 5,
    shardXxh3: DIGEST,
    sizeBytes: bytes.length,
  });
  equal(bytes.length, 32 + 64 + 5 * 4 + 8);
});

test("decodeGuard() reads a guard that begins anywhere in a buffer", () => {
  const bytes = smallGuard();
  for (let offset = 0; offset < 8; offset++) {
    const buffer = noise(bytes.length + 20);
    buffer.set(bytes, offset);
    const guard = decodeGuard(buffer.subarray(offset, offset + bytes.length));
    ok(someKeys.every((key) => guard.mayContain(key)));
    ok(guard.isSound(2, noise(5 * 4096).subarray(4096, 8192)));
  }
});

test("decodeGuard() refuses a guard with any byte changed, cut anywhere or longer (P7)", () => {
  const bytes = smallGuard();
  for (let at = 0; at < bytes.length; at++) {
    for (const change of [1, 0x80, 0xff]) {
      const copy = bytes.slice();
      copy[at]! ^= change;
      throws(() => decodeGuard(copy), { code: "CORRUPT_FILE" }, `byte ${at}`);
    }
    throws(() => decodeGuard(bytes.subarray(0, at)), { code: "CORRUPT_FILE" }, `${at} bytes`);
  }
  throws(() => decodeGuard(Buffer.concat([bytes, new Uint8Array(4)])), { code: "CORRUPT_FILE" });
});

test("decodeGuard() refuses impossible headers with a right digest", () => {
  const bytes = smallGuard();
  decodeGuard(rewritten(bytes, []));
  const cases: [offset: number, byte: number][] = [
    [4, 2], // version
    [5, 4], // key encoding
    [6, 8], // page size
    [6, 17],
    [8, 4], // pages
    [8, 6],
    [11, 255],
    [12, 0], // blocks
    [12, 2],
    [14, 16],
    [15, 255],
  ];
  for (const change of cases) {
    throws(() => decodeGuard(rewritten(bytes, [change])), { code: "CORRUPT_FILE" }, `${change}`);
  }
  // Larger than filters may be, though the length is right.
  const large = new Uint8Array(bytes.length + 2 ** 26);
  large.set(bytes.subarray(0, 32));
  throws(() => decodeGuard(rewritten(large, [[14, 16]])), { code: "CORRUPT_FILE", message: /header/ });
  // The length would be right: a block less, and 16 pages more.
  decodeGuard(rewritten(bytes, [[12, 0], [8, 5 + 16]]));
});

const numbers = { u64be: fc.bigInt(0n, 2n ** 64n - 1n), u32be: fc.integer({ min: 0, max: 2 ** 32 - 1 }) };
const keysOf: Record<KeyEncoding, fc.Arbitrary<Key>> = {
  ...numbers,
  utf8: fc.string({ unit: "grapheme", maxLength: 300 }),
  raw: fc.uint8Array({ maxLength: 300 }),
};

for (const keyEncoding of keyEncodings) {
  test(`Guard.mayContain() is true of each key that was added: ${keyEncoding}`, () => {
    fc.assert(
      fc.property(fc.array(keysOf[keyEncoding], { maxLength: 60 }), (added) => {
        const keys = added.map((key) => encodeKey(keyEncoding, key));
        const guard = decodeGuard(buildGuard({ keyEncoding, keys, file: new Uint8Array(512), pageSizeBytes: 512 }));
        ok(keys.every((key) => guard.mayContain(key)));
      }),
      { numRuns: 60 },
    );
  });

  test(`Guard.mayContain() is false of nearly all other keys: ${keyEncoding}`, () => {
    const isText = keyEncoding === "utf8" || keyEncoding === "raw";
    const keyOf = (i: number) => encodeKey(keyEncoding, isText ? `user/${i}` : i);
    const keys = Array.from({ length: 20_000 }, (_, i) => keyOf(i));
    const guard = decodeGuard(buildGuard({ keyEncoding, keys, file: new Uint8Array(4096) }));
    let passed = 0;
    for (let i = 20_000; i < 120_000; i++) if (guard.mayContain(keyOf(i))) passed++;
    ok(passed < 1000, `${passed} of 100,000`);
  });
}

test("Guard.mayContain() is false in an empty shard, and for keys of another length", () => {
  const guard = decodeGuard(buildGuard({ keyEncoding: "u64be", keys: [], file: noise(4096) }));
  for (const length of [0, 1, 7, 8, 9, 300]) equal(guard.mayContain(noise(length)), false);
});

test("GuardBuilder leaves the filter out beyond 64 MiB, and Guard.mayContain() is true then", () => {
  const builder = new GuardBuilder({ rowCountMax: 49_000_000, pageSizeBytes: 4096, keyEncoding: "raw" });
  builder.addKey(noise(9), 0, 9);
  builder.addPages(1, noise(4096));
  const bytes = builder.finish({ shardXxh3: DIGEST });
  equal(bytes.length, 32 + 4 + 8);
  const guard = decodeGuard(bytes);
  ok(guard.mayContain(noise(5)));
  ok(guard.isSound(1, noise(4096)));
});

test("Guard.isSound() is false of a page with any bit changed (P7)", () => {
  for (const pageSizeBytes of [512, 4096, 65536]) {
    const file = noise(3 * pageSizeBytes);
    const guard = decodeGuard(buildGuard({ keyEncoding: "raw", keys: [], file, pageSizeBytes }));
    const page = file.slice(pageSizeBytes, 2 * pageSizeBytes);
    ok(guard.isSound(2, page));
    for (const word of [0, 1, 2, 3, 17, pageSizeBytes / 4 - 1]) {
      for (let bit = 0; bit < 32; bit++) {
        const at = 4 * word + (bit >> 3);
        page[at]! ^= 1 << (bit & 7);
        equal(guard.isSound(2, page), false, `bit ${bit} of word ${word}`);
        page[at]! ^= 1 << (bit & 7);
      }
    }
  }
});

test("Guard.isSound() is false of pages with several bytes changed, moved or of another length (P7)", () => {
  const file = noise(4 * 4096);
  const pageOf = (pageNumber: number) => file.slice((pageNumber - 1) * 4096, pageNumber * 4096);
  const guard = decodeGuard(buildGuard({ keyEncoding: "raw", keys: [], file }));
  for (let here = 1; here <= 4; here++) {
    for (let there = 1; there <= 4; there++) equal(guard.isSound(here, pageOf(there)), here === there);
  }
  for (const pageNumber of [0, -1, 5, NaN, 2 ** 32 + 1]) equal(guard.isSound(pageNumber, pageOf(1)), false);
  for (const length of [0, 4080, 4095, 8192]) equal(guard.isSound(1, file.slice(0, length)), false);
  const changes = fc.array(fc.tuple(fc.nat(4095), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 50 });
  fc.assert(fc.property(changes, (bytes) => {
    const page = pageOf(3);
    for (const [at, byte] of bytes) page[at] = byte;
    equal(guard.isSound(3, page), Buffer.compare(page, pageOf(3)) === 0);
  }));
});

test("GuardBuilder refuses pages that are cut, missing or repeated", () => {
  const newBuilder = () => new GuardBuilder({ rowCountMax: 0, pageSizeBytes: 4096, keyEncoding: "raw" });
  const builder = newBuilder();
  builder.addPages(2, noise(8192));
  for (const [pageNumber, length] of [[3, 4096], [5, 4096], [4, 4095], [1, 8192], [1, 0]] as const) {
    throws(() => builder.addPages(pageNumber, noise(length)), RangeError);
  }
  throws(() => builder.finish({ shardXxh3: DIGEST }), RangeError);
  builder.addPages(1, noise(4096));
  throws(() => builder.addPages(4, noise(4096)), RangeError);
  throws(() => builder.addPages(1, noise(4096)), RangeError);
  for (const pageSizeBytes of [0, 256, 4095, 131_072]) {
    throws(() => new GuardBuilder({ rowCountMax: 0, pageSizeBytes, keyEncoding: "raw" }), RangeError);
  }
});

test("GuardBuilder takes thousands of pages, however many at a time", () => {
  const file = noise(5000 * 512);
  const isWhole = (bytes: Uint8Array) => {
    const guard = decodeGuard(bytes);
    for (let at = 0; at < file.length; at += 512) ok(guard.isSound(at / 512 + 1, file.subarray(at, at + 512)), `${at}`);
  };
  isWhole(buildGuard({ keyEncoding: "raw", keys: [], file, pageSizeBytes: 512 }));
  const builder = new GuardBuilder({ rowCountMax: 0, pageSizeBytes: 512, keyEncoding: "raw" });
  for (let at = 512; at < file.length; at += 512) builder.addPages(at / 512 + 1, file.subarray(at, at + 512));
  builder.addPages(1, file.subarray(0, 512));
  isWhole(builder.finish({ shardXxh3: DIGEST }));
});

/** Works the format out from the table in `guard.ts`: keys of the shard by its own SQLite, absent keys from stdin. */
const PYTHON = `
import json, sqlite3, struct, sys, xxhash
db = open(sys.argv[1], "rb").read()
guard = open(sys.argv[2], "rb").read()
magic, version, encoding, power, zero, pages, blocks, rows, digest = struct.unpack_from("<4sBBBBIIQQ", guard)
assert (magic, version, zero) == (b"SGRD", 1, 0)
size = 1 << power
sums = 32 + 64 * blocks
end = sums + 4 * pages
assert len(guard) == end + 8 and len(db) == pages * size
assert struct.unpack_from("<Q", guard, end)[0] == xxhash.xxh3_64_intdigest(guard[:end])
assert digest == xxhash.xxh3_64_intdigest(db[size:] + db[:size])
for page in range(pages):
    assert struct.unpack_from("<I", guard, sums + 4 * page)[0] == xxhash.xxh32_intdigest(db[page * size:][:size]), page
def may_contain(key):
    h = xxhash.xxh3_64_intdigest(key[::-1].ljust(8, b"\\0") if encoding < 2 else key)
    block = 32 + 64 * ((h >> 32) * blocks >> 32)
    m = (h >> 32 ^ h) & 0xffffffff
    for _ in range(6):
        m = m * 0x9e3779b1 & 0xffffffff
        bit = m >> 23
        if not struct.unpack_from("<I", guard, block + bit // 32 * 4)[0] >> bit % 32 & 1:
            return False
    return True
keys = [k for (k,) in sqlite3.connect(sys.argv[1]).execute("SELECT k FROM kv")]
assert len(keys) == rows and all(map(may_contain, keys))
passing = [k for k in json.load(sys.stdin) if may_contain(bytes.fromhex(k))]
print(json.dumps({"encoding": encoding, "rows": rows, "pages": pages, "passing": passing}))
`;

interface Verdict {
  readonly encoding: number;
  readonly rows: number;
  readonly pages: number;
  /** Those of the absent keys that pass the filter, as hex digits. */
  readonly passing: readonly string[];
}

function askPython(file: Uint8Array, guard: Uint8Array, absentKeys: readonly Uint8Array[]): Verdict {
  const folder = mkdtempSync(join(tmpdir(), "shardyfusion-test-"));
  try {
    const paths = [join(folder, "shard.db"), join(folder, "shard.guard")] as const;
    writeFileSync(paths[0], file);
    writeFileSync(paths[1], guard);
    const input = JSON.stringify(absentKeys.map(hexOf));
    const { status, stdout, stderr } = spawnSync("python3", ["-c", PYTHON, ...paths], { input, encoding: "utf8" });
    equal(status, 0, stderr);
    return JSON.parse(stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A shard of our writer with its guard, both built while pages are handed on. */
async function buildShard(keyEncoding: KeyEncoding, keys: readonly Uint8Array[], pageSizeBytes: number) {
  const builder = new GuardBuilder({ rowCountMax: keys.length, pageSizeBytes, keyEncoding });
  const pieces: Uint8Array[] = [];
  let pageNumber = 2;
  await using writer = new DatabaseWriter(pageSizeBytes, {
    sink(pages) {
      builder.addPages(pageNumber, pages);
      pageNumber += pages.length / pageSizeBytes;
      pieces.push(pages.slice());
      return Promise.resolve();
    },
  });
  const tree = writer.beginTable("withoutRowid");
  for (const key of keys.toSorted(Buffer.compare)) {
    const row = Buffer.concat([key, noise(100)]);
    putKeyValueHead(tree, key.length, 100);
    builder.addKey(row, 0, key.length);
    tree.add(row, 0, row.length);
    if (tree.isFull) await writer.flush();
  }
  await writer.endTable("kv", "CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID");
  const head = await writer.finish();
  builder.addPages(1, head);
  const shardXxh3 = xxh3.init().update(Buffer.concat([...pieces, head])).digest("hex");
  return { file: Buffer.concat([head, ...pieces]), guard: builder.finish({ shardXxh3 }), shardXxh3 };
}

/** Key number `i`, of a length of its own where the encoding has no fixed one. */
function sampleKey(keyEncoding: KeyEncoding, i: number): Key {
  // Every other one is beyond 2^63, where hash routing has no shard for it.
  if (keyEncoding === "u64be") return BigInt(i) * 3_000_000_019n + (i % 2 === 0 ? 0n : 2n ** 63n);
  if (keyEncoding === "u32be") return i * 100_003;
  if (keyEncoding === "utf8") return "é".repeat(i % 50) + i;
  return Buffer.concat([Buffer.from(`${i}`), noise(i % 300)]);
}

const hasPython = spawnSync("python3", ["-c", "import xxhash"]).status === 0;

for (const [index, keyEncoding] of (["u64be", "u32be", "utf8", "raw"] as const).entries()) {
  test(`GuardBuilder writes what Python finds in the shard, and knows the same keys: ${keyEncoding}`, async (t) => {
    if (!hasPython) {
      console.log("LEFT OUT: guards judged by Python, as python3 with xxhash is missing");
      return t.skip("python3 with xxhash is missing");
    }
    const keys = Array.from({ length: 12_000 }, (_, i) => encodeKey(keyEncoding, sampleKey(keyEncoding, i)));
    const absent = Array.from({ length: 20_000 }, (_, i) => encodeKey(keyEncoding, sampleKey(keyEncoding, i + 12_000)));
    const { file, guard, shardXxh3 } = await buildShard(keyEncoding, keys, index % 2 === 0 ? 4096 : 16384);
    const verdict = askPython(file, guard, absent);
    const decoded = decodeGuard(guard);
    deepEqual([verdict.encoding, verdict.rows], [index, 12_000]);
    deepEqual([decoded.pageCount, decoded.shardXxh3], [verdict.pages, shardXxh3]);
    deepEqual(absent.filter((key) => decoded.mayContain(key)).map(hexOf), verdict.passing);
    ok(verdict.passing.length > 0 && verdict.passing.length < 200, `${verdict.passing.length}`);
  });
}
