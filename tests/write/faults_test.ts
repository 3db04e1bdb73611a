// Judge: what a reader sees. Every request of a write fails once, before or after its effect.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { hashSharding, memoryStore, type ObjectStore, openSnapshot, writeSnapshot } from "../../mod.ts";
import { StoreError } from "../../src/errors.ts";
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

async function keysOf(store: ObjectStore): Promise<string[]> {
  return (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key);
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
