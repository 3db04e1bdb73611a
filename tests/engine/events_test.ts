// What tasks measure arrives at who publishes. Judge: the registry of Prometheus's client, against the rows, shards and
// faults that were put in; the schema of events of WIRE_FORMATS 23.2.
import { deepEqual, equal, match, ok, throws } from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Registry } from "prom-client";
import { memoryStore, type ShardyfusionEvent } from "../../mod.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { type Job, parseAttempts, publishJob, renderAttempt, TaskEventLog } from "../../src/engine/mod.ts";
import { StoreError } from "../../src/errors.ts";
import { prometheusMetrics } from "../../src/metrics/prometheus.ts";
import { faultStore, ManualClock } from "../../src/testing/mod.ts";
import { shardy, withFolder } from "../cli/run_shardy.ts";
import { eventTable } from "../metrics/event_table.ts";
import { arrowStream, columnsOf } from "./arrow_tables.ts";
import { built, newJob, routed } from "./small_jobs.ts";

const ROWS = Array.from({ length: 1200 }, (_, row) => ({ id: BigInt(row), body: `value ${row}` }));
const backend = sqliteBackend();

/** A job that was planned an hour before the clock's time. */
function plannedJob(clock: ManualClock, spec: Record<string, unknown> = {}): Job {
  const startedAtMicros = clock.nowMicros() - 3_600_000_000;
  const key = "runs/2026-01-01T00:00:00.000000Z_run_id=run_00000000000000000000000000000000/run.yaml";
  return { ...newJob(spec), runRecord: { key, startedAtMicros, leaseMs: 86_400_000 } };
}

function watching() {
  const registry = new Registry();
  const events: ShardyfusionEvent[] = [];
  const count = prometheusMetrics({ registry });
  const onEvent = (event: ShardyfusionEvent): void => {
    events.push(event);
    count(event);
  };
  /** The value of a sample of the page that Prometheus scrapes. */
  const sample = async (name: string): Promise<number> => {
    const page = await registry.metrics();
    return Number(new RegExp(`^shardyfusion_${name} (\\S+)$`, "m").exec(page)?.[1]);
  };
  return { events, onEvent, sample };
}

test("publishJob() tells of all tasks, each once: shards, rows, retries, and the time since planning", async () => {
  const clock = new ManualClock();
  const store = memoryStore();
  const job = plannedJob(clock, { retry: { initialBackoffMs: 1500 } });
  const { rows } = await routed(job, columnsOf(ROWS), { record: { store, task: 0 }, clock });
  clock.advance(60_000);
  const rowsOf = (...shards: number[]) => columnsOf(rows.filter((row) => shards.includes(row["shard_id"] as number)));
  // Two tasks, of which one has two shards, and one of these fails once; and a loser.
  let faults = 0;
  const fault = ({ kind }: { kind: string }) =>
    kind === "UPLOAD" && faults++ === 0 ? { moment: "before" } as const : null;
  const lines = [
    ...await built(job, rowsOf(0, 2), { store: faultStore(store, { fault }), clock }),
    ...await built(job, rowsOf(1), { store, clock }),
    ...await built(job, rowsOf(1), { store, clock, attempt: 3, taskAttemptId: 8 }),
  ].map((attempt) => renderAttempt(job.runId, attempt));
  // In any order, and again.
  const attempts = parseAttempts([...lines.toReversed(), ...lines].join(""), { name: "lines", job });
  const { events, onEvent, sample } = watching();
  const { winners, warnings } = await publishJob(job, { store, backend, attempts, onEvent, clock });
  deepEqual([winners.length, warnings], [3, []]);

  equal(await sample("writes_started_total"), 1);
  equal(await sample("writes_completed_total"), 1);
  equal(await sample("shard_writes_completed_total"), 4, "three shards, and one that lost");
  equal(await sample("shard_write_duration_seconds_count"), 4);
  equal(await sample("write_duration_seconds_sum"), 3600 + 60 + 1.5);
  const ofRows = (event: ShardyfusionEvent) => event.name === "write.shard.completed" ? event.payload.row_count : 0;
  const perShard = [0, 1, 2].map((shard) => rows.filter((row) => row["shard_id"] === shard).length);
  equal(events.reduce((sum, event) => sum + ofRows(event), 0), 1200 + perShard[1]!);
  const names = events.map(({ name }) => name);
  equal(names.filter((name) => name === "write.shard.retried").length, 1);
  deepEqual([names[0], names[1]], ["write.started", "write.sharding_completed"]);
  deepEqual(
    names.filter((name) => !name.startsWith("write.shard.")).slice(2),
    ["write.shards_completed", "write.manifest_published", "write.current_published", "write.completed"],
  );
  deepEqual(events[1]!.payload, { "elapsed_ms": 3_600_000, "duration_ms": 3_600_000 });
  const completed = events.find(({ name }) => name === "write.shards_completed")!;
  deepEqual(completed.payload, { "elapsed_ms": 3_661_500, "duration_ms": 3_661_500, "rows_written": 1200 });
  for (const { name, payload } of events) deepEqual(Object.keys(payload).sort(), eventTable[name]!.toSorted());

  const seen = events.length;
  equal((await publishJob(job, { store, backend, attempts, onEvent, clock })).isRepeated, true);
  equal(events.length, seen, "published before: nothing is counted again");
});

