/**
 * Holds the promises over very many seeds: shares of them, each in a process of its own, one for each core at a time.
 *
 * `deno run -A tests/run_promises.ts [last seed]`: 10,000 without a number. Ends with the line that `run.ts` ends with,
 * in which a test counts once for each share.
 * @module
 */
import { killAll, runProcess } from "./run_process.ts";
import { type Counts, countsOf } from "./run_summary.ts";

const FILES = ["tests/write/promises_test.ts", "tests/write/promise_bytes_test.ts"];
const SHARES = 10;
const SHARE_LIMIT_MS = 4 * 3_600_000;

const total: Counts = { passed: 0, failed: 0, skipped: 0 };

await main();

async function main(): Promise<void> {
  Deno.chdir(new URL("../", import.meta.url));
  for (const [signal, exitCode] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
    Deno.addSignalListener(signal, () => {
      killAll();
      Deno.exit(exitCode);
    });
  }
  const last = Number(Deno.args[0] ?? 10_000);
  if (!Number.isSafeInteger(last) || last < SHARES) throw new Error(`Cannot share out fewer than ${SHARES} seeds`);
  const ends = Array.from({ length: SHARES }, (_, share) => Math.floor(last * (share + 1) / SHARES));
  const shares = ends.map((end, share) => `${(ends[share - 1] ?? 0) + 1}-${end}`);
  const started = performance.now();
  const runner = async (): Promise<void> => {
    for (let seeds = shares.shift(); seeds !== undefined; seeds = shares.shift()) await runShare(seeds);
  };
  await Promise.all(Array.from({ length: navigator.hardwareConcurrency }, runner));
  const minutes = (performance.now() - started) / 60_000;
  console.log(`\n${last} seeds in ${minutes.toFixed(1)} min`);
  console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  Deno.exit(total.failed > 0 ? 1 : 0);
}

async function runShare(seeds: string): Promise<void> {
  const started = performance.now();
  const command = [Deno.execPath(), "test", "-A", "--no-check", ...FILES];
  const outcome = await runProcess(command, { NO_COLOR: "1", SHARDYFUSION_SEEDS: seeds }, SHARE_LIMIT_MS);
  const counts = countsOf({ runtime: "deno", ...outcome });
  if (counts.failed > 0) console.log(`\n----- seeds ${seeds}\n${outcome.output.trimEnd()}\n-----\n`);
  const seconds = `${((performance.now() - started) / 1000).toFixed(1)} s`.padStart(8);
  console.log(`seeds ${seeds.padEnd(12)} ${counts.failed === 0 ? "ok    " : "FAILED"} ${seconds}`);
  // What a share has seen.
  for (const line of outcome.output.split("\n")) if (line.startsWith("seeds ")) console.log(`  ${line}`);
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
}
