// docs/explorer.md, as printed; and the images that documents show.
import { equal, ok } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));
const guide = readFileSync(`${root}docs/explorer.md`, "utf8");

test("docs/explorer.md: the program runs as printed", () => {
  const [program, ...others] = [...guide.matchAll(/```ts\n(.*?)```/gs)].map(([, text]) => text!);
  equal(others.length, 0);
  // Inside the checkout, so that the package's name leads to it.
  const folder = `${root}data/explorer-${process.pid}`;
  mkdirSync(folder, { recursive: true });
  try {
    writeFileSync(`${folder}/example.ts`, program!);
    const args = "Deno" in globalThis ? ["run", "-A", "--no-check", "example.ts"] : ["example.ts"];
    const printed = execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
    equal(printed, "text/html; charset=utf-8\nnumber 2\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("docs/images: every image that a document shows is there, and below 100 kB", () => {
  const readme = readFileSync(`${root}README.md`, "utf8");
  const shown = [...`${readme}${guide.replaceAll("(images/", "(docs/images/")}`.matchAll(/!\[[^\]]+\]\(([^)]+)\)/g)];
  ok(shown.length >= 3);
  for (const [, path] of shown) ok(statSync(root + path!).size < 100_000, path!);
});
