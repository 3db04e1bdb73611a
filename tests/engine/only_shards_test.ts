// Builds of a few shards out of all rows. Judge: writeSnapshot's files for the same rows, byte by byte.
import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { hashSharding, memoryStore, writeSnapshot } from "../../mod.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { publishJob } from "../../src/engine/mod.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { ConfigValidationError, ShardCoverageError } from "../../src/errors.ts";
import { shardy, withFolder } from "../cli/run_shardy.ts";
import { arrowStream, columnsOf } from "./arrow_tables.ts";
import { workerCommand } from "./engine_cluster.ts";
import { built, newJob, routed } from "./small_jobs.ts";
import { shardFiles } from "./snapshot_files.ts";

const ROWS = Array.from({ length: 3000 }, (_, row) => ({
  id: BigInt((row * 7) % 2900),
  body: new TextEncoder().encode(`value ${row}`),
  region: ["eu", "us", "ap"][row % 3]!,
}));

test("docs/engines.md: queues that move no rows build what one process builds", { timeout: 120_000 }, async (t) => {
  if (process.platform === "win32") {
    console.log("LEFT OUT: the commands of docs/engines.md about queues, as they need a POSIX shell");
    return t.skip("needs a POSIX shell");
  }
  const page = await readFile(new URL("../../docs/engines.md", import.meta.url), "utf8");
  const [, script] = /^```sh\n((?:(?!^```).)*--only-shards.*?)^```/ms.exec(page)!;
  await withFolder(async (folder) => {
    await writeFile(join(folder, "rows.arrows"), arrowStream(columnsOf(ROWS), 400));
    await mkdir(join(folder, "bin"));
    const programs = {
      "shardy": workerCommand.map((word) => `'${word}'`).join(" ") + ' "$@"',
      "all_rows": "cat rows.arrows",
    };
    for (const [name, line] of Object.entries(programs)) {
      await writeFile(join(folder, "bin", name), `#!/bin/sh\nexec ${line}\n`);
      await chmod(join(folder, "bin", name), 0o755);
    }
    const env = { ...process.env, PATH: `${join(folder, "bin")}:${process.env["PATH"]}` };
    const child = spawn("sh", ["-e", "-c", script!], { cwd: folder, env, stdio: ["ignore", "ignore", "pipe"] });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
    const [code] = await once(child, "close");
    equal(code, 0, stderr);
    equal(stderr.includes("Warning"), false, stderr);
    const whole = join(folder, "whole");
    await writeSnapshot(ROWS, {
      ...{ store: fsStore(whole), sharding: hashSharding({ shards: 6 }), key: ({ id }) => id },
      value: ({ body }) => body,
    });
    deepEqual(await shardFiles(join(folder, "queue")), await shardFiles(whole));
  });
});

test("buildStage() with onlyShards builds these, and publishJob() misses the others", async () => {
  const job = newJob();
  const store = memoryStore();
  const columns = columnsOf(ROWS);
  const some = await built(job, columns, { store, onlyShards: [0, 2] });
  deepEqual(some.map(({ shardId }) => shardId), [0, 2]);
  const publish = () => publishJob(job, { store, backend: sqliteBackend() });
  await rejects(publish, (error) => error instanceof ShardCoverageError && /shards? 1\b/.test(error.message));
  await built(job, columns, { store, onlyShards: [1], attempt: "next" });
  const { winners, warnings } = await publish();
  deepEqual([winners.reduce((sum, { rowCount }) => sum + rowCount, 0), warnings.length], [3000, 0]);
});

test("buildStage() with onlyShards routes by expressions, too", async () => {
  const sharding = {
    ...{ strategy: "cel", "hash_algorithm": "xxh3_64", "cel_expr": "region", "cel_columns": { region: "string" } },
    "routing_values": ["ap", "eu", "us"],
  };
  const [only, ...others] = await built(newJob({ sharding }), columnsOf(ROWS), { onlyShards: [1] });
  deepEqual([only!.shardId, only!.rowCount, others.length], [1, 1000, 0]);
});

test("buildStage() refuses onlyShards of no such shard, and of rows that were routed; names rows and keys", async () => {
  const refused = (words: RegExp) => (error: unknown) =>
    error instanceof ConfigValidationError && words.test(error.message);
  const columns = columnsOf(ROWS);
  await rejects(built(newJob(), columns, { onlyShards: [3] }), refused(/shards 0 to 2: current value is 3/));
  const { rows } = await routed(newJob(), columns);
  await rejects(built(newJob(), columnsOf(rows), { onlyShards: [1] }), refused(/has a column "shard_id"/));
  const noKey = ROWS.map((row, at) => ({ ...row, id: at === 1700 ? null : row.id }));
  await rejects(
    built(newJob(), columnsOf(noKey), { onlyShards: [1] }),
    refused(/column "id".* is null.*row 1701 of stdin/),
  );
  const noBody = ROWS.map((row, at) => ({ ...row, body: at === 1700 ? null : row.body }));
  const key = ROWS[1700]!.id;
  await rejects(built(newJob(), columnsOf(noBody)), refused(new RegExp(`column "body".* is null.*\\(key ${key}\\)`)));
  const job = JSON.stringify({ ...newJob(), packageVersion: "1" });
  const wrong = await shardy(["worker", "route", "--only-shards", "1"], { env: { "SHARDY_JOB": job } });
  match(wrong.stderr, /--only-shards is for the stage build/);
});
