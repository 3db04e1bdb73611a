// Writers that give no sign of life for hours and go on then. The judges: what is listed, what a reader finds, and what
// was asked of the store.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { cleanUp, hashSharding, memoryStore, type ObjectStore, openSnapshot, writeSnapshot } from "../../mod.ts";
import { PublishConflictError, ShardCoverageError } from "../../src/errors.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { faultStore } from "../../src/testing/fault_store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { systemClock } from "../../src/clock.ts";
import { watchedStore } from "../snapshots/watched_store.ts";

const HOUR_MS = 3_600_000;
const rows = Array.from({ length: 300 }, (_, index) => index);

/** A clock without a timer, as long as it is not told otherwise: then it calls once when it is late. */
function suspendedClock(beats = false) {
  const time = new ManualClock();
  return {
    time,
    clock: {
      nowMicros: () => time.nowMicros(),
      monotonicMs: () => time.monotonicMs(),
      sleep: (delayMs: number, signal?: AbortSignal) => time.sleep(delayMs, signal),
      every: (intervalMs: number, action: () => void) => beats ? time.every(intervalMs, action) : () => {},
    },
  };
}

function options(store: ObjectStore, value: string) {
  return { store, sharding: hashSharding({ shards: 3 }), key: (row: number) => row, value: () => value };
}

async function keysUnder(store: ObjectStore, prefix: string): Promise<string[]> {
  return (await Array.fromAsync(store.list(prefix))).flat().map(({ key }) => key);
}

async function currentValue(store: ObjectStore): Promise<string> {
  await using reader = await openSnapshot({ store });
  return new TextDecoder().decode((await reader.get(7))!);
}

test("P1 writeSnapshot() publishes nothing that a clean-up removed while the writer was suspended", async () => {
  const store = memoryStore();
  const { time, clock } = suspendedClock();
  await writeSnapshot(rows, { ...options(store, "old"), clock });
  const shards = await keysUnder(store, "shards/");
  const validate = async (): Promise<void> => {
    time.advance(2 * HOUR_MS);
    equal((await cleanUp(store, { clock })).runs.length, 1);
  };
  await rejects(writeSnapshot(rows, { ...options(store, "new"), clock, validate }), (error: ShardCoverageError) => {
    ok(error instanceof ShardCoverageError, error);
    deepEqual(error.shardIds, [0, 1, 2]);
    return true;
  });
  equal(await currentValue(store), "old");
  deepEqual(await keysUnder(store, "shards/"), shards);
  equal((await keysUnder(store, "manifests/")).length, 1);
});

test("writeSnapshot() publishes after hours without a sign of life when all shards are there", async () => {
  // Also where the timer was late, so that the lease is valid again.
  for (const beats of [false, true]) {
    const inner = memoryStore();
    const store = faultStore(inner);
    const { time, clock } = suspendedClock(beats);
    let before = 0;
    const validate = async (): Promise<void> => {
      time.advance(2 * HOUR_MS);
      await new Promise((resolve) => setTimeout(resolve));
      before = store.requests.length;
    };
    const { runId } = await writeSnapshot(rows, { ...options(store, "new"), clock, validate });
    equal(await currentValue(inner), "new");
    const asked = store.requests.slice(before).map(({ kind, key }) => `${kind} ${key.replace(/\d{4}-.*/, "…")}`);
    const wanted = ["PUT runs/…", "LIST removals/", `LIST shards/run_id=${runId}/`, "PUT manifests/…"];
    deepEqual([...new Set(asked)].slice(0, 4), wanted);
  }
});

test("writeSnapshot() asks for no shards as long as it gives signs of life", async () => {
  const store = faultStore(memoryStore());
  const { time, clock } = suspendedClock();
  const validate = (): Promise<void> => Promise.resolve(time.advance(HOUR_MS / 7));
  await writeSnapshot(rows, { ...options(store, "new"), clock, validate });
  deepEqual(store.requests.filter(({ kind }) => kind === "LIST"), []);
});

