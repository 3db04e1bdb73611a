// Clean-ups among snapshots that name each other's shards. Judge: the verifier over all that the history shows, and the
// store's listing.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { env } from "node:process";
import {
  cleanUp,
  hashSharding,
  history,
  memoryStore,
  type ObjectStore,
  rollBack,
  type SnapshotReader,
  writeSnapshot,
  type WriteSnapshotOptions,
} from "../../mod.ts";
import { PublishConflictError, ShardyfusionError } from "../../src/errors.ts";
import type { Manifest } from "../../src/snapshots/manifest.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { runScenario, type ScenarioActor } from "../../src/testing/scenario.ts";
import { shardy, withFolder } from "../cli/run_shardy.ts";
import { keysOf, MODES, requireRight, requireSound, write } from "./reused_series.ts";

const SHAPE = { rows: 400, shards: 4 };
const HOUR_MS = 3_600_000;

async function shardFolders(store: ObjectStore): Promise<string[]> {
  const keys = (await keysOf(store)).filter((key) => key.startsWith("shards/"));
  return [...new Set(keys.map((key) => key.slice(0, key.lastIndexOf("/"))))].sort();
}

function foldersOf(store: ObjectStore, { winners }: Awaited<ReturnType<typeof write>>): string[] {
  return winners.map(({ dbUrl }) => dbUrl!.slice(store.url.length + 1)).sort();
}

test("P5 cleanUp() keeps what a chain of references names, shard by shard, and removes it when nobody does", async () => {
  const store = memoryStore();
  const clock = new ManualClock();
  async function next(changed: Record<number, string>) {
    clock.advance(2 * HOUR_MS);
    return await write(store, SHAPE, { reuse: "reference", changed, clock });
  }
  await next({});
  const second = await next({ 1: "a" });
  const third = await next({ 1: "a", 2: "b" });
  clock.advance(2 * HOUR_MS);
  const done = await cleanUp(store, { keep: 1, clock });
  equal(done.manifests.length, 2);
  ok(done.keptRuns.every(({ reason }) => reason === "referenced"));
  deepEqual(await shardFolders(store), foldersOf(store, third), "each referenced shard, and nothing else");
  await requireRight(store, SHAPE, { 1: "a", 2: "b" });
  await rejects(rollBack(store, { ref: second.manifestRef, clock }));

  // All rows change, so that nothing is referenced any more.
  const all = Object.fromEntries(Array.from({ length: SHAPE.rows }, (_, row) => [row, "new"]));
  const last = await next(all);
  equal(last.stats.shardsReused, 0);
  clock.advance(2 * HOUR_MS);
  await cleanUp(store, { keep: 1, clock });
  deepEqual(await shardFolders(store), foldersOf(store, last));
  await requireRight(store, SHAPE, all);
});

test("P5 cleanUp() keeps what a snapshot names that a roll back makes current", async () => {
  const store = memoryStore();
  const clock = new ManualClock();
  const results = [];
  for (const changed of [{}, { 1: "a" }, { 2: "b" }, { 3: "c" }]) {
    clock.advance(2 * HOUR_MS);
    results.push(await write(store, SHAPE, { reuse: "reference", changed, clock }));
  }
  clock.advance(2 * HOUR_MS);
  await rollBack(store, { ref: results[1]!.manifestRef, clock });
  clock.advance(2 * HOUR_MS);
  await cleanUp(store, { keep: 1, clock });
  const kept = [...new Set([results[1]!, results[3]!].flatMap((result) => foldersOf(store, result)))].sort();
  deepEqual(await shardFolders(store), kept);
  await requireRight(store, SHAPE, { 1: "a" });
  await rollBack(store, { ref: results[3]!.manifestRef, clock });
  await requireRight(store, SHAPE, { 3: "c" });
  // What is current names what is reused next, wherever that is.
  const { stats } = await write(store, SHAPE, { reuse: "reference", changed: { 3: "c" }, clock });
  equal(stats.shardsReused, SHAPE.shards);
  clock.advance(2 * HOUR_MS);
  await cleanUp(store, { keep: 1, clock });
  await requireRight(store, SHAPE, { 3: "c" });
});

