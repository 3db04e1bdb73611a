// Judge: the digests of what one thread writes, SQLite, the store's listing, the clock and the folder for temporary files.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { hashSharding, memoryStore, openSnapshot, writeSnapshot, type WriteSnapshotOptions } from "../../mod.ts";
import { ConfigValidationError, ShardWriteError, StoreError } from "../../src/errors.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { CHUNK_BYTES } from "../../src/write/pack_stream.ts";
import { MESSAGE_BYTES } from "../../src/write/workers/worker_seat.ts";
import { misbehavingBackend, type Misbehaviour } from "./worker_backends.ts";

const ROWS = 20_000;
const SHARDS = 7;
const sharding = hashSharding({ shards: SHARDS });

function* numbers(count: number = ROWS): Generator<number> {
  // Every key once, in no order.
  for (let i = 0; i < count; i++) yield Math.imul(i, 0x9e3779b1) >>> 0;
}

function options(changes: Partial<WriteSnapshotOptions<number>> = {}): WriteSnapshotOptions<number> {
  return { store: memoryStore(), sharding, key: (row) => row, value: (row) => `value ${row}`, ...changes };
}

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-workers-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** What there is in a store and in the folder for temporary files. */
async function remains(store: ReturnType<typeof memoryStore>, localRoot: string): Promise<string[]> {
  const keys = (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key);
  return [...keys.filter((key) => !key.startsWith("runs/")), ...await readdir(localRoot).catch(() => [])];
}

test("P9 writeSnapshot(): the files are the same with any number of workers", async (t) => {
  const digests = [];
  for (const changes of [{}, { workers: 1 }, { workers: 2, memory: { rowsMax: 900 } }, { workers: 4 }]) {
    const localRoot = await temporaryFolder(t);
    const { winners } = await writeSnapshot(numbers(), options({ ...changes, localRoot }));
    deepEqual(await readdir(localRoot), []);
    digests.push(winners.map(({ shardId, rowCount, minKey, maxKey, writerInfo }) => {
      const { objects } = writerInfo["shardyfusion"] as unknown as { objects: { name: string; xxh3_64: string }[] };
      return [shardId, rowCount, minKey, maxKey, objects.find(({ name }) => name === "shard.db")!.xxh3_64];
    }));
  }
  for (const other of digests.slice(1)) deepEqual(other, digests[0]);
});

test("writeSnapshot() with workers: all rows are found, of equal keys the last, and counts are right", async () => {
  const store = memoryStore();
  function* rows(): Generator<[number, string]> {
    for (const key of numbers()) yield [key, "early"];
    for (const key of numbers()) yield [key, `late ${key}`];
  }
  const { stats } = await writeSnapshot(rows(), {
    ...{ store, sharding, workers: 2, key: ([key]) => key, value: ([, value]) => value },
    batch: { rowsMax: 50 },
  });
  equal(stats.rowsWritten, 2 * ROWS);
  await using reader = await openSnapshot({ store });
  const values = await reader.getMany(numbers());
  for (const [key, value] of values) equal(new TextDecoder().decode(value!), `late ${key}`);
});

test("writeSnapshot() refuses workers with a backend that names no module", async () => {
  const { module: _, ...backend } = misbehavingBackend({ what: "refuses" });
  await rejects(
    writeSnapshot(numbers(), options({ workers: 2, backend })),
    (error) => error instanceof ConfigValidationError && error.path === "workers",
  );
});

const LOSSES: readonly [Misbehaviour["what"], RegExp][] = [
  ["exits", /^Cannot build shards? [\d, ]+ as worker \d exited with code 3$/],
  ["throws", /^Cannot build shards? [\d, ]+ as worker \d failed: .*nobody catches this$/],
];

for (const [what, message] of LOSSES) {
  test(`writeSnapshot() with workers: one that ${what} fails the write, which names its shards`, async (t) => {
    const localRoot = await temporaryFolder(t);
    const store = memoryStore();
    const backend = misbehavingBackend({ what, shardId: 4 });
    const error = await writeSnapshot(numbers(), options({ store, backend, workers: 2, localRoot }))
      .then(() => null, (error: unknown) => error);
    ok(error instanceof ShardWriteError, String(error));
    match(error.message, message);
    ok(error.shardIds.includes(4) && error.shardIds.length <= 4, String(error.shardIds));
    deepEqual(await remains(store, localRoot), []);
  });

  test(`writeSnapshot() with workers and retry: one that ${what} is replaced and loses nothing`, async (t) => {
    const localRoot = await temporaryFolder(t);
    const store = memoryStore();
    const backend = misbehavingBackend({ what, shardId: 4, flag: join(await temporaryFolder(t), "flag") });
    const clock = new ManualClock();
    const { winners } = await writeSnapshot(
      numbers(),
      options({ store, backend, workers: 2, retry: {}, localRoot, clock }),
    );
    equal(winners.find(({ shardId }) => shardId === 4)!.attempt, 1);
    equal(winners.reduce((sum, { rowCount }) => sum + rowCount, 0), ROWS);
    const keys = await remains(store, localRoot);
    equal(
      keys.filter((key) => key.includes("attempt=00/shard.db")).length,
      winners.filter((w) => w.attempt === 0).length,
    );
    await using reader = await openSnapshot({ store, backend });
    for (const value of (await reader.getMany(numbers())).values()) ok(value !== null);
  });
}

