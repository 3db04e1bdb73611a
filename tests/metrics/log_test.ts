// Judge: WIRE_FORMATS 23.3, lines written by hand, and what console is given.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { ConfigValidationError, ShardWriteError, type ShardyfusionEvent } from "../../mod.ts";
import { logEvents, logFailure } from "../../src/metrics/log.ts";
import { ManualClock } from "../../src/testing/mod.ts";
import { scenarios } from "./event_scenarios.ts";
import { eventTable } from "./event_table.ts";

test("logEvents() writes time, level, logger and event, then the payload, on one line", () => {
  const lines: string[] = [];
  const clock = new ManualClock(Date.UTC(2026, 10, 21, 2, 3, 4, 567) * 1000);
  const onEvent = logEvents((line) => lines.push(line), { clock });
  onEvent({ name: "write.shard.retried", payload: { "elapsed_ms": 7, "db_id": 3, attempt: 1, "backoff_s": 0.5 } });
  onEvent({ name: "vector.reader.closed", payload: {} });
  deepEqual(lines, [
    '{"timestamp":"2026-11-21T02:03:04.567Z","level":"WARNING","logger":"shardyfusion.write.shard",' +
    '"event":"write.shard.retried","elapsed_ms":7,"db_id":3,"attempt":1,"backoff_s":0.5}',
    '{"timestamp":"2026-11-21T02:03:04.567Z","level":"INFO","logger":"shardyfusion.vector.reader",' +
    '"event":"vector.reader.closed"}',
  ]);
});

test("logFailure() writes severity and error, with the level that the severity has in the Python package", () => {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  const clock = new ManualClock(Date.UTC(2026, 10, 21) * 1000);
  const event = "write.failed";
  const passing = new ShardWriteError("Cannot write shard 3", [3]);
  logFailure(write, passing, { event, clock });
  logFailure(write, new ConfigValidationError('Cannot use "a"', "a"), { event, clock, fields: { "run_id": "run" } });
  logFailure(write, passing, { event, clock, severity: "critical" });
  logFailure(write, new TypeError("GET https://me:pw@host/?sig=00ff"), { event: "failed", clock });
  logFailure(write, "password=hunter2", { event, clock });
  const head = (level: string) => `{"timestamp":"2026-11-21T00:00:00.000Z","level":"${level}",`;
  const tail = '"logger":"shardyfusion.write","event":"write.failed",';
  const shard = String.raw`"error":"ShardWriteError(\"Cannot write shard 3\")"}`;
  deepEqual(lines, [
    `${head("WARNING")}${tail}"severity":"transient",${shard}`,
    head("ERROR") + tail +
    String.raw`"severity":"error","error":"ConfigValidationError(\"Cannot use \\\"a\\\"\")","run_id":"run"}`,
    `${head("CRITICAL")}${tail}"severity":"critical",${shard}`,
    `${head("ERROR")}"logger":"shardyfusion","event":"failed","severity":"error",` +
    String.raw`"error":"TypeError(\"GET https://***@host/?sig=***\")"}`,
    `${head("ERROR")}${tail}"severity":"error","error":"password=***"}`,
  ]);
});

test("logEvents() leaves out what matters less than it is told", async () => {
  const levels = { "DEBUG": 4, "INFO": 3, "WARNING": 2, "ERROR": 1 } as const;
  for (const [levelMin, kinds] of Object.entries(levels)) {
    const seen = new Set<string>();
    const onEvent = logEvents((line) => seen.add(JSON.parse(line).level), { levelMin: levelMin as "DEBUG" });
    for (const { run } of scenarios) await run(onEvent);
    deepEqual(seen.size, kinds, levelMin);
    ok(seen.has(levelMin));
  }
});

test("logEvents() writes every event of the table as one object", async () => {
  const events: ShardyfusionEvent[] = [];
  const lines: string[] = [];
  const onEvent = logEvents((line) => lines.push(line));
  for (const { run } of scenarios) {
    await run((event) => {
      events.push(event);
      onEvent(event);
    });
  }
  equal(lines.length, events.length);
  for (const [index, line] of lines.entries()) {
    ok(!line.includes("\n"));
    const { timestamp, level, logger, event, ...payload } = JSON.parse(line);
    ok(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(timestamp) && /^[A-Z]+$/.test(level));
    ok(logger.startsWith("shardyfusion."));
    equal(event, events[index]!.name);
    deepEqual(Object.keys(payload).sort(), [...eventTable[event]!].sort());
  }
});

test("Writers, readers and stores write nothing to the console unless they are told to", async () => {
  const written: unknown[] = [];
  const methods = ["log", "info", "warn", "error", "debug", "trace"] as const;
  const originals = methods.map((method) => console[method]);
  for (const method of methods) console[method] = (...values: unknown[]) => void written.push(...values);
  try {
    for (const { run } of scenarios) await run(() => {});
  } finally {
    for (const [index, method] of methods.entries()) console[method] = originals[index]!;
  }
  deepEqual(written, []);
});
