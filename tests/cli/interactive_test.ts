// Scripts and the prompt: one snapshot, many commands. Judges: the fixtures that Python wrote, and the tests' own words.
import { deepEqual, equal, match, throws } from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { completionsOf } from "../../src/cli/interactive.ts";
import { splitWords } from "../../src/cli/shell_words.ts";
import { historyPath } from "../../src/cli/terminal_lines.ts";
import { shardy, withFolder } from "./run_shardy.ts";

const snapshots = fileURLToPath(new URL("../fixtures/snapshots/", import.meta.url));
const HISTORY = ["--current-url", `${snapshots}history/store/shardy-fixtures/history/_CURRENT`];

test("shardy without a command reads lines until quit, and goes on after errors", async () => {
  const input = [
    ...["", "get 12", 'get "12"', "multiget 12 999", "route 12", "history 1", "refresh", "health"],
    ...["get", "get 1 2", "nope", 'get "', "history x", "use --offset 99", "use", "get 12 --strict", "get abc"],
    ...["use --offset=2", "info", "use --latest", "info", "quit", "get 13"],
  ].join("\n");
  const { exitCode, stdout, stderr } = await shardy([...HISTORY, "--output-format", "text"], { input });
  equal(exitCode, 0);
  const lines = stdout.split("\n");
  equal(lines[0], "Loaded manifest run_id=d43df1defb4042fea9eb669aba848f4c  (3 shards, hash sharding)");
  deepEqual(lines.slice(1, 6), ["12=cnVuMS0xMg==", "12=cnVuMS0xMg==", "12=cnVuMS0xMg==", "999=null", "12 -> shard 2"]);
  match(lines[6]!, /^\[0\] 2026-11-21T/);
  equal(lines[7], "changed=False");
  match(lines[8]!, /^status=healthy /);
  match(stdout, /\(2 shards, hash sharding\)\nrun_id=d57e2f29b2ce4bbfa66c315b4aace2d5\n/);
  match(stdout, /\(3 shards, hash sharding\)\nrun_id=d43df1defb4042fea9eb669aba848f4c\n(?:\w+=.*\n)+$/, "the last one");
  deepEqual(stderr.trimEnd().split("\n"), [
    "error: Usage: get KEY",
    "error: 'get' got more arguments than it takes",
    "error: Unknown command: 'nope'. Type 'help' for the list",
    'error: The quote " is not closed',
    "error: Invalid value for '--limit': 'x' is not a valid integer.",
    "error: Offset 99 out of range (only 3 manifests available)",
    "error: Usage: use --offset N | --ref REF | --latest",
    "error: No such option '--strict'",
    "error: Key 'abc' is not a valid integer (required by u64be encoding)",
  ]);
});

test("shardy without a command asks with a prompt where there is a terminal, and answers indented", async () => {
  const prompts: string[] = [];
  async function* readLines({ prompt }: { prompt: string }): AsyncGenerator<string> {
    prompts.push(prompt);
    yield "get 12";
    await Promise.resolve();
  }
  const { exitCode, stdout } = await shardy(HISTORY, { readLines });
  equal(exitCode, 0);
  deepEqual(prompts, ["shardy> "]);
  match(stdout, /\n\{\n {2}"op": "get",\n/);
});

test("completionsOf() finishes names of commands and options", () => {
  deepEqual(completionsOf("he"), [["health ", "help "], "he"]);
  deepEqual(completionsOf("use --o"), [["--offset "], "--o"]);
  deepEqual(completionsOf("info x"), [[], "x"]);
  deepEqual(completionsOf("get 1 ")[0], ["--routing-context "]);
});

test("splitWords() keeps quoted blanks, and refuses open quotes", () => {
  deepEqual(splitWords("  get  a\tb "), ["get", "a", "b"]);
  deepEqual(splitWords(`'a \\b' "c \\"d" e\\ f '' g'h'i`), ["a \\b", 'c "d', "e f", "", "ghi"]);
  for (const line of ["'", 'a "b', "\\"]) throws(() => splitWords(line), { name: "UsageError" });
});

test("historyPath() follows SHARDY_HISTORY, XDG_STATE_HOME and HOME", () => {
  equal(historyPath({ "SHARDY_HISTORY": "/x", "HOME": "/h" }), "/x");
  equal(historyPath({ "SHARDY_HISTORY": "", "HOME": "/h" }), undefined);
  equal(historyPath({ "XDG_STATE_HOME": "/s", "HOME": "/h" }), join("/s", "shardy", "history"));
  equal(historyPath({ "HOME": "/h" }), join("/h", ".local", "state", "shardy", "history"));
  equal(historyPath({}), undefined);
});

test("shardy exec writes results to a file, stops at the first error, and says what is wrong with scripts", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "script.yaml");
    const run = async (text: string, ...more: string[]) => {
      await writeFile(path, text);
      return await shardy([...HISTORY, ...more, "exec", "--script", path]);
    };
    const output = join(folder, "out.txt");
    await writeFile(
      path,
      "commands:\n- {op: get, key: 12}\n- {op: health, staleness_threshold: 1}\n- {op: get}\n- {op: info}\n",
    );
    const { exitCode, stdout, stderr } = await shardy([
      ...[...HISTORY, "--output-format", "text", "exec"],
      ...["--script", path, "--output", output],
    ]);
    deepEqual([exitCode, stdout, stderr], [1, "", ""]);
    match(
      await readFile(output, "utf8"),
      /^12=cnVuMS0xMg==\nstatus=degraded .*\nerror: 'get' command requires a 'key' field\n$/,
    );
    const context = await run("commands:\n- {op: route, key: 12, routing_context: {a: 1, b: x}}\n");
    match(context.stdout, /"op": "route"/);
    const failures: [text: string, complaint: RegExp][] = [
      ["[", /^Error: Cannot read '.*' as YAML/],
      ["- 1\n", /^Error: Script file must be a YAML mapping/],
      ["commands: []\non_error: retry\n", /^Error: on_error must be 'stop' or 'continue'/],
    ];
    for (const [text, complaint] of failures) {
      const failed = await run(text);
      deepEqual([failed.exitCode, failed.stdout], [1, ""]);
      match(failed.stderr, complaint);
    }
    for (
      const entry of [
        "{op: multiget, keys: 1}",
        "{op: get, key: 1, routing_context: 5}",
        "{op: history, limit: []}",
        "{op: get, key: [1]}",
      ]
    ) {
      const failed = await run(`commands: [${entry}]\n`);
      equal(failed.exitCode, 1);
      match(failed.stdout, /^\{"op": "\w+", "error": "'/);
    }
  });
});
