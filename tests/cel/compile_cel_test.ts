import { deepEqual, equal, fail, ok, throws } from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import { createXXHash3, type IHasher } from "hash-wasm";
import { checkExpression, type ColumnType } from "../../src/cel/checker.ts";
import { type CelExpression, compileCel, compileProgram, type NulRule } from "../../src/cel/compile_cel.ts";
import { parseExpression } from "../../src/cel/parser.ts";
import { CelEvaluationError, ConfigValidationError } from "../../src/errors.ts";
import { Choices, COLUMNS, randomExpression, randomRow, VALUES } from "./random_expressions.ts";
import { evaluateSlowly } from "./slow_evaluator.ts";
import { SlowFailure } from "./slow_failure.ts";

const runsMax = process.env.SHARDYFUSION_SOAK === "1" ? 200_000 : 3000;

/** What the slow evaluator is given: as Python reads it, up to the first NUL. */
function cutRow(row: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(row).map(([name, value]) => {
      if (typeof value === "string") return [name, value.split("\0")[0]];
      if (!(value instanceof Uint8Array)) return [name, value];
      return [name, value.includes(0) ? value.slice(0, value.indexOf(0)) : value];
    }),
  );
}

interface Judge {
  hasher: IHasher;
  columns: Readonly<Record<string, ColumnType>>;
}

function slowAnswer(expr: string, row: Record<string, unknown>, { hasher, columns }: Judge): unknown {
  const { root } = checkExpression(expr, parseExpression(expr), new Map(Object.entries(columns)));
  try {
    return evaluateSlowly(root, { row: cutRow(row), locals: new Map(), hasher });
  } catch (error) {
    if (error instanceof SlowFailure) return "failure";
    throw error;
  }
}

function answerOf(compiled: CelExpression, row: Record<string, unknown>): unknown {
  try {
    const value = compiled.evaluate(row);
    if (compiled.type !== "int" && compiled.type !== "uint") return value;
    equal(typeof value === "number", Number.isSafeInteger(Number(value)), "an integer has one form");
    ok(!Object.is(value, -0));
    return BigInt(value as number);
  } catch (error) {
    if (error instanceof CelEvaluationError) return "failure";
    throw error;
  }
}

// The judge is an evaluator that shares nothing with the compiler, with hashes of hash-wasm.
test("compileCel() gives what a slow evaluator of the same tree gives", async () => {
  const hasher = await createXXHash3();
  let valueCount = 0;
  const numbers = fc.array(fc.nat({ max: 0xffff }), { minLength: 200, maxLength: 200 });
  fc.assert(
    fc.property(numbers, (list) => {
      const choices = new Choices(list);
      const row = randomRow(choices);
      const expr = randomExpression(choices);
      const expected = slowAnswer(expr, row, { hasher, columns: COLUMNS });
      deepEqual(answerOf(compileCel(expr, COLUMNS), row), expected, expr);
      if (expected !== "failure") valueCount++;
    }),
    { numRuns: runsMax },
  );
  ok(valueCount > runsMax / 2, `only ${valueCount} of ${runsMax} expressions had a value`);
});

test("compileCel() gives what the slow evaluator gives for every operator and every pair of values", async () => {
  const hasher = await createXXHash3();
  const conversions: Readonly<Record<string, string>> = {
    int: "uint double string",
    uint: "int double string",
    double: "int uint string",
    string: "int uint double bool bytes",
    bytes: "string",
    bool: "string",
  };
  for (const [type, values] of Object.entries(VALUES)) {
    const operators = ["==", "!=", "<", "<=", ">", ">=", ..."+-*/%"].map((operator) => `a ${operator} b`);
    const functions = [...conversions[type]!.split(" "), "shard_hash", "size", "-"].map((name) => `${name}(a)`);
    const methods = ["startsWith", "endsWith", "contains"].map((name) => `a.${name}(b)`);
    const others = ["a in [b]", "a in [b, a]", "{a: 1}[b]", "shard_hash(a) % 3u", "shard_hash(a + b) % 1000003u"];
    const columns = { a: type, b: type } as Record<string, ColumnType>;
    let compiledCount = 0;
    for (const expr of [...operators, ...functions, ...methods, ...others]) {
      const compiled = compiledOrNull(expr, columns);
      if (compiled === null) continue;
      compiledCount++;
      for (const a of values) {
        for (const b of /\bb\b/.test(expr) ? values : [values[0]]) {
          deepEqual(answerOf(compiled, { a, b }), slowAnswer(expr, { a, b }, { hasher, columns }), `${type}: ${expr}`);
        }
      }
    }
    ok(compiledCount >= 8, `only ${compiledCount} expressions for ${type}`);
  }
});

