// Jobs on Ray by its REST API: against a real job server, and, for what that does not do on demand, against one of a
// few lines. Judge: Ray, unzip by Python, and writeSnapshot's files.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { EngineJobError } from "../../mod.ts";
import { openRayJob, submitRayJob } from "../../src/engine/mod.ts";
import { zipFile } from "../../src/engine/zip_file.ts";
import { shardy, withFolder } from "../cli/run_shardy.ts";
import { checkSnapshot, findEngine, ROWS, type ScenarioRun, workerCommand } from "./engine_cluster.ts";
import { arrowStream, columnsOf } from "./arrow_tables.ts";

/** Ray 2.60 wants one unless it is told not to. */
const TOKEN = "f".repeat(64);
const JOB = '{"runId": "r", "spec": {}}';

/** Answers of a job server, by method and path; the requests that it was sent. */
async function withServer(
  answer: (request: string, body: string, headers: IncomingMessage["headers"]) => [status: number, body: string],
  use: (address: string, requests: string[]) => Promise<void>,
): Promise<void> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("latin1").on("data", (text) => body += text);
    request.on("end", () => {
      const name = `${request.method} ${request.url}`;
      requests.push(name);
      const [status, text] = answer(name, body, request.headers);
      response.writeHead(status, { "content-type": "application/json", connection: "close" }).end(text);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, requests);
  } finally {
    server.closeAllConnections?.();
    server.close();
  }
}

test("zipFile() makes an archive that others can read", (t) => {
  const files = { "a.py": "print(1)\n", "é.txt": "x".repeat(1000), "empty": "" };
  const entries = Object.entries(files).map(([name, text]) => [name, new TextEncoder().encode(text)] as const);
  const script = "import io, json, sys, zipfile; z = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())); " +
    "assert z.testzip() is None; print(json.dumps({n: z.read(n).decode() for n in z.namelist()}))";
  const { status, stdout, error } = spawnSync("python3", ["-c", script], { input: zipFile(new Map(entries)) });
  if (error) {
    console.log("LEFT OUT: reading an archive with Python, as there is no python3");
    return t.skip("there is no python3");
  }
  equal(status, 0);
  deepEqual(JSON.parse(String(stdout)), files);
});

test("submitRayJob() sends job, variables and files; wait() tells lines of the log as they come", async () => {
  let polls = 0;
  let sent: Record<string, unknown> = {};
  await withServer((request, body, headers) => {
    equal(headers["sec-fetch-mode"], undefined, "Ray takes such requests for those of a browser");
    equal(headers["authorization"], "Bearer secret");
    if (request === "POST /api/jobs/") sent = JSON.parse(body);
    if (request === "GET /api/jobs/mine") {
      polls++;
      const isEnded = polls === 4;
      if (polls === 2) return [503, "restarting"];
      const state = { status: isEnded ? "SUCCEEDED" : "RUNNING", message: "as it says", "driver_exit_code": null };
      return [200, JSON.stringify({ ...state, ...isEnded && { "driver_exit_code": 0 } })];
    }
    if (request === "GET /api/jobs/mine/logs") {
      return [200, JSON.stringify({ logs: ["", "one\nt", "", "one\ntwo\nth", "one\ntwo\nthree"][polls] })];
    }
    return [200, "{}"];
  }, async (address, requests) => {
    const job = await submitRayJob({
      ...{ address, entrypoint: "python my.py", job: JOB, submissionId: "mine", metadata: { who: "me" } },
      ...{ env: { REGION: "eu" }, runtimeEnv: { pip: ["pyarrow"], env_vars: { OTHER: "1" } } },
      ...{ workingDir: { "my.py": "print(1)" }, headers: { authorization: "Bearer secret" } },
    });
    const lines: string[] = [];
    deepEqual(await job.wait({ onLog: (line) => lines.push(line), pollMs: 1 }), {
      ...{ status: "SUCCEEDED", message: "as it says", exitCode: 0 },
    });
    deepEqual(lines, ["one", "two", "three"]);
    const { runtime_env: { working_dir: place, ...runtimeEnv }, ...rest } = sent as {
      runtime_env: Record<string, unknown>;
    };
    deepEqual(rest, { entrypoint: "python my.py", submission_id: "mine", metadata: { who: "me" } });
    deepEqual(runtimeEnv, { pip: ["pyarrow"], env_vars: { OTHER: "1", REGION: "eu", SHARDY_JOB: JOB } });
    match(String(place), /^gcs:\/\/_ray_pkg_[0-9a-f]{32}\.zip$/);
    equal(requests[0], `PUT /api/packages/gcs/${String(place).slice(6)}`);
  });
});

