/** Judges: CPython's `json`, whose answers stand in the table, and JSON columns that the Python package wrote. */
import { deepEqual, equal, throws } from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import {
  compareCodePoints,
  dumpJson,
  type JsonObject,
  type JsonValue,
  parseJson,
} from "../../src/bytes/python_json.ts";

const fixtures = new URL("../fixtures/", import.meta.url);

// Made once by `json.dumps(value, sort_keys=True)`, and with `separators=(",", ":")` where that differs. Numbers from
// 2^53 up were floats in Python.
const CPYTHON: readonly (readonly [value: JsonValue, text: string, compact?: string])[] = [
  [1e-7, "1e-07"],
  [0.0001, "0.0001"],
  [0.00001, "1e-05"],
  [123456.789, "123456.789"],
  [1e16, "1e+16"],
  [1.5e16, "1.5e+16"],
  [9007199254740994, "9007199254740994.0"],
  [1e21, "1e+21"],
  [1e22, "1e+22"],
  [1.7976931348623157e308, "1.7976931348623157e+308"],
  [5e-324, "5e-324"],
  [-0, "-0.0"],
  [0.1 + 0.2, "0.30000000000000004"],
  [-2.5, "-2.5"],
  [2.5e-10, "2.5e-10"],
  [1.234e100, "1.234e+100"],
  [-1e300, "-1e+300"],
  [123456789012345680, "1.2345678901234568e+17"],
  [4, "4"],
  [-9007199254740991, "-9007199254740991"],
  [2n ** 63n - 1n, "9223372036854775807"],
  [-(2n ** 70n), "-1180591620717411303424"],
  [7n, "7"],
  ["é", '"\\u00e9"'],
  ["\u{1F600}", '"\\ud83d\\ude00"'],
  ["\uD83D", '"\\ud83d"'],
  ["\u0000\b\t\n\f\r\u001f\u007f\u0080", '"\\u0000\\b\\t\\n\\f\\r\\u001f\\u007f\\u0080"'],
  ['"\\/', '"\\"\\\\/"'],
  ["\u2028", '"\\u2028"'],
  [
    { b: 1, a: [true, false, null], "é": {}, "": [] },
    '{"": [], "a": [true, false, null], "b": 1, "\\u00e9": {}}',
    '{"":[],"a":[true,false,null],"b":1,"\\u00e9":{}}',
  ],
  [
    { "\uFF5E": 1, "\u{1F600}": 2, "\uE000": 3, a: 4, A: 5, 10: 6, 9: 7 },
    '{"10": 6, "9": 7, "A": 5, "a": 4, "\\ue000": 3, "\\uff5e": 1, "\\ud83d\\ude00": 2}',
    '{"10":6,"9":7,"A":5,"a":4,"\\ue000":3,"\\uff5e":1,"\\ud83d\\ude00":2}',
  ],
  [[[], [[]], {}], "[[], [[]], {}]", "[[],[[]],{}]"],
  [null, "null"],
  [true, "true"],
  ["", '""'],
];

test("dumpJson() renders as Python's json.dumps does", () => {
  for (const [value, text, compact = text] of CPYTHON) {
    equal(dumpJson(value), text);
    equal(dumpJson(value, { compact: true }), compact);
  }
});

test("dumpJson() gives back every JSON column that Python wrote", () => {
  let columns = 0;
  const index = JSON.parse(readFileSync(new URL("index.json", fixtures), "utf8"));
  for (const { name } of index.snapshots ?? index) {
    let expected;
    try {
      expected = JSON.parse(readFileSync(new URL(`snapshots/${name}/expected.json`, fixtures), "utf8"));
    } catch (error) {
      if ((error as { code?: string }).code === "ENOENT") continue; // Not all snapshots are in the checkout.
      throw error;
    }
    const manifests = expected.runs_in_publish_order?.map((run: JsonObject) => run.manifest) ?? [expected.manifest];
    if (manifests[0] === undefined) continue; // "cleanup" expects what is removed, not what manifests say.
    for (const { build_meta, shards } of manifests) {
      const texts = [build_meta.sharding, build_meta.custom];
      for (const row of shards) texts.push(row.min_key, row.max_key, row.writer_info);
      for (const text of texts.filter((text) => text !== null)) {
        equal(dumpJson(parseJson(text)), text);
        columns++;
      }
    }
  }
  equal(columns > 100, true, `only ${columns} columns`);
});

