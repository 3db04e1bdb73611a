// The prompt on a terminal: completion, history, Ctrl-C and Ctrl-D. Judge: a pseudo terminal of Python's.
import { deepEqual, equal, match } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { withFolder } from "./run_shardy.ts";

const pathOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const PROMPT = "shardy> ";
const UP = "\x1b[A";

test("shardy at a terminal completes names, remembers lines, and ends with Ctrl-D", { timeout: 120_000 }, async (t) => {
  const place = pathOf("../fixtures/snapshots/history/store/shardy-fixtures/history/_CURRENT");
  const runtime = "deno" in process.versions ? ["run", "-A", "--no-check"] : [];
  const program = [process.execPath, ...runtime, pathOf("../../src/cli/main.ts"), "--current-url", place];
  await withFolder(async (folder) => {
    const env = { ...process.env, "SHARDY_HISTORY": join(folder, "kept", "history"), "TERM": "xterm" };
    const typed = (steps: [wait: string, keys: string[]][]) =>
      spawnSync("python3", [pathOf("terminal.py"), JSON.stringify(steps), ...program, "--output-format", "text"], {
        env,
        encoding: "utf8",
        timeout: 100_000,
      });
    const first = typed([
      [PROMPT, ["g", "e", "t", " ", "1", "2", "\r"]],
      ["12=", ["x", "y", "\x03"]],
      [PROMPT, ["r", "o", "u", "\t", "1", "2", "\r"]],
      ["-> shard", ["\x04"]],
    ]);
    if ((first.error as { code?: string } | undefined)?.code === "ENOENT") {
      console.log("LEFT OUT: the prompt on a terminal, as there is no python3");
      return t.skip("there is no python3");
    }
    equal(first.status, 0, first.stderr);
    match(first.stdout, /12=cnVuMS0xMg==/);
    match(first.stdout, /12 -> shard 2/);
    const path = env["SHARDY_HISTORY"];
    deepEqual(await readFile(path, "utf8"), "get 12\nroute 12\n");
    if (process.platform !== "win32") equal((await stat(path)).mode & 0o777, 0o600);
    const second = typed([[PROMPT, [UP, UP, "\r"]], ["12=", ["q", "u", "i", "t", "\r"]]]);
    equal(second.status, 0, second.stderr);
    match(second.stdout, /12=cnVuMS0xMg==/);
  });
});
