// The command as one file that needs no runtime, made by the runtime that runs this test. Node has no such tool.
import { deepEqual, equal, match } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import denoJson from "../../deno.json" with { type: "json" };
import { withFolder } from "./run_shardy.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const columns = join(root, "tests/fixtures/columns");
const tool = "deno" in process.versions ? "deno" : "bun" in process.versions ? "bun" : null;

function commandOf(output: string): string[] {
  const main = join(root, "src/cli/main.ts");
  return tool === "deno"
    ? ["compile", "-A", "--no-check", "--output", output, main]
    : ["build", "--compile", main, "--outfile", output];
}

test("shardy as a single executable", { timeout: 300_000 }, async (t) => {
  if (tool === null) {
    console.log("LEFT OUT: shardy as a single executable, as Node makes none: see Deno and Bun");
    return t.skip("Node makes none");
  }
  await withFolder((folder) => Promise.resolve(checkExecutable(t, folder)));
});

function checkExecutable(t: TestContext, folder: string): void {
  const shardy = join(folder, "shardy");
  const made = spawnSync(process.execPath, commandOf(shardy), { cwd: root, encoding: "utf8", timeout: 240_000 });
  if (made.status !== 0 && /download|error sending request|dns error|denort/i.test(made.stderr)) {
    const reason = `${tool} cannot make executables without downloading a part of itself`;
    console.log(`LEFT OUT: shardy as a single executable, as ${reason}`);
    return t.skip(reason);
  }
  equal(made.status, 0, made.stderr);
  writeFileSync(join(folder, "reader.toml"), '[output]\nformat = "text"\nvalue_encoding = "utf8"\n');
  writeFileSync(join(folder, "script.yaml"), "commands:\n- {op: get, key: 3}\n");
  const run = (...args: string[]) => {
    const env = { "SHARDY_CURRENT": join(folder, "data", "_CURRENT"), "HOME": folder, "TMPDIR": folder, "PATH": "" };
    const { status, stdout, stderr } = spawnSync(shardy, args, {
      cwd: folder,
      env,
      encoding: "utf8",
      timeout: 60_000,
    });
    return { status, stdout, stderr };
  };
  deepEqual(run("--version"), { status: 0, stdout: `shardy ${denoJson.version}\n`, stderr: "" });
  // Each of these loads something late.
  for (const file of ["rows_zstd.parquet", "rows_lz4.feather", "rows.ndjson"]) {
    const { status, stderr } = run(
      "build",
      join(columns, file),
      "--key",
      "id",
      "--value",
      "name",
      "--shards",
      "2",
      "--quiet",
    );
    equal(status, 0, stderr);
    deepEqual(run("exec", "--script", "script.yaml"), { status: 0, stdout: "3=né 1\n", stderr: "" });
  }
  equal(run("plan", "--key", "id", "--key-encoding", "u64be", "--single-shard", "--output", "job.json").status, 0);
  const task = run("worker", "build", "--job", "job.json", "--quiet", join(columns, "rows.arrows"));
  deepEqual([task.status, task.stderr, JSON.parse(task.stdout).attempt], [0, "", 0]);
  equal(run("publish", "--job", "job.json", "--rows", String(JSON.parse(task.stdout).row_count)).status, 0);
  equal(run("verify").status, 0);
  match(run("--sqlite-mode", "range", "get", "4", "--strict").stdout, /^4=null/);
  const place = ["--current-url", "s3://bucket/x/_CURRENT", "--s3-option", "endpoint_url=http://127.0.0.1:1"];
  match(run(...place, "--s3-option", "max_attempts=1", "info").stderr, /^Error: Failed to initialise reader: /);
  match(run("--manifest-store", "postgres://127.0.0.1:1/x", "info").stderr, /Cannot use the database/);
}
