// `shardy serve`: a server in this process, and one that is interrupted in a process of its own.
import { deepEqual, equal, match } from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { fsStore } from "../../src/stores/fs_store.ts";
import { published } from "../read/small_snapshots.ts";
import { serving, shardy, withFolder } from "./run_shardy.ts";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

test("shardy serve answers with what its options say", async () => {
  await withFolder(async (folder) => {
    await published([1, 2, 3], { store: fsStore(folder) });
    const args = ["--url", join(folder, "_CURRENT"), "--content-type", "text/plain", "--cors", "*", "--metrics"];
    const more = ["--token-path", "/v1/scan", "--refresh", "0.05", "--stale-after", "3600", "--access", "memory"];
    const { exitCode, stderr } = await serving([...args, ...more], async (url) => {
      const found = await fetch(`${url}/v1/get/2`);
      deepEqual([found.status, await found.text(), found.headers.get("content-type")], [200, "<2>", "text/plain"]);
      equal(found.headers.get("access-control-allow-origin"), "*");
      equal((await fetch(`${url}/v1/scan`)).status, 401);
      equal((await fetch(`${url}/v1/scan`, { headers: { authorization: "Bearer secret" } })).status, 200);
      const page = await (await fetch(`${url}/metrics`)).text();
      match(page, /shardyfusion_reader_gets_total 1\b/);
      match(page, /shardyfusion_http_request_duration_seconds_count\{method="GET",route="\/v1\/scan",code="401"\} 1\b/);
      equal((await (await fetch(`${url}/v1/health`)).json()).status, "healthy");
      await published([1, 4], { store: fsStore(folder) });
      let status = 404;
      for (let i = 0; i < 200 && status === 404; i++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        status = (await fetch(`${url}/v1/get/4`)).status;
      }
      equal(status, 200);
    }, { SHARDY_TOKEN: "secret" });
    deepEqual([exitCode, stderr], [0, ""]);
  });
});

test("shardy serve tells what is wrong before it listens", async () => {
  await withFolder(async (folder) => {
    await published([1], { store: fsStore(folder) });
    const url = join(folder, "_CURRENT");
    const wrong: [string[], number, RegExp][] = [
      [["--port", "70000"], 2, /--port must be <= 65535/],
      [["--port", "x"], 2, /'--port'/],
      [["--access", "x"], 2, /'--access'/],
      [["--refresh", "-1"], 2, /--refresh must be >= 0/],
      [["--token-path", "/v1"], 2, /--token-path needs --token/],
      [["--host", "256.0.0.1", "--port", "0"], 1, /Cannot listen on http:\/\/256\.0\.0\.1:0/],
      [["--token", "a b"], 1, /token/],
    ];
    for (const [args, exitCode, message] of wrong) {
      const outcome = await shardy(["serve", "--url", url, ...args]);
      equal(outcome.exitCode, exitCode, `${args}: ${outcome.stderr}`);
      match(outcome.stderr, message);
    }
    match((await shardy(["serve"])).stderr, /CURRENT URL is required/);
    match((await shardy(["serve", "--url", join(folder, "nothing")])).stderr, /Failed to initialise reader/);
  });
});

test("shardy serve --ui shows the page, and its data to who has the token", async () => {
  await withFolder(async (folder) => {
    await published([1, 2, 3], { store: fsStore(folder) });
    const token = "a-token-of-some-length";
    const { exitCode } = await serving(["--url", join(folder, "_CURRENT"), "--ui", "--token", token], async (url) => {
      const page = await fetch(url);
      deepEqual([page.status, page.headers.get("content-type")?.split(";")[0]], [200, "text/html"]);
      match(await page.text(), /<html/);
      const headers = { authorization: `Bearer ${token}` };
      for (
        const [path, init, status] of [
          ["/ui/snapshot", {}, 401],
          ["/ui/snapshot", { headers }, 200],
          ["/ui/rollback", { method: "POST", headers }, 403],
          ["/v1/get/1", {}, 401],
          ["/v1/get/1", { headers }, 200],
        ] as const
      ) {
        const answer = await fetch(url + path, init);
        await answer.text();
        if (status === 403) equal(answer.status >= 400 && answer.status < 500, true, `${answer.status}`);
        else equal(answer.status, status, path);
      }
    });
    equal(exitCode, 0);
  });
});

test("shardy serve: SIGTERM ends the process with 0, after the answers that are under way", async () => {
  await withFolder(async (folder) => {
    await published(Array.from({ length: 2000 }, (_, key) => key), { store: fsStore(folder) });
    const runtimeArgs = "deno" in process.versions ? ["run", "-A", "--no-check", main] : [main];
    const args = ["--current-url", join(folder, "_CURRENT"), "serve", "--port", "0"];
    const child = spawn(process.execPath, [...runtimeArgs, ...args]);
    const closed = once(child, "close");
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text) => stderr += text);
    const [line] = await once(child.stdout.setEncoding("utf8"), "data");
    const { url } = JSON.parse(line);
    const answer = await fetch(`${url}/v1/scan`);
    // Not child.kill(): Deno then reports the signal, whatever the process exits with.
    process.kill(child.pid!, "SIGTERM");
    equal((await answer.text()).trim().split("\n").length, 2000);
    deepEqual((await closed).slice(0, 2), [0, null]);
    equal(stderr.replace(/^Deno\.serve: request\.signal.*\n/m, ""), "");
  });
});
