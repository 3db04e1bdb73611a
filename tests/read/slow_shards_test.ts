// Shards that answer late, as they will over a network. Judge: when they are closed, which must be after their answers.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import type { Backend, ShardReader } from "../../src/backends/backend.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { count, published, text } from "./small_snapshots.ts";

/** The engine with answers that wait for `open`; what happens to its shards is written down. */
function slowBackend(failAt = -1) {
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  const log: string[] = [];
  const inner = sqliteBackend();
  let shardCount = 0;
  async function openShard(file: Parameters<Backend["openShard"]>[0]): Promise<ShardReader> {
    const shard = await inner.openShard(file);
    const isFailing = shardCount++ === failAt;
    let isClosed = false;
    async function late<R>(work: () => R | Promise<R>): Promise<R> {
      if (isFailing) throw new Error("this shard fails");
      await opened;
      ok(!isClosed, "read after closing");
      return await work();
    }
    return {
      get: (key, signal) => late(() => shard.get(key, signal)),
      getMany: (keys, signal) => late(() => shard.getMany(keys, signal)),
      async *scan(range) {
        for await (const rows of shard.scan(range)) yield await late(() => rows);
      },
      async [Symbol.asyncDispose]() {
        isClosed = true;
        log.push("closed");
        await shard[Symbol.asyncDispose]();
      },
    };
  }
  return { backend: { ...inner, openShard }, open, log };
}

test("SnapshotReader.close() closes shards after the answers that are under way", async () => {
  const store = await published(count(20), { shards: 2 });
  const { backend, open, log } = slowBackend();
  const reader = await openSnapshot({ store, backend });
  const handle = reader.borrow(7);
  const answers = Promise.all([
    reader.get(7).then(text),
    reader.getMany([1, 2]).then((values) => [...values.values()].map(text)),
    Array.fromAsync(reader.scan()).then((rows) => rows.length),
    handle.get(7).then(text),
  ]);
  await handle[Symbol.asyncDispose]();
  await reader.close();
  deepEqual(log, []);
  open();
  deepEqual(await answers, ["<7>", ["<1>", "<2>"], 20, "<7>"]);
  await new Promise((resolve) => setTimeout(resolve));
  deepEqual(log, ["closed", "closed"]);
});

test("SnapshotReader.refresh() closes the old shards after the answers that are under way", async () => {
  const store = await published(count(20), { shards: 1 });
  const { backend, open, log } = slowBackend();
  await using reader = await openSnapshot({ store, backend });
  const answer = reader.get(7);
  await published([7], { store, shards: 1 });
  equal(await reader.refresh(), true);
  deepEqual(log, []);
  open();
  equal(text(await answer), "<7>");
  await new Promise((resolve) => setTimeout(resolve));
  deepEqual(log, ["closed"]);
});

test("SnapshotReader.getMany() fails when all shards have answered, not before", async () => {
  const store = await published(count(20), { shards: 2 });
  const { backend, open } = slowBackend(0);
  await using reader = await openSnapshot({ store, backend });
  let isOver = false;
  const answer = rejects(reader.getMany(count(20)), /this shard fails/).then(() => isOver = true);
  await new Promise((resolve) => setTimeout(resolve, 10));
  equal(isOver, false);
  open();
  await answer;
});

test("openSnapshot() closes the shards that it opened when another one fails", async () => {
  const store = await published(count(200), { shards: 5 });
  const keys = (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key);
  await store.delete(keys.findLast((key) => key.endsWith("shard.db"))!);
  const { backend, log } = slowBackend();
  await rejects(openSnapshot({ store, backend, concurrencyMax: 1 }), { code: "OBJECT_NOT_FOUND" });
  deepEqual(log, new Array(4).fill("closed"));
});
