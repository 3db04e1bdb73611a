// Retries of shards. Judge: a reader, the store's own listing, and a clock that writes down how long was waited.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { hashSharding, memoryStore, type ObjectStore, openSnapshot, sqliteBackend, writeSnapshot } from "../../mod.ts";
import type { Backend } from "../../src/backends/backend.ts";
import { type Clock, systemClock } from "../../src/clock.ts";
import { StoreError } from "../../src/errors.ts";
import type { ShardyfusionEvent } from "../../src/events.ts";
import type { WriteSnapshotOptions } from "../../src/write/write_options.ts";

const ROWS = 500;

/** A clock whose sleeps take no time, and are written down. */
function hurried(): { clock: Clock; sleeps: number[] } {
  const sleeps: number[] = [];
  const clock = {
    ...systemClock(),
    sleep: (ms: number, signal?: AbortSignal) => {
      signal?.throwIfAborted();
      if (ms >= 1000) sleeps.push(ms);
      return Promise.resolve();
    },
  };
  return { clock, sleeps };
}

/** The backend, of which attempts fail as planned: `failures` of shard `shardId`, after the file was uploaded. */
function failing(shardId: number, failures: unknown[]): Backend {
  const inner = sqliteBackend();
  return {
    ...inner,
    async buildShard(rows, target) {
      const built = await inner.buildShard(rows, target);
      if (target.shardId === shardId && failures.length > 0) throw failures.shift();
      return built;
    },
  };
}

const transient = (): StoreError => new StoreError("Cannot reach the store", { url: "memory:///x", retryable: true });

function write(store: ObjectStore, options: Partial<WriteSnapshotOptions<number>>): ReturnType<typeof writeSnapshot> {
  return writeSnapshot(Array.from({ length: ROWS }, (_, index) => index), {
    store,
    sharding: hashSharding({ shards: 3 }),
    key: (row) => row,
    value: (row) => `value ${row}`,
    ...options,
  });
}

async function shardFolders(store: ObjectStore): Promise<string[]> {
  const keys = (await Array.fromAsync(store.list("shards/"))).flat().map(({ key }) => key);
  return [...new Set(keys.map((key) => key.split("/").slice(2, 4).join("/")))];
}

async function checkRows(store: ObjectStore): Promise<void> {
  await using reader = await openSnapshot({ store });
  const values = await reader.getMany(Array.from({ length: ROWS }, (_, index) => index));
  for (const [key, value] of values) equal(new TextDecoder().decode(value!), `value ${key}`);
}

test("writeSnapshot() builds a shard again that failed for a moment, after 1, 2 and 4 s, and removes what lost", async () => {
  const store = memoryStore();
  const { clock, sleeps } = hurried();
  const events: ShardyfusionEvent[] = [];
  const backend = failing(1, [transient(), transient(), transient()]);
  const { winners } = await write(store, { backend, clock, retry: {}, onEvent: (event) => events.push(event) });
  deepEqual(sleeps, [1000, 2000, 4000]);
  deepEqual(winners.map(({ attempt, writerInfo }) => [attempt, writerInfo["attempt"]]), [[0, 0], [3, 3], [0, 0]]);
  ok(winners[1]!.dbUrl!.endsWith("db=00001/attempt=03"));
  deepEqual(await shardFolders(store), ["db=00000/attempt=00", "db=00001/attempt=03", "db=00002/attempt=00"]);
  deepEqual(
    events.filter(({ name }) => name === "write.shard.retried").map(({ payload }) => ({ ...payload, elapsed_ms: 0 })),
    [1, 2, 3].map((attempt) => ({ elapsed_ms: 0, db_id: 1, attempt, backoff_s: 2 ** (attempt - 1) })),
  );
  await checkRows(store);
});

test("writeSnapshot() gives up when the retries are used up, and takes everything back", async () => {
  const store = memoryStore();
  const { clock, sleeps } = hurried();
  const events: string[] = [];
  const backend = failing(2, Array.from({ length: 9 }, transient));
  const retry = { retriesMax: 2, initialBackoffMs: 5000, multiplier: 3 };
  await rejects(write(store, { backend, clock, retry, onEvent: ({ name }) => events.push(name) }), { code: "STORE" });
  deepEqual(sleeps, [5000, 15_000]);
  equal(events.filter((name) => name === "write.shard.retry_exhausted").length, 1);
  deepEqual(await shardFolders(store), []);
});

test("writeSnapshot() retries nothing that cannot succeed later, and nothing without the option", async () => {
  const permanent = new StoreError("Cannot write", { url: "memory:///x", status: 403 });
  for (
    const [options, failures] of [[{ retry: {} }, [permanent]], [{}, [transient()]]] as const
  ) {
    const store = memoryStore();
    const { clock, sleeps } = hurried();
    await rejects(write(store, { ...options, clock, backend: failing(0, [...failures]) }), { code: "STORE" });
    deepEqual(sleeps, []);
    deepEqual(await shardFolders(store), []);
  }
});

test("writeSnapshot() retries what a backend of one's own throws, as it may pass", async () => {
  const store = memoryStore();
  const { clock } = hurried();
  await write(store, { clock, retry: {}, backend: failing(0, [new Error("disk is full")]) });
  await checkRows(store);
});

test("writeSnapshot() retries a shard whose rows were spilled to disk", async () => {
  const store = memoryStore();
  const { clock } = hurried();
  const memory = { bytesMax: 4096 };
  await write(store, { clock, memory, retry: {}, backend: failing(0, [transient(), transient()]) });
  await checkRows(store);
});

test("writeSnapshot() does not wait for a retry when it is aborted", async () => {
  const store = memoryStore();
  const abort = new AbortController();
  const clock = {
    ...systemClock(),
    sleep: (ms: number, signal?: AbortSignal) => {
      if (ms >= 1000) abort.abort(new Error("enough"));
      return systemClock().sleep(ms >= 1000 ? 60_000 : ms, signal);
    },
  };
  const backend = failing(0, [transient()]);
  await rejects(write(store, { clock, retry: {}, backend, signal: abort.signal }), /enough/);
  deepEqual(await shardFolders(store), []);
});

test("writeSnapshot() refuses wrong retries, naming them", async () => {
  for (const retry of [{ retriesMax: -1 }, { initialBackoffMs: 0.5 }, { multiplier: 0 }, { times: 3 }]) {
    await rejects(write(memoryStore(), { retry: retry as object }), { code: "CONFIG_VALIDATION" });
  }
});
