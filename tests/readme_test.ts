// The README's examples, run as printed: each code block is a program of its own.
import { deepEqual, equal, match, notEqual, ok } from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { hashSharding, jsonValue, memoryStore, writeSnapshot } from "../mod.ts";
import type { ObjectStore } from "../src/stores/store.ts";
import { measured } from "./metrics/event_table.ts";
import { startOtlpReceiver } from "./metrics/otlp_receiver.ts";
import { startCountingProxy } from "./servers/counting_proxy.ts";
import { bundleWorker, startMiniflareBucket } from "./servers/miniflare.ts";

const root = fileURLToPath(new URL("../", import.meta.url));
const readme = readFileSync(`${root}README.md`, "utf8");
const programs = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, text]) => text!);

function run(folder: string, program: string): string {
  const file = `${folder}/example.ts`;
  writeFileSync(file, program);
  const args = "Deno" in globalThis ? ["run", "-A", "--no-check", file] : [file];
  return execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
}

/** The same without stopping this process meanwhile, with more in the environment. */
async function runWith(folder: string, program: string, environment: Record<string, string>): Promise<void> {
  const file = `${folder}/example.ts`;
  writeFileSync(file, program);
  const args = "Deno" in globalThis ? ["run", "-A", "--no-check", file] : [file];
  const env = { ...process.env, ...environment };
  await promisify(execFile)(process.execPath, args, { cwd: folder, env, timeout: 60_000 });
}

// Inside the checkout, so that the package's name leads to it; `data/` is not part of it.
const folder = `${root}data/readme-${process.pid}`;

