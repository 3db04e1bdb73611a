// Whatever is typed: an exit code, a message, and no stack. Judge: the shape of what is printed.
import { equal, match, ok } from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { COMMANDS } from "../../src/cli/commands.ts";
import { commandGrammar } from "../../src/cli/program.ts";
import { type Outcome, shardy, withFolder } from "./run_shardy.ts";

const numRuns = process.env["SHARDYFUSION_SOAK"] === "1" ? 20_000 : 200;
const history = fileURLToPath(new URL("../fixtures/snapshots/history/store/shardy-fixtures/history", import.meta.url));

/** They write where the test cannot clean up, take time on purpose, or start threads. */
const LEFT_OUT = /^--(?:output|workers|retries|rows-per-second|bytes-per-second|upload-bytes-per-second|max-retries)$/;
const CHANGING = ["build", "rollback", "cleanup", "pin", "unpin"];
const program = commandGrammar(COMMANDS);
const flags = [
  ...new Set([program, ...program.commands].flatMap(({ options }) => options.map(({ long }) => long ?? "-0"))),
]
  .filter((flag) => !LEFT_OUT.test(flag));
const names = program.commands.map((command) => command.name()).filter((name) => name !== "serve");

const nasty = fc.oneof(
  fc.constantFrom(
    ...[
      "",
      "-",
      "--",
      "-1",
      "0",
      "1",
      "2",
      "999",
      "1e999",
      "NaN",
      "0x10",
      "18446744073709551616",
      "-9223372036854775808",
    ],
    ...[
      "abc",
      "\0",
      "a\0b",
      "\ud800",
      "é\u{1f600}",
      "../../etc/passwd",
      "/",
      ".",
      "a=b",
      "=",
      "a=",
      "{",
      "{}",
      "[]",
      '{"a":1}',
    ],
    ...[
      "json",
      "table",
      "text",
      "utf8",
      "u64be",
      "raw",
      "k",
      "v",
      "json:",
      "json:k",
      "region:string",
      "region:",
      "key % 2u",
    ],
    ...[
      "7d",
      "1h",
      "s3:/",
      "file://",
      "https://",
      "ftp://x/y",
      "postgres:/",
      "x".repeat(5000),
      "1,2",
      "0.1,x",
      "bash",
      "%s%n",
    ],
  ),
  fc.string({ unit: "binary", maxLength: 12 }),
);
const word = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...flags) },
  { weight: 4, arbitrary: nasty },
  { weight: 1, arbitrary: nasty.map((text) => `--${text}`) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...flags), nasty).map(([flag, text]) => `${flag}=${text}`) },
);
/** Whatever comes: mostly wrong at once. */
const anyLine = fc.tuple(fc.array(word, { maxLength: 2 }), fc.constantFrom(...names), fc.array(word, { maxLength: 6 }))
  .map(([before, name, after]) => [...before, name, ...after]);
/** As many arguments as the command takes, and its own options; only values are strange. */
const plausibleLine = fc.constantFrom(...program.commands.filter((command) => names.includes(command.name()))).chain(
  (command) => {
    const options = command.options.filter(({ long }) => !LEFT_OUT.test(long ?? "-0") && long !== "--current-url");
    const option = fc.constantFrom(...options).chain(({ long, required }) =>
      required ? nasty.map((value): string[] => [`${long}=${value}`]) : fc.constant([long!] as string[])
    );
    const count = command.registeredArguments.filter(({ required }) => required).length;
    const base = command.name() === "build" ? ["--key", "k", "--shards", "2", "--quiet"] : [];
    return fc.tuple(fc.array(option, { maxLength: 2 }), fc.array(nasty, { minLength: count, maxLength: count })).map(
      ([options, args]) => [command.name(), ...base, ...options.flat(), ...args.length > 0 ? ["--", ...args] : []],
    );
  },
);
const commandLine = fc.oneof(anyLine, { weight: 2, arbitrary: plausibleLine });
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 60 }),
  fc.array(
    fc.constantFrom('{"k":1}', '{"k":"a","v":2}', "{", "12", "[1]", "", "\ud800", "get 12", "use --offset", "get '"),
  )
    .map((lines) => new TextEncoder().encode(lines.join("\n"))),
);

function check({ exitCode, stdout, stderr }: Outcome): void {
  ok([0, 1, 2].includes(exitCode), `exit code ${exitCode}`);
  for (const text of [stdout, stderr]) {
    ok(!/\n\s+at .*:\d+/.test(text), `a stack: ${text}`);
    ok(!/\[object |TypeError|RangeError|is not a function|of undefined|of null|is not iterable/.test(text), text);
  }
  if (exitCode === 2) ok(stderr !== "" || /"status": "unhealthy"/.test(stdout), "says why");
  if (stderr.startsWith("Usage:")) {
    equal(exitCode, 2);
    match(stderr, /^Usage: shardy .*\nTry 'shardy.* --help' for help\.\n\nError: .+\n$/s);
  }
}

test("shardy survives any command line and any input", { timeout: 300_000 }, async () => {
  await withFolder(async (folder) => {
    let isChanged = true;
    const places = [
      join(folder, "history", "_CURRENT"),
      join(folder, "new", "_CURRENT"),
      folder,
      join(folder, "none", "x"),
    ];
    const property = fc.asyncProperty(fc.constantFrom(...places), commandLine, bytes, async (place, args, input) => {
      // What an earlier run has removed or published is not what the next one should meet.
      if (isChanged) await cp(history, join(folder, "history"), { recursive: true });
      isChanged = args.some((arg) => CHANGING.includes(arg));
      check(await shardy(["--current-url", place, ...args], { input: new Uint8Array(input) }));
    });
    await fc.assert(property, { numRuns, seed: 20_261_121 });
  });
});

test("shardy survives any lines at its prompt", { timeout: 120_000 }, async () => {
  const typed = fc.array(
    fc.tuple(
      fc.constantFrom("get", "multiget", "route", "history", "use", "health", "info", "x"),
      fc.array(word, { maxLength: 3 }),
    )
      .map(([name, words]) => [name, ...words].join(" ").replaceAll("\n", " ")),
    { maxLength: 8 },
  );
  const property = fc.asyncProperty(typed, async (lines) => {
    const input = new TextEncoder().encode(lines.join("\n"));
    const outcome = await shardy(["--current-url", join(history, "_CURRENT")], { input });
    check(outcome);
    equal(outcome.exitCode, 0, outcome.stderr);
  });
  await fc.assert(property, { numRuns: numRuns / 2, seed: 7 });
});

test("shardy: a missing file is one plain line", async () => {
  const place = ["--current-url", join(history, "_CURRENT")];
  for (
    const args of [
      ["build", "/nowhere/rows.csv", "--key", "a", "--shards", "1"],
      ["build", "/nowhere/rows.parquet", "--key", "a", "--shards", "1"],
      ["exec", "--script", "/nowhere/script.yaml"],
      ["search", "--vector-file", "/nowhere/query.npy"],
      ["--config", "/nowhere/reader.toml", "info"],
    ]
  ) {
    const { exitCode, stdout, stderr } = await shardy([...place, ...args]);
    equal(exitCode, 1);
    equal(stdout, "");
    match(stderr, /^Error: [^\n]*\/nowhere\/[^\n]*\n$/);
  }
});
