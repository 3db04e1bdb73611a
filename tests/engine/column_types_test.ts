// Columns and streams as pyarrow writes them: each type works, or is refused with row, column and what to do. Judge: the
// values that tests/fixtures/columns/make_types.py has put in.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { memoryStore, openSnapshot } from "../../mod.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { buildStage, engineExitCode, publishJob, routeStage } from "../../src/engine/mod.ts";
import { ConfigValidationError } from "../../src/errors.ts";
import { streamOf } from "../cli/run_shardy.ts";
import { keysIn, newJob } from "./small_jobs.ts";

const path = new URL("../fixtures/columns/types.json", import.meta.url);
const streams: Record<string, string> = JSON.parse(await readFile(path, "utf8"));
const LONG = "a text that is longer than twelve bytes";
const decoder = new TextDecoder();

/** Keys as whole numbers or text, values as text, or what the error says. */
type Outcome = RegExp | [key: number | bigint | string, value: string][];

function keys(...found: (number | bigint | string)[]): Outcome {
  return found.map((key, at) => [key, "abc"[at]!]);
}

function values(...found: string[]): Outcome {
  return found.map((value, at) => [at + 1, value]);
}

/** Values of the column `field`, as JSON. */
function fields(...found: string[]): Outcome {
  return values(...found.map((field) => `{"field":${field}}`));
}

const notWhole = (value: string, row = 1): RegExp =>
  new RegExp(
    `^Cannot use column "id" as a key as it must be a whole number from 0 to 2\\^63 - 1.* current value is ${value}` +
      `.* \\(row ${row} of`,
  );
const notText = (value: string, row = 1): RegExp =>
  new RegExp(
    `^Cannot use column "id" as a key as it must be text or bytes.* current value is ${value}.* \\(row ${row} of`,
  );
const notStored = (value: string, row = 1): RegExp =>
  new RegExp(`^Cannot store column "body" as it must be bytes or text: current value is ${value}.* \\(row ${row} of`);
const broken = (column: string): RegExp =>
  new RegExp(
    `^Cannot read column "${column}" as text as it must be UTF-8: current value is the bytes fffe; give .*row 2`,
  );
const unread = /^Cannot read stdin as Arrow: Unrecognized type: "RunEndEncoded" .*cast such columns/;
const large = [1, 2n ** 53n + 1n, 2n ** 63n - 1n] as const;

const WHOLE: Record<string, Outcome> = {
  int8: keys(1, 2, 3),
  int32: keys(1, 2, 3),
  "int32_negative": notWhole("-2", 2),
  uint32: keys(1, 2 ** 32 - 1, 3),
  "int64_large": keys(...large),
  "int64_negative": notWhole("-1", 2),
  "int64_least": notWhole("-9223372036854775808", 2),
  "int64_null": notWhole("null; leave such rows out", 2),
  uint64: keys(...large),
  "uint64_large": notWhole("9223372036854775808", 2),
  float64: keys(1, 2, 3),
  "float64_nan": notWhole("NaN; leave such rows out", 2),
  "float64_fraction": notWhole("2.5", 2),
  decimal: notWhole("of type Decimal.*cast"),
  "decimal_fraction": notWhole("of type Decimal.*cast"),
  bool: notWhole("of type Bool"),
  null: notWhole("null; leave such rows out"),
  timestamp: notWhole("of type Timestamp<MICROSECOND>, which has to be cast before"),
  date: notWhole("of type Date"),
  duration: notWhole("of type Duration"),
  string: notWhole('"a"'),
  "categorical_int64": keys(1, 2, 1),
  binary: notWhole("1 bytes"),
  list: notWhole("of type List<Int64>"),
  struct: notWhole("of type Struct"),
  "run_end_encoded": unread,
  sliced: keys(1, 2, 3),
};

const TEXT: Record<string, Outcome> = {
  int32: notText("1"),
  decimal: notText("of type Decimal"),
  "decimal_fraction": notText("of type Decimal"),
  timestamp: notText("of type Timestamp"),
  date: notText("of type Date"),
  null: notText("null; leave such rows out"),
  string: keys("a", "ö", LONG),
  "string_null": notText("null; leave such rows out", 2),
  "large_string": keys("a", "ö", LONG),
  "string_view": keys("a", "ö", LONG),
  "string_broken": broken("id"),
  "large_string_broken": broken("id"),
  categorical: keys("a", "ö", "a"),
  "categorical_null": notText("null; leave such rows out", 2),
  binary: keys("a", "\ufffd", ""),
  "large_binary": keys("a", "\ufffd", LONG),
  "binary_view": keys("a", "\ufffd", LONG),
  "fixed_size_binary": keys("ab", "\ufffd\0", "cd"),
  dictionaries: [..."abcde"].map((name) => [name, `${name}!`]),
  "dictionaries_with_deltas": [..."abcde"].map((name) => [name, `${name}!`]),
  list: notText("of type List"),
  "sliced_string": keys("a", "ö", LONG),
};

const VALUES: Record<string, Outcome> = {
  string: values("a", "ö", LONG),
  "string_null": notStored("null; leave rows without a value out", 2),
  "large_string": values("a", "ö", LONG),
  "string_view": values("a", "ö", LONG),
  "string_broken": broken("body"),
  categorical: values("a", "ö", "a"),
  binary: values("a", "\ufffd", ""),
  "binary_null": notStored("null; leave rows without a value out", 2),
  "large_binary": values("a", "\ufffd", LONG),
  "binary_view": values("a", "\ufffd", LONG),
  "fixed_size_binary": values("ab", "\ufffd\0", "cd"),
  "sliced_string": values("a", "ö", LONG),
  int32: notStored("1; .*give columns of other types as JSON"),
  list: notStored("of type List<Int64>.*give columns of other types as JSON"),
  struct: notStored("of type Struct"),
  timestamp: notStored("of type Timestamp"),
};

