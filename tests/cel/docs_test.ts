// The page about expressions says what is so: every row of its table is evaluated, its program runs as printed.
import { equal, ok } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { compileCel } from "../../src/cel/compile_cel.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const page = readFileSync(`${root}docs/expressions.md`, "utf8");

test("docs/expressions.md: every expression of the table gives what stands beside it", () => {
  const table = page.slice(page.indexOf("| Expression"), page.indexOf("- **Types**"));
  const rows = [...table.matchAll(/^\| `(.*?)` +\| `(.*?)` +\|$/gm)];
  ok(rows.length >= 25);
  for (const [, expr, result] of rows) {
    const { evaluate } = compileCel(expr!.replaceAll("\\|", "|"), { key: "int", region: "string", price: "double" });
    equal(String(evaluate({ key: 42, region: "eu-west", price: 2.5 })), result, expr!);
  }
});

test("docs/expressions.md: the program runs as printed", () => {
  // Inside the checkout, so that the package's name leads to it; `data/` is not part of it.
  const folder = `${root}data/expressions-${process.pid}`;
  mkdirSync(folder, { recursive: true });
  try {
    const [, program] = /```ts\n(.*?)```/s.exec(page)!;
    writeFileSync(`${folder}/example.ts`, program!);
    const args = "Deno" in globalThis ? ["run", "-A", "--no-check", "example.ts"] : ["example.ts"];
    const printed = execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
    const [first, second] = printed.split("\n");
    equal(first, "uint 1");
    ok(second!.includes('"%" does not take (int, uint)'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
