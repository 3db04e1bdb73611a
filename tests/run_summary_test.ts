// What the three runtimes printed, copied from runs of Deno 2.9.6, Bun 1.4.5 and Node 26.10.0.
import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import { countsOf, leftOutOf } from "./run_summary.ts";

const denoOutput = `running 6 tests from ./a_test.ts
a passes ... ok (1ms)
a fails ... FAILED (5ms)
a skips inside ...
------- output -------
LEFT OUT: no server
----- output end -----
a skips inside ... ok (499µs)
a skips by option ... ignored (0ms)
a todo ... ignored (0ms)
a async ...
  sub ... ok (0ms)
a async ... ok (1ms)

FAILED | 3 passed (1 step) | 1 failed | 2 ignored (17ms)

error: Test failed
`;

const bunOutput = `a_test.ts:
(pass) a passes [2.33ms]
(fail) a fails [2.43ms]
LEFT OUT: no server
(skip) a skips inside [0.09ms]
(skip) a skips by option
(todo) a todo
(pass) a async [0.48ms]

 2 pass
 2 skip
 1 todo
 1 fail
Ran 6 tests across 1 file. [68.00ms]
`;

const nodeOutput = `LEFT OUT: no server
✔ a passes (0.707385ms)
✖ a fails (0.748086ms)
﹣ a skips inside (0.653804ms) # no server
ℹ tests 7
ℹ suites 0
ℹ pass 3
ℹ fail 1
ℹ cancelled 1
ℹ skipped 2
ℹ todo 1
ℹ duration_ms 177.54592
`;

test("countsOf() reads what Deno prints; a test skipped inside is not a passed one", () => {
  const counts = countsOf({ runtime: "deno", output: denoOutput, exitCode: 1 });
  deepEqual(counts, { passed: 2, failed: 1, skipped: 3 });
});

test("countsOf() does not take what a module left out before its tests for a skipped test", () => {
  const output =
    "LEFT OUT: x\nrunning 1 test from ./a_test.ts\na passes ... ok (1ms)\n\nok | 1 passed | 0 failed (6ms)\n";
  deepEqual(countsOf({ runtime: "deno", output, exitCode: 0 }), { passed: 1, failed: 0, skipped: 0 });
});

test("countsOf() reads what Bun prints", () => {
  const counts = countsOf({ runtime: "bun", output: bunOutput, exitCode: 1 });
  deepEqual(counts, { passed: 2, failed: 1, skipped: 3 });
});

test("countsOf() counts a file that Bun cannot load once", () => {
  const output =
    "error: Cannot find module './not_there.ts'\n\n 0 pass\n 1 fail\n 1 error\nRan 1 test across 1 file.\n";
  deepEqual(countsOf({ runtime: "bun", output, exitCode: 1 }), { passed: 0, failed: 1, skipped: 0 });
});

test("countsOf() reads what Node prints", () => {
  const counts = countsOf({ runtime: "node", output: nodeOutput, exitCode: 1 });
  deepEqual(counts, { passed: 3, failed: 2, skipped: 3 });
});

test("countsOf() takes the last summary, as a test may print one", () => {
  deepEqual(countsOf({ runtime: "bun", output: " 9 pass\n 1 fail\n\n 2 pass\n 0 fail\n", exitCode: 0 }), {
    passed: 2,
    failed: 0,
    skipped: 0,
  });
});

test("countsOf() calls a command failed that names no failure but ended so", () => {
  for (const runtime of ["deno", "bun", "node"] as const) {
    deepEqual(countsOf({ runtime, output: "error: Module not found", exitCode: 1 }).failed, 1);
  }
  deepEqual(countsOf({ runtime: "node", output: nodeOutput.replace("fail 1", "fail 0"), exitCode: 7 }).failed, 1);
});

test("countsOf() calls a file failed in which there was no test", () => {
  const output = "running 0 tests from ./n_test.ts\n\nok | 0 passed | 0 failed (6ms)\n";
  deepEqual(countsOf({ runtime: "deno", output, exitCode: 0 }), { passed: 0, failed: 1, skipped: 0 });
});

test("leftOutOf() gives each reason once", () => {
  deepEqual(leftOutOf(`${denoOutput}${bunOutput}  LEFT OUT: no Postgres  \nwas LEFT OUT: never`), [
    "no server",
    "no Postgres",
  ]);
});
