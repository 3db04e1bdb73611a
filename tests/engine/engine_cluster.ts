/**
 * What tests of Ray, Spark and Dask share: the rows, one Python process that runs the engine and its scenarios, and the
 * judge: writeSnapshot's files and manifest for the same rows, and the independent checker.
 * @module
 */
import { deepEqual, equal, ok } from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { hashSharding, writeSnapshot, type WriteSnapshotOptions } from "../../mod.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { arrowStream, columnsOf } from "./arrow_tables.ts";
import { filesBelow, shardFiles } from "./snapshot_files.ts";

const main = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));
const encoder = new TextEncoder();

/** The command of this test's runtime. */
export const workerCommand: readonly string[] = [
  process.execPath,
  ..."deno" in process.versions ? ["run", "-A", "--no-check"] : [],
  main,
];

/** What all engines get: files `rows.arrows` and, with keys that repeat, `repeated.arrows`. */
export interface EngineRow extends Record<string, unknown> {
  readonly id: bigint;
  readonly name: string;
  readonly body: Uint8Array;
  readonly region: string;
  /** Beyond what a double can hold. */
  readonly large: bigint;
  readonly count: bigint | null;
}

/** 20,000 rows, each with keys of its own. */
export const ROWS: readonly EngineRow[] = Array.from({ length: 20_000 }, (_, row) => rowOf(row, (row * 7919) % 20_000));
/** The same with every key four times, near and far: of these the last wins. */
export const REPEATED_ROWS: readonly EngineRow[] = Array.from(
  { length: 20_000 },
  (_, row) => rowOf(row, (Math.floor(row / 2) * 7919) % 5000),
);

function rowOf(row: number, id: number): EngineRow {
  return {
    id: BigInt(id),
    name: `kéy ${id}`,
    // No text, so that whoever makes one of it is found out.
    body: Uint8Array.of(0xff, row & 0xff, ...encoder.encode(`value ${row} ${"x".repeat(row % 90)}`)),
    region: ["eu", "us", "asia"][id % 3]!,
    large: 9_007_199_254_740_993n + BigInt(row),
    count: row % 3 === 0 ? null : BigInt(row),
  };
}

/**
 * The Python that has these modules: SHARDYFUSION_ENGINES, or `python3`. Null when there is none; then it prints so.
 */
export function findEngine(name: string, modules: readonly string[]): string | null {
  const python = process.env["SHARDYFUSION_ENGINES"] || "python3";
  const script = "import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))";
  if (process.platform !== "win32" && spawnSync(python, ["-c", script, ...modules]).status === 0) return python;
  console.log(`LEFT OUT: ${name}, as ${python} does not have ${modules.join(", ")} (SHARDYFUSION_ENGINES is its path)`);
  return null;
}

/**
 * Whether this runtime plays an engine's accidents: each of the three plays those of one engine, as a cluster that loses
 * its nodes takes a minute or two. `vector_engines_test.ts` has all engines on all runtimes, and so have all tests with
 * SHARDYFUSION_SOAK=1. Prints so when it does not.
 */
export function playsAccidents(engine: string, runtime: "bun" | "deno" | "node"): boolean {
  const { bun, deno } = process.versions as Readonly<Record<string, string | undefined>>;
  const here = bun !== undefined ? "bun" : deno !== undefined ? "deno" : "node";
  if (here === runtime || process.env["SHARDYFUSION_SOAK"] === "1") return true;
  console.log(`LEFT OUT: accidents on ${engine} with workers on ${here}: see ${runtime}, or set SHARDYFUSION_SOAK=1`);
  return false;
}

/** What a scenario has told, as `tests/engine/python/scenarios.py` prints it. */
export interface ScenarioOutcome extends Record<string, unknown> {
  readonly scenario: string;
  /** What `shardy publish` has printed. */
  readonly published?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly type: string; readonly message: string; readonly exitCode: number | null };
}

/** All outcomes, and what engine and workers have logged. */
export interface ScenarioRun {
  readonly outcomes: ReadonlyMap<string, ScenarioOutcome>;
  readonly log: string;
}

