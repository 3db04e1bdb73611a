// Judge: the engine's own sort of the keys as byte strings.
import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { systemClock } from "../../src/clock.ts";
import { turnsOf } from "../../src/turns.ts";
import { RowTable, sortRows } from "../../src/write/sort_rows.ts";
import { packed, type Row } from "./packed.ts";

function expected(keys: readonly string[]): number[] {
  const last = new Map(keys.map((key, index) => [key, index]));
  return [...last.entries()].sort(([left], [right]) => left < right ? -1 : 1).map(([, index]) => index);
}

async function sortKeys(keys: readonly string[], perBatch: number): Promise<number[]> {
  const batches = [];
  for (let at = 0; at < keys.length; at += perBatch) {
    batches.push(packed(keys.slice(at, at + perBatch).map((key): Row => [key, "v"])));
  }
  return [...await sortRows(new RowTable(batches), turnsOf(systemClock()))];
}

const byteString = (unit: string, maxLength: number) =>
  fc.array(fc.integer({ min: 0, max: unit === "binary" ? 1 : 255 }), { maxLength })
    .map((bytes) => String.fromCharCode(...bytes));

test("sortRows() orders any keys by their bytes and keeps the last arrival of each", async () => {
  for (const unit of ["binary", "any"]) {
    await fc.assert(
      fc.asyncProperty(
        fc.array(byteString(unit, 20), { maxLength: 400 }),
        fc.string({ maxLength: 30 }).map((text) => Buffer.from(text).toString("latin1")),
        fc.integer({ min: 1, max: 50 }),
        async (keys, prefix, perBatch) => {
          const long = keys.map((key) => prefix + key);
          deepEqual(await sortKeys(long, perBatch), expected(long));
        },
      ),
      { numRuns: 150 },
    );
  }
});

test("sortRows() orders many keys: radix sort over several levels", async () => {
  let state = 1;
  const random = (below: number) => (state = (Math.imul(state, 48271) >>> 0) % 2147483647) % below;
  const makers: (() => string)[] = [
    () => String.fromCharCode(...Array.from({ length: 8 }, () => random(256))),
    () => `user:${String(random(3000)).padStart(20, "0")}`,
    () => "x".repeat(random(40)),
    () => "ab".repeat(random(8)) + "\0".repeat(random(4)),
    () => "same",
  ];
  for (const make of makers) {
    const keys = Array.from({ length: 70_000 }, make);
    deepEqual(await sortKeys(keys, 3000), expected(keys));
  }
});
