/**
 * Reads how many tests passed from what a runtime's test command printed about one file.
 * @module
 */
import type { RuntimeName } from "./runtimes.ts";

/** Tests by outcome; what is to do counts as skipped. */
export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const LEFT_OUT = /^\s*LEFT OUT: (.+?)\s*$/;

/** What a finished test command said. */
export interface Finished {
  runtime: RuntimeName;
  /** What it printed, without colours. */
  output: string;
  exitCode: number;
}

/**
 * Counts the tests of one file.
 *
 * A command that failed has at least one failure, also where its summary names none, and one that found no test at all
 * has failed too: a file that silently tests nothing is a mistake.
 */
export function countsOf(finished: Finished): Counts {
  const { runtime, output, exitCode } = finished;
  const counts = runtime === "deno" ? denoCounts(output) : runtime === "bun" ? bunCounts(output) : nodeCounts(output);
  const nothingRan = counts.passed + counts.failed + counts.skipped === 0;
  if (counts.failed === 0 && (exitCode !== 0 || nothingRan)) counts.failed = 1;
  return counts;
}

/** The reasons that tests gave on lines that begin with `LEFT OUT: `, each once. */
export function leftOutOf(output: string): string[] {
  return [...new Set(output.split("\n").flatMap((line) => LEFT_OUT.exec(line)?.[1] ?? []))];
}

// ok | 4 passed (2 steps) | 0 failed | 1 ignored (17ms)
function denoCounts(output: string): Counts {
  const summary = output.split("\n").findLast((line) => /^(?:ok|FAILED) \| \d+ passed/.test(line)) ?? "";
  const skippedInside = denoSkippedInside(output);
  return {
    passed: numberIn(summary, /(\d+) passed/) - skippedInside,
    failed: numberIn(summary, /(\d+) failed/),
    skipped: numberIn(summary, /(\d+) ignored/) + skippedInside,
  };
}

// Deno calls a test that called `t.skip()` passed; such a test says aloud that something was left out, so count that.
function denoSkippedInside(output: string): number {
  let skipped = 0;
  let saidSo = false;
  for (const line of output.split("\n")) {
    if (LEFT_OUT.test(line)) saidSo = true;
    else if (/^\S.* \.\.\. (?:ok|FAILED|ignored)\b/.test(line) || /^running \d+ tests? from /.test(line)) {
      if (saidSo && / \.\.\. ok\b/.test(line)) skipped++;
      saidSo = false;
    }
  }
  return skipped;
}

//  2 pass
//  2 skip
//  1 todo
//  1 fail
//  1 error
function bunCounts(output: string): Counts {
  return {
    passed: numberIn(output, /^ *(\d+) pass$/m),
    // A file that cannot be loaded is counted as a failure as well as an error.
    failed: Math.max(numberIn(output, /^ *(\d+) fail$/m), numberIn(output, /^ *(\d+) errors?$/m)),
    skipped: numberIn(output, /^ *(\d+) skip$/m) + numberIn(output, /^ *(\d+) todo$/m),
  };
}

// ℹ pass 3
// ℹ fail 1
// ℹ cancelled 0
// ℹ skipped 2
// ℹ todo 1
function nodeCounts(output: string): Counts {
  const of = (word: string): number => numberIn(output, new RegExp(`^ℹ ${word} (\\d+)$`, "m"));
  return { passed: of("pass"), failed: of("fail") + of("cancelled"), skipped: of("skipped") + of("todo") };
}

// A summary comes last; what looks like one before it was printed by a test.
function numberIn(text: string, pattern: RegExp): number {
  const last = [...text.matchAll(new RegExp(pattern, pattern.flags + "g"))].at(-1);
  return Number(last?.[1] ?? 0);
}