test("writeSnapshot() with workers: errors of the engine and of the store keep class and fields", async () => {
  const refusal = misbehavingBackend({ what: "refuses", shardId: 2 });
  await rejects(writeSnapshot(numbers(), options({ backend: refusal, workers: 2 })), (error) => {
    ok(error instanceof ShardWriteError);
    equal(error.message, "Cannot build shard 2: not this shard");
    equal((error.cause as Error).name, "RangeError");
    return true;
  });
  const outage = misbehavingBackend({ what: "fails for a moment", shardId: 2 });
  await rejects(writeSnapshot(numbers(), options({ backend: outage, workers: 2 })), (error) => {
    ok(error instanceof StoreError);
    deepEqual([error.code, error.status, error.retryable, error.url], ["STORE", 503, true, "memory:///"]);
    return true;
  });
});

test("writeSnapshot() with workers: one that hangs is ended when it has been silent for too long", async () => {
  const clock = new ManualClock();
  const writing = writeSnapshot(
    numbers(),
    options({
      ...{ workers: 2, clock, backend: misbehavingBackend({ what: "spins", shardId: 4 }) },
      workerBudget: { silentMsMax: 30_000 },
    }),
  ).then(() => null, (error: unknown) => error);
  const timer = setInterval(() => clock.advance(1000), 5);
  const error = await writing;
  clearInterval(timer);
  ok(error instanceof ShardWriteError, String(error));
  match(error.message, /gave no sign of life for 30 s and was terminated$/);
});

function shortTime(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

test("writeSnapshot() with workers: a slow one stops the source within the budgets", { timeout: 60_000 }, async (t) => {
  const folder = await temporaryFolder(t);
  const flag = join(folder, "flag");
  const value = new Uint8Array(1000);
  const rowBytes = 8 + value.length;
  const [rowCount, workers, bytesPerWorkerMax, batchBytes] = [12_000, 2, 1 << 20, 4 * rowBytes];
  const stalled = Promise.withResolvers<void>();
  let taken = 0;
  let isReleased = false;
  async function* rows(): AsyncGenerator<number> {
    for (const key of numbers(rowCount)) {
      // The first array of 64 rows has batches for both workers, which start them, and no message yet. What they took
      // between their start and their stall would not be under way any more.
      if (++taken === 65) {
        while ((await readdir(folder)).length < workers) await shortTime();
        stalled.resolve();
      } else if (taken % 64 === 0 && !isReleased) await shortTime();
      yield key;
    }
  }
  const writing = writeSnapshot(
    rows(),
    options({
      ...{ workers, value: () => value, backend: misbehavingBackend({ what: "stalls at first", flag }) },
      ...{ workerBudget: { bytesPerWorkerMax }, batch: { bytesMax: batchBytes } },
    }),
  );
  await Promise.race([stalled.promise, writing]);
  let takenEarly = -1;
  while (takenEarly < taken) {
    takenEarly = taken;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  isReleased = true;
  await writeFile(flag, "");
  await writing;
  equal(taken, rowCount);
  // A message and a chunk may be exceeded by the batch, or the row, that fills it.
  const chunk = CHUNK_BYTES + rowBytes;
  const waiting = workers * (bytesPerWorkerMax + MESSAGE_BYTES + batchBytes) + SHARDS * batchBytes;
  // Two arrays of rows to be packed, three chunks before the stages behind that, and the batches of a fourth.
  const boundBytes = waiting + 6 * chunk;
  ok(takenEarly * rowBytes <= boundBytes, `${takenEarly} rows`);
});

for (const when of ["while rows arrive", "while shards are built"]) {
  test(`writeSnapshot() with workers: aborted ${when}, it ends within a second and leaves nothing`, async (t) => {
    const localRoot = await temporaryFolder(t);
    const store = memoryStore();
    const controller = new AbortController();
    async function* endless(): AsyncGenerator<number> {
      yield* numbers(50_000);
      if (when === "while rows arrive") await new Promise(() => {});
    }
    const writing = writeSnapshot(
      endless(),
      options({
        ...{ store, localRoot, workers: 2, signal: controller.signal },
        backend: misbehavingBackend({ what: "spins" }),
      }),
    );
    writing.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 600));
    const beganMs = performance.now();
    controller.abort(new Error("enough"));
    await rejects(writing, /^Error: enough$/);
    ok(performance.now() - beganMs < 1000);
    deepEqual(await remains(store, localRoot), []);
  });
}
