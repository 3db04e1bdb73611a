// Judge: what writeSnapshot writes of the same rows, the store's listing, and counts made by hand.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { hashSharding, memoryStore, openSnapshot, writeSnapshot } from "../../mod.ts";
import { ConfigValidationError, PreconditionFailedError, ShardCoverageError } from "../../src/errors.ts";
import { hashRouter } from "../../src/routing/mod.ts";
import { publishAttempts, type ShardAttempt, writeShard } from "../../src/write/mod.ts";

const KEYS = Array.from({ length: 3000 }, (_, key) => key * 7);
const router = hashRouter(3);
const rowsOf = Map.groupBy(KEYS, (key) => router.route(key));
const rowsOffered = new Map(Array.from(rowsOf, ([shardId, keys]) => [shardId, keys.length]));

function newRun() {
  return { store: memoryStore(), runId: crypto.randomUUID(), keyEncoding: "u64be" as const };
}

async function task(run: ReturnType<typeof newRun>, shardId: number, more = {}): Promise<ShardAttempt> {
  const attempt = await writeShard(rowsOf.get(shardId)!, {
    ...{ ...run, shardId, key: (key: number) => key, value: (key: number) => `value ${key}` },
    ...more,
  });
  return attempt!;
}

async function folders(store: ReturnType<typeof memoryStore>): Promise<string[]> {
  const keys = (await Array.fromAsync(store.list("shards/"))).flat().map(({ key }) => key);
  return [...new Set(keys.map((key) => key.split("/").slice(2, 4).join("/")))];
}

function digestOf({ writerInfo }: { readonly writerInfo: ShardAttempt["writerInfo"] }): string {
  const { objects } = writerInfo["shardyfusion"] as unknown as { objects: { name: string; xxh3_64: string }[] };
  return objects.find(({ name }) => name === "shard.db")!.xxh3_64;
}

test("P9 writeShard() and publishAttempts() give the snapshot that writeSnapshot gives", async () => {
  const run = newRun();
  const attempts = await Promise.all([2, 0, 1].map((shardId) => task(run, shardId, { memory: { rowsMax: 100 } })));
  const { winners, manifestRef } = await publishAttempts(attempts, { ...run, router, rowsOffered });
  const whole = await writeSnapshot(KEYS, {
    ...{ store: memoryStore(), sharding: hashSharding({ shards: 3 }), key: (key) => key },
    value: (key) => `value ${key}`,
  });
  deepEqual(winners.map(digestOf), whole.winners.map(digestOf));
  deepEqual(
    winners.map(({ minKey, maxKey, rowCount, dbBytes }) => ({ minKey, maxKey, rowCount, dbBytes })),
    whole.winners.map(({ minKey, maxKey, rowCount, dbBytes }) => ({ minKey, maxKey, rowCount, dbBytes })),
  );
  await using reader = await openSnapshot({ store: run.store });
  equal(reader.info.manifestRef, manifestRef);
  for (const [key, value] of await reader.getMany(KEYS)) equal(new TextDecoder().decode(value!), `value ${key}`);
});

test("publishAttempts() takes the lowest attempt, then the lowest task, and removes those that lost", async () => {
  const run = newRun();
  const attempts = [
    await task(run, 0, { attempt: 2, taskAttemptId: 7 }),
    await task(run, 0, { attempt: 1, taskAttemptId: 9 }),
    await task(run, 1),
    await task(run, 2, { attempt: 3 }),
  ];
  const { winners } = await publishAttempts([...attempts, attempts[2]!], { ...run, router, rowsOffered });
  deepEqual(winners.map(({ attempt }) => attempt), [1, 0, 3]);
  deepEqual(winners.map(({ writerInfo }) => writerInfo["task_attempt_id"]), [9, null, null]);
  deepEqual(await folders(run.store), ["db=00000/attempt=01", "db=00001/attempt=00", "db=00002/attempt=03"]);
});

test("publishAttempts() names all shards that lack an attempt or rows, and publishes nothing", async () => {
  const run = newRun();
  const one = await task(run, 1);
  await rejects(publishAttempts([{ ...one, rowCount: one.rowCount - 1 }], { ...run, router, rowsOffered }), (error) => {
    ok(error instanceof ShardCoverageError);
    deepEqual(error.shardIds, [0, 1, 2]);
    const given = rowsOffered.get(1)!;
    equal(
      error.message,
      "Cannot publish the snapshot as no attempt at shards 0, 2 has succeeded; " +
        `shard 1 was given ${given} rows and has ${given - 1}`,
    );
    return true;
  });
  equal((await Array.fromAsync(run.store.list("manifests/"))).flat().length, 0);
  deepEqual(await folders(run.store), ["db=00001/attempt=00"]);
});

test("writeShard() leaves alone what an attempt of the same number has written", async () => {
  const run = newRun();
  const first = await task(run, 1);
  await rejects(task(run, 1), PreconditionFailedError);
  const { winners } = await publishAttempts([first], { ...run, router, rowsOffered: new Map([[1, first.rowCount]]) });
  await using reader = await openSnapshot({ store: run.store });
  ok((await reader.get(rowsOf.get(1)![0]!)) !== null);
  equal(winners.length, 1);
});

test("writeShard() leaves nothing behind when a row is wrong, and gives null for no rows", async () => {
  const run = newRun();
  const options = { ...run, shardId: 1, value: () => "" };
  await rejects(writeShard([1, "two", 3], { ...options, key: (key) => key }), ConfigValidationError);
  equal(await writeShard([], { ...options, key: () => 0 }), null);
  deepEqual((await Array.fromAsync(run.store.list(""))).flat(), []);
});
