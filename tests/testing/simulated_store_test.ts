// Judge: the store below, and two runs of the same seed; between runtimes a digest that was noted.
import { deepEqual, equal, notEqual, ok, rejects } from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { runScenario, type ScenarioActor, ScenarioError } from "../../src/testing/scenario.ts";
import { SeededRandom } from "../../src/testing/seeded_random.ts";
import { type SimulatedStore, simulatedStore } from "../../src/testing/simulated_store.ts";
import { storeContract } from "../contracts/store_contract.ts";

storeContract("simulatedStore()", () => {
  const store = simulatedStore(memoryStore("contract"), { seed: 1 });
  return Promise.resolve({ store, cleanUp: () => Promise.resolve() });
});

const encode = (text: string) => new TextEncoder().encode(text);
const absent = { precondition: { ifNoneMatch: "*" } } as const;

async function codeOf(request: Promise<unknown>): Promise<string> {
  return await request.then(() => "ok", (error) => String(error.code));
}

async function textIn(store: { get: SimulatedStore["get"] }, key: string): Promise<string | null> {
  return await store.get(key).then(async (object) => new TextDecoder().decode(await object.bytes()), () => null);
}

test("simulatedStore() fails requests before their effect", async () => {
  const inner = memoryStore();
  const store = simulatedStore(inner, { seed: 1, faults: { failed: 1 } });
  await rejects(store.put("a", encode("1")), { code: "STORE", retryable: true });
  equal(await textIn(inner, "a"), null);
  deepEqual(store.history.map(({ kind, isApplied }) => [kind, isApplied]), [["PUT", false]]);
});

test("simulatedStore() lets requests of certain keys fail, and no others", async () => {
  const store = simulatedStore(memoryStore(), { seed: 1, faults: { failed: 1, only: (key) => key === "a" } });
  await rejects(store.put("a", encode("1")), { code: "STORE" });
  await store.put("b", encode("1"));
});

test("simulatedStore() loses replies", async () => {
  const inner = memoryStore();
  const store = simulatedStore(inner, { seed: 1, faults: { lost: 1 } });
  await rejects(store.put("a", encode("1")), { code: "STORE", retryable: true });
  equal(await textIn(inner, "a"), "1");
});

test("simulatedStore() delays requests in virtual time, so that others overtake them", async () => {
  const started = performance.now();
  let overtaken = 0;
  for (let seed = 0; seed < 20; seed++) {
    const inner = memoryStore();
    const store = simulatedStore(inner, { seed });
    const slow = store.client("slow", { faults: { delayed: 1 } });
    await Promise.all([slow.put("a", encode("slow")), store.client("fast").put("a", encode("fast"))]);
    if (await textIn(inner, "a") === "slow") overtaken++;
    ok(store.history.some(({ outcome }) => outcome.startsWith("delayed by ")));
  }
  ok(overtaken > 10, `${overtaken} were overtaken`);
  ok(performance.now() - started < 5000, "nobody waits for real time");
});

test("simulatedStore() reorders requests that are under way at the same time", async () => {
  const winners = new Set<string | null>();
  for (let seed = 0; seed < 40; seed++) {
    const inner = memoryStore();
    const store = simulatedStore(inner, { seed });
    await Promise.all(["1", "2", "3"].map((name) => store.client(name).put("a", encode(name))));
    winners.add(await textIn(inner, "a"));
  }
  deepEqual([...winners].sort(), ["1", "2", "3"]);
});

test("simulatedStore() lets writes arrive twice, at once or later", async () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 40; seed++) {
    const inner = memoryStore();
    const store = simulatedStore(inner, { seed });
    const twice = store.client("twice", { faults: { duplicated: 1 } });
    seen.add(`create: ${await codeOf(twice.put("created", encode("1"), absent))}`);
    equal(await textIn(inner, "created"), "1");
    await twice.put("a", encode("old"));
    await store.put("a", encode("new"));
    await store.clock.sleep(100_000);
    seen.add(`late: ${await textIn(inner, "a")}`);
  }
  deepEqual([...seen].sort(), ["create: PRECONDITION_FAILED", "create: ok", "late: new", "late: old"]);
});

test("simulatedStore() ignores preconditions, of uploads too", async () => {
  const inner = memoryStore();
  await inner.put("a", encode("old"));
  await inner.put("b", encode("old"));
  const store = simulatedStore(inner, { seed: 1, faults: { ignoresPreconditions: 1 } });
  await store.put("a", encode("new"), absent);
  await using upload = await store.upload("b", { headBytes: 3, ...absent });
  await upload.finish(encode("new"));
  deepEqual([await textIn(inner, "a"), await textIn(inner, "b")], ["new", "new"]);
});

test("simulatedStore() gives stale answers to those who are to get them", async () => {
  const store = simulatedStore(memoryStore(), { seed: 3 });
  for (const text of ["1", "2", "3"]) await store.put("a", encode(text));
  const stale = store.client("stale", { faults: { stale: 0.5 } });
  const seen = new Set<string | null>();
  for (let count = 0; count < 30; count++) seen.add(await textIn(stale, "a"));
  deepEqual([...seen].sort(), ["1", "2", "3"]);
  equal(await textIn(store, "a"), "3");
});

test("simulatedStore() crashes the client that sends a certain request, and no other", async () => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 30; seed++) {
    const inner = memoryStore();
    const store = simulatedStore(inner, { seed, faults: { crashAtRequest: 2 } });
    const victim = store.client("victim");
    await victim.put("a", encode("1"));
    await rejects(victim.put("b", encode("1")), { code: "STORE", retryable: false });
    ok(victim.isCrashed);
    for (
      const request of [victim.get("a"), victim.put("c", encode("1")), victim.list("")[Symbol.asyncIterator]().next()]
    ) {
      await rejects(request, { code: "STORE", retryable: false });
    }
    equal(await textIn(store.client("other"), "a"), "1");
    outcomes.add(String(await textIn(inner, "b")));
    equal(await textIn(inner, "c"), null);
  }
  deepEqual([...outcomes].sort(), ["1", "null"]);
});

