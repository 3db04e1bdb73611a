/**
 * The same rows built by one thread, two threads, plain processes, Ray, Spark and Dask: `engines.ts [ROWS] [ENGINE…]`, on
 * the runtime that runs it, which runs the workers, too. Every build is judged: its shards have to be those of one thread,
 * byte by byte.
 *
 * SHARDYFUSION_ENGINES is a Python with the requirements of `src/engine/python`. What the whole machine has computed
 * comes from `/proc/stat`, so that nothing else may run; what the workers have, from the shell that starts them.
 * @module
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmodSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const [rowsText = "2000000", ...chosen] = process.argv.slice(2);
const python = process.env["SHARDYFUSION_ENGINES"] ?? "python3";
const SHARDS = 8;
/** Files that come in, tasks that route and tasks that build: one for each core. */
const AT_ONCE = 2;
const TICKS_PER_SECOND = 100;
const PLAN = ["--key", "id", "--key-encoding", "u64be", "--value", "body"];

const rowsScript = join(root, "bench/engine_rows.py");
const folder = mkdtempSync(join(tmpdir(), "shardyfusion-engines-"));
const shardy = join(folder, "shardy");
const timesLog = join(folder, "times");

/** Seconds. */
interface Figures {
  readonly wall: number;
  /** All that the machine has computed. */
  readonly all: number;
  /** What `shardy` has computed in route stages. */
  readonly route: number;
  /** What it has computed otherwise: building, planning, publishing. */
  readonly build: number;
}

function writeCommand(): void {
  const runtime = "deno" in process.versions ? "run -A --no-check" : "";
  const main = join(root, "src/cli/main.ts");
  // The shell tells what its child has computed.
  const script = `#!/bin/bash\n'${process.execPath}' ${runtime} '${main}' "$@"; code=$?\n` +
    `times="$(mktemp)"; times >"$times"; echo "$1 $2 $(tail -1 "$times")" >>'${timesLog}'; rm "$times"; exit $code\n`;
  writeFileSync(shardy, script);
  chmodSync(shardy, 0o755);
}

