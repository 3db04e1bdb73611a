/**
 * What a seed stands for in the tests of the promises: who shares the series, what goes wrong, and who crashes.
 * @module
 */
import process from "node:process";
import {
  runScenario,
  type ScenarioActor,
  type ScenarioOptions,
  type ScenarioResult,
} from "../../src/testing/scenario.ts";
import { SeededRandom } from "../../src/testing/seeded_random.ts";
import type { SimulatedFaults } from "../../src/testing/simulated_store.ts";
import { SKEW_MS_MAX } from "./promise_book.ts";
import { type CleanUpOf, type ManifestStoreOf, SimulatedSeries } from "./simulated_series.ts";

/** First and last seed of this process: `SHARDYFUSION_SEEDS=1001-2000`; else 200, or 10,000 where time does not matter. */
export function seedRange(): { readonly first: number; readonly last: number; readonly count: number } {
  const last = process.env["SHARDYFUSION_SOAK"] ? 10_000 : 200;
  const given = /^(\d+)-(\d+)$/.exec(process.env["SHARDYFUSION_SEEDS"] ?? `1-${last}`);
  if (given === null) throw new Error("Cannot use SHARDYFUSION_SEEDS as it must be like 1001-2000");
  const range = { first: Number(given[1]), last: Number(given[2]) };
  return { ...range, count: range.last - range.first + 1 };
}

/** Requests of a scenario, at least: so many indexes take turns as the one of the crash. */
const CRASHES = 256;
const ROUNDS = 3;

/** Programs that are wrong on purpose. */
export interface BrokenPrograms {
  readonly manifestStoreOf?: ManifestStoreOf | undefined;
  readonly cleanUpOf?: CleanUpOf | undefined;
}

/** A series, and the scenario that it went through. */
export interface SeriesRun {
  readonly series: SimulatedSeries;
  readonly result: ScenarioResult;
  /** The request at which somebody was to crash. */
  readonly crashAtRequest: number | undefined;
}

/**
 * Every third seed has a perfect network, as pure races are rare among faults; every third one has faults of the
 * pointer alone, and many, as few writes come so far when all requests may fail. In every second seed somebody crashes
 * at a request; each request is the one again after 512 seeds.
 */
export function faultsOf(seed: number): SimulatedFaults {
  const crash = seed % 2 === 0 ? { crashAtRequest: 1 + (seed / 2) % CRASHES } : {};
  if (seed % 3 === 0) return crash;
  const isPointer = seed % 3 === 1;
  const random = new SeededRandom(seed);
  const rate = (): number => random.chance(0.5) ? random.next() * (isPointer ? 0.4 : 0.05) : 0;
  const rates = { ...crash, failed: rate(), lost: rate(), delayed: rate(), duplicated: rate() };
  return isPointer ? { ...rates, only: (key) => key === "_CURRENT" } : rates;
}

/**
 * Lets everybody loose on one series: three writers, two readers, a roll back, pins and two clean-ups.
 *
 * @throws {ScenarioError} when a promise is not held.
 */
export async function runSeed(
  seed: number,
  { manifestStoreOf, cleanUpOf, ...changes }: Partial<ScenarioOptions> & BrokenPrograms = {},
): Promise<SeriesRun> {
  using _ = seededIds(seed);
  const series = new SimulatedSeries();
  await series.begin();
  const faults = faultsOf(seed);
  const random = new SeededRandom(-seed);
  const skewMs = (): number => random.below(2 * SKEW_MS_MAX) - SKEW_MS_MAX;
  const result = await runScenario({
    seed,
    store: series.store,
    faults,
    actors: {
      writer1: series.writer(ROUNDS, manifestStoreOf),
      writer2: series.writer(ROUNDS, manifestStoreOf),
      writer3: series.writer(1, manifestStoreOf),
      reader1: series.reader(2),
      reader2: series.reader(2),
      operator: series.rollsBack(ROUNDS),
      auditor: series.pins(ROUNDS),
      cleaner1: series.cleaner(ROUNDS, cleanUpOf),
      cleaner2: series.cleaner(ROUNDS, cleanUpOf),
    },
    clients: {
      writer2: { faults, skewMs: skewMs() },
      cleaner2: { faults, skewMs: skewMs() },
      auditor: { faults, skewMs: skewMs() },
      reader2: { faults: { ...faults, stale: 0.3 } },
    },
    invariants: series.invariants(),
    ...changes,
  });
  return { series, result, crashAtRequest: faults.crashAtRequest };
}

/** Few programs, one of which crashes at a request; tells whether they sent as many. */
export async function runCrash(seed: number, crashAtRequest: number): Promise<boolean> {
  using _ = seededIds(seed);
  const series = new SimulatedSeries();
  await series.begin();
  const actors: Record<string, ScenarioActor> = {
    writer1: series.writer(1),
    writer2: series.writer(1),
    reader: series.reader(1),
    operator: series.rollsBack(1),
    auditor: series.pins(1),
    cleaner: series.cleaner(1),
  };
  const { history } = await runScenario({
    seed,
    store: series.store,
    faults: { crashAtRequest },
    actors,
    invariants: series.invariants(),
  });
  return history.some(({ requestNumber }) => requestNumber === crashAtRequest);
}

/** Until it is disposed of, random ids come from the seed, so that what is sorted by them has the same order again. */
function seededIds(seed: number): Disposable {
  const random = new SeededRandom(seed ^ 0x1d5);
  const digits = (count: number): string => Array.from({ length: count }, () => random.below(16).toString(16)).join("");
  const randomUUID = (): string => [8, 4, 4, 4, 12].map(digits).join("-");
  Object.defineProperty(crypto, "randomUUID", { value: randomUUID, configurable: true });
  return { [Symbol.dispose]: () => void delete (crypto as { randomUUID?: unknown }).randomUUID };
}
