// What the command line says about itself, and about what is wrong with it; no snapshot is opened.
import { deepEqual, equal, match } from "node:assert/strict";
import { test } from "node:test";
import denoJson from "../../deno.json" with { type: "json" };
import { Float, jsonText } from "../../src/cli/json_text.ts";
import { parseS3Options } from "../../src/cli/s3_options.ts";
import { shardy } from "./run_shardy.ts";

test("runCli() prints the version", async () => {
  const expected = { exitCode: 0, stdout: `shardy ${denoJson.version}\n`, stderr: "" };
  deepEqual(await shardy(["--version"]), expected);
  // As `deno task shardy -- --version` has it.
  deepEqual(await shardy(["--", "--version"]), expected);
});

test("runCli() prints help on stdout", async () => {
  const asked = await shardy(["--help"]);
  equal(asked.exitCode, 0);
  equal(asked.stderr, "");
  for (const name of ["build", "get", "multiget", "exec", "info", "shards", "route", "health", "history", "rollback"]) {
    match(asked.stdout, new RegExp(`^  ${name} `, "m"));
  }
  const { exitCode, stdout } = await shardy(["get", "-h"]);
  equal(exitCode, 0);
  match(stdout, /^Usage: shardy get \[OPTIONS\] KEY\n/);
});

test("runCli() without a URL exits with 1 and says what to give", async () => {
  for (
    const command of [[], ["get", "1"], ["history"], ["rollback", "--offset", "1"], [
      "build",
      "--key",
      "a",
      "--shards",
      "1",
    ]]
  ) {
    const { exitCode, stdout, stderr } = await shardy(command);
    equal(exitCode, 1);
    equal(stdout, "");
    match(stderr, /^Error: CURRENT URL is required\. /);
  }
});

test("runCli() refuses URLs that name no object, or that it cannot open", async () => {
  for (const url of ["s3://bucket", "s3://bucket/prefix/", "ftp://host/_CURRENT", "file://host/x/_CURRENT", "/", "."]) {
    const { exitCode, stderr } = await shardy(["--current-url", url, "info"]);
    equal(exitCode, 1, url);
    match(stderr, /^Error: Cannot open CURRENT URL '/);
  }
});

test("runCli() usage errors exit with 2 and name the command", async () => {
  const cases: [args: string[], usage: string, complaint: string][] = [
    [["--nope"], "shardy [OPTIONS] [COMMAND] [ARGS]...", "No such option '--nope'."],
    [["--output-format"], "shardy [OPTIONS] [COMMAND] [ARGS]...", "Option '--output-format' requires an argument."],
    [["info", "extra"], "shardy info [OPTIONS]", "Got more arguments than the command takes."],
    [["get", "-0"], "shardy get [OPTIONS] KEY", "No such option '-0'."],
    [
      ["--output-format", "xml", "info"],
      "shardy info [OPTIONS]",
      "Invalid value for '--output-format': 'xml' is not one of 'json', 'jsonl', 'table', 'text'.",
    ],
    [
      ["history", "--limit", "x"],
      "shardy history [OPTIONS]",
      "Invalid value for '--limit': 'x' is not a valid integer.",
    ],
    [["history", "--limit", "0"], "shardy history [OPTIONS]", "--limit must be >= 1"],
    [
      ["get", "1", "--routing-context", "a"],
      "shardy get [OPTIONS] KEY",
      "--routing-context must be KEY=VALUE, got: 'a'",
    ],
    [["build", "--shards", "1"], "shardy build [OPTIONS] [INPUT]", "Missing option '--key'."],
    [
      ["build", "--key", "a"],
      "shardy build [OPTIONS] [INPUT]",
      "Exactly one of --shards, --keys-per-shard, --single-shard, or --cel-expr is required",
    ],
    [
      ["build", "--key", "a", "--shards", "1", "--custom", "[]"],
      "shardy build [OPTIONS] [INPUT]",
      "--custom must be a JSON object",
    ],
  ];
  for (const [args, usage, complaint] of cases) {
    const { exitCode, stdout, stderr } = await shardy(["--current-url", "/nowhere/_CURRENT", ...args]);
    equal(exitCode, 2);
    equal(stdout, "");
    const words = usage.split(" [")[0];
    equal(stderr, `Usage: ${usage}\nTry '${words} --help' for help.\n\nError: ${complaint}\n`);
  }
});

test("runCli() build options that the library refuses are usage errors", async () => {
  const build = ["--current-url", "/nowhere/_CURRENT", "build", "--key", "a"];
  for (
    const args of [["--shards", "1000001"], ["--shards", "1", "--page-size", "5000"], [
      "--shards",
      "1",
      "--run-id",
      "a/b",
    ]]
  ) {
    const { exitCode, stderr } = await shardy([...build, ...args]);
    equal(exitCode, 2);
    match(stderr, /^Usage: shardy build /);
  }
});

test("parseS3Options() reads names and types, the last of equal names wins", () => {
  deepEqual(
    parseS3Options(["endpoint_url=http://x:1/?a=b", "region_name=a", "region=b", "verify_ssl=No", "max_attempts=3"]),
    { endpoint: "http://x:1/?a=b", region: "b", verifyTls: false, attemptsMax: 3 },
  );
});

test("jsonText() renders as Python's json.dumps does without ASCII escapes", () => {
  const value = { "é\n": [1, 2n ** 64n, new Float(0), new Float(1.25)], empty: [], none: {}, n: null };
  equal(
    jsonText(value, "line"),
    '{"é\\n": [1, 18446744073709551616, 0.0, 1.25], "empty": [], "none": {}, "n": null}',
  );
  equal(
    jsonText({ a: [{ b: true }], c: [] }, "indented"),
    '{\n  "a": [\n    {\n      "b": true\n    }\n  ],\n  "c": []\n}',
  );
});