async function run(command: readonly string[], files: { stdin?: string; stdout?: string } = {}): Promise<void> {
  const line = command.map((word) => `'${word}'`).join(" ");
  const redirected = `${line} <'${files.stdin ?? "/dev/null"}' >'${files.stdout ?? "/dev/null"}'`;
  const env = { ...process.env, SHARDY_WORKER: shardy };
  const child = spawn("bash", ["-c", redirected], { cwd: folder, env, stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr = (stderr + text).slice(-5000));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${line} has ended with ${code}: ${stderr}`);
}

async function inTurn<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  }));
}

function place(name: string): string[] {
  return [shardy, "--current-url", join(folder, name, "_CURRENT")];
}

async function buildHere(name: string, workers: number): Promise<void> {
  const threads = workers === 0 ? [] : ["--workers", String(workers)];
  await run([...place(name), "build", join(folder, "rows.arrows"), ...PLAN, "--shards", String(SHARDS), ...threads]);
}

async function plan(name: string): Promise<string> {
  const job = join(folder, `${name}.json`);
  await run([...place(name), "plan", ...PLAN, "--shards", String(SHARDS), "--output", job]);
  return job;
}

async function buildByProcesses(name: string): Promise<void> {
  const job = await plan(name);
  const work = join(folder, "work");
  mkdirSync(work);
  const parts = globSync(join(folder, "part-*.arrows"));
  const routed = parts.map((part) => join(work, `routed-${basename(part)}`));
  await inTurn(
    parts.map((_, at) => at),
    (at) => run([shardy, "worker", "route", "--job", job], { stdin: parts[at]!, stdout: routed[at]! }),
  );
  await run([python, rowsScript, "split", String(AT_ONCE), ...routed, work]);
  await inTurn(
    globSync(join(work, "task-*.arrows")),
    (path) => run([shardy, "worker", "build", "--job", job], { stdin: path, stdout: `${path}.jsonl` }),
  );
  await run([shardy, "publish", "--job", job, "--rows", rowsText, ...globSync(join(work, "*.jsonl"))]);
}

async function buildByEngine(name: string): Promise<void> {
  const tasks = ["--partitions", String(AT_ONCE)];
  const shim = join(root, `src/engine/python/shardy_${name}.py`);
  await run([python, shim, "--job", await plan(name), "--input", join(folder, "parquet"), ...tasks]);
}

const BUILDS: Readonly<Record<string, (name: string) => Promise<void>>> = {
  "one": (name) => buildHere(name, 0),
  "threads": (name) => buildHere(name, AT_ONCE),
  "processes": buildByProcesses,
  "ray": buildByEngine,
  "spark": buildByEngine,
  "dask": buildByEngine,
};

/** What all cores have computed since the machine began. */
function busySeconds(): number {
  const [user, nice, system, , , irq, softirq] = readFileSync("/proc/stat", "utf8").split(/\s+/).slice(1, 8).map(
    Number,
  );
  return (user! + nice! + system! + irq! + softirq!) / TICKS_PER_SECOND;
}

/** Seconds by stage, of lines such as `worker build 0m1.204s 0m0.511s`. */
function shardySeconds(stage: RegExp): number {
  if (!existsSync(timesLog)) return 0;
  const lines = readFileSync(timesLog, "utf8").split("\n").filter((line) => stage.test(line));
  const times = lines.flatMap((line) => [...line.matchAll(/(\d+)m([\d.]+)s/g)]);
  return times.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
}

async function measured(name: string): Promise<Figures> {
  rmSync(timesLog, { force: true });
  const before = busySeconds();
  const started = performance.now();
  await BUILDS[name]!(name);
  const wall = (performance.now() - started) / 1000;
  return {
    wall,
    all: busySeconds() - before,
    route: shardySeconds(/^worker route /),
    build: shardySeconds(/^(?!worker route )./),
  };
}

/** One digest of all shards of the snapshot, in their order. */
function shardsDigest(name: string): string {
  const digest = createHash("sha256");
  const paths = globSync(join(folder, name, "shards/*/db=*/attempt=*/shard.db")).sort();
  if (paths.length !== SHARDS) throw new Error(`${name} has left ${paths.length} shards, not ${SHARDS}`);
  for (const path of paths) digest.update(readFileSync(path));
  return digest.digest("hex");
}

function shown(seconds: number): string {
  return seconds.toFixed(1).padStart(6);
}

try {
  writeCommand();
  await run([python, rowsScript, "rows", rowsText, String(AT_ONCE), folder]);
  const rows = Number(rowsText);
  console.log(`${rows.toLocaleString("en")} rows, ${SHARDS} shards; seconds of processor time, but for the clock`);
  await run([python, rowsScript, "pipe", folder], { stdout: join(folder, "pipe") });
  console.log(`all rows through a pipe: ${readFileSync(join(folder, "pipe"), "utf8").trim()}`);
  console.log("build      by the clock   rows/s      all   route   build   the rest   workers / one thread");
  let one: { digest: string; seconds: number } | undefined;
  for (const name of Object.keys(BUILDS)) {
    if (name !== "one" && chosen.length > 0 && !chosen.includes(name)) continue;
    const { wall, all, route, build } = await measured(name);
    const digest = shardsDigest(name);
    one ??= { digest, seconds: build };
    if (digest !== one.digest) throw new Error(`The shards of ${name} are not those of one thread`);
    const share = ((route + build) / one.seconds).toFixed(2);
    const rest = shown(all - route - build);
    console.log(
      `${name.padEnd(10)} ${shown(wall)}         ${Math.round(rows / wall / 1000)} k   ` +
        `${shown(all)}  ${shown(route)}  ${shown(build)}     ${rest}   ${share}`,
    );
    rmSync(join(folder, name), { recursive: true });
    rmSync(join(folder, "work"), { recursive: true, force: true });
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
