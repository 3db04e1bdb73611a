// Whether the tests of the promises would notice: programs that break a promise on purpose go through the same seeds.
import { equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { ScenarioError } from "../../src/testing/scenario.ts";
import { BREAKERS } from "./promise_breakers.ts";
import { runSeed } from "./promise_scenarios.ts";

for (const [name, { invariant, breaks, seeds = 30, ...broken }] of Object.entries(BREAKERS)) {
  test(`runScenario() finds out that ${name}`, async () => {
    using _ = breaks?.();
    const violated: string[] = [];
    for (let seed = 1; seed <= seeds && violated.length === 0; seed++) {
      const error = await runSeed(seed, broken).then(() => null, (error) => error);
      if (error === null) continue;
      ok(error instanceof ScenarioError, error);
      violated.push(error.invariant!);
    }
    ok(violated.some((name) => invariant.test(name)), violated.join());
  });
}

test("runScenario() finds out that a store ignores preconditions", async () => {
  let found = 0;
  for (let seed = 3; seed <= 30 && found === 0; seed += 6) {
    const faults = { ignoresPreconditions: 1 };
    const clients = { writer1: { faults }, writer2: { faults }, writer3: { faults } };
    const error = await runSeed(seed, { faults, clients }).then(() => null, (error) => error);
    if (error instanceof ScenarioError && error.invariant?.startsWith("P2 ")) found++;
  }
  ok(found > 0);
});

test("runScenario() runs the same series again for the same seed", async () => {
  await runSeed(1); // What is compiled at its first use takes time.
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    const [one, other] = [await runSeed(seed), await runSeed(seed)];
    equal(one.result.describe(), other.result.describe());
  }
});
