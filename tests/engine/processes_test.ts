// A job with plain processes, as docs/engines.md has it: killed, repeated and duplicated tasks. Judge: writeSnapshot's
// files for the same rows, byte by byte, and the folder's listing.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { hashSharding, openSnapshot, writeSnapshot } from "../../mod.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { withFolder } from "../cli/run_shardy.ts";
import { arrowRowsIn, arrowStream, columnsOf } from "./arrow_tables.ts";
import { filesBelow, shardFiles } from "./snapshot_files.ts";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const command = [process.execPath, ..."deno" in process.versions ? ["run", "-A", "--no-check"] : [], main];
const page = await readFile(new URL("../../docs/engines.md", import.meta.url), "utf8");
const encoder = new TextEncoder();
const ROWS = Array.from({ length: 4000 }, (_, row) => ({
  id: BigInt(row % 3900),
  body: encoder.encode(`value ${row} ${"x".repeat(row % 90)}`),
}));

interface Ended {
  code: number | string;
  stdout: Uint8Array<ArrayBuffer>;
  stderr: string;
}

function start(folder: string, args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(command[0]!, [...command.slice(1), ...args], { cwd: folder });
  const out: Uint8Array<ArrayBuffer>[] = [];
  let stderr = "";
  child.stdout.on("data", (bytes) => out.push(new Uint8Array(bytes)));
  child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
  // Who is killed does not read on.
  child.stdin.on("error", () => {});
  const ended = once(child, "close").then(async ([code, signal]): Promise<Ended> => ({
    ...{ code: code ?? signal, stderr },
    stdout: new Uint8Array(await new Blob(out).arrayBuffer()),
  }));
  return { child, ended };
}

async function run(folder: string, args: string[], input: Uint8Array | string = ""): Promise<Ended> {
  const { child, ended } = start(folder, args);
  child.stdin!.end(input);
  return await ended;
}

async function text(folder: string, args: string[], input: Uint8Array | string = ""): Promise<string> {
  const { code, stdout, stderr } = await run(folder, args, input);
  equal(code, 0, stderr);
  return new TextDecoder().decode(stdout);
}

async function checkAgainstOneProcess(folder: string): Promise<void> {
  const whole = join(folder, "whole");
  await writeSnapshot(ROWS, {
    ...{ store: fsStore(whole), sharding: hashSharding({ shards: 3 }), key: ({ id }) => id },
    value: ({ body }) => body,
  });
  deepEqual(await shardFiles(join(folder, "people")), await shardFiles(whole));
  await using reader = await openSnapshot({ store: fsStore(join(folder, "people")) });
  for (const row of [0, 99, 100, 3899]) {
    const last = ROWS.findLast(({ id }) => id === BigInt(row))!;
    deepEqual(await reader.get(row), last.body);
  }
}

function shardsOf(routed: readonly Uint8Array[]): Uint8Array<ArrayBuffer>[] {
  const rows = routed.flatMap((bytes) => arrowRowsIn(bytes));
  return [0, 1, 2].map((shard) => arrowStream(columnsOf(rows.filter((row) => row["shard_id"] === shard))));
}

