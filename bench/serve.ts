/**
 * Gets over HTTP by `wrk`, from memory, on each runtime's own server: `serve.ts [SECONDS] [RUNTIME…]`. The server has one
 * core and `wrk` another. Beside the rate by the clock stands the one by the server's processor time, which does not
 * depend on who else is at work.
 * @module
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { hashSharding, writeSnapshot } from "../mod.ts";
import { fsStore } from "../src/stores/fs_store.ts";
import { findRuntime, type RuntimeName } from "../tests/runtimes.ts";

const [secondsText = "10", ...given] = process.argv.slice(2);
const names = (given.length > 0 ? given : ["bun", "deno", "node"]) as RuntimeName[];
const ROWS = 100_000;
const CONNECTIONS = 64;
/** Parts of a second in `/proc/PID/stat`. */
const TICKS = 100;

const folder = mkdtempSync(join(tmpdir(), "shardyfusion-serve-"));
const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
writeFileSync(
  join(folder, "get.lua"),
  `math.randomseed(42)
   request = function() return wrk.format("GET", "/v1/get/" .. math.random(0, ${ROWS - 1})) end`,
);

await writeSnapshot(Array.from({ length: ROWS }, (_, key) => key), {
  store: fsStore(folder),
  sharding: hashSharding({ shards: 4 }),
  key: (key) => key,
  value: (key) => `${key}`.padEnd(100, "."),
});

function wrk(url: string, seconds: number): string {
  const args = ["-t1", `-c${CONNECTIONS}`, `-d${seconds}s`, "--latency", "-s", join(folder, "get.lua"), url];
  return execFileSync("taskset", ["-c", "1", "wrk", ...args], { encoding: "utf8" });
}

/** Processor time so far, of all threads. */
function usedSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) /, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

for (const name of names) {
  const { path, version } = await findRuntime(name);
  const serve = [main, "serve", "--current-url", join(folder, "_CURRENT"), "--port", "0", "--access", "memory"];
  const command = ["-c", "0", path, ...(name === "deno" ? ["run", "-A", "--no-check"] : []), ...serve];
  const server = spawn("taskset", command, { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(server.stdout.setEncoding("utf8"), "data");
  const { url } = JSON.parse(line);
  wrk(url, 3);
  const before = usedSeconds(server.pid!);
  const printed = wrk(url, Number(secondsText));
  const used = usedSeconds(server.pid!) - before;
  process.kill(server.pid!, "SIGTERM");
  await once(server, "close");
  const [, requests = "0"] = /(\d+) requests in/.exec(printed) ?? [];
  const [, perSecond = "0"] = /Requests\/sec:\s+([\d.]+)/.exec(printed) ?? [];
  const latency = (share: string) => new RegExp(`${share}%\\s+(\\S+)`).exec(printed)?.[1];
  console.log(JSON.stringify({
    runtime: `${name} ${version}`,
    perSecond: Math.round(Number(perSecond)),
    perProcessorSecond: Math.round(Number(requests) / used),
    p50: latency("50"),
    p99: latency("99"),
    failed: /Non-2xx.*/.exec(printed)?.[0] ?? null,
  }));
}
rmSync(folder, { recursive: true });
