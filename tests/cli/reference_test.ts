// docs/command_line.md against the commands' own help, and what every help page must have.
import { equal, match, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { COMMANDS } from "../../src/cli/commands.ts";
import { withHelpPages } from "../../src/cli/reference.ts";
import { parseCommandLine } from "../../src/cli/program.ts";
import { splitWords } from "../../src/cli/shell_words.ts";
import { shardy, streamOf } from "./run_shardy.ts";

test("docs/command_line.md is what the commands say of themselves", () => {
  const page = readFileSync(new URL("../../docs/command_line.md", import.meta.url), "utf8");
  const advice = "it is old: deno run -A src/cli/reference.ts";
  ok(page.includes("## `shardy get`") && page === withHelpPages(page), advice);
});

for (const command of COMMANDS) {
  test(`shardy ${command.name} --help has examples, and they are command lines that parse`, async () => {
    const { exitCode, stdout, stderr } = await shardy([command.name, "--help"]);
    equal(exitCode, 0);
    equal(stderr, "");
    match(stdout, /^Examples:\n {2}# /m);
    for (const [line] of command.examples) {
      const args = splitWords(line.replace(/\s[<>]+\s?\S+/g, ""));
      const io = {
        args,
        env: {},
        stdin: streamOf(new Uint8Array()),
        stdout: () => {},
        stderr: (text: string) => ok(false, text),
      };
      const parsed = parseCommandLine({ commands: COMMANDS, interactive: COMMANDS[0]! }, io);
      equal("command" in parsed && parsed.command.name, command.name, line);
    }
  });
}
