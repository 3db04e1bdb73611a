/**
 * Builds the same snapshot in this thread and with two workers, in turn, and compares: `workers.ts [ROWS] [ROUNDS]`.
 *
 * Every build is a process of its own, as a thread that has built before is faster than one that begins.
 * @module
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
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

function inProcess(workers: number): Times {
  const path = fileURLToPath(import.meta.url);
  const command = "Deno" in globalThis ? ["run", "-A", "--no-check", path] : [path];
  const { stdout } = spawnSync(process.execPath, [...command, rowsText, "1", String(workers)], { encoding: "utf8" });
  return JSON.parse(stdout);
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((left, right) => left - right)[numbers.length >> 1]!;
}

if (workersText !== undefined) await build(Number(rowsText), Number(workersText));
else {
  const ratios: number[] = [];
  for (let round = 0; round < Number(roundsText); round++) {
    const one = inProcess(0);
    const two = inProcess(2);
    ratios.push(one.totalMs / two.totalMs);
    console.log(JSON.stringify({ one, two, ratio: Number(ratios.at(-1)!.toFixed(2)) }));
  }
  console.log(`two workers: ${median(ratios).toFixed(2)} × one thread, ${rowsText} rows, median of ${ratios.length}`);
}