function compiledOrNull(expr: string, columns: Record<string, ColumnType>): CelExpression | null {
  try {
    return compileCel(expr, columns);
  } catch (error) {
    if (error instanceof ConfigValidationError) return null;
    throw error;
  }
}

function failureOf(expr: string, columns: Record<string, ColumnType> = { key: "int" }): ConfigValidationError {
  try {
    compileCel(expr, columns);
  } catch (error) {
    if (error instanceof ConfigValidationError) return error;
    throw error;
  }
  fail(`"${expr}" was compiled`);
}

test("compileCel() names line, column and piece of what it refuses", () => {
  const messages: [string, RegExp][] = [
    ["key % 8u", /"%" does not take \(int, uint\).* line 1, column 1: "key % 8u"$/],
    ["true ? 1\n : nope", /no column of that name, but "key", at line 2, column 4: "nope"$/],
    ["1 +", /expected an expression, at line 1, column 4: the end$/],
    ["key @ 1", /unknown character, at line 1, column 5: "@"$/],
    ["'abc", /not closed.* at line 1, column 1: "'abc"$/],
    ["dyn(key) == 1.0", /"==" does not take \(int, double\)/],
    ["lowerAscii('A')", /there is no function "lowerAscii", at line 1, column 1: "lowerAscii\('A'\)"$/],
    ["timestamp(key).getHours('Asia/Tokyo')", /time zone.*column 25: "'Asia\/Tokyo'"$/],
    ["'a'.matches('(?i)a')", /regular expression.*column 13: "'\(\?i\)a'"$/],
    ["'a'.matches('(a+)+')", /cannot be repeated without bound/],
    ["'a'.matches('(?:a|a)*b')", /cannot be repeated without bound/],
    ["'a'.matches('(?:a?){30}a{30}')", /nor more than 16 times/],
    [`'a'.matches('${"a?".repeat(17)}')`, /more than 16 repetitions/],
    ["[1, 'a']", /one type, not int and string.*column 5/],
    ["9223372036854775808", /64 bits/],
    ["{'a': 1}.map(k, k)", /no certain order/],
  ];
  for (const [expr, message] of messages) {
    const error = failureOf(expr);
    ok(message.test(error.message), error.message);
    equal(error.path, "expr");
  }
});

test("compileCel() refuses expressions that are nested deeper than Python's engine takes", () => {
  failureOf("(".repeat(33) + "1" + ")".repeat(33));
  failureOf("1" + " + 1".repeat(32));
  equal(compileCel("1" + " + 1".repeat(31), {}).evaluate({}), 32);
  equal(compileCel("true" + " && true".repeat(200), {}).evaluate({}), true);
  failureOf("[".repeat(100_000));
  failureOf("key" + " || key".repeat(20_000), { key: "bool" });
});

test("compileCel() refuses columns of unknown types, and names that mean types", () => {
  throws(() => compileCel("1", { key: "float" as "double" }), { code: "CONFIG_VALIDATION", path: "columns.key" });
  for (const name of "type int uint double bool string bytes list map dyn null_type".split(" ")) {
    throws(() => compileCel("1", { [name]: "int" }), { code: "CONFIG_VALIDATION", path: `columns.${name}` });
  }
  throws(() => compileCel(5 as unknown as string, {}), { code: "CONFIG_VALIDATION", path: "expr" });
  throws(() => compileCel("1", {}, { nul: "drop" as NulRule }), { code: "CONFIG_VALIDATION", path: "nul" });
});

test("compileCel().evaluate() throws errors that name the place and carry the expression", () => {
  const expr = "10 / key + 1";
  throws(() => compileCel(expr, { key: "int" }).evaluate({ key: 0 }), (error: unknown) => {
    ok(error instanceof CelEvaluationError);
    deepEqual([error.code, error.retryable, error.expr], ["CEL_EVALUATION", false, expr]);
    equal(error.message, 'Cannot evaluate CEL expression: divide by zero, at line 1, column 1: "10 / key"');
    return true;
  });
});

test("compileCel().evaluate() looks only at columns that it needs", () => {
  const { evaluate } = compileCel("key > 3 ? other : 0", { key: "int", other: "int", unread: "int" });
  equal(evaluate({ key: 1 }), 0);
  throws(() => evaluate({ key: 4 }), /the row has no column "other"/);
  throws(() => evaluate({ key: 4, other: "5" }), /column "other" must be a whole number.* of type string/);
  throws(
    () => compileCel("toString", { toString: "string" as ColumnType }).evaluate({}),
    /the row has no column "toString"/,
  );
});

