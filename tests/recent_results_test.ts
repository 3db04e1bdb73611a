import { deepEqual, equal, rejects } from "node:assert/strict";
import { test } from "node:test";
import { RecentResults } from "../src/recent_results.ts";

/** Results that are ten times their number; 13 has none. */
function timesTen(countMax: number): { results: RecentResults<number>; asked: number[]; dropped: number[] } {
  const asked: number[] = [];
  const dropped: number[] = [];
  const results = new RecentResults<number>({
    countMax,
    async find(key, signal) {
      asked.push(key);
      await new Promise((resolve) => setTimeout(resolve, 1));
      signal.throwIfAborted();
      if (key === 13) throw new Error("unlucky");
      return key * 10;
    },
    onDrop: (value) => void dropped.push(value),
  });
  return { results, asked, dropped };
}

test("RecentResults.get() keeps those asked for last, and no more", async () => {
  const { results, asked, dropped } = timesTen(3);
  for (const key of [1, 2, 3]) equal(await results.get(key), key * 10);
  equal(results.get(1), 10);
  equal(await results.get(4), 40);
  deepEqual([1, 2, 3, 4].map((key) => results.peek(key)), [10, undefined, 30, 40]);
  deepEqual([asked, dropped], [[1, 2, 3, 4], [20]]);
  for (let key = 100; key < 200; key++) await results.get(key);
  equal(dropped.length, 101);
  results.clear();
  deepEqual([dropped.length, results.peek(199)], [104, undefined]);
});

test("RecentResults.get() finds a result once for all who ask meanwhile", async () => {
  const { results, asked } = timesTen(1);
  deepEqual(await Promise.all([results.get(5), results.get(6), results.get(5)]), [50, 60, 50]);
  deepEqual(asked, [5, 6]);
});

test("RecentResults.get() does not remember failures", async () => {
  const { results, asked } = timesTen(2);
  await Promise.all([1, 2].map(() => rejects(async () => await results.get(13), /unlucky/)));
  await rejects(async () => await results.get(13), /unlucky/);
  deepEqual(asked, [13, 13]);
});

test("RecentResults.get() goes on for others when one leaves, and begins anew when all have left", async () => {
  const { results, asked } = timesTen(2);
  const leaving = new AbortController();
  const left = rejects(async () => await results.get(7, leaving.signal), /gone/);
  const other = results.get(7);
  leaving.abort(new Error("gone"));
  await left;
  equal(await other, 70);
  const alone = new AbortController();
  const ended = rejects(async () => await results.get(8, alone.signal), /gone/);
  alone.abort(new Error("gone"));
  await ended;
  equal(await results.get(8), 80);
  deepEqual(asked, [7, 8, 8]);
});