test("shardy plan, worker and publish: one snapshot, whatever happens to tasks", { timeout: 120_000 }, async () => {
  await withFolder(async (folder) => {
    const job = ["--job", "job.json"];
    const planned = ["plan", "--key", "id", "--key-encoding", "u64be", "--value", "body", "--shards", "3"];
    await text(folder, ["--current-url", "./people/_CURRENT", ...planned, "--output", "job.json"]);
    const routed: Uint8Array[] = [];
    for (const [part, rows] of [ROWS.slice(0, 1700), ROWS.slice(1700)].entries()) {
      const args = ["worker", "route", ...job, "--counts", `${part}.json`];
      const { code, stdout, stderr } = await run(folder, args, arrowStream(columnsOf(rows), 300));
      equal(code, 0, stderr);
      routed.push(stdout);
    }
    const [one, two, three] = shardsOf(routed);
    const build = ["worker", "build", ...job];

    // Killed when it has rows, and nobody can tidy up after it; then run again.
    const killed = start(folder, build);
    killed.child.stdin!.write(one!.subarray(0, one!.length - 100));
    await new Promise((resolve) => setTimeout(resolve, 700));
    process.kill(killed.child.pid!, "SIGKILL");
    await killed.ended;
    // As one that was killed a moment later leaves it.
    const { runId } = JSON.parse(await readFile(join(folder, "job.json"), "utf8"));
    const left = join(folder, "people", "shards", `run_id=${runId}`, "db=00000", "attempt=00");
    await mkdir(left, { recursive: true });
    await writeFile(join(left, "shard.db"), "half of");
    const repeated = await run(folder, build, one);
    equal(repeated.code, 6, repeated.stderr);
    match(repeated.stderr, /give the engine's number of the attempt with --attempt/);
    const lines = [await text(folder, [...build, "--attempt", "1"], one)];

    // A speculative task beside the first one.
    const both = [["--attempt", "0", "--task-attempt-id", "5"], ["--attempt", "1", "--task-attempt-id", "9"]];
    lines.push(...await Promise.all(both.map((args) => text(folder, [...build, ...args], two))));
    await writeFile(join(folder, "some.jsonl"), lines.join(""));
    const publish = ["publish", ...job, "--counts", "0.json", "--counts", "1.json"];
    const early = await run(folder, [...publish, "some.jsonl"]);
    equal(early.code, 5, early.stderr);
    match(early.stderr, /no attempt at shards 2 has succeeded/);
    const runs = join(folder, "people", "runs");
    match(await readFile((await filesBelow(runs))[0]!, "utf8"), /^status: running$/m);

    const last = await text(folder, build, three);
    const { winners, ...published } = JSON.parse(await text(folder, [...publish, "some.jsonl", "-"], last + last));
    equal(winners, undefined);
    deepEqual([published.rows_written, published.num_dbs, published.repeated], [4000, 3, false]);
    await checkAgainstOneProcess(folder);
    const records = (await filesBelow(runs)).map((path) => readFile(path, "utf8"));
    equal(records.length, 1);
    match((await Promise.all(records))[0]!, /^status: succeeded$/m);
    equal(JSON.parse(await text(folder, publish)).repeated, true);
  });
});

test("shardy worker: a task that is stopped leaves nothing, and one whose reader is gone has failed", {
  timeout: 120_000,
}, async () => {
  await withFolder(async (folder) => {
    const planned = ["plan", "--key", "id", "--key-encoding", "u64be", "--value", "body", "--single-shard"];
    const place = ["--current-url", "./people/_CURRENT"];
    await text(folder, [...place, ...planned, "--memory-bytes", "1000", "--output", "job.json"]);
    const input = arrowStream(columnsOf(ROWS), 500);
    const args = ["worker", "build", "--job", "job.json", "--local-root", join(folder, "scratch")];
    const stopped = start(folder, args);
    stopped.child.stdin!.write(input.subarray(0, input.length - 100));
    await new Promise((resolve) => setTimeout(resolve, 1500));
    process.kill(stopped.child.pid!, "SIGTERM");
    ok([130, "SIGTERM"].includes((await stopped.ended).code));
    const left = (await filesBelow(folder)).filter((path) => !path.includes("runs") && !path.endsWith("job.json"));
    deepEqual(left, []);
    const deaf = start(folder, ["worker", "route", "--job", "job.json"]);
    deaf.child.stdout!.destroy();
    deaf.child.stdin!.end(input);
    equal((await deaf.ended).code, 1);
  });
});

test("docs/engines.md: its commands build what one process builds", { timeout: 120_000 }, async (t) => {
  if (process.platform === "win32") {
    console.log("LEFT OUT: the commands of docs/engines.md, as they need a POSIX shell");
    return t.skip("needs a POSIX shell");
  }
  await withFolder(async (folder) => {
    const [, script] = /^```sh\n(.*?)^```/ms.exec(page)!;
    ok(script!.includes("shardy publish"));
    const [before, after] = script!.split(/^.*split_by_shard.*\n/m);
    await writeFile(join(folder, "part-0.arrows"), arrowStream(columnsOf(ROWS.slice(0, 2000))));
    await writeFile(join(folder, "part-1.arrows"), arrowStream(columnsOf(ROWS.slice(2000))));
    await mkdir(join(folder, "bin"));
    const quoted = command.map((word) => `'${word}'`).join(" ");
    await writeFile(join(folder, "bin", "shardy"), `#!/bin/sh\nexec ${quoted} "$@"\n`);
    await chmod(join(folder, "bin", "shardy"), 0o755);
    await shell(folder, before!);
    const routed = await Promise.all([0, 1].map((part) => readFile(join(folder, `routed-${part}.arrows`))));
    for (const [shard, bytes] of shardsOf(routed).entries()) {
      await writeFile(join(folder, `shard-${shard}.arrows`), bytes);
    }
    await shell(folder, after!);
    await checkAgainstOneProcess(folder);
  });
});

async function shell(folder: string, script: string): Promise<void> {
  const env = { ...process.env, PATH: `${join(folder, "bin")}:${process.env["PATH"]}` };
  const child = spawn("sh", ["-e", "-c", script], { cwd: folder, env, stdio: ["ignore", "inherit", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
  const [code] = await once(child, "close");
  equal(code, 0, stderr);
}
