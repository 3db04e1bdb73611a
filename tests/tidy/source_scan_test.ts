import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { functionsOf, importsOf, scanSource } from "./source_scan.ts";

// Measured by hand: what each function's name is, where its parameters open, how many lines and parameters it has.
const SAMPLE = String.raw`/** import { no } from "comment"; { */
import * as v from "valibot";
import type { A } from "./a.ts";
import { b, type C } from "./b.ts";
import "./side.ts";
export { d } from './d.ts';
export type { E } from "./e.ts";
const text = "function fake(a, b, c, d) { import x from 'y'";
const pattern = /[{/]\{"/g, half = text.length / 2 / 1;

export function plain(first: string, second = { x: 1 }, third: Map<string, number>): { value: string } {
  return { value: first };
}

export class Thing<T extends (a: A) => C> extends Base {
  readonly #field: Record<string, { a: number }> = {};
  constructor(options: Options) {
    super({ write(chunk, controller) { controller.enqueue(chunk); } });
  }
  async *scan<K>({ from, to }: { from: number; to: number }): AsyncIterable<[Uint8Array, K]> {
    for await (const row of this.rows(from, to)) {
      if (row.length > 1) { yield row; }
    }
    const late = await import("./late.ts");
  }
  get size(): number {
    return 1;
  }
}
const arrow = async (a: number, b: number,): Promise<void> => {
  await a;
};
const one = value => {
  switch (value) { case f(value): { break; } }
};
const template = ${"`"}a { ${"${"}items.map((item) => {
  return ${"`"}${"${"}item} }${"`"};
})} function no(a) {${"`"};
function many(a: 1, b: 2, c: 3, d: () => void): asserts a is 1 {}
function gives(seed: number): "a" | ((below: number) => number) {
  return seed > 0 ? plain(1) : { a: 1 };
}
function* each(): Generator<{ at: number }, (Uint8Array | null)[]> {
  switch (1) { case plain(2): { yield { at: 1 }; } }
}
`;

test("scanSource() keeps length and lines, and blanks only what is not code", () => {
  const source = scanSource(SAMPLE);
  for (const form of [source.code, source.withoutComments]) {
    equal(form.length, SAMPLE.length);
    equal(form.split("\n").length, SAMPLE.split("\n").length);
  }
  equal(/comment/.test(source.withoutComments), false);
  equal(/fake|function no|\[\{/.test(source.code), false);
  equal(source.code.includes("text.length / 2 / 1"), true);
  equal(source.withoutComments.includes('"function fake'), true);
});

test("scanSource() sees a comment begin only outside strings", () => {
  equal(scanSource('const a = "http://x"; // b').withoutComments, 'const a = "http://x";     ');
  equal(scanSource("const a = /\\/*/; b();").code, "const a =      ; b();");
});

test("importsOf() lists modules with how they are imported", () => {
  deepEqual(importsOf(scanSource(SAMPLE)).map(({ specifier, kind }) => `${specifier} ${kind}`), [
    "valibot static",
    "./a.ts type",
    "./b.ts static",
    "./side.ts static",
    "./d.ts static",
    "./e.ts type",
    "./late.ts late",
  ]);
});

test("importsOf() reads imports over several lines", () => {
  const text = 'import {\n  a,\n  type B,\n} from "./a.ts";\nexport * as c from "./c.ts";\nexport const d = 1;\n';
  deepEqual(importsOf(scanSource(text)), [
    { specifier: "./a.ts", kind: "static" },
    { specifier: "./c.ts", kind: "static" },
  ]);
});

test("functionsOf() measures functions of every form and nothing else", () => {
  const sizes = functionsOf(scanSource(SAMPLE)).sort((a, b) => a.line - b.line);
  deepEqual(sizes.map(({ name, line, lineCount, parameterCount }) => [name, line, lineCount, parameterCount]), [
    ["plain", 11, 3, 3],
    ["constructor", 17, 3, 1],
    ["write", 18, 1, 2],
    ["scan", 20, 6, 1],
    ["size", 26, 3, 0],
    ["async", 30, 3, 2],
    ["", 33, 3, 1],
    ["", 36, 3, 1],
    ["many", 39, 1, 4],
    ["gives", 40, 3, 1],
    ["each", 43, 3, 0],
  ]);
});
