// Tasks that take the next attempt that is free. Judges: the listing of the store, and readers of what was published.
import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { memoryStore, openSnapshot } from "../../mod.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { publishJob } from "../../src/engine/mod.ts";
import { PreconditionFailedError, StoreError } from "../../src/errors.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { shardy, withFolder } from "../cli/run_shardy.ts";
import { arrowStream, columnsOf } from "./arrow_tables.ts";
import { built, newJob } from "./small_jobs.ts";

const columns = columnsOf(Array.from({ length: 300 }, (_, row) => ({ id: BigInt(row), body: `value ${row}` })));
const backend = sqliteBackend();
const SINGLE = { shardCount: 1 };

/** Folders of attempts, with what is in them. */
async function attemptsIn(store: ObjectStore): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const { key } of (await Array.fromAsync(store.list("shards/"))).flat()) {
    const [, attempt, name] = /(db=\d+\/attempt=\d+)\/(.*)$/.exec(key) ?? [];
    if (attempt !== undefined) (found[attempt] ??= []).push(name!);
  }
  return found;
}

const WHOLE = ["shard.db", "shard.guard", "shard.sidecar"];

test('buildStage() with attempt "next": tasks side by side all succeed, with attempts of their own', async () => {
  await withFolder(async (folder) => {
    for (const store of [memoryStore(), fsStore(folder)]) {
      const job = newJob();
      const tasks = await Promise.all(
        [1, 2, 3, 4].map((taskAttemptId) => built(job, columns, { store, attempt: "next", taskAttemptId })),
      );
      const expected: Record<string, string[]> = {};
      for (const shardId of [0, 1, 2]) {
        const numbers = tasks.map((attempts) => attempts[shardId]!.attempt);
        equal(new Set(numbers).size, 4, `attempts ${numbers}`);
        for (const number of numbers) expected[`db=0000${shardId}/attempt=0${number}`] = WHOLE;
      }
      deepEqual(Object.entries(await attemptsIn(store)), Object.entries(expected).sort());
      const last = await built(job, columns, { store, attempt: "next" });
      equal(last.every(({ shardId, attempt }) => !tasks.some((task) => task[shardId]!.attempt === attempt)), true);
      await publishJob(job, { store, backend, rowCount: 300 });
      equal(Object.keys(await attemptsIn(store)).length, 3);
      await using reader = await openSnapshot({ store });
      equal(new TextDecoder().decode((await reader.get(77))!), "value 77");
    }
  });
});

test('buildStage() with attempt "next" passes over what killed tasks have left', async () => {
  const store = memoryStore();
  const shard = "shards/run_id=run/db=00000";
  await store.put(`${shard}/attempt=00/shard.db`, new Uint8Array(3));
  await store.put(`${shard}/attempt=01/shard.sidecar`, new Uint8Array(3));
  await store.put(`${shard}/attempt=03/shard.db`, new Uint8Array(3));
  const attempts = [await built(newJob(SINGLE), columns, { store, attempt: "next" })];
  attempts.push(await built(newJob(SINGLE), columns, { store, attempt: "next" }));
  deepEqual(attempts.map(([attempt]) => [attempt!.attempt, attempt!.writerInfo["attempt"]]), [[2, 2], [4, 4]]);
  deepEqual(Object.keys(await attemptsIn(store)).map((key) => Number(key.slice(-2))), [0, 1, 2, 3, 4]);
});

