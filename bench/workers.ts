/**
 * Builds the same snapshot in this thread and with two workers, in turn, and compares: `workers.ts [ROWS] [ROUNDS]`.
 *
 * The ceiling is what the machine gives two such builds that have nothing to do with each other, run at once: cores that
 * share a memory bus, or are two halves of one, are not twice one core. Every build is a process of its own, as a thread that has built before is faster than one that begins.
 * @module
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { hashSharding, writeSnapshot } from "../mod.ts";
import { fsStore } from "../src/stores/fs_store.ts";
import { keyAt, peakMiB, valueAt } from "./rows.ts";

const [rowsText = "4000000", roundsText = "5", workersText] = process.argv.slice(2);

function* indexes(rowCount: number): Generator<number> {
  for (let index = 0; index < rowCount; index++) yield index;
}

/** One build; prints its times as JSON. */
async function build(rowCount: number, workers: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "shardyfusion-bench-"));
  try {
    const { stats } = await writeSnapshot(indexes(rowCount), {
      store: fsStore(folder),
      sharding: hashSharding({ shards: 8 }),
      key: (index) => keyAt(index, "random"),
      value: valueAt,
      workers,
      memory: { bytesMax: 2 ** 31 },
    });
    const { user, system } = process.cpuUsage();
    const cpuMs = Math.round((user + system) / 1000);
    console.log(JSON.stringify({ totalMs: stats.totalMs, routeMs: stats.routeMs, cpuMs, peakMiB: peakMiB() }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface Times {
  readonly totalMs: number;
  readonly routeMs: number;
  readonly cpuMs: number;
  readonly peakMiB: number;
}

async function inProcess(workers: number): Promise<Times> {
  const path = fileURLToPath(import.meta.url);
  const command = "Deno" in globalThis ? ["run", "-A", "--no-check", path] : [path];
  const { stdout } = await promisify(execFile)(process.execPath, [...command, rowsText, "1", String(workers)]);
  return JSON.parse(stdout);
}

function rounded(number: number): number {
  return Math.round(number * 100) / 100;
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((left, right) => left - right)[numbers.length >> 1]!;
}

if (workersText !== undefined) await build(Number(rowsText), Number(workersText));
else {
  const ratios: number[] = [];
  const ceilings: number[] = [];
  for (let round = 0; round < Number(roundsText); round++) {
    const one = await inProcess(0);
    const two = await inProcess(2);
    const pair = await Promise.all([inProcess(0), inProcess(0)]);
    ratios.push(one.totalMs / two.totalMs);
    ceilings.push(2 * one.totalMs / Math.max(...pair.map(({ totalMs }) => totalMs)));
    console.log(JSON.stringify({ one, two, ratio: rounded(ratios.at(-1)!), ceiling: rounded(ceilings.at(-1)!) }));
  }
  console.log(
    `two workers: ${rounded(median(ratios))} × one thread; two builds at once: ${rounded(median(ceilings))} × ` +
      `(${rowsText} rows, medians of ${ratios.length})`,
  );
}
