// Judge: the table of WIRE_FORMATS 23.2 in event_table.ts. Every name of it is emitted by some scenario.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import {
  type Clock,
  memoryStore,
  openSnapshot,
  type ShardyfusionEvent,
  singleShard,
  writeSnapshot,
} from "../../mod.ts";
import { ManualClock } from "../../src/testing/mod.ts";
import { scenarios } from "./event_scenarios.ts";
import { eventTable } from "./event_table.ts";

/** Events that nobody emits here, with the reason. There are none. */
const NEVER: Readonly<Record<string, string>> = {};

/** Events of ours, which the table does not know. */
const OURS = ["write.run_record_failed", "write.unfenced"];

for (const { title, emits, run } of scenarios) {
  test(`EventSink: ${title} tells ${emits.length} kinds of events, with the payloads of the table`, async () => {
    const events: ShardyfusionEvent[] = [];
    await run((event) => events.push(event));
    const names = new Set(events.map(({ name }) => name as string));
    deepEqual([...names].sort(), [...emits].sort());
    for (const { name, payload } of events) {
      ok(!OURS.includes(name), name);
      deepEqual(Object.keys(payload).sort(), [...eventTable[name]!].sort(), name);
      for (const [field, value] of Object.entries(payload)) {
        if (field.endsWith("_ms")) ok(Number.isSafeInteger(value) && value >= 0, `${name}: ${field} is ${value}`);
      }
    }
  });
}

test("EventSink: every event of the table is emitted by a scenario, or listed with a reason", () => {
  const emitted = new Set(scenarios.flatMap(({ emits }) => emits));
  equal(Object.keys(eventTable).length, 28);
  for (const name of Object.keys(eventTable)) ok(emitted.has(name) !== name in NEVER, name);
});

test("reader.get() measures nothing where nobody listens: it looks at no clock", async () => {
  const store = memoryStore();
  await writeSnapshot([1, 2, 3], { store, sharding: singleShard(), key: (id) => id, value: (id) => `${id}` });
  const clock = new ManualClock();
  let looks = 0;
  const watched: Clock = {
    nowMicros: () => (looks++, clock.nowMicros()),
    monotonicMs: () => (looks++, clock.monotonicMs()),
    sleep: (ms, signal) => clock.sleep(ms, signal),
    every: (ms, action) => clock.every(ms, action),
  };
  for (const [options, perGet] of [[{}, 0], [{ onEvent: () => {} }, 2]] as const) {
    await using reader = await openSnapshot({ store, clock: watched, ...options });
    looks = 0;
    for (let count = 0; count < 10; count++) ok(await reader.get(2));
    equal(looks, 10 * perGet);
  }
});

test("EventSink: a write tells its events in the order in which things happen", async () => {
  const events: ShardyfusionEvent[] = [];
  await scenarios[0]!.run((event) => events.push(event));
  const firsts = [...new Set(events.map(({ name }) => name))];
  deepEqual(firsts, [...scenarios[0]!.emits]);
  const elapsed = events.map(({ payload }) => (payload as { elapsed_ms: number })["elapsed_ms"]);
  deepEqual(elapsed, [...elapsed].sort((left, right) => left - right));
  const batches = events.filter(({ name }) => name === "write.batch_written");
  equal(batches.reduce((sum, { payload }) => sum + (payload as { batch_size: number })["batch_size"], 0), 100);
});