for (const reuse of MODES) {
  test(`runCli() cleanup keeps what reuse "${reuse}" took over, with the rules of the Python package`, async () => {
    await withFolder(async (folder) => {
      const store = fsStore(folder);
      for (const changed of [{}, { 1: "a" }, { 1: "a", 2: "b" }]) await write(store, SHAPE, { reuse, changed });
      const clock = new ManualClock((Date.now() + 48 * HOUR_MS) * 1000);
      const args = ["--current-url", `${folder}/_CURRENT`, "cleanup", "--include-old-runs", "--keep-last", "1"];
      const { exitCode, stderr } = await shardy(args, { clock });
      equal(exitCode, 0, stderr);
      equal((await history(store)).length, 1);
      await requireRight(store, SHAPE, { 1: "a", 2: "b" });
      const folders = await shardFolders(store);
      equal(folders.length, SHAPE.shards);
    });
  });
}

for (const onConflict of ["replace", "fail"] as const) {
  test(`P5 writeSnapshot() with references that others outdate meanwhile, and onConflict "${onConflict}"`, async () => {
    const store = memoryStore();
    const clock = new ManualClock();
    await write(store, SHAPE, { clock });
    clock.advance(3 * HOUR_MS);
    /** Another writer publishes, time passes, and everything old is removed, while ours has all but published. */
    async function validate(_candidate: SnapshotReader): Promise<void> {
      const all = Object.fromEntries(Array.from({ length: SHAPE.rows }, (_, row) => [row, "other"]));
      await write(store, SHAPE, { changed: all, clock });
      clock.advance(3 * HOUR_MS);
      const { manifests } = await cleanUp(store, { keep: 1, clock });
      equal(manifests.length, 0, "the snapshot that is reused is pinned");
    }
    const changed = { 1: "a" };
    const writing = write(store, SHAPE, { reuse: "reference", changed, validate, onConflict, clock });
    if (onConflict === "fail") await rejects(writing, PublishConflictError);
    else equal((await writing).replaced.length, 1);
    clock.advance(3 * HOUR_MS);
    await cleanUp(store, { keep: 2, clock });
    await requireSound(store);
    if (onConflict === "replace") await requireRight(store, SHAPE, { 1: "a" });
    deepEqual((await keysOf(store)).filter((key) => key.startsWith("pins/")), []);
  });
}

test("P5 writeSnapshot() publishes no references when its pin has ended and the snapshot has gone", async () => {
  const store = memoryStore();
  const clock = new ManualClock();
  await write(store, SHAPE, { clock });
  clock.advance(3 * HOUR_MS);
  const other = Object.fromEntries(Array.from({ length: SHAPE.rows }, (_, row) => [row, "other"]));
  async function validate(): Promise<void> {
    await write(store, SHAPE, { changed: other, clock });
    clock.advance(48 * HOUR_MS);
    equal((await cleanUp(store, { keep: 1, clock })).manifests.length, 1);
  }
  const options = { reuse: "reference", validate, onConflict: "replace", clock } as const;
  await rejects(write(store, SHAPE, options), { code: "READER_STATE" });
  await requireRight(store, SHAPE, other);
  equal((await history(store)).length, 1);
});

test("P5 writeSnapshot() takes no references of a snapshot that is being removed", async () => {
  const store = memoryStore();
  const clock = new ManualClock();
  const { manifestRef } = await write(store, SHAPE, { clock });
  const folder = manifestRef.split("/").at(-2)!;
  const announcement = JSON.stringify({ format_version: 1, manifests: [folder] });
  await store.put("removals/2026-01-01T00:00:00.000000Z_x", new TextEncoder().encode(announcement));
  const { stats } = await write(store, SHAPE, { reuse: "reference", clock });
  equal(stats.shardsReused, 0);
});

const ROUND_MS = 90 * 60_000;