const FIELDS: Record<string, Outcome> = {
  list: fields("[1,2]", "null", "[]"),
  "list_of_lists": fields("[[1],[]]", "[null]", "[]"),
  "list_of_structs": fields('[{"a":1,"b":"x"}]', "[null]", "null"),
  "large_list": fields('["a"]', "null", "[]"),
  "fixed_size_list": fields("[1,2]", "null", "[3,4]"),
  struct: fields('{"a":1,"b":[1767323045678.901]}', "null", '{"a":null,"b":null}'),
  map: fields('{"a":1}', "null", "{}"),
  categorical: fields('"a"', "null", '"a"'),
  "string_view": fields('"a"', "null", `"${LONG}"`),
  "string_broken": broken("field"),
  "binary_view": fields('"YQ=="', "null", '"/w=="'),
  timestamp: fields('"2026-01-02T03:04:05.678901Z"', "null", '"2026-01-02T03:04:05.678901Z"'),
  "timestamp_ns": fields('"2026-01-02T03:04:05.678901000Z"', "null", '"2026-01-02T03:04:05.678901000Z"'),
  date: fields('"2026-01-02"', "null", '"2026-01-02"'),
  time: fields("11045678901", "null", "11045678901"),
  duration: fields("1000000", "null", "null"),
  decimal: fields('"1.00"', '"2.50"', "null"),
  float16: fields("0.5", "null", "1"),
  "float64_nan": /^Cannot store NaN in column "field" as JSON has no such number \(key 2\) \(row 2 of/,
  bool: fields("true", "false", "null"),
  null: fields("null", "null", "null"),
  "int64_large": fields("1", "9007199254740993", "9223372036854775807"),
  "uint64_large": fields("1", "9223372036854775808", "3"),
  "run_end_encoded": unread,
};

const cutShort = /^Cannot read stdin as Arrow: the stream is cut short, or its writer was not closed$/;
const STREAMS: Record<string, Outcome> = {
  whole: keys(1, 2, 3),
  "without_rows": [],
  "without_end": cutShort,
  "cut_in_batch": cutShort,
  "cut_in_schema": /^Cannot read stdin as Arrow: it has no schema/,
  "two_streams":
    /^Cannot read stdin as Arrow: \d+ bytes follow the end of the stream: give one stream to each process$/,
  "two_schemas": /^Cannot read stdin as Arrow: it has a second schema: give one stream to each process$/,
  "no_arrow": /^Cannot read stdin as Arrow: it has no schema, as every stream of Arrow begins with$/,
};

const TABLES: [kind: string, spec: Record<string, unknown>, table: Record<string, Outcome>][] = [
  ["key", { keyEncoding: "u64be" }, WHOLE],
  ["key", { keyEncoding: "utf8" }, TEXT],
  ["value", {}, VALUES],
  ["field", { value: { columns: ["field"] } }, FIELDS],
  ["stream", {}, STREAMS],
];

for (const [kind, spec, table] of TABLES) {
  test(`buildStage() and routeStage() of pyarrow's columns: ${kind} ${JSON.stringify(spec)}`, async () => {
    for (const [name, expected] of Object.entries(table)) {
      const bytes = Uint8Array.fromBase64(streams[`${kind} ${name}`]!);
      const store = memoryStore();
      const job = newJob({ ...spec, shardCount: 1 });
      const input = () => ({ name: "stdin", bytes: streamOf(bytes, 97) });
      const write = (): Promise<void> => Promise.resolve();
      const stages = [
        () => buildStage(job, { store, backend: sqliteBackend(), input: input() }),
        // Values are not looked at here.
        ...kind === "key" || kind === "stream" ? [() => routeStage(job, { input: input(), write })] : [],
      ];
      if (!(expected instanceof RegExp)) {
        for (const stage of stages) await stage();
        deepEqual(await rowsIn(store, job), sorted(expected), `${kind} ${name}`);
        continue;
      }
      for (const stage of stages) {
        const error = await stage().then(() => null, (error) => error);
        ok(error instanceof ConfigValidationError, `${kind} ${name}: ${error}`);
        match(error.message, expected);
        equal(engineExitCode(error), 3, `${kind} ${name}: ${error.path}`);
      }
      deepEqual(await keysIn(store), [], "nothing is left");
    }
  });
}

/** Of one key the last row wins. */
function sorted(rows: [key: number | bigint | string, value: string][]): [string, string][] {
  return [...new Map(rows.map(([key, value]) => [String(key), value]))].sort();
}

async function rowsIn(
  store: ReturnType<typeof memoryStore>,
  job: ReturnType<typeof newJob>,
): Promise<[string, string][]> {
  await publishJob(job, { store, backend: sqliteBackend() });
  await using reader = await openSnapshot({ store });
  const rows: [string, string][] = [];
  for await (const [key, value] of reader.scan()) {
    const isNumber = job.spec.keyEncoding === "u64be";
    const shown = isNumber ? BigInt(`0x${(key as Uint8Array).toHex()}`) : decoder.decode(key as Uint8Array);
    rows.push([String(shown), decoder.decode(value)]);
  }
  return rows.sort();
}