test("P1 writeSnapshot() names the shards that are missing, cut off, or about to be removed", async () => {
  const changes: [readonly number[], (store: ObjectStore, runId: string, keys: string[]) => Promise<unknown>][] = [
    [[1], (store, _, keys) => store.delete(keys.find((key) => /db=00001.*shard\.db$/.test(key))!)],
    [[2], (store, _, keys) => store.delete(keys.find((key) => /db=00002.*shard\.guard$/.test(key))!)],
    [[0], (store, _, keys) => store.put(keys.find((key) => /db=00000.*shard\.db$/.test(key))!, Uint8Array.of(1))],
    [[0, 1, 2], (store, runId) => store.put("removals/2026-01-01T00:00:00.000000Z_x", announcement(runId))],
    [[], (store) => store.put("removals/2026-01-01T00:00:00.000000Z_x", announcement("another"))],
  ];
  for (const [expected, change] of changes) {
    const store = memoryStore();
    const { time, clock } = suspendedClock();
    const validate = async (): Promise<void> => {
      time.advance(HOUR_MS);
      await change(store, "r1", await keysUnder(store, "shards/run_id=r1/"));
    };
    const error = await writeSnapshot(rows, { ...options(store, "new"), runId: "r1", clock, validate })
      .then(() => null, (error) => error);
    deepEqual(error?.shardIds ?? [], expected);
    equal(error instanceof ShardCoverageError, expected.length > 0);
  }
});

test("writeSnapshot() fails when it cannot say that it is alive again", async () => {
  const inner = memoryStore();
  const { time, clock } = suspendedClock();
  const store = faultStore(inner, {
    fault: ({ kind, key }) =>
      kind === "PUT" && key.startsWith("runs/") && time.sleeps.length > 0 ? { moment: "before" } : null,
  });
  const validate = (): Promise<void> => time.sleep(HOUR_MS);
  await rejects(writeSnapshot(rows, { ...options(store, "new"), clock, validate }), { code: "STORE" });
  deepEqual(await keysUnder(inner, "manifests/"), []);
  deepEqual(await keysUnder(inner, "shards/"), []);
});

test("P1 objectManifestStore() moves the pointer to no manifest that went while its publisher was suspended", async () => {
  const inner = memoryStore();
  const time = new ManualClock();
  const { manifestRef } = await writeSnapshot(rows, { ...options(inner, "old"), clock: time });
  const manifests = objectManifestStore(inner, { clock: time });
  const expected = await manifests.loadCurrent();
  const manifest = await manifests.loadManifest(manifestRef);
  const store = watchedStore(inner, {
    onRequest: async ({ method, key }, send) => {
      const answer = await send();
      if (method === "put" && key.startsWith("manifests/")) await suspend();
      return answer;
    },
  });
  async function suspend(): Promise<void> {
    // Another one stores a manifest and is killed; of the newest ones only that one is kept.
    time.advance(1000);
    const killed = watchedStore(inner, {
      onRequest: ({ method, key }, send) =>
        method === "put" && key === "_CURRENT" ? Promise.reject(new Error("killed")) : send(),
    });
    await rejects(objectManifestStore(killed, { clock: time }).publish({ ...manifest, runId: "killed" }, expected));
    time.advance(3 * HOUR_MS);
    equal((await cleanUp(inner, { keep: 1, clock: time })).manifests.length, 1);
  }
  const suspended = objectManifestStore(store, { clock: time });
  await rejects(suspended.publish({ ...manifest, runId: "suspended" }, expected), PublishConflictError);
  equal((await manifests.loadCurrent())!.ref, manifestRef);
  equal(await currentValue(inner), "old");
});

test("systemClock().nowMicros() follows the time of day where monotonic time has stood still", () => {
  const clock = systemClock();
  const before = clock.nowMicros();
  const { now } = Date;
  try {
    Date.now = () => now() + 3 * HOUR_MS;
    ok(clock.nowMicros() - before > 2.9 * HOUR_MS * 1000);
  } finally {
    Date.now = now;
  }
  const last = clock.nowMicros();
  ok(clock.nowMicros() > last, "also after the clock was set back");
});

function announcement(runId: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify({ format_version: 1, manifests: [], runs: [runId] }));
}
