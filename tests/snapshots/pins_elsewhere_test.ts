// Pins of snapshots whose manifests are not in the store. Judges: what a reader still finds, and the store's listing.
import { deepEqual, equal, rejects } from "node:assert/strict";
import { test } from "node:test";
import { hashSharding, memoryStore, openSnapshot, writeSnapshot } from "../../mod.ts";
import { ReaderStateError } from "../../src/errors.ts";
import { cleanUp } from "../../src/snapshots/clean_up.ts";
import { memoryManifestStore } from "../../src/snapshots/memory_manifest_store.ts";
import { pin, unpin } from "../../src/snapshots/pins.ts";
import { announceRemoval } from "../../src/snapshots/removals.ts";
import type { ObjectStore } from "../../src/stores/store.ts";

const sharding = hashSharding({ shards: 2 });
/** Clean-ups that go as far as they may: nothing tells how old a run is. */
const GREEDY = { includeUnknownAge: true, graceMs: 0 };

/** Snapshots `r0` to `r2` with manifests elsewhere, without run records; `r2` names the shards of `r1`. */
async function seriesElsewhere() {
  const store: ObjectStore = memoryStore("series");
  const manifestStore = memoryManifestStore();
  const refs: string[] = [];
  for (const runId of ["r0", "r1"]) {
    const options = { store, manifestStore, sharding, runId, key: (key: number) => key, value: () => runId };
    refs.push((await writeSnapshot([1, 2, 3, 4, 5], options)).manifestRef);
  }
  const manifest = { ...await manifestStore.loadManifest(refs[1]!), runId: "r2" };
  refs.push((await manifestStore.publish(manifest, await manifestStore.loadCurrent())).ref);
  await store.deletePrefix("runs");
  return { store, manifestStore, refs };
}

async function runsOf(store: ObjectStore): Promise<string[]> {
  return (await store.listFolders("shards/")).map((name) => name.replace(/^run_id=|\/$/g, ""));
}

test("P5 pin() with manifestStore holds a snapshot against clean-ups that do not know its manifest", async () => {
  const { store, manifestStore, refs } = await seriesElsewhere();
  const pinned = await pin(store, refs[2]!, { until: null, manifestStore });
  const { keptRuns, runs } = await cleanUp(store, GREEDY);
  deepEqual(keptRuns, [{ runId: "r1", reason: "pinned" }]);
  deepEqual(runs.map(({ runId }) => runId), ["r0"]);
  await using reader = await openSnapshot({ store, manifestStore });
  equal(new TextDecoder().decode((await reader.get(3))!), "r1");
  equal(await unpin(store, pinned), 1);
  await cleanUp(store, GREEDY);
  deepEqual(await runsOf(store), []);
});

test("pin() with manifestStore is one of the reasons of a clean-up that knows the manifest", async () => {
  const { store, manifestStore, refs } = await seriesElsewhere();
  await pin(store, refs[0]!, { until: null, manifestStore });
  const { kept } = await cleanUp(store, { ...GREEDY, manifestStore });
  deepEqual(kept.map(({ ref, reasons }) => [ref, reasons.includes("pinned")]), [
    [refs[2], false],
    [refs[1], false],
    [refs[0], true],
  ]);
  deepEqual(await runsOf(store), ["r0", "r1"]);
  equal(await unpin(store, refs[0]!, { manifestStore }), 1);
});

test("pin() with manifestStore refuses what is not there, or is going", async () => {
  const { store, manifestStore, refs } = await seriesElsewhere();
  const until = null;
  await rejects(pin(store, "r9", { until, manifestStore }), ReaderStateError);
  await rejects(pin(store, "no/run", { until, manifestStore }), { path: "ref" });
  const removal = { folders: new Set<string>(), runs: new Set(["r1"]), startedAtMicros: 1 };
  const { key } = await announceRemoval(store, removal, {});
  await rejects(pin(store, refs[2]!, { until, manifestStore }), /a clean-up is removing it/);
  await pin(store, refs[0]!, { until, manifestStore });
  await store.delete(key);
  await store.deletePrefix("shards/run_id=r1");
  await rejects(
    pin(store, refs[2]!, { until, manifestStore }),
    /the shards of run "r1", which it names, are not there/,
  );
  deepEqual((await Array.fromAsync(store.list("pins/"))).flat().length, 1);
});