test("simulatedStore() lets requests of a crashed client arrive or not, its uploads never", async () => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 30; seed++) {
    const inner = memoryStore();
    const store = simulatedStore(inner, { seed });
    const victim = store.client("victim");
    {
      await using upload = await victim.upload("upload", { headBytes: 0 });
      await upload.write(encode("1"));
      const sent = victim.put("sent", encode("1"));
      victim.crash();
      await rejects(sent, { code: "STORE" });
    }
    await store.get("nothing").catch(() => {});
    await store.clock.sleep(1000);
    outcomes.add(String(await textIn(inner, "sent")));
    equal(await textIn(inner, "upload"), null);
  }
  deepEqual([...outcomes].sort(), ["1", "null"]);
});

test("simulatedStore() has a clock that jumps when everyone waits, and calls regularly", async () => {
  const store = simulatedStore(memoryStore(), { seed: 1, startMicros: 5_000_000 });
  const ahead = store.client("ahead", { skewMs: 60_000 });
  ok(ahead.clock.nowMicros() - store.clock.nowMicros() >= 59_999_000);
  const calls: number[] = [];
  const stop = store.clock.every(60_000, () => void calls.push(store.clock.monotonicMs()));
  const order: string[] = [];
  await Promise.all([["late", 3_600_000], ["early", 30_000]].map(async ([name, delayMs]) => {
    await store.clock.sleep(Number(delayMs));
    order.push(`${name} ${store.clock.monotonicMs()}`);
  }));
  deepEqual(order, ["early 30000", "late 3600000"]);
  deepEqual(calls.slice(0, 59), Array.from({ length: 59 }, (_, minute) => (minute + 1) * 60_000));
  stop();
  const reason = new Error("enough");
  const abort = new AbortController();
  const sleeping = store.clock.sleep(1e9, abort.signal);
  abort.abort(reason);
  await rejects(sleeping, (error) => error === reason);
  notEqual(store.clock.nowMicros(), store.clock.nowMicros());
});

/** Adds numbers to objects until it has met a few conflicts; sends pairs of requests at once. */
const busy: ScenarioActor = async (client, { random }) => {
  for (let round = 0; round < 12; round++) {
    const key = `k${random.below(3)}/${"0123456789abcdef".repeat(2)}`;
    const object = await client.get(key).catch(() => null);
    const precondition = object === null ? { ifNoneMatch: "*" } as const : { ifMatch: object.etag! };
    await Promise.allSettled([
      client.put(key, Uint8Array.of(round), { precondition }),
      client.list("k")[Symbol.asyncIterator]().next(),
      client.clock.sleep(random.below(300)),
    ]);
    await client.put(`log/${client.name}`, encode(`${client.clock.nowMicros()} ${crypto.randomUUID()}`)).catch(
      () => {},
    );
  }
};

const everything = { failed: 0.1, lost: 0.1, delayed: 0.1, duplicated: 0.1, ignoresPreconditions: 0.1, stale: 0.1 };

async function historyOf(seed: number): Promise<string> {
  const faults = { ...everything, crashAtRequest: 40 };
  return (await runScenario({ seed, store: memoryStore(), faults, actors: { a: busy, b: busy, c: busy } })).describe();
}

test("runScenario() gives one history for a seed, and another one for another seed", async () => {
  const histories: string[] = [];
  for (let seed = 0; seed < 10; seed++) {
    const history = await historyOf(seed);
    equal(await historyOf(seed), history);
    histories.push(history);
  }
  equal(new Set(histories).size, 10);
});

test("runScenario() gives the same history on every runtime", async () => {
  const digest = createHash("sha256");
  for (let seed = 0; seed < 10; seed++) digest.update(await historyOf(seed));
  equal(digest.digest("hex"), "729051d98afa3397974636390672942638bd924f96bd65c12f7ff05587bfcfe9");
});

test("runScenario() tells the seed, the invariant and the history", async () => {
  let checks = 0;
  const scenario = runScenario({
    seed: 77,
    store: memoryStore(),
    actors: { busy, other: busy },
    invariants: {
      "nothing is stored": () => void checks++,
      "never k1": ({ event }) => ok(event === null || !event.key.startsWith("k1"), "it is there"),
    },
  });
  const error = await scenario.catch((error) => error);
  ok(error instanceof ScenarioError);
  deepEqual([error.seed, error.invariant], [77, "never k1"]);
  ok(/with seed 77: it is there\nseed 77, faults \{\}\n.* ms {2}#1 \w+: /.test(error.message), error.message);
  ok(checks > 1);
});

test("runScenario() ends what does not end by itself", async () => {
  const endless: ScenarioActor = async (client) => {
    for (;;) await client.put("a", encode("1"));
  };
  const options = { seed: 1, store: memoryStore(), actors: { endless } };
  await rejects(runScenario({ ...options, stepsMax: 50 }), /Cannot end within 50 requests/);
});

test("SeededRandom gives numbers that are spread evenly, others for each seed", () => {
  const counts = new Array<number>(10).fill(0);
  for (let seed = 0; seed < 100; seed++) {
    const random = new SeededRandom(seed);
    for (let count = 0; count < 100; count++) counts[random.below(10)]!++;
  }
  // 1000 expected, with a standard deviation of 30.
  ok(counts.every((count) => count > 850 && count < 1150), counts.join());
  equal(new Set(Array.from({ length: 1000 }, (_, seed) => new SeededRandom(seed).next())).size, 1000);
});
