// How a build tells of its progress, with time given by hand.
import { deepEqual, equal } from "node:assert/strict";
import { test } from "node:test";
import { count, ProgressLine } from "../../src/cli/progress_line.ts";
import type { Clock } from "../../src/clock.ts";
import type { WriteProgress } from "../../src/write/write_options.ts";

function progress(rowsRead: number, rest: Partial<WriteProgress> = {}): WriteProgress {
  return { phase: "rows", rowsRead, bytesRead: 0, shardsBuilt: 0, shardsToBuild: null, ...rest };
}

function lineAt(isTerminal: boolean, fractionRead: () => number | null) {
  const time = { nowMs: 5000 };
  const clock: Clock = { nowMicros: () => 0, monotonicMs: () => time.nowMs, sleep: () => Promise.resolve() };
  const written: string[] = [];
  const line = new ProgressLine({ write: (text) => written.push(text), isTerminal, clock, fractionRead });
  return { time, written, line };
}

test("ProgressLine writes plain lines, one a second at most", () => {
  const { time, written, line } = lineAt(false, () => null);
  for (const nowMs of [5100, 5900, 6000, 6500, 6999, 7000]) {
    time.nowMs = nowMs;
    line.show(progress(nowMs * 10));
  }
  time.nowMs = 8000;
  line.show(progress(70_000, { phase: "shards", shardsBuilt: 3, shardsToBuild: 8 }));
  time.nowMs = 9000;
  line.show(progress(70_000, { phase: "publish" }));
  line.clear();
  deepEqual(written, [
    "60,000 rows, 60,000 rows/s\n",
    "70,000 rows, 35,000 rows/s\n",
    "37%, 3 of 8 shards built\n",
    "publishing\n",
  ]);
});

test("ProgressLine overwrites one line on a terminal, and leaves it empty", () => {
  const { time, written, line } = lineAt(true, () => 0.5);
  time.nowMs = 7000;
  line.show(progress(1_000_000));
  line.show(progress(1_000_000, { phase: "shards", shardsBuilt: 8, shardsToBuild: 8 }));
  line.clear();
  line.clear();
  deepEqual(written, [
    "\r\x1b[K[##########..........]  50%  1,000,000 rows, 500,000 rows/s",
    "\r\x1b[K[####################] 100%  8 of 8 shards built",
    "\r\x1b[K",
  ]);
});

test("count() puts commas between thousands", () => {
  deepEqual([0, 999, 1000, 1234567.8].map(count), ["0", "999", "1,000", "1,234,568"]);
  equal(count(100_000), "100,000");
});
