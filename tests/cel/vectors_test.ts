// The judge is the Python package: tests/fixtures/vectors/cel_vectors.json has its answers.
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type CelColumnType, compileCel, compileProgram } from "../../src/cel/compile_cel.ts";

interface TypedValue {
  type: string;
  value: unknown;
}

interface Vector {
  expr: string;
  columns: Record<string, CelColumnType>;
  context: Record<string, TypedValue>;
  "compile_error"?: unknown;
  "runtime_error"?: string;
  value?: TypedValue;
}

const url = new URL("../fixtures/vectors/cel_vectors.json", import.meta.url);
const { vectors } = JSON.parse(readFileSync(url, "utf8")) as { vectors: Vector[] };

/** dyn() between int and double: refused. */
const REFUSED = ["dyn(key) == 3.0 ? 1 : 0"];

function decode({ type, value }: TypedValue): unknown {
  if (type === "int") return BigInt(value as string);
  if (type === "bytes") return Uint8Array.from((value as string).match(/../g) ?? [], (byte) => parseInt(byte, 16));
  if (type === "list") return (value as TypedValue[]).map(decode);
  if (type === "float" || type === "double") return Number(value);
  return value;
}

function comparable(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(comparable);
  return typeof value === "number" && Number.isInteger(value) ? BigInt(value) : value;
}

test("compileCel() and compileProgram() give what Python's router gives for the same rows", () => {
  let valueCount = 0;
  for (const vector of vectors) {
    const { expr, columns } = vector;
    // In JavaScript 5.0 and 5 are one number.
    if (columns.key === "int" && vector.context.key?.type === "double") continue;
    const row = Object.fromEntries(Object.entries(vector.context).map(([name, value]) => [name, decode(value)]));
    if (vector.compile_error !== undefined || REFUSED.includes(expr)) {
      throws(() => compileCel(expr, columns), { code: "CONFIG_VALIDATION" }, expr);
      continue;
    }
    const { evaluate } = compileCel(expr, columns);
    const program = compileProgram(expr, columns);
    program.columns.forEach((name, slot) => program.slots[slot] = row[name]);
    for (const run of [() => evaluate(row), program.run]) {
      if (vector.runtime_error !== undefined) {
        throws(run, { code: "CEL_EVALUATION" }, expr);
      } else {
        deepEqual(comparable(run()), comparable(decode(vector.value!)), expr);
        valueCount++;
      }
    }
  }
  ok(valueCount > 400, `only ${valueCount} values`);
  equal(vectors.filter(({ expr }) => REFUSED.includes(expr)).length, 1);
});
