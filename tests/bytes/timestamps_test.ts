/** Judge: pydantic 2.14, whose answers stand in the table. */
import { equal } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { jsonStamp, parseStamp, pathStamp } from "../../src/bytes/timestamps.ts";

// Made once by `TypeAdapter(datetime).validate_python(text)`, those without zone taken as UTC. Seconds since 1970 as a
// text, which pydantic takes as well, are left out on purpose.
const PYDANTIC: readonly (readonly [text: string, micros: number | null])[] = [
  ["2026-11-21T02:38:18.776369Z", 1795228698776369],
  ["2026-01-02T03:04:05Z", 1767323045000000],
  ["2026-01-02T03:04:05", 1767323045000000],
  ["2026-01-02 03:04:05Z", 1767323045000000],
  ["2026-01-02t03:04:05z", 1767323045000000],
  ["2026-01-02_03:04:05Z", 1767323045000000],
  ["2026-01-02T03:04Z", 1767323040000000],
  ["2026-01-02T03:04", 1767323040000000],
  ["2026-01-02", 1767312000000000],
  ["2026-01-02T03:04:05.1Z", 1767323045100000],
  ["2026-01-02T03:04:05.123456789Z", 1767323045123456],
  ["2026-01-02T03:04:05.1234567Z", 1767323045123456],
  ["2026-01-02T03:04:05.1234567891Z", 1767323045123456],
  ["2026-01-02T03:04:05.Z", null],
  ["2026-01-02T03:04:05,5Z", 1767323045500000],
  ["2026-01-02T03:04:05+00:00", 1767323045000000],
  ["2026-01-02T03:04:05+05:30", 1767303245000000],
  ["2026-01-02T03:04:05-0530", 1767342845000000],
  ["2026-01-02T03:04:05+05", null],
  ["2026-01-02T03:04:05 +05:30", null],
  ["2026-01-02T03:04:05+24:00", null],
  ["2026-01-02T03:04:05+23:59", 1767236705000000],
  ["2026-01-02T03:04:05-00:00", 1767323045000000],
  ["2026-01-02T03:04:05\u221205:30", 1767342845000000],
  ["2026-01-02T24:00:00Z", null],
  ["2026-01-02T23:60:00Z", null],
  ["2026-01-02T23:59:60Z", null],
  ["2026-02-29T00:00:00Z", null],
  ["2024-02-29T00:00:00Z", 1709164800000000],
  ["2000-02-29T00:00:00Z", 951782400000000],
  ["1900-02-29T00:00:00Z", null],
  ["2026-04-31T00:00:00Z", null],
  ["2026-13-01T00:00:00Z", null],
  ["2026-00-01T00:00:00Z", null],
  ["2026-01-00T00:00:00Z", null],
  ["1969-12-31T23:59:59.999999Z", -1],
  ["1700-01-01T00:00:00Z", -8520336000000000],
  ["0000-01-01T00:00:00Z", null],
  [" 2026-01-02T03:04:05Z", null],
  ["2026-01-02T03:04:05Z ", null],
  ["20260102T030405Z", null],
  ["2026-1-2T03:04:05Z", null],
  ["2026-01-02T03:04:05ZZ", null],
  ["soon", null],
  ["", null],
  ["2026-01-02T03:04:05+5:30", null],
  ["2026-01-02T0304:05Z", null],
  ["2026-01-02T03:04:05+05:60", null],
];

test("parseStamp() takes what pydantic takes and refuses what it refuses", () => {
  for (const [text, micros] of PYDANTIC) equal(parseStamp(text), micros, text);
});

test("parseStamp() refuses years whose microseconds are no safe integers", () => {
  equal(parseStamp("2255-01-01T00:00:00Z"), 8_993_721_600_000_000);
  equal(parseStamp("2300-01-01T00:00:00Z"), null);
  equal(parseStamp("1600-01-01T00:00:00Z"), null);
});

test("pathStamp() always has six digits, jsonStamp() none when all are zero", () => {
  equal(pathStamp(1_767_323_045_000_000), "2026-01-02T03:04:05.000000Z");
  equal(jsonStamp(1_767_323_045_000_000), "2026-01-02T03:04:05Z");
  equal(pathStamp(1_795_228_698_776_369), "2026-11-21T02:38:18.776369Z");
  equal(jsonStamp(1_795_228_698_000_009), "2026-11-21T02:38:18.000009Z");
  equal(pathStamp(-1), "1969-12-31T23:59:59.999999Z");
  equal(jsonStamp(0), "1970-01-01T00:00:00Z");
});

test("pathStamp() and jsonStamp() are read back by parseStamp(), and order as the times do", () => {
  const micros = fc.integer({ min: -8_000_000_000_000_000, max: 8_900_000_000_000_000 });
  fc.assert(fc.property(micros, micros, (one, other) => {
    equal(parseStamp(pathStamp(one)), one);
    equal(parseStamp(jsonStamp(one)), one);
    equal(pathStamp(one) < pathStamp(other), one < other);
  }));
});