/** Writes in each round; one row is like no other, all else stays as it is. */
function writer(rounds: number): ScenarioActor {
  return async (client, { name, random }) => {
    const { clock } = client;
    for (let round = 0; round < rounds && !client.isCrashed; round++) {
      await clock.sleep(Math.max(random.below(200), round * ROUND_MS + random.below(2000) - clock.monotonicMs()));
      const isSlow = random.chance(0.3);
      const options: WriteSnapshotOptions<number> = {
        store: client,
        sharding: hashSharding({ shards: 3 }),
        key: (row) => row,
        value: (row) => row === round % 2 ? `${name} ${round}` : "same",
        clock,
        reuse: random.chance(0.7) ? "reference" : random.chance(0.5) ? "copy" : false,
        onConflict: random.chance(0.5) ? "replace" : "fail",
        ...(random.chance(0.3) && { retry: { retriesMax: 1 } }),
        // Others publish and clean up meanwhile.
        ...(isSlow && { validate: () => clock.sleep(ROUND_MS + random.below(ROUND_MS)) }),
      };
      await writeSnapshot([0, 1, 2, 3, 4, 5, 6, 7], options).catch(ours);
    }
  };
}

function cleaner(rounds: number): ScenarioActor {
  return async (client, { random }) => {
    const { clock } = client;
    for (let round = 0; round < rounds && !client.isCrashed; round++) {
      await clock.sleep(Math.max(0, round * ROUND_MS + random.below(3000) - clock.monotonicMs()));
      await cleanUp(client, { keep: 1, graceMs: 20 * 60_000, clock }).catch(ours);
      if (random.chance(0.3)) await rollBack(client, { offset: 1, clock }).catch(ours);
    }
  };
}

function ours(error: unknown): void {
  if (!(error instanceof ShardyfusionError)) throw error;
}

test(
  "P1 P5 writeSnapshot() with reuse, cleanUp(), rollBack(): all that the history shows is whole after every request",
  {
    timeout: 3_600_000,
  },
  async () => {
    const seeds = env["SHARDYFUSION_SOAK"] === "1" ? 5000 : 60;
    let referenced = 0;
    let checks = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const store = memoryStore();
      const rate = seed % 2 === 0 ? 0.02 : 0;
      const crash = seed % 5 === 0 ? { crashAtRequest: 20 + seed % 97 } : {};
      await runScenario({
        seed,
        store,
        faults: { failed: rate, lost: rate, delayed: rate, duplicated: rate, ...crash },
        actors: { one: writer(3), two: writer(3), cleaner: cleaner(4) },
        invariants: {
          "P5 what a manifest names is there": async ({ event }) => {
            if (event !== null && event.kind !== "DELETE" && !event.key.startsWith("manifests/")) return;
            checks++;
            referenced += await requireNamedObjects(store);
          },
        },
      });
      await requireSound(store);
    }
    ok(referenced > 20 * seeds, `${referenced} references in ${checks} checks`);
  },
);

/** Finds each object that a manifest names; gives how many of them lie in another run's folder. */
async function requireNamedObjects(store: ObjectStore): Promise<number> {
  const present = new Set(await keysOf(store));
  let referenced = 0;
  for (const { ref, runId } of await history(store)) {
    const { shards } = await manifestOf(store, ref);
    for (const { dbUrl } of shards) {
      const folder = dbUrl!.slice(store.url.length + 1);
      if (!folder.includes(`run_id=${runId}/`)) referenced++;
      for (const name of ["shard.db", "shard.sidecar", "shard.guard"]) {
        ok(present.has(`${folder}/${name}`), `${ref} names ${folder}/${name}, which is gone`);
      }
    }
  }
  return referenced;
}

const manifests = new Map<string, Promise<Manifest>>();

async function manifestOf(store: ObjectStore, ref: string): Promise<Manifest> {
  if (!manifests.has(ref)) manifests.set(ref, objectManifestStore(store).loadManifest(ref));
  return await manifests.get(ref)!;
}