test("buildStage() limits each worker; publishJob() that misses a shard counts nothing, and takes events from the store as well", async () => {
  const clock = new ManualClock();
  const store = memoryStore();
  const job = newJob({ rateLimit: { rowsPerSecond: 100 }, batch: { rowsMax: 50 } });
  const { rows } = await routed(job, columnsOf(ROWS), { clock });
  const { events, onEvent, sample } = watching();
  for (const shard of [0, 1, 2]) {
    const columns = columnsOf(rows.filter((row) => row["shard_id"] === shard));
    const beganMs = clock.monotonicMs();
    await built(job, columns, { store, clock });
    const tookSeconds = (clock.monotonicMs() - beganMs) / 1000;
    ok(Math.abs(tookSeconds - (columns["id"]!.length / 100 - 1)) < 0.1, `${tookSeconds} s for one worker`);
    if (shard === 2) continue;
    await publishJob(job, { store, backend, rowCount: 1200, onEvent, clock }).catch(() => {});
    deepEqual(events, []);
  }
  await publishJob(job, { store, backend, rowCount: 1200, onEvent, clock });
  equal(await sample("shard_writes_completed_total"), 3);
  // Each worker may have 100 rows at once, and 100 more in each second.
  const waited = await sample("rate_limiter_wait_seconds_sum");
  ok(Math.abs(waited - (1200 / 100 - 3)) < 0.1, `${waited} s`);
  ok(await sample("rate_limiter_throttled_total") > 3);
  equal(events.some(({ name }) => name === "write.sharding_completed"), false, "nobody has recorded when that was");
});

test("TaskEventLog keeps what a line can hold, and publishJob() says what it lacks", async () => {
  const store = memoryStore();
  const job = newJob();
  const eventLog = new TaskEventLog();
  const retry = { name: "s3.retry", payload: { attempt: 1, "backoff_s": 0.5 } } as const;
  for (let count = 0; count < 700; count++) eventLog.add(retry);
  const attempts = await built(job, columnsOf(ROWS), { store, eventLog });
  const lines = attempts.map((attempt) => renderAttempt(job.runId, attempt));
  equal(JSON.parse(lines[0]!).events.length, 500 + 6);
  deepEqual(JSON.parse(lines[0]!)["events_left_out"], { "s3.retry": 200 });
  deepEqual(lines.slice(1).map((line) => JSON.parse(line).events), [[], []]);
  ok(!lines.join("").includes("write.batch_written"));
  deepEqual(parseAttempts(lines.join(""), { name: "lines", job }), attempts);
  const { onEvent, sample } = watching();
  const { warnings } = await publishJob(job, { store, backend, rowCount: 1200, onEvent });
  equal(await sample("s3_retries_total"), 500);
  deepEqual(warnings, ["events are missing that had no room in the lines of tasks: 200 of s3.retry"]);
});

test("publishJob() is not disturbed by sinks that throw, nor by lines of older workers and data frames", async () => {
  const store = memoryStore();
  const job = newJob();
  const attempts = await built(job, columnsOf(ROWS), { store });
  const without = attempts.map((attempt) => {
    const { events: _, ...fields } = JSON.parse(renderAttempt(job.runId, attempt));
    return JSON.stringify(attempt.shardId === 0 ? { ...fields, events: null } : fields);
  });
  const read = parseAttempts(without.join("\n"), { name: "lines", job });
  const onEvent = (): void => {
    throw new StoreError("Cannot count", { url: "x", status: 500, retryable: false });
  };
  equal((await publishJob(job, { store, backend, attempts: read, rowCount: 1200, onEvent })).isRepeated, false);
  const fields = JSON.parse(without[0]!);
  for (const events of [7, [7], [{}], [{ event: 1 }]]) {
    const wrong = JSON.stringify({ ...fields, events });
    throws(() => parseAttempts(wrong, { name: "lines", job }), /"events" must be a list of events/);
  }
});

test("shardy publish --events writes what the workers have measured, as lines of a log", async () => {
  await withFolder(async (folder) => {
    const [path, lines, events] = ["job.json", "lines", "events.jsonl"].map((name) => join(folder, name));
    const place = ["--current-url", join(folder, "people", "_CURRENT")];
    const planned = ["plan", "--key", "id", "--key-encoding", "u64be", "--value", "body", "--shards", "2"];
    equal((await shardy([...place, ...planned, "--output", path!])).exitCode, 0);
    const input = arrowStream(columnsOf(ROWS));
    const { stdout } = await shardy(["worker", "build", "--job", path!, "--quiet"], { input });
    await writeFile(lines!, stdout + stdout);
    const publish = ["publish", "--job", path!, "--rows", "1200", lines!, "--events"];
    const nowhere = await shardy([...publish, join(folder, "missing", "events")]);
    deepEqual([nowhere.exitCode, /Cannot write/.test(nowhere.stderr)], [1, true]);
    const { exitCode, stderr } = await shardy([...publish, events!]);
    equal(exitCode, 0, stderr);
    const found = (await readFile(events!, "utf8")).trimEnd().split("\n").map((line) => JSON.parse(line));
    const shards = found.filter(({ event }) => event === "write.shard.completed");
    deepEqual([shards.length, shards.reduce((sum, { row_count }) => sum + row_count, 0)], [2, 1200]);
    equal(found.at(-1).event, "write.completed");
    match(found[0].timestamp, /^\d{4}-/);
  });
});
