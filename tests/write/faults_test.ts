// Judge: what a reader sees. Every request of a write fails once, before or after its effect.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { hashSharding, memoryStore, type ObjectStore, openSnapshot, snapshotSink, writeSnapshot } from "../../mod.ts";
import { StoreError } from "../../src/errors.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { parseRunRecord } from "../../src/snapshots/run_record.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { fsStore } from "../../src/stores/fs_store.ts";

/** When a request fails: before it did anything, or after it did everything (the answer is lost). */
type Moment = "before" | "after";

interface Plan {
  /** Which request fails, from 1; 0 for none. */
  readonly failing: number;
  readonly moment: Moment;
  readonly retryable: boolean;
  count: number;
}

/** A store whose request of the planned number fails; parts of uploads count as requests of their own. */
function faulty(inner: ObjectStore, plan: Plan): ObjectStore {
  async function attempt<T>(request: () => Promise<T>): Promise<T> {
    const fails = ++plan.count === plan.failing;
    const error = new StoreError("Cannot reach the store", { url: inner.url, retryable: plan.retryable });
    if (fails && plan.moment === "before") throw error;
    const answer = await request();
    if (fails) throw error;
    return answer;
  }
  return {
    url: inner.url,
    get: (key, options) => attempt(() => inner.get(key, options)),
    getRanges: (key, ranges, options) => attempt(() => inner.getRanges(key, ranges, options)),
    put: (key, bytes, options) => attempt(() => inner.put(key, bytes, options)),
    list: (prefix, options) => inner.list(prefix, options),
    listFolders: (prefix, options) => attempt(() => inner.listFolders(prefix, options)),
    delete: (key, options) => attempt(() => inner.delete(key, options)),
    deletePrefix: (prefix, options) => attempt(() => inner.deletePrefix(prefix, options)),
    async upload(key, options) {
      const upload = await attempt(() => inner.upload(key, options));
      return {
        write: (chunk) => attempt(() => upload.write(chunk)),
        finish: (head) => attempt(() => upload.finish(head)),
        abort: () => upload.abort(),
        [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
      };
    },
  };
}

/** Without the records of runs, which stay whatever becomes of a run. */
async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys = (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key);
  return keys.filter((key) => !key.startsWith("runs/"));
}

/** What became of the runs, oldest first, as their records say. */
async function statusesOf(store: ObjectStore): Promise<string[]> {
  const keys = (await Array.fromAsync(store.list("runs/"))).flat().map(({ key }) => key);
  const records = keys.map(async (key) => parseRunRecord(await (await store.get(key)).bytes(), key).status);
  return await Promise.all(records);
}

function write(store: ObjectStore, value: string): ReturnType<typeof writeSnapshot> {
  return writeSnapshot(Array.from({ length: 300 }, (_, index) => index), {
    store,
    sharding: hashSharding({ shards: 3 }),
    key: (row) => row,
    value: () => value,
    clock: new ManualClock(Date.UTC(2026, 0, 1) * 1000 + value.length),
  });
}

/** The one value that all rows of the current snapshot have; fails on a mixture. */
async function visible(store: ObjectStore): Promise<string> {
  await using reader = await openSnapshot({ store });
  const values = new Set<string>();
  for (let key = 0; key < 300; key++) values.add(new TextDecoder().decode((await reader.get(key))!));
  equal(values.size, 1, "P1: one snapshot, not a mixture");
  return [...values][0]!;
}

test(
  "P1 P3 P6 writeSnapshot(): whichever request fails, the old snapshot or the new one is whole, and the next write works",
  {
    timeout: 120_000,
  },
  async () => {
    let failures = 0;
    for (const retryable of [true, false]) {
      for (const moment of ["before", "after"] as const) {
        for (let failing = 1;; failing++) {
          const inner = memoryStore();
          await write(inner, "old");
          const before = await keysOf(inner);
          const plan: Plan = { failing, moment, retryable, count: 0 };
          let error: unknown;
          const result = await write(faulty(inner, plan), "newer").catch((caught) => void (error = caught));
          const seen = await visible(inner);
          const label = `request ${failing} failed ${moment} its effect: ${error}`;
          if (result !== undefined) equal(seen, "newer", label);
          if (seen === "old") {
            failures++;
            ok(error !== undefined, label);
            const kept = (error as { code: string }).code.startsWith("PUBLISH_");
            if (!kept) deepEqual(await keysOf(inner), before, `${label}: nothing is left behind`);
          }
          // A run that failed before it could begin has no record; the last request is that of the outcome.
          const [first, status] = await statusesOf(inner);
          equal(first, "succeeded");
          const isOutcomeLost = result !== undefined && plan.count === failing && moment === "before";
          if (status !== undefined || result !== undefined) {
            equal(status, isOutcomeLost ? "running" : result === undefined ? "failed" : "succeeded", label);
          }
          await write(inner, "next one");
          equal(await visible(inner), "next one", label);
          if (plan.count < failing) break;
        }
      }
    }
    ok(failures > 20, `${failures} writes failed`);
  },
);

