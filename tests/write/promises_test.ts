// Judge: one value in all rows of a snapshot, the JSON of the pointer, and a book of the objects that must be there;
// after every request of every program. `promise_judges_test.ts` shows that they notice.
import { ok } from "node:assert/strict";
import { test } from "node:test";
import { runCrash, runSeed, seedRange } from "./promise_scenarios.ts";

const { first, last, count } = seedRange();
const timeout = 4 * 3_600_000;

test(
  "P1 P2 P3 P4 P5 P6 writeSnapshot(), openSnapshot(), rollBack(), pin(), cleanUp(): all of them at once, with crashes",
  {
    timeout,
  },
  async () => {
    const counts: Record<string, number> = {};
    const crashedAt = new Set<number>();
    for (let seed = first; seed <= last; seed++) {
      const { series, crashAtRequest } = await runSeed(seed);
      for (const [name, times] of Object.entries(series.counts)) counts[name] = (counts[name] ?? 0) + times;
      if (series.counts.crashed > 0) crashedAt.add(crashAtRequest!);
    }
    console.log(`seeds ${first} to ${last}: ${JSON.stringify({ ...counts, crashedAt: crashedAt.size })}`);
    const wanted = [
      "published",
      "lost",
      "reused",
      "failed",
      "refreshed",
      "rolledBack",
      "pinned",
      "cleaned",
      "removed",
      "crashed",
    ];
    for (const name of wanted) ok(counts[name]! > count / 10, name);
    for (const name of ["suspended", "refused"]) ok(counts[name]! > count / 100, name);
    // Somebody crashes at each of the first 256 requests, where the series has as many.
    if (count >= 1000) ok(crashedAt.size >= 240, `${crashedAt.size} requests`);
  },
);

test("P1 P3 P5 P6 writeSnapshot(), cleanUp(): a crash at every request leaves the old snapshot or the new one", {
  timeout,
}, async () => {
  let crashes = 0;
  for (let seed = first; seed < first + Math.max(1, count / 1000); seed++) {
    for (let request = 1; await runCrash(seed, request); request++) crashes++;
  }
  ok(crashes > 50, `${crashes} crashes`);
});
