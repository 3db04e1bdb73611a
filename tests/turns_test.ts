// Judges: timers of the runtime, which come only when the thread is left to them.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { hashSharding, memoryStore, writeSnapshot } from "../mod.ts";
import { slatedbBackend } from "../src/backends/slatedb_backend.ts";
import { sqliteBackend } from "../src/backends/sqlite_backend.ts";
import { type Clock, systemClock } from "../src/clock.ts";
import { turnsOf } from "../src/turns.ts";

/** A clock by which so much time passes between two looks at it. */
function steppingClock(stepMs: number): Clock {
  let nowMs = 0;
  return { ...systemClock(), monotonicMs: () => nowMs += stepMs };
}

test("Turns are over after eight milliseconds, and begin again for all who share a clock", async () => {
  let nowMs = 0;
  const clock = { ...systemClock(), monotonicMs: () => nowMs };
  const turns = turnsOf(clock);
  equal(turnsOf(clock), turns);
  deepEqual([turns.isOver, (nowMs = 8, turns.isOver), (nowMs = 9, turns.isOver)], [false, false, true]);
  let fired = false;
  setTimeout(() => fired = true, 0);
  const waiting = [turns.end(), turns.end()];
  equal(waiting[0], waiting[1]);
  await Promise.all(waiting);
  equal(turns.isOver, false);
  for (let turn = 0; turn < 1000 && !fired; turn++) await turns.end();
  ok(fired, "timers have their turn");
});

for (const [name, backend] of Object.entries({ slatedb: slatedbBackend(), sqlite: sqliteBackend() })) {
  test(`writeSnapshot() to ${name} lets timers come while rows are packed, sorted and built`, async () => {
    const value = new Uint8Array(100);
    async function turnsOfBuild(clock: Clock): Promise<number> {
      let turns = 0;
      let isOver = false;
      const { setImmediate } = globalThis as unknown as { setImmediate(action: () => void): void };
      const count = (): void => void (++turns, isOver || setImmediate(count));
      setImmediate(count);
      await writeSnapshot(Array.from({ length: 150_000 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 0), {
        ...{ store: memoryStore(), sharding: hashSharding({ shards: 1 }), backend, clock },
        key: (row) => row,
        value: () => value,
      });
      isOver = true;
      return turns;
    }
    // As if each look came ten milliseconds after the one before: then every look ends a turn.
    const often = await turnsOfBuild(steppingClock(10));
    const never = await turnsOfBuild(steppingClock(0));
    ok(often - never > 50, `${often} turns, and ${never} where no time passes`);
  });
}
