// The README's examples, run as printed: each code block is a program of its own.
import { equal, match, ok } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const readme = readFileSync(`${root}README.md`, "utf8");
const programs = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, text]) => text!);

function run(folder: string, program: string): string {
  const file = `${folder}/example.ts`;
  writeFileSync(file, program);
  const args = "Deno" in globalThis ? ["run", "-A", "--no-check", file] : [file];
  return execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
}

test("README.md: the examples for writing and reading run as printed", () => {
  // Inside the checkout, so that the package's name leads to it; `data/` is not part of it.
  const folder = `${root}data/readme-${process.pid}`;
  mkdirSync(folder, { recursive: true });
  try {
    equal(programs.length, 2);
    match(run(folder, programs[0]!), /^file:\/\/.*\/manifests\/.*_run_id=[0-9a-f]{32}\/manifest\n$/);
    equal(run(folder, programs[1]!), '{"id":2,"name":"Grace"}\nfalse\n');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("README.md names commands and files that exist", () => {
  const tasks = JSON.parse(readFileSync(`${root}deno.json`, "utf8")).tasks;
  for (const [, task] of readme.matchAll(/deno(?:@[\d.]+)? task ([\w:]+)/g)) ok(task! in tasks, `${task}`);
  for (const [, path] of readme.matchAll(/\]\(([^)]+)\)/g)) readFileSync(root + path!);
});
