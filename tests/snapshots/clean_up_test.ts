// What cleanUp removes and what it keeps. The judges: what the Python package's clean-up deleted (fixtures), and a book
// of the keys that every published snapshot needs.
import { deepEqual, equal, match, notEqual, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { ConfigValidationError, ObjectNotFoundError, ReaderStateError } from "../../src/errors.ts";
import { cleanUp, type CleanUpOptions } from "../../src/snapshots/clean_up.ts";
import { history, rollBack } from "../../src/snapshots/history.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { pin, unpin } from "../../src/snapshots/pins.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { fixtureJson, fixtureStore } from "./fixture_manifests.ts";
import { outage } from "./publishing.ts";
import { type BegunRun, Series } from "./series.ts";
import { watchedStore } from "./watched_store.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

interface PythonCase {
  case: string;
  "dry_run": boolean;
  "protected_run_ids": string[] | null;
  actions: { kind: string; prefix_url: string; db_id: number | null; run_id: string; objects_deleted: number }[];
  "deleted_keys": string[];
}

const fixture: { cases: PythonCase[]; s3_prefix: string; current_run_id: string } = fixtureJson(
  "snapshots/cleanup/expected.json",
);

/** Python's rules: no grace, no question about age. Its case protects all three runs, two, one, or asks for none. */
function pythonRules({ protected_run_ids: runIds, dry_run: dryRun }: PythonCase): CleanUpOptions {
  const rules = { attempts: "current", graceMs: 0, includeUnknownAge: true, dryRun } as const;
  if (runIds === null) return { ...rules, oldRuns: false };
  return { ...rules, keep: runIds.length };
}

async function keysOf(store: Parameters<typeof cleanUp>[0]): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of store.list("")) keys.push(...page.map(({ key }) => key));
  return keys;
}

