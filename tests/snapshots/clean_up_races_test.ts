// Clean-ups among publishes, roll backs and pins, their requests mixed in any order, and stopped at any of them. The
// judge is a book of the keys that each snapshot needs.
import { deepEqual, ok } from "node:assert/strict";
import { test } from "node:test";
import { env } from "node:process";
import fc from "fast-check";
import { ShardyfusionError } from "../../src/errors.ts";
import { cleanUp, type CleanUpOptions } from "../../src/snapshots/clean_up.ts";
import { history, rollBack } from "../../src/snapshots/history.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { type Pin, pin, unpin } from "../../src/snapshots/pins.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { outage } from "./publishing.ts";
import { type BegunRun, Series } from "./series.ts";
import { watchedStore } from "./watched_store.ts";

const HOUR_MS = 3_600_000;
const RUNS = env["SHARDYFUSION_SOAK"] === "1" ? 20_000 : 300;

type Action = "roll back" | "publish" | "pin" | "publish, reusing" | "finish" | "clean up";

const actions: fc.Arbitrary<{ kind: Action; place: number }[]> = fc.array(
  fc.record({
    kind: fc.constantFrom<Action[]>("roll back", "publish", "pin", "publish, reusing", "finish", "clean up"),
    place: fc.nat(9),
  }),
  { minLength: 1, maxLength: 4 },
);

const scenario = fc.record({
  /** Hours between one publish and the next. */
  gaps: fc.array(fc.constantFrom(0.2, 2, 30), { minLength: 2, maxLength: 5 }),
  rolledBackTo: fc.option(fc.nat(9)),
  pinned: fc.option(fc.nat(9)),
  keep: fc.integer({ min: 1, max: 3 }),
  /** The clean-up's process is gone from this request on. */
  crashAt: fc.option(fc.nat(40)),
  actions,
  order: fc.scheduler(),
});

/** One series and all who work on it. */
class Scene {
  readonly series = new Series();
  readonly refs: string[] = [];
  readonly held: Pin[] = [];
  /** What was current since they all began. */
  readonly current = new Set<string>();
  readonly order: fc.Scheduler;
  running: BegunRun | undefined;
  finished = false;

  constructor(order: fc.Scheduler) {
    this.order = order;
  }

  /** The store as one of them sees it: each request waits for its turn. */
  seenBy(actor: string, crashAt = Infinity): ObjectStore {
    const { store } = this.series;
    return watchedStore(store, {
      onRequest: async ({ index, method, key }, send) => {
        if (index >= crashAt) throw outage(store.url);
        await this.order.schedule(Promise.resolve(), `${actor}: ${method} ${key}`);
        const answer = await send();
        if (method === "put" && key === "_CURRENT") await this.noteCurrent();
        return answer;
      },
    });
  }

  async noteCurrent(): Promise<void> {
    this.current.add((await objectManifestStore(this.series.store).loadCurrent())!.ref);
  }

  at(place: number): string {
    return this.refs[place % this.refs.length]!;
  }

  async act({ kind, place }: { kind: Action; place: number }, options: CleanUpOptions): Promise<void> {
    const { clock } = this.series;
    const store = this.seenBy(kind);
    switch (kind) {
      case "roll back":
        return void await rollBack(store, { ref: this.at(place), clock });
      case "publish":
        return void await this.series.publish({}, store);
      case "pin":
        return void this.held.push(await pin(store, this.at(place), { until: null, clock }));
      case "publish, reusing": {
        // What a run names of an earlier one has to be pinned while it works.
        const current = await objectManifestStore(store).loadCurrent();
        const kept = await pin(store, current!.ref, { until: null, clock });
        await this.series.publish({ reused: this.series.shardKeys.get(current!.ref)!.slice(0, 1) }, store);
        return void await unpin(store, kept);
      }
      case "finish":
        if (this.finished) return;
        this.finished = true;
        return void await this.series.finish(this.running!, {}, store);
      case "clean up":
        return void await cleanUp(store, options);
    }
  }

  /** Nothing that anyone may still need is missing. */
  async check(graceMs: number): Promise<void> {
    const { series } = this;
    const present = await series.keys();
    const needed = (await history(series.store)).map(({ ref }) => ref);
    const current = await objectManifestStore(series.store).loadCurrent();
    needed.push(current!.ref, ...this.current, ...this.held.map(({ ref }) => ref));
    const young = series.clock.nowMicros() - graceMs * 1000;
    for (const [ref, { publishedAtMicros }] of series.published) if (publishedAtMicros > young) needed.push(ref);
    for (const ref of needed) deepEqual(series.missingOf(ref, present), [], `parts of ${ref} are missing`);
    deepEqual(this.running!.keys.filter((key) => !present.has(key)), []);
  }
}