test("RayJob.wait(): what a job has died of, an address that is wrong, and whoever gives up", async () => {
  let status = "FAILED";
  await withServer((request) => {
    if (request === "POST /api/jobs/j/stop") status = "STOPPED";
    if (request === "POST /api/jobs/") return [500, "Traceback\nValueError: there is a job of this name"];
    if (request === "GET /api/jobs/page") return [200, "<html>"];
    const failed = { status, message: "failed with exit code 75, last logs: Error: busy", "driver_exit_code": 75 };
    return [200, JSON.stringify(failed)];
  }, async (address, requests) => {
    const client = { address };
    await rejects(openRayJob("j", client).wait(), (error) => {
      ok(error instanceof EngineJobError);
      const { submissionId, exitCode, retryable } = error;
      deepEqual([submissionId, error.status, exitCode, retryable], ["j", "FAILED", 75, true]);
      match(error.message, /^Ray's job j has failed: failed with exit code 75, last logs: Error: busy$/);
      return true;
    });
    const submission = { address, entrypoint: "true", job: JOB, workingDir: null };
    await rejects(submitRayJob(submission), /Ray answers 500: .*ValueError: there is a job of this name/s);
    await rejects(openRayJob("page", client).state(), /as JSON: is it the address of Ray's dashboard\?/);
    status = "RUNNING";
    const giveUp = new AbortController();
    const waiting = openRayJob("j", client).wait({ signal: giveUp.signal, pollMs: 10 });
    setTimeout(() => giveUp.abort(new Error("no time")), 50);
    await rejects(waiting, /^Error: no time$/);
    ok(requests.includes("POST /api/jobs/j/stop"), "what is given up is stopped");
    status = "RUNNING";
    {
      await using _job = openRayJob("j", client);
    }
    equal(status, "STOPPED");
  });
  const gone = openRayJob("j", { address: "http://127.0.0.1:9" });
  await rejects(gone.wait({ pollMs: 1 }), { name: "EngineJobError", retryable: true });
});

test("submitRayJob() builds a snapshot on a real Ray", { timeout: 300_000 }, async (t) => {
  const python = findEngine("jobs on a real Ray", ["ray.data", "ray.dashboard.modules.job", "aiohttp", "pyarrow"]);
  if (python === null) return t.skip("there is no Ray with a dashboard");
  await withFolder(async (folder) => {
    await writeFile(join(folder, "rows.arrows"), arrowStream(columnsOf(ROWS)));
    const script = "import pyarrow as pa, pyarrow.parquet as pq, sys; " +
      "pq.write_table(pa.ipc.open_stream(sys.argv[1]).read_all(), sys.argv[2])";
    equal(spawnSync(python, ["-c", script, join(folder, "rows.arrows"), join(folder, "rows.parquet")]).status, 0);
    await withRay(python, async (address) => {
      const planned = await shardy([
        ...["--current-url", join(folder, "job", "_CURRENT"), "plan", "--key", "id", "--key-encoding", "u64be"],
        ...["--value", "body", "--shards", "3"],
      ]);
      const env = { SHARDY_WORKER: workerCommand.map((word) => `'${word}'`).join(" ") };
      await rejects(
        submitRayJob({ address, entrypoint: "true", job: JOB }),
        /Ray answers 401: .*as its header "authoriz/s,
      );
      const common = { address, job: planned.stdout, env, headers: { authorization: `Bearer ${TOKEN}` } };
      const command = `${python} shardy_ray.py --address auto --partitions 2 --input ${join(folder, "rows.parquet")}`;
      const job = await submitRayJob({ ...common, entrypoint: `${command} --verify` });
      const lines: string[] = [];
      equal((await job.wait({ onLog: (line) => lines.push(line) })).exitCode, 0);
      const published = JSON.parse(lines.findLast((line) => line.startsWith("{"))!);
      const outcomes = new Map([["job", { scenario: "job", published }]]);
      await checkSnapshot({ outcomes, log: "" } as ScenarioRun, "job", { folder });

      const failing = await submitRayJob({ ...common, entrypoint: `${command} --rows none` });
      await rejects(failing.wait(), (error) => {
        ok(error instanceof EngineJobError);
        deepEqual([error.status, error.exitCode], ["FAILED", 2]);
        match(error.message, /--rows/);
        return true;
      });
      const { state } = failing;
      {
        await using sleeping = await submitRayJob({ ...common, entrypoint: "sleep 600", workingDir: null });
        await rejects(sleeping.wait({ signal: AbortSignal.timeout(3000) }), { name: "TimeoutError" });
        equal((await sleeping.state()).status, "STOPPED");
      }
      equal((await state()).status, "FAILED");
    });
  });
});

async function withRay(python: string, use: (address: string) => Promise<void>): Promise<void> {
  const script = fileURLToPath(new URL("python/ray_server.py", import.meta.url));
  const env = { ...process.env, RAY_AUTH_MODE: "token", RAY_AUTH_TOKEN: TOKEN };
  const child = spawn(python, [script], { detached: true, env, stdio: ["pipe", "pipe", "inherit"] });
  try {
    let printed = "";
    for await (const text of child.stdout.setEncoding("utf8")) {
      printed += text;
      if (/^http:.*\n/m.test(printed)) break;
    }
    const address = /^http:.*/m.exec(printed)?.[0];
    ok(address, printed);
    await use(address);
  } finally {
    const ended = child.exitCode === null ? once(child, "close") : undefined;
    child.stdin.end();
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 20_000))]);
    try {
      process.kill(-child.pid!, "SIGKILL");
    } catch {
      // It has ended.
    }
  }
}