test("README.md: the examples for writing and reading run as printed", () => {
  mkdirSync(folder, { recursive: true });
  try {
    equal(programs.length, 3);
    match(run(folder, programs[0]!), /^file:\/\/.*\/manifests\/.*_run_id=[0-9a-f]{32}\/manifest\n$/);
    equal(run(folder, programs[1]!), '{"id":2,"name":"Grace"}\nfalse\n');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("docs/adding_a_backend.md: the engine runs as printed, and keeps the contract", { timeout: 240_000 }, () => {
  const page = readFileSync(`${root}docs/adding_a_backend.md`, "utf8");
  mkdirSync(folder, { recursive: true });
  try {
    const files = [...page.matchAll(/```ts\n\/\/ (\w+\.ts)\n(.*?)```/gs)];
    for (const [, name, text] of files) writeFileSync(`${folder}/${name}`, text!);
    deepEqual(files.map(([, name]) => name), ["text_backend.ts", "text_backend_test.ts", "main.ts"]);
    const [name, rows, refusal] = run(folder, files[2]![2]!).trim().split("\n");
    deepEqual([name, rows], ["Grace", "3 rows, 0 problems"]);
    match(refusal!, /^Cannot read shards of the engine "text": pass it as the option `backend`/);
    const file = `${folder}/text_backend_test.ts`;
    const { NODE_TEST_CONTEXT: _, ...others } = process.env;
    const env = { ...others, NO_COLOR: "1" };
    const args = "Deno" in globalThis ? ["test", "-A", file] : "Bun" in globalThis ? ["test", file] : ["--test", file];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, env, encoding: "utf8" });
    const told = stdout + stderr;
    equal(status, 0, told);
    match(told, /\b15 pass|pass 15/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("docs/slatedb.md: the program runs as printed", () => {
  const page = readFileSync(`${root}docs/slatedb.md`, "utf8");
  mkdirSync(folder, { recursive: true });
  try {
    const [program, ...others] = [...page.matchAll(/```ts\n(.*?)```/gs)].map(([, text]) => text!);
    equal(others.length, 0);
    equal(run(folder, program!), "Grace null\n0 problems\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("docs/cel_sharding.md: the program runs as printed", () => {
  const page = readFileSync(`${root}docs/cel_sharding.md`, "utf8");
  mkdirSync(folder, { recursive: true });
  try {
    const [program, ...others] = [...page.matchAll(/```ts\n(.*?)```/gs)].map(([, text]) => text!);
    equal(others.length, 0);
    const printed = run(folder, program!);
    match(printed, /expr: ['"]region['"].*routingValues: \[ ['"]eu['"], ['"]us['"] \]/s);
    ok(printed.endsWith("\n1 Edsger\nnull null\nAda, Grace, Edsger\n"), printed);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("docs/observability.md: Prometheus and the log show what is printed", () => {
  const page = readFileSync(`${root}docs/observability.md`, "utf8");
  const [program] = [...page.matchAll(/```ts\n(.*?)```/gs)].map(([, text]) => text!);
  mkdirSync(folder, { recursive: true });
  try {
    const printed = run(folder, program!);
    const [, metrics] = /```text\n(.*?)```/s.exec(page)!;
    ok(printed.includes(`\n${metrics}`), printed);
    const [, sample] = /```json\n(.*?)\n```/s.exec(page)!;
    const lines = printed.split("\n").filter((line) => line.startsWith("{"));
    const completed = lines.map((line) => JSON.parse(line)).find(({ event }) => event === "write.completed");
    const expected = JSON.parse(sample!);
    deepEqual(Object.keys(completed), Object.keys(expected));
    deepEqual([completed.level, completed.rows_written], [expected.level, expected.rows_written]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("docs/observability.md: OpenTelemetry exports metrics and spans to where the environment says", async () => {
  const page = readFileSync(`${root}docs/observability.md`, "utf8");
  const [, program, ...others] = [...page.matchAll(/```ts\n(.*?)```/gs)].map(([, text]) => text!);
  equal(others.length, 0);
  mkdirSync(folder, { recursive: true });
  await using receiver = await startOtlpReceiver();
  try {
    await runWith(folder, program!, { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url });
  } finally {
    rmSync(folder, { recursive: true });
  }
  const spans = receiver.scopes.flatMap(({ spans = [] }) => spans.map(({ name }) => name));
  for (const name of ["write", "shard", "publish", "get", "store.get", "store.get_ranges"]) {
    ok(spans.includes(`shardyfusion.${name}`), name);
    ok(page.includes(`| \`shardyfusion.${name}\``), name);
  }
  const metrics = receiver.scopes.flatMap(({ metrics = [] }) => metrics.map(({ name }) => name));
  ok(metrics.includes("shardyfusion.writes_completed") && metrics.includes("shardyfusion.reader_get_duration"));
  for (const { prometheus, otel } of measured) ok(page.includes(`\`${prometheus}\``) && page.includes(`\`${otel}\``));
});

test("docs/vectors.md: the programs and commands run as printed", { timeout: 120_000 }, () => {
  const page = readFileSync(`${root}docs/vectors.md`, "utf8");
  const blocks = (language: string): string[] =>
    [...page.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, "gs"))].map(([, text]) => text!);
  mkdirSync(folder, { recursive: true });
  try {
    const expected = [
      '0.006 { length: 9 } {"text":"cats purr"}\n0.064 { length: 9 } {"text":"dogs bark"}\n2\n',
      "1 true\n2 true\n4 true\n2\n3\n",
      "3 true\n",
      "[ 2, 2 ] 2\n",
    ];
    // Runtimes show objects and arrays in ways of their own.
    const plain = (text: string): string => text.replaceAll(/(?<=[{[])\s+|\s+(?=[}\]])|,$/gm, "");
    deepEqual(blocks("ts").map((program) => plain(run(folder, program))), expected.map(plain));
    const [script, ...others] = blocks("sh");
    equal(others.length, 0);
    const main = ["Deno" in globalThis ? "run -A --no-check" : "", `"${root}src/cli/main.ts"`].join(" ");
    const shardy = `shardy() { "${process.execPath}" ${main} "$@"; }\n`;
    const printed = execFileSync("bash", ["-ec", shardy + script], { cwd: folder, encoding: "utf8" });
    match(printed, /PAYLOAD\n1 +0\.006\d+ +\{"name": "cat"\}\n$/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

function bundled(program: string): string {
  mkdirSync(folder, { recursive: true });
  try {
    writeFileSync(`${folder}/worker.ts`, program);
    return bundleWorker(`${folder}/worker.ts`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Rows as in the example for writing. */
async function publish(store: ObjectStore, names: readonly string[]): Promise<string> {
  const { runId } = await writeSnapshot(names.map((name, index) => ({ id: index + 1, name })), {
    store,
    sharding: hashSharding({ shards: 2 }),
    key: (row) => row.id,
    value: jsonValue(),
  });
  return `"${runId}"`;
}

test("README.md: the Worker runs as printed and answers for what it says", async () => {
  const store = memoryStore();
  const etag = await publish(store, ["Ada", "Grace", "Edsger"]);
  await using server = await startCountingProxy({ objects: store });
  const texts = { SNAPSHOT_URL: server.url };
  await using worker = await startMiniflareBucket({ script: bundled(programs[2]!), texts });
  const opened = await fetch(`${worker.url}/favicon.ico`);
  deepEqual([opened.status, await opened.text(), opened.headers.get("etag")], [404, "", etag]);
  equal(server.take().length, 2);
  const found = await fetch(`${worker.url}/2`);
  deepEqual([found.status, await found.text(), found.headers.get("etag")], [200, '{"id":2,"name":"Grace"}', etag]);
  ok(server.take().length <= 3);
  for (
    const [path, headers, status] of [["/4", {}, 404], ["/2", {}, 200], ["/2", { "if-none-match": etag }, 304]] as const
  ) {
    const answer = await fetch(worker.url + path, { headers });
    await answer.text();
    equal(answer.status, status);
  }
  ok(server.take().length <= 2);
});

test("README.md: the Worker opens again when it could not, and takes over newer snapshots", async () => {
  const store = memoryStore();
  await using server = await startCountingProxy({ objects: store });
  const throttled = programs[2]!;
  const program = throttled.replace("10_000", "-1");
  notEqual(program, throttled);
  const texts = { SNAPSHOT_URL: server.url };
  await using worker = await startMiniflareBucket({ script: bundled(program), texts });
  const early = await fetch(`${worker.url}/1`);
  await early.text();
  equal(early.status, 500);
  for (const name of ["Ada", "Barbara"]) {
    const etag = await publish(store, [name]);
    // The answer that begins a refresh is still of the old snapshot.
    for (let attempt = 0; attempt < 20; attempt++) {
      const answer = await fetch(`${worker.url}/1`);
      const text = await answer.text();
      if (answer.headers.get("etag") !== etag && name !== "Ada") continue;
      deepEqual([answer.headers.get("etag"), text], [etag, `{"id":1,"name":"${name}"}`]);
      break;
    }
    equal((await fetch(`${worker.url}/1`, { method: "HEAD" })).headers.get("etag"), etag);
  }
});

test("README.md names commands and files that exist", () => {
  const tasks = JSON.parse(readFileSync(`${root}deno.json`, "utf8")).tasks;
  for (const [, task] of readme.matchAll(/deno(?:@[\d.]+)? task ([\w:]+)/g)) ok(task! in tasks, `${task}`);
  for (const [, path] of readme.matchAll(/\]\(([^)]+)\)/g)) readFileSync(root + path!);
});
