// What the grace period of cleanUp counts from. The judge is the order in which snapshots were current.
import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import { cleanUp } from "../../src/snapshots/clean_up.ts";
import { rollBack } from "../../src/snapshots/history.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { renderPointer } from "../../src/snapshots/pointer.ts";
import { Series } from "./series.ts";
import { watchedStore } from "./watched_store.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

test("cleanUp() counts the grace period from when another snapshot took the place, also by a roll back (P5)", async () => {
  const series = new Series();
  const { store, clock } = series;
  const refs: string[] = [];
  for (let run = 0; run < 4; run++) {
    refs.push(await series.publish());
    clock.advance(DAY_MS);
  }
  const options = { keep: 1, clock };
  const reasons = async (): Promise<unknown[]> =>
    (await cleanUp(store, { ...options, dryRun: true })).kept.map((
      { ref, reasons },
    ) => [refs.indexOf(ref), ...reasons]);
  deepEqual(await reasons(), [[3, "current", "newest"]]);
  // Back and forth within an hour: none of the stamps tells that 1 and 2 were current lately.
  for (const index of [1, 2, 3]) {
    await rollBack(store, { ref: refs[index]!, clock });
    clock.advance(HOUR_MS / 4);
  }
  refs.push(await series.publish());
  // Roll backs leave no manifests: nobody can exclude that 0 was among what was current then.
  const old = [[2, "grace"], [1, "grace"], [0, "grace"]];
  deepEqual(await reasons(), [[4, "current", "newest", "grace"], [3, "grace"], ...old]);
  clock.advance(HOUR_MS * 0.8);
  deepEqual(await reasons(), [[4, "current", "newest", "grace"], [3, "grace"]]);
  await cleanUp(store, options);
  const pointer = (await objectManifestStore(store).loadCurrent())!;
  deepEqual(pointer.previous, [refs[3]]);
  // That the clean-up has moved the pointer does not count anew.
  clock.advance(HOUR_MS * 0.3);
  deepEqual(await reasons(), [[4, "current", "newest"]]);
});

test("cleanUp() takes what no pointer remembers as replaced by the next newer snapshot (P5)", async () => {
  const series = new Series();
  const { store, clock } = series;
  const refs: string[] = [];
  for (let run = 0; run < 4; run++) {
    refs.push(await series.publish());
    clock.advance(run === 3 ? 0 : HOUR_MS / 2);
  }
  const reasons = async (): Promise<unknown[]> =>
    (await cleanUp(store, { keep: 1, graceMs: 0.6 * HOUR_MS, clock, dryRun: true })).kept
      .map(({ ref, reasons }) => [refs.indexOf(ref), ...reasons]);
  const expected = [[3, "current", "newest", "grace"], [2, "grace"], [1, "grace"]];
  deepEqual(await reasons(), expected);
  // As the Python package leaves it.
  const pointer = (await objectManifestStore(store).loadCurrent())!;
  await store.put("_CURRENT", renderPointer({ ...pointer, previous: null }));
  deepEqual(await reasons(), expected);
});

test("cleanUp() keeps what was chosen and replaced again while it announced the removal (P5)", async () => {
  const series = new Series();
  const { clock } = series;
  const refs: string[] = [];
  for (let run = 0; run < 3; run++) {
    refs.push(await series.publish());
    clock.advance(DAY_MS);
  }
  let isDone = false;
  const store = watchedStore(series.store, {
    onRequest: async ({ method, key }, send) => {
      if (method === "put" && key.startsWith("removals/") && !isDone) {
        isDone = true;
        await rollBack(series.store, { ref: refs[0]!, clock });
        await rollBack(series.store, { ref: refs[2]!, clock });
      }
      return await send();
    },
  });
  const { kept, manifests } = await cleanUp(store, { keep: 1, clock });
  // Nobody can exclude that 1 was current meanwhile, too.
  const expected = [[2, "current", "newest"], [1, "grace"], [0, "grace"]];
  deepEqual(kept.map(({ ref, reasons }) => [refs.indexOf(ref), ...reasons]), expected);
  deepEqual(manifests, []);
  deepEqual((await objectManifestStore(series.store).loadCurrent())!.previous, [refs[0], refs[1]]);
});

test("cleanUp() knows until when each snapshot was current where manifests say what they replaced (P5)", async () => {
  const series = new Series();
  const { store, clock } = series;
  const refs: string[] = [];
  for (let run = 0; run < 6; run++) {
    refs.push(await series.publish());
    clock.advance(HOUR_MS);
    // Clean-ups move the pointer, too, and must not make it forget.
    if (run === 3) await cleanUp(store, { keep: 2, graceMs: 1.5 * HOUR_MS, clock });
  }
  const kept = async (): Promise<number[]> => {
    const plan = await cleanUp(store, { keep: 1, graceMs: 2.5 * HOUR_MS, clock, dryRun: true });
    return plan.kept.map(({ ref }) => refs.indexOf(ref));
  };
  // Replaced one hour and two hours ago; 2 was replaced three hours ago.
  deepEqual(await kept(), [5, 4, 3]);
  // A roll back to 4, which had been replaced: what came before is not told apart any more.
  await rollBack(store, { ref: refs[4]!, clock });
  deepEqual(await kept(), [5, 4, 3, 2]);
  clock.advance(2.6 * HOUR_MS);
  deepEqual(await kept(), [5, 4]);
});
