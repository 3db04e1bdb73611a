// The command as a process of its own: exit codes, streams, and what an interrupted one leaves behind.
import { deepEqual, equal, match } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { withFolder } from "./run_shardy.ts";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

interface Running {
  child: ChildProcess;
  printed: { stdout: string; stderr: string };
  /** Exit code, or the signal that ended it. */
  ended: Promise<number | string>;
}

function start(args: string[], env: Record<string, string> = {}): Running {
  const runtimeArgs = "deno" in process.versions ? ["run", "-A", main] : [main];
  const child = spawn(process.execPath, [...runtimeArgs, ...args], { env: { ...process.env, ...env } });
  const printed = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text) => printed.stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text) => printed.stderr += text);
  // Both streams are complete with "close", not yet with "exit".
  const ended = once(child, "close").then(([code, signal]) => code ?? signal);
  return { child, printed, ended };
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
}

test("main.ts: the process has the exit code and the streams of the command", async () => {
  await withFolder(async (folder) => {
    const env = { "SHARDY_CURRENT": join(folder, "_CURRENT") };
    const build = start(["build", "--key", "k", "--value", "v", "--shards", "2"], env);
    build.child.stdin!.end('{"k": "a", "v": "1"}\n{"k": "b", "v": "é"}\n');
    equal(await build.ended, 0, build.printed.stderr);
    equal(JSON.parse(build.printed.stdout).rows_written, 2);
    equal(build.printed.stderr, "");

    const get = start(["--output-format", "text", "get", "b", "--value-encoding", "utf8"], env);
    equal(await get.ended, 0);
    deepEqual(get.printed, { stdout: "b=é\n", stderr: "" });

    const usage = start(["get"], env);
    equal(await usage.ended, 2);
    equal(usage.printed.stdout, "");
    match(usage.printed.stderr, /^Usage: shardy get /);
  });
});

test("main.ts: SIGINT while rows are awaited exits with 130 and leaves nothing behind", async () => {
  await withFolder(async (folder) => {
    const args = ["--current-url", join(folder, "_CURRENT"), "build", "--key", "k", "--keys-per-shard", "100"];
    const { child, printed, ended } = start(args, { "TMPDIR": folder });
    // Enough rows for something to lie on the disk; then stdin stays open and silent.
    for (let i = 0; i < 200; i++) {
      const lines = Array.from({ length: 500 }, (_, j) => `{"k": ${i * 500 + j}, "v": "${"x".repeat(50)}"}\n`);
      if (!child.stdin!.write(lines.join(""))) await once(child.stdin!, "drain");
    }
    // Not child.kill(): Deno then reports the signal, whatever the process exits with.
    process.kill(child.pid!, "SIGINT");
    equal(await ended, 130);
    equal(printed.stdout, "");
    equal(printed.stderr.split("\n").filter((line) => !line.includes("rows/s")).join("\n"), "Interrupted\n");
    deepEqual(await filesBelow(folder), ["run.yaml"], "that it was aborted stays on record");
  });
});
