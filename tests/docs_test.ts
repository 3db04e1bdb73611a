// The pages of docs/: each block of TypeScript is a program of its own, run as printed; the block of text after it is
// what it prints, and one that prints nothing has none. An ellipsis stands for whatever is there.
//
// The programs of a page run one after the other in one folder, so that a later one reads what an earlier one wrote.
// A page that another file of the tests names is left to that one, as it needs a server or asks for more.
import { deepEqual, equal, ok } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { referencePage } from "../.ci/configuration.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const pages = readdirSync(`${root}docs`).filter((name) => name.endsWith(".md")).sort();
const otherTests = readdirSync(`${root}tests`, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith("_test.ts") && name !== "docs_test.ts" && !name.includes("node_modules"))
  .map((name) => readFileSync(`${root}tests/${name}`, "utf8")).join("\n");

interface Program {
  text: string;
  /** What it prints, with `…` for whatever is there. */
  output: string;
}

function programsOf(page: string): Program[] {
  const blocks = page.matchAll(/^```ts\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?/gms);
  return Array.from(blocks, ([, text, output = ""]) => ({ text: text!, output }));
}

function matches(printed: string, expected: string): boolean {
  const pattern = expected.split("…").map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")).join("[^]*?");
  return new RegExp(`^${pattern}$`).test(printed);
}

/** What a program prints; its errors too, so that the test shows them. */
function run(folder: string, program: string): string {
  writeFileSync(`${folder}/program.ts`, program);
  const args = "Deno" in globalThis ? ["run", "-A", "--no-check", "program.ts"] : ["program.ts"];
  const env = { ...process.env, NO_COLOR: "1", NODE_NO_WARNINGS: "1" };
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8", env });
  return status === 0 ? stdout : `${stdout}${stderr}`;
}

test("programsOf() finds programs with what they print", () => {
  const page = "```ts\na\n```\n\n```text\n1\n```\n\nThen\n\n```ts\nb\n```\n\n```sh\nls\n```\n";
  deepEqual(programsOf(page), [{ text: "a\n", output: "1\n" }, { text: "b\n", output: "" }]);
  ok(matches("run 0af: (ok)\n", "run …: (ok)\n") && !matches("run 0af: ok\n", "run …: (ok)\n"));
});

for (const page of pages) {
  const programs = programsOf(readFileSync(`${root}docs/${page}`, "utf8"));
  if (programs.length === 0 || otherTests.includes(`docs/${page}`)) continue;
  test(`docs/${page}: ${programs.length === 1 ? "the program prints" : "the programs print"} what the page says`, {
    timeout: 120_000,
  }, () => {
    // Inside the checkout, so that the package's name leads to it; `data/` is not part of it.
    const folder = `${root}data/docs-${page}-${process.pid}`;
    mkdirSync(folder, { recursive: true });
    try {
      for (const { text, output } of programs) {
        const printed = run(folder, text);
        if (!matches(printed, output)) equal(printed, output);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

test("docs/README.md names every page, and what pages link to is there", () => {
  const index = readFileSync(`${root}docs/README.md`, "utf8");
  deepEqual(pages.filter((page) => page !== "README.md" && !index.includes(`](${page})`)), []);
  for (const page of pages) {
    const text = readFileSync(`${root}docs/${page}`, "utf8");
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      ok(existsSync(`${root}docs/${target}`), `docs/${page} links to ${target}`);
    }
  }
});

test("docs/from_python.md: every name on the right is one of the code", () => {
  const code = readdirSync(`${root}src`, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts")).map((name) => readFileSync(`${root}src/${name}`, "utf8")).join("\n");
  const words = new Set(code.match(/\w+/g));
  const rows = readFileSync(`${root}docs/from_python.md`, "utf8").split("## Names: writing")[1]!.split("\n");
  const named = rows.filter((line) => line.startsWith("| `")).flatMap((line) =>
    Array.from(line.split(" | ")[1]!.matchAll(/`([^`]+)`/g), ([, name]) => name!)
  );
  ok(named.length > 60);
  deepEqual(named.flatMap((name) => name.match(/[A-Za-z]\w+/g) ?? []).filter((word) => !words.has(word)), []);
});

// By Deno alone, as that is what reads the code.
if ("Deno" in globalThis) {
  test("docs/configuration.md is what .ci/configuration.ts makes of the code", () => {
    const page = readFileSync(`${root}docs/configuration.md`, "utf8");
    ok(referencePage(root, process.execPath) === page, "docs/configuration.md is stale: run `deno task docs`");
  });
}