test("cleanUp() never removes what the pointer, a pin, the grace period or a running run reaches (P3, P5)", async () => {
  const property = fc.asyncProperty(scenario, async (given) => {
    const scene = new Scene(given.order);
    const { series } = scene;
    const { clock, store } = series;
    for (const gapHours of given.gaps) {
      scene.refs.push(await series.publish());
      clock.advance(gapHours * HOUR_MS);
    }
    if (given.rolledBackTo !== null) await rollBack(store, { ref: scene.at(given.rolledBackTo), clock });
    if (given.pinned !== null) scene.held.push(await pin(store, scene.at(given.pinned), { until: null, clock }));
    await series.begin({ leaseMs: 0 });
    clock.advance(2 * HOUR_MS);
    scene.running = await series.begin();
    await scene.noteCurrent();

    const options = { keep: given.keep, clock };
    const cleaning = cleanUp(scene.seenBy("first", given.crashAt ?? Infinity), options);
    const all = [cleaning, ...given.actions.map((action) => scene.act(action, options))];
    const outcomes = await given.order.waitFor(Promise.allSettled(all));
    for (const outcome of outcomes) {
      // Conflicts and refusals are answers; anything else is a mistake.
      if (outcome.status === "rejected") ok(outcome.reason instanceof ShardyfusionError, String(outcome.reason));
    }
    const kinds = given.actions.map(({ kind }) => kind);
    const movers = kinds.filter((kind) => !["pin", "clean up"].includes(kind));
    // A publish that only clean-ups cross succeeds.
    if (movers.length === 1 && movers[0] === "publish") {
      deepEqual(outcomes[1 + kinds.indexOf("publish")]!.status, "fulfilled");
    }
    await scene.check(HOUR_MS);

    clock.advance(2 * HOUR_MS);
    scene.running = scene.finished ? scene.running : await series.begin();
    await cleanUp(store, options);
    const left = await cleanUp(store, { ...options, dryRun: true });
    deepEqual([left.manifests, left.runs, left.attempts], [[], [], []]);
    deepEqual([...await series.keys()].filter((key) => key.startsWith("removals/")), []);
  });
  await fc.assert(property, { numRuns: RUNS });
});

/** Does something while a clean-up is at its request `from`, pausing before the request `pauseBefore` until `to`. */
async function crossed(
  { from, to, pauseBefore }: { from: number; to: number; pauseBefore: RegExp },
  act: (series: Series, store: ObjectStore, refs: readonly string[]) => Promise<unknown>,
): Promise<{ requests: number; series: Series; refs: string[]; hasSucceeded: boolean }> {
  const series = new Series();
  const refs: string[] = [];
  for (let run = 0; run < 3; run++) {
    refs.push(await series.publish());
    series.clock.advance(2 * HOUR_MS);
  }
  const started = Promise.withResolvers<void>();
  const resumed = Promise.withResolvers<void>();
  let paused: () => void = () => {};
  const other = watchedStore(series.store, {
    onRequest: async ({ method, key }, send) => {
      if (pauseBefore.test(`${method} ${key}`)) {
        paused();
        await resumed.promise;
      }
      return await send();
    },
  });
  const acting = started.promise.then(() => act(series, other, refs)).then(() => true, (error) => {
    ok(error instanceof ShardyfusionError, String(error));
    return false;
  });
  let requests = 0;
  const cleaner = watchedStore(series.store, {
    onRequest: async ({ index }, send) => {
      requests++;
      if (index === from) {
        const reached = new Promise<void>((resolve) => paused = resolve);
        started.resolve();
        await Promise.race([reached, acting]);
      }
      if (index === to) {
        resumed.resolve();
        await acting;
      }
      return await send();
    },
  });
  await cleanUp(cleaner, { keep: 1, clock: series.clock });
  started.resolve();
  resumed.resolve();
  return { requests, series, refs, hasSucceeded: await acting };
}

const crossings: { name: string; pauseBefore: RegExp; act: Parameters<typeof crossed>[1]; mustSucceed?: true }[] = [
  {
    name: "a roll back",
    pauseBefore: /^put _CURRENT/,
    act: (series, store, refs) => rollBack(store, { ref: refs[0]!, clock: series.clock }),
  },
  {
    name: "a pin",
    pauseBefore: /^list removals/,
    act: (series, store, refs) => pin(store, refs[0]!, { until: null, clock: series.clock }),
  },
  {
    name: "a publish",
    pauseBefore: /^put _CURRENT/,
    act: (series, store) => series.publish({}, store),
    mustSucceed: true,
  },
];

for (const { name, pauseBefore, act, mustSucceed } of crossings) {
  test(`cleanUp() and ${name} between any two of its requests, at once or in two halves: both hold (P5)`, async () => {
    let successes = 0;
    for (let from = 0, requests = 1; from < requests; from++) {
      for (let to = from; to < requests; to++) {
        const outcome = await crossed({ from, to, pauseBefore }, act);
        requests = Math.max(requests, outcome.requests);
        const { series, refs, hasSucceeded } = outcome;
        const present = await series.keys();
        const current = await objectManifestStore(series.store).loadCurrent();
        const where = `from ${from} to ${to}`;
        for (const { ref } of [current!, ...await history(series.store)]) {
          deepEqual(series.missingOf(ref, present), [], where);
        }
        if (hasSucceeded && name === "a pin") deepEqual(series.missingOf(refs[0]!, present), [], where);
        if (mustSucceed) ok(hasSucceeded, where);
        if (hasSucceeded) successes++;
      }
    }
    ok(successes > 0);
  });
}
