// Judge: one value in all rows of a snapshot, and the JSON of the pointer; after every request of every program.
import { equal, ok } from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { runScenario, ScenarioError, type ScenarioOptions, type ScenarioResult } from "../../src/testing/scenario.ts";
import { SeededRandom } from "../../src/testing/seeded_random.ts";
import type { SimulatedFaults } from "../../src/testing/simulated_store.ts";
import { type ManifestStoreOf, SimulatedSeries } from "./simulated_series.ts";

const SEEDS = process.env["SHARDYFUSION_SOAK"] ? 10_000 : 200;

/**
 * Every third seed has a perfect network, as pure races are rare among faults; every third one has faults of the
 * pointer alone, and many, as few writes come so far when all requests may fail.
 */
function faultsOf(seed: number): SimulatedFaults {
  if (seed % 3 === 0) return {};
  const isPointer = seed % 3 === 1;
  const random = new SeededRandom(seed);
  const rate = () => random.chance(0.5) ? random.next() * (isPointer ? 0.4 : 0.05) : 0;
  const rates = { failed: rate(), lost: rate(), delayed: rate(), duplicated: rate() };
  return isPointer ? { ...rates, only: (key) => key === "_CURRENT" } : rates;
}

interface SeriesRun {
  readonly series: SimulatedSeries;
  readonly result: ScenarioResult;
}

async function run(
  seed: number,
  { manifestStoreOf, ...changes }: Partial<ScenarioOptions> & { readonly manifestStoreOf?: ManifestStoreOf },
): Promise<SeriesRun> {
  const series = new SimulatedSeries();
  await series.begin();
  const faults = faultsOf(seed);
  const random = new SeededRandom(-seed);
  const result = await runScenario({
    seed,
    store: series.store,
    faults,
    actors: {
      writer1: series.writer(2, manifestStoreOf),
      writer2: series.writer(2, manifestStoreOf),
      writer3: series.writer(1, manifestStoreOf),
      reader1: series.reader(4),
      reader2: series.reader(4),
      operator: series.rollsBack(2),
    },
    clients: {
      writer2: { faults, skewMs: random.below(20_000) - 10_000 },
      reader2: { faults: { ...faults, stale: 0.3 } },
    },
    invariants: series.invariants(),
    ...changes,
  });
  return { series, result };
}

test("P1 P2 P3 P4 P6 writeSnapshot(), openSnapshot(), rollBack(): writers, readers and roll backs at the same time", {
  timeout: 4 * 3_600_000,
}, async () => {
  const counts: Record<string, number> = {};
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { series } = await run(seed, {});
    for (const [name, count] of Object.entries(series.counts)) counts[name] = (counts[name] ?? 0) + count;
  }
  console.log(`${SEEDS} seeds: ${JSON.stringify(counts)}`);
  for (const name of ["published", "lost", "failed", "refreshed", "rolledBack"]) ok(counts[name]! > SEEDS / 10, name);
});

test("P3 P6 writeSnapshot(): a crash at every request leaves the old snapshot or the new one", {
  timeout: 4 * 3_600_000,
}, async () => {
  let crashes = 0;
  for (let seed = 1; seed <= Math.max(1, SEEDS / 1000); seed++) {
    for (let crashAtRequest = 1;; crashAtRequest++) {
      const series = new SimulatedSeries();
      await series.begin();
      const actors = { writer1: series.writer(1), writer2: series.writer(1), reader: series.reader(2) };
      const faults = { crashAtRequest };
      const { store } = series;
      await runScenario({ seed: seed * 1000 + crashAtRequest, store, faults, actors, invariants: series.invariants() });
      if (series.counts.crashed === 0) break;
      crashes += series.counts.crashed;
    }
  }
  ok(crashes > 20, `${crashes} crashes`);
});

test("runScenario() runs the same series again for the same seed", async () => {
  // A writer whose clock is behind takes the next stamp after the pointer's, and so may two of them: then random run ids
  // decide which manifest is the newer one for a roll back.
  const clients = {};
  for (const seed of [1, 2, 3, 4, 5]) {
    const [one, other] = [await run(seed, { clients }), await run(seed, { clients })];
    equal(one.result.describe(), other.result.describe());
  }
});

/** Publishes that are wrong, as one might write them. */
const BROKEN: Record<string, { readonly manifestStoreOf: ManifestStoreOf; readonly invariant: RegExp }> = {
  "the last writer wins": {
    manifestStoreOf: (client) =>
      objectManifestStore({
        ...delegated(client),
        put: (key, bytes, options = {}) => {
          const { precondition: _, ...others } = options;
          return client.put(key, bytes, key === "_CURRENT" ? others : options);
        },
      }, { clock: client.clock }),
    invariant: /^P2 /,
  },
  "the pointer before the manifest": {
    manifestStoreOf: (client) => {
      let manifest: (() => Promise<unknown>) | null = null;
      return objectManifestStore({
        ...delegated(client),
        put: async (key, bytes, options) => {
          if (key.startsWith("manifests/")) {
            manifest = () => client.put(key, bytes, options);
            return { etag: null, sizeBytes: bytes.byteLength };
          }
          const version = await client.put(key, bytes, options);
          await manifest?.();
          return version;
        },
      }, { clock: client.clock });
    },
    invariant: /^P1 P3 /,
  },
};

function delegated(client: Parameters<ManifestStoreOf>[0]): Omit<typeof client, "name" | "isCrashed" | "crash"> {
  return {
    url: client.url,
    clock: client.clock,
    get: client.get.bind(client),
    getRanges: client.getRanges.bind(client),
    put: client.put.bind(client),
    upload: client.upload.bind(client),
    list: client.list.bind(client),
    listFolders: client.listFolders.bind(client),
    delete: client.delete.bind(client),
    deletePrefix: client.deletePrefix.bind(client),
  };
}

for (const [name, { manifestStoreOf, invariant }] of Object.entries(BROKEN)) {
  test(`runScenario() finds out that ${name}`, async () => {
    const violated: string[] = [];
    for (let seed = 1; seed <= 10; seed++) {
      const error = await run(seed, { manifestStoreOf }).then(() => null, (error) => error);
      if (error === null) continue;
      ok(error instanceof ScenarioError, error);
      violated.push(error.invariant!);
    }
    ok(violated.some((name) => invariant.test(name)), violated.join());
  });
}

test("runScenario() finds out that a store ignores preconditions", async () => {
  let found = 0;
  for (let seed = 3; seed <= 30; seed += 3) {
    const faults = { ignoresPreconditions: 1 };
    const clients = { writer1: { faults }, writer2: { faults }, writer3: { faults } };
    const error = await run(seed, { faults, clients }).then(() => null, (error) => error);
    if (error instanceof ScenarioError && error.invariant?.startsWith("P2 ")) found++;
  }
  ok(found > 0);
});