test("compileCel().evaluate() takes numbers as they are meant, and no others", () => {
  const int = compileCel("key", { key: "int" }).evaluate;
  deepEqual([-0, 5, 5n, true, 2n ** 53n].map((key) => int({ key })), [0, 5, 5, 1, 2n ** 53n]);
  for (const key of [1.5, NaN, 2 ** 53, 2n ** 63n, -(2n ** 63n) - 1n, null, "5", new Date()]) {
    throws(() => int({ key }), { code: "CEL_EVALUATION" });
  }
  const uint = compileCel("key", { key: "uint" }).evaluate;
  deepEqual([0, 2n ** 64n - 1n, false].map((key) => uint({ key })), [0, 2n ** 64n - 1n, 0]);
  for (const key of [-1, -1n, 2n ** 64n]) throws(() => uint({ key }), { code: "CEL_EVALUATION" });
  const double = compileCel("key", { key: "double" }).evaluate;
  deepEqual([5, 2n ** 53n + 1n, true].map((key) => double({ key })), [5, 2 ** 53, 1]);
  throws(() => double({ key: 2n ** 1024n }), { code: "CEL_EVALUATION" });
});

test("compileCel().evaluate() cuts at the first NUL as Python does, or refuses, or keeps", () => {
  const bytes = Uint8Array.of(97, 0, 255);
  for (const expr of ["s", "string(shard_hash(s))"]) {
    const values = (["cut", "keep"] as const).map((nul) =>
      compileCel(expr, { s: "string" }, { nul }).evaluate({ s: "a\0b" })
    );
    const expected = ["'a'", "'a\\u0000b'"].map((text) => compileCel(expr.replace(/\bs\b/, text), {}).evaluate({}));
    deepEqual(values, expected);
    const { evaluate } = compileCel(expr, { s: "string" }, { nul: "refuse" });
    throws(() => evaluate({ s: "a\0b" }), /has a NUL/);
  }
  deepEqual(compileCel("b", { b: "bytes" }).evaluate({ b: bytes }), Uint8Array.of(97));
  deepEqual(compileCel("b", { b: "bytes" }, { nul: "keep" }).evaluate({ b: bytes }), bytes);
  throws(() => compileCel("b", { b: "bytes" }, { nul: "refuse" }).evaluate({ b: bytes }), /has a NUL/);
  equal(compileCel("s", { s: "string" }).evaluate({ s: bytes }), "a");
  equal(compileCel("s == 's' || true", { s: "string" }).evaluate({ s: 5 }), true);
});

test("compileCel().evaluate() lets nothing absorb what it cannot answer", () => {
  const columns: Record<string, ColumnType> = { s: "string", d: "double" };
  throws(() => compileCel("string(d) == s || true", columns).evaluate({ d: NaN, s: "" }), /NaN has no certain text/);
  throws(() => compileCel("size(s) > 0 || true", columns).evaluate({ s: "\ud800" }), /lone surrogate/);
  const many = `[${Array(101).fill("1").join()}]`;
  throws(() => compileCel(`${many}.all(x, ${many}.all(y, true)) || true`, {}).evaluate({}), /at most 9999 steps/);
});

test("compileProgram() has one slot for each column that is read, and runs again after an error", () => {
  const program = compileProgram('b == 0 ? "zero" : string(a / b) + string(a)', { a: "int", unread: "int", b: "int" });
  deepEqual(program.columns, ["b", "a"]);
  equal(program.type, "string");
  program.slots[0] = 2;
  program.slots[1] = "x";
  throws(() => program.run(), { code: "CEL_EVALUATION" });
  program.slots[1] = 9;
  equal(program.run(), "49");
});

test("compileProgram() hashes texts of any length, and hashes of hashes", async () => {
  const hasher = await createXXHash3();
  const program = compileProgram('shard_hash(s + "é" + s) % 1000003u', { s: "string" });
  const nested = compileProgram('shard_hash("a" + string(shard_hash(s)))', { s: "string" });
  const digest = (text: string): bigint => BigInt(`0x${hasher.init().update(text).digest("hex")}`);
  for (const s of ["", "x", "é", "😀".repeat(40), "y".repeat(64), "y".repeat(65), "z".repeat(5000)]) {
    program.slots[0] = s;
    nested.slots[0] = s;
    equal(program.run(), Number(digest(`${s}é${s}`) % 1000003n));
    equal(BigInt(nested.run() as number), digest(`a${digest(s)}`));
  }
});