test("dumpJson() names the place of what JSON cannot hold", () => {
  const cycle: { inner: unknown[] } = { inner: [] };
  cycle.inner.push(cycle);
  const deep = JSON.parse("[".repeat(501) + "]".repeat(501));
  const cases: readonly (readonly [value: unknown, path: string])[] = [
    [undefined, "custom"],
    [{ a: undefined }, "custom.a"],
    [{ a: [1, { b: NaN }] }, "custom.a[1].b"],
    [[Infinity], "custom[0]"],
    [new Array(2), "custom[0]"],
    [{ f: () => 1 }, "custom.f"],
    [{ s: Symbol("s") }, "custom.s"],
    [{ d: new Date(0) }, "custom.d"],
    [{ m: new Map() }, "custom.m"],
    [{ b: Uint8Array.of(1) }, "custom.b"],
    [cycle, "custom.inner[0]"],
    [deep, `custom${"[0]".repeat(500)}`],
  ];
  for (const [value, path] of cases) {
    throws(() => dumpJson(value as JsonValue, { path: "custom" }), { code: "CONFIG_VALIDATION", path });
  }
});

test("dumpJson() takes the same object twice, and objects without prototype", () => {
  const shared = { a: 1 };
  equal(dumpJson([shared, shared]), '[{"a": 1}, {"a": 1}]');
  equal(dumpJson(Object.assign(Object.create(null), { b: 2 })), '{"b": 2}');
});

test("parseJson() keeps whole numbers exact and lets the last of equal names win", () => {
  deepEqual(parseJson('{"a": 9223372036854775807, "b": -9007199254740993, "c": 9007199254740991}'), {
    a: 9223372036854775807n,
    b: -9007199254740993n,
    c: 9007199254740991,
  });
  deepEqual(parseJson("[12345678901234567.0, 1e20, 1234567890123456789]"), [
    12345678901234568,
    1e20,
    1234567890123456789n,
  ]);
  deepEqual(parseJson("[-0, -0.0]"), [0, -0]);
  deepEqual(parseJson('{"a": 1, "a": 12345678901234567890}'), { a: 12345678901234567890n });
  deepEqual(parseJson('"12345678901234567890"'), "12345678901234567890");
});

test("parseJson() gives no object another prototype", () => {
  for (const number of ["1", "12345678901234567890"]) {
    const value = parseJson(`{"__proto__": {"polluted": ${number}}}`) as JsonObject;
    equal(Object.getPrototypeOf(value), Object.prototype);
    equal("polluted" in value, false);
    equal(dumpJson(value), `{"__proto__": {"polluted": ${number}}}`);
  }
});

test("parseJson() refuses what is no standard JSON", () => {
  for (const text of ["", "{", "{'a': 1}", "[1,]", "NaN", "01", "1 2", "\ufeff1"]) {
    throws(() => parseJson(text), SyntaxError);
  }
});

test("parseJson() reads what dumpJson() rendered", () => {
  fc.assert(fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
    deepEqual(parseJson(dumpJson(value as JsonValue)), value);
    deepEqual(JSON.parse(dumpJson(value as JsonValue, { compact: true })), value);
  }));
  fc.assert(fc.property(fc.bigInt(), (value) => equal(BigInt(parseJson(dumpJson(value)) as number), value)));
});

test("compareCodePoints() orders as UTF-8 bytes do", () => {
  const text = fc.string({ unit: "binary" });
  fc.assert(fc.property(text, text, (one, other) => {
    const [a, b] = [one, other].map((value) => Buffer.from(value));
    equal(Math.sign(compareCodePoints(one, other)), Buffer.compare(a!, b!));
  }));
});
