// What route stages have counted, on its way through the store. Judge: the rows that were put in.
import { deepEqual, equal, match, rejects, throws } from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { cleanUp, memoryStore } from "../../mod.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { loadCounts, parseCounts, publishJob, renderCounts } from "../../src/engine/mod.ts";
import { ConfigValidationError, ShardCoverageError } from "../../src/errors.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { shardy, withFolder } from "../cli/run_shardy.ts";
import { arrowRowsIn, arrowStream, columnsOf } from "./arrow_tables.ts";
import { built, keysIn, newJob, routed } from "./small_jobs.ts";

const ROWS = Array.from({ length: 600 }, (_, row) => ({ id: BigInt(row), body: `value ${row}` }));

test("publishJob() counts each task once, however often it was routed, and misses what is missing", async () => {
  const store = memoryStore();
  const job = newJob();
  const first = await routed(job, columnsOf(ROWS.slice(0, 350)), { record: { store, task: 0 } });
  await routed(job, columnsOf(ROWS.slice(350)), { record: { store, task: 123_456 } });
  const second = await routed(job, columnsOf(ROWS.slice(350)), { record: { store, task: 123_456 } });
  deepEqual(await keysIn(store), ["task=00000", "task=123456"].map((task) => `shards/run_id=run/_counts/${task}.json`));
  const { rowCount, rowsOffered } = (await loadCounts(job, { store }))!;
  equal(rowCount, 600);
  deepEqual(
    [...rowsOffered],
    [0, 1, 2].map((shard) => [shard, first.rowsOffered.get(shard)! + second.rowsOffered.get(shard)!]),
  );
  const backend = sqliteBackend();
  const all = [...first.rows, ...second.rows];
  const without = all.filter((row) => row["shard_id"] !== 2);
  await built(job, columnsOf(without), { store });
  await rejects(publishJob(job, { store, backend }), (error: ShardCoverageError) => {
    match(error.message, /no attempt at shards 2 has succeeded/);
    return error instanceof ShardCoverageError;
  });
  await built(job, columnsOf(all.filter((row) => row["shard_id"] === 2)), { store });
  const { winners, warnings } = await publishJob(job, { store, backend });
  equal(winners.reduce((sum, shard) => sum + shard.rowCount, 0), 600);
  deepEqual(warnings, []);
  deepEqual(await keysIn(store, "shards/run_id=run/_"), [], "they go with what else the run has left");
});

test("publishJob() prefers what it is told to what was recorded", async () => {
  const store = memoryStore();
  const job = newJob();
  await routed(job, columnsOf(ROWS), { record: { store, task: 0 } });
  await built(job, columnsOf(ROWS.slice(1)), { store });
  const backend = sqliteBackend();
  await rejects(publishJob(job, { store, backend }), ShardCoverageError);
  equal((await publishJob(job, { store, backend, rowCount: 599 })).isRepeated, false);
});

test("cleanUp() removes what tasks have counted with a run that is dead", async () => {
  const [store, publishing] = [memoryStore(), newJob()];
  await built(publishing, columnsOf(ROWS), { store });
  await publishJob(publishing, { store, backend: sqliteBackend() });
  const dead = { ...newJob(), runId: "dead" };
  await routed(dead, columnsOf(ROWS), { record: { store, task: 3 } });
  await built(dead, columnsOf(ROWS), { store });
  equal((await keysIn(store, "shards/run_id=dead/")).length > 4, true);
  await cleanUp(store, { graceMs: 0, includeUnknownAge: true });
  deepEqual(await keysIn(store, "shards/run_id=dead/"), []);
  equal((await keysIn(store, "shards/run_id=run/")).length > 0, true);
});

test("parseCounts() names what is wrong", () => {
  const read = (text: string) => () => parseCounts(text, { name: "0.json", job: newJob() });
  const counts = { "run_id": "run", "row_count": 3, "rows_offered": { "2": 3 } };
  deepEqual([...read(JSON.stringify(counts))().rowsOffered], [[2, 3]]);
  const cases: [wrong: object, message: RegExp][] = [
    [{ "run_id": "other" }, /0\.json as counts of this run as "run_id" must be "run": current value is "other"/],
    [{ "row_count": -1 }, /"row_count" must be a whole number: current value is -1/],
    [{ "rows_offered": { "3": 1 } }, /for shards from 0 to 2: it has 1 for "3"/],
    [{ "rows_offered": { "0": 1.5 } }, /it has 1\.5 for "0"/],
    [{ "rows_offered": [] }, /"rows_offered" must be an object of rows by shard/],
  ];
  for (const [wrong, message] of cases) throws(read(JSON.stringify({ ...counts, ...wrong })), message);
  throws(read("{"), ConfigValidationError);
});

