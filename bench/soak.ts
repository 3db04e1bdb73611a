/**
 * Mixed load on `shardy serve` while a new snapshot is published every five seconds: no error, no answer of another
 * snapshot than its ETag says, and no memory that only grows. `soak.ts [MINUTES] [RUNTIME]`, 10 minutes on Deno if
 * nothing is said. Reads the server's memory from `/proc`.
 * @module
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { cleanUp, hashSharding, writeSnapshot } from "../mod.ts";
import { fsStore } from "../src/stores/fs_store.ts";
import { findRuntime, type RuntimeName } from "../tests/runtimes.ts";

const [minutesText = "10", runtimeName = "deno"] = process.argv.slice(2);
const PUBLISH_MS = 5000;
const SAMPLE_MS = 2000;
const ROWS = 20_000;
const CLIENTS = 16;
const GROWTH_MAX = 0.1;

const folder = mkdtempSync(join(tmpdir(), "shardyfusion-soak-"));
const store = fsStore(folder);
/** What version of the rows an ETag stands for. */
const versions = new Map<string, string>();
const counts: Record<string, number> = {};
const failures: string[] = [];
const endMs = performance.now() + Number(minutesText) * 60_000;
let published = 0;

async function publish(): Promise<void> {
  const version = String(++published);
  await writeSnapshot(Array.from({ length: ROWS }, (_, key) => key), {
    store,
    sharding: hashSharding({ shards: 4 }),
    key: (key) => key,
    value: (key) => `${version}:${key}`.padEnd(100, "."),
  });
  if (published % 10 === 0) await cleanUp(store, { keep: 5, graceMs: 20_000 });
}

async function start(): Promise<{ server: ChildProcess; url: string }> {
  const { path } = await findRuntime(runtimeName as RuntimeName);
  const main = fileURLToPath(new URL("../src/cli/main.ts", import.meta.url));
  const serve = [
    "serve",
    "--current-url",
    join(folder, "_CURRENT"),
    "--port",
    "0",
    "--refresh",
    "5",
    "--access",
    "memory",
  ];
  const server = spawn(path, [...(runtimeName === "deno" ? ["run", "-A", "--no-check"] : []), main, ...serve]);
  server.stderr.setEncoding("utf8").on("data", (text: string) => {
    if (!text.startsWith("Deno.serve: request.signal")) failures.push(`server: ${text.trim()}`);
  });
  const [line] = await once(server.stdout.setEncoding("utf8"), "data");
  return { server, url: JSON.parse(line).url };
}

function rssMiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;
}

/** The version of an answer's rows must be that of its ETag. */
function check(answer: Response, text: string, key: number): void {
  const [version, rest] = text.split(":");
  const etag = answer.headers.get("etag") ?? "";
  const noted = versions.get(etag) ?? version!;
  versions.set(etag, noted);
  if (noted !== version || Number.parseInt(rest!) !== key) {
    throw new Error(`${etag} is ${noted}, but key ${key}: ${text}`);
  }
}

const posted = (body: unknown) => ({
  method: "POST",
  body: JSON.stringify(body),
  headers: { "content-type": "application/json" },
});

/** One request of each kind, by weight. */
const kinds: readonly (readonly [name: string, weight: number, ask: (url: string, key: number) => Promise<void>])[] = [
  ["get", 60, async (url, key) => {
    const answer = await fetch(`${url}/v1/get/${key}`);
    check(answer, await answer.text(), key);
  }],
  ["known", 10, async (url, key) => {
    const etag = [...versions.keys()].at(-1) ?? '""';
    const answer = await fetch(`${url}/v1/get/${key}`, { headers: { "if-none-match": etag } });
    const text = await answer.text();
    if (answer.status !== 304) check(answer, text, key);
  }],
  ["missing", 10, async (url, key) => {
    const answer = await fetch(`${url}/v1/get/${key + ROWS}`);
    await answer.text();
    if (answer.status !== 404) throw new Error(`status ${answer.status} for a missing key`);
  }],
  ["multiget", 10, async (url, key) => {
    const keys = Array.from({ length: 50 }, (_, i) => (key + 37 * i) % ROWS);
    const answer = await fetch(`${url}/v1/multiget`, posted({ keys }));
    const rows = (await answer.text()).trim().split("\n").map((line) => JSON.parse(line));
    rows.forEach(({ value }, index) => check(answer, atob(value), keys[index]!));
  }],
  ["scan", 2, async (url, key) => {
    const answer = await fetch(`${url}/v1/scan?shard=${key % 4}&limit=500`);
    for (const line of (await answer.text()).trim().split("\n")) {
      const row = JSON.parse(line);
      check(answer, atob(row.value), Number(row.key));
    }
  }],
  ["left", 2, async (url) => {
    const leaving = new AbortController();
    const answer = await fetch(`${url}/v1/scan`, { signal: leaving.signal });
    await answer.body!.getReader().read();
    leaving.abort();
  }],
  ["bad", 3, async (url) => {
    const answer = await fetch(`${url}/v1/get/%FF`);
    await answer.text();
    if (answer.status !== 400) throw new Error(`status ${answer.status} for a bad key`);
  }],
  ["described", 3, async (url, key) => {
    const answer = await fetch(url + ["/v1/info", "/v1/shards", "/v1/health", "/v1/route/5"][key % 4]);
    await answer.text();
    if (!answer.ok) throw new Error(`status ${answer.status}`);
  }],
];
const wheel = kinds.flatMap((kind) => Array.from({ length: kind[1] }, () => kind));

async function ask(url: string): Promise<void> {
  while (performance.now() < endMs) {
    const [name, , request] = wheel[Math.floor(Math.random() * wheel.length)]!;
    counts[name] = (counts[name] ?? 0) + 1;
    await request(url, Math.floor(Math.random() * ROWS)).catch((error) => failures.push(`${name}: ${error.message}`));
  }
}

async function everySoOften(pauseMs: number, work: () => Promise<void> | void): Promise<void> {
  while (performance.now() < endMs) {
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    await work();
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

await publish();
const { server, url } = await start();
const samples: number[] = [];
await Promise.all([
  ...Array.from({ length: CLIENTS }, () => ask(url)),
  everySoOften(PUBLISH_MS, publish),
  everySoOften(SAMPLE_MS, () => void samples.push(rssMiB(server.pid!))),
]);
process.kill(server.pid!, "SIGTERM");
const [exitCode] = await once(server, "close");
rmSync(folder, { recursive: true });
// The first third is for compiling and for filling what is kept.
const settled = samples.slice(Math.ceil(samples.length / 3));
const half = settled.length >> 1;
const [early, late] = [median(settled.slice(0, half)), median(settled.slice(half))];
const growth = late / early - 1;
console.log(
  JSON.stringify({ runtime: runtimeName, minutes: Number(minutesText), published, versionsSeen: versions.size }),
);
console.log(JSON.stringify({ counts, failures: failures.length, exitCode, peakMiB: Math.round(Math.max(...samples)) }));
console.log(`RSS ${early.toFixed(0)} MiB, then ${late.toFixed(0)} MiB: ${(growth * 100).toFixed(1)} %`);
for (const failure of failures.slice(0, 20)) console.log(failure);
process.exit(failures.length === 0 && exitCode === 0 && growth <= GROWTH_MAX ? 0 : 1);