test("P2 writeSnapshot(): of two writers that publish at the same time one wins and the other is told", async () => {
  for (let round = 0; round < 10; round++) {
    const store = memoryStore();
    const outcomes = await Promise.allSettled([write(store, "left"), write(store, "right!")]);
    const won = outcomes.filter(({ status }) => status === "fulfilled");
    const lost = outcomes.filter((outcome) => outcome.status === "rejected");
    ok(won.length >= 1);
    for (const { reason } of lost) equal(reason.code, "PUBLISH_CONFLICT");
    ok(["left", "right!"].includes(await visible(store)));
  }
});

test("P5 writeSnapshot(): a run of the same name that fails removes nothing of the one that was published", async () => {
  for (const moment of ["before", "after"] as const) {
    for (let failing = 1;; failing++) {
      const inner = memoryStore();
      const rows = Array.from({ length: 300 }, (_, index) => index);
      const sharding = hashSharding({ shards: 3 });
      const options = { sharding, key: (row: number) => row, value: () => "old", runId: "nightly" };
      await writeSnapshot(rows, { ...options, store: inner });
      const plan: Plan = { failing, moment, retryable: true, count: 0 };
      await rejects(writeSnapshot(rows, { ...options, store: faulty(inner, plan), value: () => "new" }));
      equal(await visible(inner), "old", `request ${failing} failed ${moment}`);
      if (plan.count < failing) break;
    }
  }
});

test("P3 writeSnapshot(): shards stay when a manifest store fails in an unexpected way after publishing", async () => {
  const store = memoryStore();
  const inner = objectManifestStore(store);
  const manifestStore = {
    ...inner,
    async publish(...given: Parameters<typeof inner.publish>) {
      await inner.publish(...given);
      throw new Error("connection reset after the commit");
    },
  };
  const options = { store, manifestStore, sharding: hashSharding({ shards: 2 }), key: (row: number) => row };
  await rejects(writeSnapshot(Array.from({ length: 300 }, (_, row) => row), { ...options, value: () => "new" }));
  equal(await visible(store), "new");
});

test("snapshotSink() fails the pipe at once, also while the source is idle, and cancels it", async () => {
  const damaged = memoryStore();
  await damaged.put("_CURRENT", new TextEncoder().encode("{"));
  const abort = new AbortController();
  const cases = [{ store: damaged }, { store: memoryStore(), signal: AbortSignal.abort(new Error("early")) }, {
    store: memoryStore(),
    signal: abort.signal,
  }];
  setTimeout(() => abort.abort(new Error("late")), 20);
  for (const change of cases) {
    let cancelled = false;
    const idle = new ReadableStream<number>({
      start: (controller) => controller.enqueue(1),
      pull: () => new Promise(() => {}),
      cancel: () => void (cancelled = true),
    });
    const sink = snapshotSink<number>({
      sharding: hashSharding({ shards: 1 }),
      key: (row) => row,
      value: () => "",
      ...change,
    });
    await rejects(idle.pipeTo(sink));
    await rejects(sink.result);
    ok(cancelled);
  }
});

test("writeSnapshot() cancels its source when it fails before it reads", async () => {
  const store = memoryStore();
  await store.put("_CURRENT", new TextEncoder().encode("{"));
  let cancelled = false;
  const rows = new ReadableStream<number>({ cancel: () => void (cancelled = true) });
  await rejects(
    writeSnapshot(rows, { store, sharding: hashSharding({ shards: 1 }), key: (row) => row, value: () => "" }),
  );
  ok(cancelled);
});

test("writeSnapshot() says at once that a store cannot be written", async () => {
  let rowsRead = 0;
  const rows = (function* () {
    rowsRead++;
    yield 1;
  })();
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  writeFileSync(join(folder, "file"), "");
  const store = fsStore(join(folder, "file", "series")); // A file is no folder, for no user.
  await rejects(
    writeSnapshot(rows, { store, sharding: hashSharding({ shards: 1 }), key: (row) => row, value: () => "" }),
    { code: "STORE" },
  );
  equal(rowsRead, 0);
  await rm(folder, { recursive: true });
});

test("P3 P6 writeSnapshot(): a killed process leaves the old snapshot, and the next run is not disturbed", {
  timeout: 60_000,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  const localRoot = join(folder, "scratch");
  const store = fsStore(join(folder, "series"));
  try {
    await write(store, "old");
    const script = fileURLToPath(new URL("endless_write.ts", import.meta.url));
    const args = "Deno" in globalThis ? ["run", "-A", "--no-check", script] : [script];
    const child = spawn(process.execPath, [...args, join(folder, "series"), localRoot], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise<void>((resolve) => child.stdout.once("data", () => resolve()));
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await exited;
    ok(readdirSync(localRoot).length > 0, "it was killed while it had temporary files");
    equal(await visible(store), "old");
    await write(store, "next one");
    equal(await visible(store), "next one");
    ok((await keysOf(store)).every((key) => !key.includes("tmp")), "no temporary object is visible");
  } finally {
    await rm(folder, { recursive: true });
  }
});