/**
 * Runs `tests/engine/python/<name>` to its end; what it has started and left is killed. Snapshots of a scenario are in
 * the folder of its name.
 */
export async function runScenarios(
  name: string,
  { python, folder, timeoutMs = 540_000 }: { python: string; folder: string; timeoutMs?: number },
): Promise<ScenarioRun> {
  await writeFile(join(folder, "rows.arrows"), arrowStream(columnsOf(ROWS)));
  await writeFile(join(folder, "repeated.arrows"), arrowStream(columnsOf(REPEATED_ROWS)));
  const script = fileURLToPath(new URL(`python/${name}`, import.meta.url));
  const worker = workerCommand.map((word) => `'${word}'`).join(" ");
  const env = { ...process.env, "SHARDY_WORKER": worker, "RAY_USAGE_STATS_ENABLED": "0" };
  // A group of its own, with all of the engine's processes.
  const child = spawn(python, [script, folder], {
    cwd: folder,
    env,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  let log = "";
  child.stdout.setEncoding("utf8").on("data", (text) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text) => log += text);
  const timer = setTimeout(() => killGroup(child.pid!), timeoutMs);
  try {
    const [code, signal] = await once(child, "close");
    equal(code ?? signal, 0, `${stdout}\n${log.slice(-20_000)}`);
  } finally {
    clearTimeout(timer);
    killGroup(child.pid!);
  }
  const lines = stdout.split("\n").filter((line) => line.startsWith('{"scenario":'));
  return {
    log,
    outcomes: new Map(lines.map((line) => JSON.parse(line) as ScenarioOutcome).map((told) => [told.scenario, told])),
  };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}

/** The default job: keys are ids, values are bodies, three shards. */
const DEFAULTS = {
  sharding: hashSharding({ shards: 3 }),
  key: ({ id }: EngineRow) => id,
  value: ({ body }: EngineRow) => body,
};

/**
 * Whether a scenario has published what one process makes of these rows, and nothing else is left of its run.
 */
export async function checkSnapshot(
  run: ScenarioRun,
  scenario: string,
  { folder, rows = ROWS, ...options }:
    & { folder: string; rows?: readonly EngineRow[] }
    & Partial<WriteSnapshotOptions<EngineRow>>,
): Promise<void> {
  const told = run.outcomes.get(scenario);
  ok(told?.published, `${scenario}: ${JSON.stringify(told ?? null)}\n${run.log.slice(-20_000)}`);
  deepEqual([told.published["rows_written"], told.published["repeated"]], [rows.length, false], scenario);
  const place = join(folder, scenario);
  const whole = join(folder, `${scenario} in one process`);
  await writeSnapshot(rows, { store: fsStore(whole), ...DEFAULTS, ...options } as WriteSnapshotOptions<EngineRow>);
  deepEqual(await shardFiles(place), await shardFiles(whole), `${scenario}: files`);
  const counts = await Promise.all([place, whole].map(async (path) => (await filesBelow(join(path, "shards"))).length));
  equal(counts[0], counts[1], `${scenario}: no file of another attempt is left`);
  deepEqual(await manifestIn(place), await manifestIn(whole), `${scenario}: manifest`);
  judge(place, scenario);
}

/** The manifest without what every run has for itself. */
async function manifestIn(folder: string): Promise<unknown> {
  const manifests = objectManifestStore(fsStore(folder));
  const current = await manifests.loadCurrent();
  const { shards, ...manifest } = await manifests.loadManifest(current!.ref);
  const { runId: _run, createdAtMicros: _created, s3Prefix: _prefix, custom: _custom, ...kept } = manifest;
  const entries = shards.map(({ dbUrl: _url, attempt: _attempt, checkpointId: _id, writerInfo: _info, ...entry }) =>
    entry
  );
  return { ...kept, shards: entries };
}

function judge(place: string, scenario: string): void {
  const script = process.env["SHARDYFUSION_JUDGE"];
  if (!script) return;
  const { status, stdout, stderr } = spawnSync("python3", [script, place], { encoding: "utf8" });
  equal(status, 0, `${scenario}: ${stdout}${stderr}`);
}