for (const pythonCase of fixture.cases) {
  test(`cleanUp() removes what the Python package removes: ${pythonCase.case}`, async () => {
    const store = await fixtureStore("snapshots/cleanup/store/shardy-fixtures/cleanup");
    const before = await keysOf(store);
    const result = await cleanUp(store, pythonRules(pythonCase));
    equal(result.url, fixture.s3_prefix);
    const of = (kind: string) => pythonCase.actions.filter((action) => action.kind === kind);
    deepEqual(
      result.attempts.map(({ prefix, shardId, runId }) => [`${result.url}/${prefix}`, shardId, runId]),
      of("stale_attempt").map((action) => [action.prefix_url, action.db_id, action.run_id]),
    );
    deepEqual(
      result.runs.map(({ prefix, runId }) => [`${result.url}/${prefix}`, runId]),
      of("old_run").map((action) => [action.prefix_url, action.run_id]),
    );
    const left = new Set(await keysOf(store));
    const gone = before.filter((key) => !left.has(key));
    deepEqual(gone.filter((key) => key.startsWith("shards/")).map((key) => `cleanup/${key}`), pythonCase.deleted_keys);
    if (!pythonCase.dry_run) {
      const counts = [...result.attempts, ...result.runs].map(({ objects }) => objects);
      deepEqual(counts, pythonCase.actions.map((action) => action.objects_deleted));
    }
    // Beyond Python: the manifests and the records of the runs whose shards went, and nothing else.
    const runIds = pythonCase.dry_run ? null : pythonCase.protected_run_ids;
    const kept = runIds ?? [...before.join().matchAll(/manifests\/[^/]*run_id=([^/]+)/g)].map(
      ([, runId]) => runId!,
    );
    for (const key of gone.filter((key) => !key.startsWith("shards/"))) {
      match(key, /^(manifests|runs)\//);
      ok(!kept.some((runId) => key.includes(runId)), key);
    }
    deepEqual((await history(store)).map(({ runId }) => runId).sort(), [...kept].sort());
    deepEqual([...left].filter((key) => !before.includes(key)), []);
  });
}

test("cleanUp() finds with its own defaults what the Python package leaves", async () => {
  const store = await fixtureStore("snapshots/cleanup/store/shardy-fixtures/cleanup");
  const clock = new ManualClock(Date.UTC(2026, 10, 22) * 1000);
  const { attempts, keptRuns, runs } = await cleanUp(store, { clock });
  deepEqual(runs, []);
  deepEqual(keptRuns.map(({ runId, reason }) => `${runId}: ${reason}`), [
    "orphan-1: unknown age",
    "orphan-12: unknown age",
  ]);
  deepEqual(attempts.map(({ prefix, objects }) => `${prefix.replace(/run_id=\w{32}/, "…")} ${objects}`), [
    "shards/…/db=00001/attempt=07 1",
    "shards/…/db=00000/attempt=01 2",
    "shards/…/db=00002/attempt=03 1",
    "shards/…/db=00099/attempt=00 1",
  ]);
});

test("cleanUp() keeps the current, the newest, pinned ones and those of the grace period, and says why (P5)", async () => {
  const series = new Series();
  const { store, clock } = series;
  const refs: string[] = [];
  for (let run = 0; run < 6; run++) {
    refs.push(await series.publish());
    clock.advance(DAY_MS);
  }
  await rollBack(store, { ref: refs[1]!, clock });
  await pin(store, refs[2]!, { until: new Date(clock.nowMicros() / 1000 + HOUR_MS), clock });
  const plan = await cleanUp(store, { keep: 1, graceMs: 2.5 * DAY_MS, clock, dryRun: true });
  deepEqual(plan.kept.map(({ ref, reasons }) => [refs.indexOf(ref), ...reasons]), [
    [5, "newest", "grace"],
    [4, "grace"],
    [3, "grace"], // Published three days ago, replaced two days ago.
    [2, "pinned"],
    [1, "current"],
  ]);
  deepEqual(plan.manifests.map(({ ref }) => refs.indexOf(ref)), [0]);
  deepEqual(plan.runs.map(({ runId, objects, sizeBytes }) => [runId, objects, sizeBytes]), [["r0", 2, 6]]);
  const done = await cleanUp(store, { keep: 1, graceMs: 2.5 * DAY_MS, clock });
  deepEqual(done.manifests, plan.manifests);
  deepEqual(done.runs.map(({ runId, objects }) => [runId, objects]), [["r0", 2]]);
  const present = await series.keys();
  for (const kept of [1, 2, 3, 4, 5]) deepEqual(series.missingOf(refs[kept]!, present), []);
  deepEqual([...present].filter((key) => /r0(\/|_0)/.test(key) || key.startsWith("removals/")), []);
  equal((await objectManifestStore(store).loadCurrent())?.ref, refs[1]);
});

test("cleanUp() removes by age, and by age and number", async () => {
  const series = new Series();
  const { store, clock } = series;
  for (let run = 0; run < 5; run++) {
    await series.publish();
    clock.advance(DAY_MS);
  }
  const removed = async (options: CleanUpOptions): Promise<string[]> =>
    (await cleanUp(store, { ...options, clock, dryRun: true })).manifests.map(({ runId }) => runId);
  deepEqual(await removed({ maxAgeMs: 3.5 * DAY_MS }), ["r1", "r0"]);
  deepEqual(await removed({ maxAgeMs: 3.5 * DAY_MS, keep: 2 }), ["r2", "r1", "r0"]);
  deepEqual(await removed({ maxAgeMs: 0 }), ["r3", "r2", "r1", "r0"]);
  deepEqual(await removed({}), ["r1", "r0"]);
  deepEqual(await removed({ keep: Infinity }), []);
});

test("cleanUp() leaves running runs alone and removes what failed ones left (P5, P6)", async () => {
  const series = new Series();
  const { store, clock } = series;
  await series.publish();
  const dead = await series.begin({ leaseMs: 60_000 });
  const silent = await series.begin({ recorded: false });
  const running = await series.begin({ leaseMs: 10 * HOUR_MS });
  clock.advance(2 * HOUR_MS);
  const fresh = await series.begin();
  const { runs, keptRuns } = await cleanUp(store, { clock });
  deepEqual(runs.map(({ runId, objects }) => [runId, objects]), [[dead.runId, 2]]);
  deepEqual(keptRuns, [
    { runId: silent.runId, reason: "unknown age" },
    { runId: running.runId, reason: "grace" },
    { runId: fresh.runId, reason: "grace" },
  ]);
  deepEqual((await cleanUp(store, { clock, includeUnknownAge: true })).runs.map(({ runId }) => runId), [silent.runId]);
  const ref = await series.finish(running);
  deepEqual(series.missingOf(ref, await series.keys()), []);
  deepEqual([...await series.keys()].filter((key) => key.includes(dead.runId)), []);
});

test("cleanUp() keeps the shards of removed snapshots that others name (P5)", async () => {
  const series = new Series();
  const { store, clock } = series;
  const first = await series.publish();
  const [reused, unused] = series.shardKeys.get(first)!;
  clock.advance(DAY_MS);
  const second = await series.publish({ reused: [reused!] });
  clock.advance(DAY_MS);
  const result = await cleanUp(store, { keep: 1, clock });
  deepEqual(result.manifests.map(({ ref }) => ref), [first]);
  deepEqual(result.keptRuns, [{ runId: "r0", reason: "referenced" }]);
  deepEqual(result.attempts.map(({ prefix }) => `${prefix}/shard.db`), [unused]);
  const present = await series.keys();
  deepEqual(series.missingOf(second, present), []);
  ok(!present.has(unused!));
});

test("cleanUp() sends LIST and GET in a dry run; DELETE and two small PUTs in a real one", async () => {
  const series = new Series();
  const { clock } = series;
  for (let run = 0; run < 5; run++) {
    await series.publish();
    clock.advance(DAY_MS);
  }
  const before = await series.keys();
  const requests: string[] = [];
  const store = watchedStore(series.store, {
    onRequest: ({ method, key }, send) => {
      requests.push(method === "put" ? `put ${key.split("/")[0]}` : method);
      return send();
    },
  });
  await cleanUp(store, { clock, dryRun: true });
  deepEqual([...new Set(requests)].sort(), ["get", "list", "listFolders"]);
  deepEqual(await series.keys(), before);
  await cleanUp(store, { clock });
  deepEqual([...new Set(requests)].sort(), [
    "delete",
    "deletePrefix",
    "get",
    "list",
    "listFolders",
    "put _CURRENT",
    "put removals",
  ]);
  // Without snapshots to remove it leaves the pointer alone, and without runs it writes nothing.
  await series.begin({ leaseMs: 0 });
  clock.advance(DAY_MS);
  requests.length = 0;
  equal((await cleanUp(store, { clock })).runs.length, 1);
  deepEqual(requests.filter((request) => request.startsWith("put")), ["put removals"]);
  requests.length = 0;
  equal((await cleanUp(store, { clock })).runs.length, 0);
  deepEqual(requests.filter((request) => request.startsWith("put")), []);
});

test("cleanUp() fails at any request, leaves every listed snapshot whole, and the next one ends it (P3, P5)", async () => {
  for (const applied of [false, true]) {
    for (let failAt = 0;; failAt++) {
      const series = new Series();
      const { clock } = series;
      for (let run = 0; run < 4; run++) {
        await series.publish({ recorded: run !== 1 });
        clock.advance(DAY_MS);
      }
      await series.begin({ leaseMs: 0 });
      clock.advance(DAY_MS);
      let wasReached = false;
      const store = watchedStore(series.store, {
        onRequest: async ({ index }, send) => {
          // The process is gone from then on.
          if (index < failAt) return await send();
          wasReached = true;
          if (applied && index === failAt) await send();
          throw outage(store.url);
        },
      });
      const failed = await cleanUp(store, { keep: 1, clock }).then(() => false, () => true);
      if (!wasReached) break;
      ok(failed);
      const present = await series.keys();
      for (const { ref } of await history(series.store)) deepEqual(series.missingOf(ref, present), []);
      await cleanUp(series.store, { keep: 1, clock });
      const left = [...await series.keys()].map((key) => key.replace(/\d{4}-[^_]*/, "…"));
      deepEqual(left, [
        "_CURRENT",
        "manifests/…_run_id=r3/manifest",
        `runs/…_run_id=r3_${"0".repeat(32)}/run.yaml`,
        "shards/run_id=r3/db=00000/attempt=00/shard.db",
        "shards/run_id=r3/db=00001/attempt=00/shard.db",
      ], `failed at request ${failAt}`);
    }
  }
});

test("cleanUp() keeps everything while there is no pointer, and refuses a malformed one", async () => {
  const series = new Series();
  const { store, clock } = series;
  await series.publish();
  clock.advance(DAY_MS);
  await series.publish();
  clock.advance(DAY_MS);
  await store.delete("_CURRENT");
  deepEqual((await cleanUp(store, { keep: 1, clock })).manifests, []);
  equal((await history(store)).length, 2);
  await store.put("_CURRENT", new TextEncoder().encode("{"));
  await rejects(cleanUp(store, { keep: 1, clock }), { name: "ManifestParseError" });
});

test("cleanUp() lets a publish pass that began before it", async () => {
  const series = new Series();
  const { store, clock } = series;
  for (let run = 0; run < 3; run++) {
    await series.publish();
    clock.advance(DAY_MS);
  }
  const manifests = objectManifestStore(store, { clock });
  const expected = await manifests.loadCurrent();
  await cleanUp(store, { keep: 1, clock });
  const moved = (await manifests.loadCurrent())!;
  deepEqual([moved.ref, moved.generation], [expected!.ref, expected!.generation]);
  notEqual(moved.version, expected!.version);
  const { manifest } = { manifest: await manifests.loadManifest(expected!.ref) };
  const { ref } = await manifests.publish({ ...manifest, runId: "late" }, expected);
  const current = await manifests.loadCurrent();
  equal(current!.ref, ref);
  deepEqual(current!.previous, [expected!.ref]);
});

test("pin() holds until its time, or until unpin()", async () => {
  const series = new Series();
  const { store, clock } = series;
  const refs = [await series.publish(), await series.publish(), await series.publish()];
  clock.advance(DAY_MS);
  const until = new Date(clock.nowMicros() / 1000 + DAY_MS);
  const first = await pin(store, refs[0]!, { until, note: "report", clock });
  await pin(store, refs[0]!, { until: null, clock });
  await pin(store, refs[1]!, { until, clock });
  const text = new TextDecoder().decode(await (await store.get(first.key)).bytes());
  match(text, /^\{"created_at":"2026-01-03T03:04:05Z","format_version":1,"note":"report","ref":"memory:\/\/\/series\//);
  match(text, /"until":"2026-01-04T03:04:05Z"\}$/);
  deepEqual((await cleanUp(store, { keep: 1, clock })).manifests, []);
  equal(await unpin(store, first), 1);
  deepEqual((await cleanUp(store, { keep: 1, clock })).manifests, []);
  clock.advance(DAY_MS + 2 * HOUR_MS);
  const { manifests, endedPins } = await cleanUp(store, { keep: 1, clock });
  deepEqual(manifests.map(({ ref }) => ref), [refs[1]]);
  equal(endedPins.length, 1);
  equal(await unpin(store, refs[0]!), 1);
  deepEqual((await cleanUp(store, { keep: 1, clock })).manifests.map(({ ref }) => ref), [refs[0]]);
  deepEqual([...await series.keys()].filter((key) => /^(pins|removals)\//.test(key)), []);
});

test("pin() refuses what is not there, what is being removed and times that are over", async () => {
  const series = new Series();
  const { store, clock } = series;
  const ref = await series.publish();
  const gone = ref.replace("r0", "r9");
  await rejects(pin(store, gone, { until: null }), ReaderStateError);
  await rejects(pin(store, "s3://b/elsewhere", { until: null }), ConfigValidationError);
  await rejects(pin(store, ref, { until: new Date(0) }), { path: "until" });
  await rejects(pin(store, ref, {} as { until: null }), { path: "until" });
  const bytes = new TextEncoder().encode(`{"manifests":["${ref.split("/").at(-2)}"]}`);
  await store.put("removals/2026-01-02T03:04:05.000000Z_x", bytes);
  await rejects(pin(store, ref, { until: null }), /a clean-up is removing it/);
  await rejects(rollBack(store, { ref, clock }), /Cannot roll back to .* as a clean-up is removing it/);
  deepEqual([...await series.keys()].filter((key) => key.startsWith("pins/")), []);
  // An announcement that was given up: the next clean-up ends it.
  clock.advance(2 * HOUR_MS);
  await cleanUp(store, { clock });
  await rollBack(store, { ref, clock });
});

test("rollBack() to what a clean-up has removed says so", async () => {
  const series = new Series();
  const { store, clock } = series;
  const ref = await series.publish();
  await series.publish();
  clock.advance(DAY_MS);
  await cleanUp(store, { keep: 1, clock });
  await rejects(rollBack(store, { ref, clock }), ObjectNotFoundError);
});

test("cleanUp() refuses wrong options and stops when it is aborted", async () => {
  const { store } = new Series();
  for (const options of [{ keep: 0 }, { graceMs: -1 }, { shardPrefix: "a/b" }, { attempts: "all" }, { dryrun: true }]) {
    await rejects(cleanUp(store, options as CleanUpOptions), ConfigValidationError, JSON.stringify(options));
  }
  await rejects(cleanUp(store, { signal: AbortSignal.abort(new Error("enough")) }), /enough/);
});

test("cleanUp() skips runs that are published while it runs (P5)", async () => {
  const series = new Series();
  const { clock } = series;
  await series.publish();
  const late: BegunRun = await series.begin({ leaseMs: 0 });
  clock.advance(DAY_MS);
  let ref: string | undefined;
  let plans = 0;
  const store = watchedStore(series.store, {
    onRequest: async ({ method, key }, send) => {
      // The record is the last thing that a plan asks for, and the second plan counts.
      const answer = await send();
      if (method === "get" && key === late.recordKey && ++plans === 2) ref = await series.finish(late);
      return answer;
    },
  });
  const { skippedRuns, runs } = await cleanUp(store, { clock });
  deepEqual([skippedRuns, runs], [[late.runId], []]);
  deepEqual(series.missingOf(ref!, await series.keys()), []);
});
