/**
 * Runs several programs against one simulated store and checks, after every request, what must always hold.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import type { ObjectStore } from "../stores/store.ts";
import { SeededRandom, seedOf } from "./seeded_random.ts";
import {
  type SimulatedClientOptions,
  type SimulatedClientStore,
  type SimulatedEvent,
  type SimulatedFaults,
  Simulation,
} from "./simulated_store.ts";

/** What a program of a scenario is given beside its store. */
export interface ScenarioContext {
  readonly name: string;
  /** Chance that depends on the seed and the program's name only. */
  readonly random: SeededRandom;
}

/** A program: a writer, a reader, somebody who rolls back. Whether it ends well or fails is noted, and no more. */
export type ScenarioActor = (client: SimulatedClientStore, context: ScenarioContext) => Promise<void>;

/** What an invariant looks at. */
export interface ScenarioState {
  /** The objects as they are, without turns and faults. */
  readonly store: ObjectStore;
  /** The request that was just carried out; null at the end, when every program has ended. */
  readonly event: SimulatedEvent | null;
}

/** Throws when something does not hold. */
export type ScenarioInvariant = (state: ScenarioState) => void | Promise<void>;

/** Options of {@linkcode runScenario}. */
export interface ScenarioOptions {
  /** Decides everything that chance does. Any integer. */
  readonly seed: number;
  /** Keeps the objects: empty, or with what was there before. */
  readonly store: ObjectStore;
  /** What goes wrong for all programs. Default: nothing. */
  readonly faults?: SimulatedFaults;
  /** Programs by name; they begin at the same time. */
  readonly actors: Readonly<Record<string, ScenarioActor>>;
  /** Where one of them has other faults, or a clock that is wrong. */
  readonly clients?: Readonly<Record<string, SimulatedClientOptions>>;
  /** By the names that reports have for them. */
  readonly invariants?: Readonly<Record<string, ScenarioInvariant>>;
  /** A scenario that carries out more requests than that does not end. @default {100000} */
  readonly stepsMax?: number;
}

/** What came of a scenario in which everything held that must hold. */
export interface ScenarioResult {
  /** What each program failed with; those that ended well are left out. */
  readonly failures: ReadonlyMap<string, unknown>;
  /** All requests, in order. */
  readonly history: readonly SimulatedEvent[];
  /** The history as lines of text: equal for equal seeds. */
  describe(): string;
}

/** Something does not hold. The message has the seed and the history. */
export class ScenarioError extends Error {
  override readonly name = "ScenarioError";
  /** Runs the same scenario again. */
  readonly seed: number;
  /** The invariant that was violated; null where the scenario itself did not end. */
  readonly invariant: string | null;
  constructor(message: string, { seed, invariant, cause }: {
    readonly seed: number;
    readonly invariant: string | null;
    readonly cause: unknown;
  }) {
    super(message, { cause });
    this.seed = seed;
    this.invariant = invariant;
  }
}

/**
 * Runs programs at the same time, in an order and with faults that the seed decides, until all of them have ended.
 *
 * The same seed gives the same history, if the programs take time and chance from what they are given. What is compiled
 * or loaded at its first use takes real time, in which the others may go on; so a first run can differ, and before
 * histories are compared one runs in vain.
 *
 * @throws {ScenarioError} with the seed and the history, when an invariant throws, when the programs need more than
 * `stepsMax` requests, or when one waits for what is neither the store nor its clock.
 *
 * @example A counter that loses no increment, whatever the order
 * ```ts
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { runScenario, type ScenarioActor } from "./scenario.ts";
 *
 * const increment: ScenarioActor = async (client) => {
 *   for (;;) {
 *     const object = await client.get("counter");
 *     const next = Uint8Array.of((await object.bytes())[0]! + 1);
 *     const precondition = { ifMatch: object.etag! };
 *     const isDone = await client.put("counter", next, { precondition }).then(() => true, () => false);
 *     if (isDone) return;
 *   }
 * };
 * for (let seed = 0; seed < 20; seed++) {
 *   const store = memoryStore();
 *   await store.put("counter", Uint8Array.of(0));
 *   await runScenario({
 *     seed,
 *     store,
 *     actors: { one: increment, two: increment, three: increment },
 *     invariants: {
 *       "no increment is lost": async ({ event }) => {
 *         const [count] = await (await store.get("counter")).bytes();
 *         if (event === null && count !== 3) throw new Error(`the counter is ${count}`);
 *       },
 *     },
 *   });
 * }
 * ```
 */
export async function runScenario(options: ScenarioOptions): Promise<ScenarioResult> {
  const { seed, store, actors, clients = {}, invariants = {}, stepsMax = 100_000 } = options;
  const simulation = new Simulation(store, options);
  const fail = (what: string, invariant: string | null, cause: unknown): ScenarioError => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new ScenarioError(`${what}: ${reason}\n${simulation.describe()}`, { seed, invariant, cause });
  };
  const check = async (event: SimulatedEvent | null): Promise<void> => {
    for (const [name, invariant] of Object.entries(invariants)) {
      try {
        await invariant({ store, event });
      } catch (cause) {
        throw fail(`Cannot hold "${name}" with seed ${seed}`, name, cause);
      }
    }
  };
  let steps = 0;
  simulation.watcher = async (event) => {
    if (++steps > stepsMax) {
      throw new ConfigValidationError(`Cannot end within ${stepsMax} requests: raise stepsMax`, "stepsMax");
    }
    await check(event);
  };
  const failures = new Map<string, unknown>();
  const running = Object.entries(actors).map(([name, actor]) => {
    const client = simulation.client(name, clients[name]);
    const random = new SeededRandom(seed ^ seedOf(name));
    const work = async (): Promise<void> => await actor(client, { name, random });
    return simulation.time.actor(name, work).catch((error) => void failures.set(name, error));
  });
  try {
    await Promise.race([Promise.all(running).then(() => simulation.time.settled()), simulation.time.failure()]);
  } catch (cause) {
    simulation.crashAll();
    throw cause instanceof ScenarioError ? cause : fail(`Cannot finish with seed ${seed}`, null, cause);
  }
  await check(null);
  return { failures, history: simulation.history, describe: () => simulation.describe() };
}
