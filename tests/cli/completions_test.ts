// Completion scripts. Judges: the shells themselves, where they are installed.
import { deepEqual, equal, ok } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { COMMANDS } from "../../src/cli/commands.ts";
import { OPTION_CHOICES } from "../../src/cli/completions.ts";
import { commandGrammar } from "../../src/cli/program.ts";
import { shardy, withFolder } from "./run_shardy.ts";

async function scriptOf(shell: string): Promise<string> {
  const { exitCode, stdout, stderr } = await shardy(["completions", shell]);
  deepEqual([exitCode, stderr], [0, ""]);
  return stdout;
}

function ran(t: TestContext, program: string, args: string[]): string | null {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", timeout: 20_000 });
  if (error !== undefined && (error as { code?: string }).code === "ENOENT") {
    console.log(`LEFT OUT: completion in ${program}, as it is not installed`);
    t.skip(`${program} is not installed`);
    return null;
  }
  equal(status, 0, stderr);
  return stdout;
}

const LINES: readonly [words: string[], expected: string[]][] = [
  [["roll"], ["rollback"]],
  [["get", "--val"], ["--value-encoding"]],
  [["--output-format", "json", "get", "--value-encoding", ""], ["base64", "hex", "utf8"]],
  [["--output-format", "t"], ["table", "text"]],
  [["completions", "z"], ["zsh"]],
];

test("shardy completions bash completes in bash", async (t) => {
  const script = await scriptOf("bash");
  for (const [words, expected] of LINES) {
    const line = `COMP_WORDS=(shardy ${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length}`;
    const stdout = ran(t, "bash", ["--norc", "-c", `${script}\n${line}; _shardy; printf '%s\\n' "\${COMPREPLY[@]}"`]);
    if (stdout === null) return;
    deepEqual(stdout.trim().split("\n"), expected);
  }
});

test("shardy completions fish completes in fish", async (t) => {
  await withFolder(async (folder) => {
    const path = join(folder, "shardy.fish");
    writeFileSync(path, await scriptOf("fish"));
    for (const [words, expected] of LINES) {
      const command = `set -gx HOME ${folder}; source ${path}; complete -C 'shardy ${words.join(" ")}'`;
      const stdout = ran(t, "fish", ["--no-config", "-c", command]);
      if (stdout === null) return;
      const found = stdout.trim().split("\n").map((line) => line.split("\t")[0]);
      deepEqual(found.sort(), expected);
    }
  });
});

test("shardy completions zsh is a function that zsh loads", async (t) => {
  await withFolder(async (folder) => {
    mkdirSync(join(folder, "functions"));
    writeFileSync(join(folder, "functions", "_shardy"), await scriptOf("zsh"));
    const setUp = `fpath=(${folder}/functions $fpath); autoload -Uz compinit; compinit -u -d ${folder}/dump`;
    const stdout = ran(t, "zsh", ["-f", "-c", `${setUp}; zsh -n ${folder}/functions/_shardy && print $_comps[shardy]`]);
    if (stdout !== null) equal(stdout.trim(), "_shardy");
  });
});

test("shardy completions know the choices that options have", () => {
  const program = commandGrammar(COMMANDS);
  const flags = new Set([program, ...program.commands].flatMap(({ options }) => options.map(({ long }) => long)));
  for (const long of Object.keys(OPTION_CHOICES)) ok(flags.has(long), `${long} is an option of some command`);
});