test("routeStage() refuses numbers that are no task's, before it reads a row", async () => {
  const store = memoryStore();
  for (const task of [-1, 1.5, NaN, 2 ** 53]) {
    await rejects(
      routed(newJob(), columnsOf(ROWS), { record: { store, task } }),
      /"task" as it must be a whole number/,
    );
  }
  deepEqual(await keysIn(store), []);
});

test("shardy worker route --task records, and shardy publish finds it", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "job.json");
    const place = ["--current-url", join(folder, "people", "_CURRENT")];
    const planned = ["plan", "--key", "id", "--key-encoding", "u64be", "--value", "body", "--shards", "2"];
    equal((await shardy([...place, ...planned, "--output", path])).exitCode, 0);
    const job = ["--job", path];
    const input = arrowStream(columnsOf(ROWS));
    const out: Uint8Array<ArrayBuffer>[] = [];
    const stdoutBytes = (bytes: Uint8Array): Promise<void> => Promise.resolve(void out.push(new Uint8Array(bytes)));
    const counts = join(folder, "counts.json");
    const route = ["worker", "route", ...job, "--task", "7", "--counts", counts];
    const told = await shardy(route, { input, stdoutBytes });
    equal(told.exitCode, 0, told.stderr);
    match(told.stderr, /"task": 7, "row_count": 600/);
    const rows = arrowRowsIn(new Uint8Array(await new Blob(out).arrayBuffer()));
    const lines = await shardy(["worker", "build", ...job, "--quiet"], {
      input: arrowStream(columnsOf(rows.slice(1))),
    });
    equal(lines.exitCode, 0, lines.stderr);
    const short = await shardy(["publish", ...job]);
    deepEqual([short.exitCode, /was given \d+ rows and has \d+/.test(short.stderr)], [5, true], short.stderr);
    equal((await shardy(["publish", ...job, "--counts", counts])).exitCode, 5);
    await writeFile(counts, (await readFile(counts, "utf8")).replace('"run_id": "', '"run_id": "x'));
    const other = await shardy(["publish", ...job, "--counts", counts]);
    deepEqual([other.exitCode, /run_id.*must be/.test(other.stderr)], [2, true]);

    const again = await shardy(["worker", "build", ...job, "--attempt", "1"], { input: arrowStream(columnsOf(rows)) });
    equal(again.exitCode, 0, again.stderr);
    await writeFile(join(folder, "lines"), again.stdout);
    const published = await shardy(["publish", ...job, join(folder, "lines")]);
    deepEqual([published.exitCode, published.stderr], [0, ""]);
    for (
      const [args, message] of [
        [["route", ...job, "--task", "one"], /Invalid value for '--task'/],
        [["route", ...job, "--task", "-1"], /--task must be >= 0/],
        [["route", ...job, "--task", "9007199254740993"], /is not a valid integer/],
        [["build", ...job, "--task", "1"], /--task is for the stage route, and not for build/],
        [["route", ...job, "--attempt", "1"], /--attempt is for the stage build, and not for route/],
      ] as const
    ) {
      const refused = await shardy(["worker", ...args], { input, stdoutBytes });
      equal(refused.exitCode, 2);
      match(refused.stderr, message);
    }
  });
});

test("loadCounts() of many tasks asks for 16 at a time, and adds up all of them", async () => {
  const store = memoryStore();
  const job = newJob();
  for (let task = 0; task < 50; task++) {
    const counts = { rowCount: task, rowsOffered: new Map([[task % 3, task]]), endedAtMicros: task };
    const key = `shards/run_id=run/_counts/task=${String(task).padStart(5, "0")}.json`;
    await store.put(key, new TextEncoder().encode(renderCounts(job.runId, counts)));
  }
  let underWay = 0;
  let most = 0;
  const watched: ObjectStore = {
    ...store,
    list: store.list.bind(store),
    async get(key, options) {
      most = Math.max(most, ++underWay);
      await new Promise((resolve) => setTimeout(resolve, 1));
      underWay--;
      return await store.get(key, options);
    },
  };
  const { rowCount, rowsOffered, endedAtMicros } = (await loadCounts(job, { store: watched }))!;
  deepEqual([most, rowCount, endedAtMicros], [16, 1225, 49]);
  deepEqual([...rowsOffered.values()].reduce((sum, rows) => sum + rows), 1225);
});