/** A store some of whose methods are others. */
function changed(inner: ObjectStore, methods: Partial<ObjectStore>): ObjectStore {
  return new Proxy(inner, {
    get(target, name) {
      const value = Reflect.get(name in methods ? methods : target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

test("buildStage() leaves nothing in a folder that another task takes meanwhile, and goes on in the next", async () => {
  for (const name of ["shard.db", "shard.sidecar", "shard.guard"]) {
    const inner = memoryStore();
    const store = changed(inner, {
      async upload(key, options) {
        if (key.includes("attempt=00")) await inner.put(key.replace("shard.db", name), new Uint8Array(3));
        return await inner.upload(key, options);
      },
    });
    const [attempt] = await built(newJob(SINGLE), columns, { store, attempt: "next" });
    equal(attempt!.attempt, 1);
    deepEqual(await attemptsIn(inner), { "db=00000/attempt=00": [name], "db=00000/attempt=01": WHOLE });
  }
});

test("buildStage() that fails leaves the objects of tasks alone that came after it into a folder", async () => {
  const inner = memoryStore();
  const theirs = "shards/run_id=run/db=00000/attempt=00/shard.db";
  const store = changed(inner, {
    async upload(key, options) {
      if (key === theirs) await inner.put(key.replace("shard.db", "shard.sidecar"), new Uint8Array(3));
      if (key.includes("attempt=01")) {
        // What was in the way is gone, and a third task has taken the folder.
        await inner.put(theirs, new Uint8Array(3));
        throw new StoreError("Cannot write", { url: key, status: 403, retryable: false });
      }
      return await inner.upload(key, options);
    },
  });
  await rejects(built(newJob(SINGLE), columns, { store, attempt: "next" }), StoreError);
  deepEqual(await attemptsIn(inner), { "db=00000/attempt=00": ["shard.db", "shard.sidecar"] });
});

test("buildStage() whose answers get lost publishes one whole attempt", async () => {
  const inner = memoryStore();
  let isLost = false;
  const store = changed(inner, {
    async upload(key, options) {
      const upload = await inner.upload(key, options);
      return {
        write: (chunk) => upload.write(chunk),
        abort: () => upload.abort(),
        [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
        async finish(head) {
          const version = await upload.finish(head);
          if (isLost) return version;
          isLost = true;
          // As a client's second try finds the object of the first.
          throw new PreconditionFailedError("It is there already", { url: key });
        },
      };
    },
  });
  const [attempt] = await built(newJob(SINGLE), columns, { store, attempt: "next" });
  equal(attempt!.attempt, 1);
  await publishJob(newJob(SINGLE), { store, backend, rowCount: 300 });
  deepEqual(await attemptsIn(inner), { "db=00000/attempt=01": WHOLE });
  await using reader = await openSnapshot({ store });
  equal(new TextDecoder().decode((await reader.get(299))!), "value 299");
});

test("buildStage() gives up on a store that takes nothing, and fails over other errors at once", async () => {
  let uploads = 0;
  const refusing = (error: Error): ObjectStore =>
    changed(memoryStore(), { upload: () => Promise.reject((uploads++, error)) });
  const taken = new PreconditionFailedError("It is there already", { url: "memory:" });
  await rejects(built(newJob(SINGLE), columns, { store: refusing(taken), attempt: "next" }), PreconditionFailedError);
  equal(uploads, 32);
  const failed = new StoreError("Cannot write", { url: "memory:", status: 503, retryable: true });
  await rejects(built(newJob(SINGLE), columns, { store: refusing(failed), attempt: "next" }), StoreError);
  equal(uploads, 33);
});

test("shardy worker build --attempt next", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "job.json");
    const place = ["--current-url", join(folder, "people", "_CURRENT")];
    const planned = ["plan", "--key", "id", "--key-encoding", "u64be", "--value", "body", "--single-shard"];
    equal((await shardy([...place, ...planned, "--output", path])).exitCode, 0);
    const build = ["worker", "build", "--job", path, "--quiet", "--attempt"];
    const input = arrowStream(columns);
    const run = async (attempt: string) => await shardy([...build, attempt], { input });
    const numbers = [];
    for (const attempt of ["next", "next", "3", "next", "next"]) {
      const { exitCode, stdout, stderr } = await run(attempt);
      deepEqual([exitCode, stderr], [0, ""]);
      numbers.push(JSON.parse(stdout).attempt);
    }
    deepEqual(numbers, [0, 1, 3, 2, 4]);
    match((await run("3")).stderr, /another task has had this attempt.*--attempt next/);
    const wrong = await run("soon");
    deepEqual([wrong.exitCode, /Invalid value for '--attempt'/.test(wrong.stderr)], [2, true]);
    equal((await shardy(["publish", "--job", path, "--rows", "300"])).exitCode, 0);
    equal(Object.keys(await attemptsIn(fsStore(join(folder, "people")))).length, 1);
  });
});
