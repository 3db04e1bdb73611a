// Jobs with one shard: nothing to route, and the whole database built again when an upload fails for a moment. Judge:
// writeSnapshot of the same rows.
import { deepEqual, equal, rejects } from "node:assert/strict";
import { test } from "node:test";
import { memoryStore, openSnapshot, singleShard, writeSnapshot } from "../../mod.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { buildStage, type Job, parseJob, publishJob } from "../../src/engine/mod.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { faultStore } from "../../src/testing/fault_store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { streamOf } from "../cli/run_shardy.ts";
import { arrowStream, columnsOf } from "./arrow_tables.ts";

const ROWS = Array.from({ length: 2000 }, (_, row) => ({ id: BigInt(row * 3 % 2000), body: `value ${row}` }));

function newJob(retry: object | null): Job {
  const spec = {
    ...{ keyColumn: "id", keyEncoding: "u64be", value: { column: "body" }, shardCount: 1, retry },
    ...{ sharding: { strategy: "hash", "hash_algorithm": "xxh3_64" }, memory: { rowsMax: 300 } },
  };
  const text = JSON.stringify({ format: 1, packageVersion: "1", runId: "run", currentUrl: "/x/_CURRENT", spec });
  return parseJob(text, { name: "job.json", packageVersion: "1" });
}

async function keysIn(store: ObjectStore): Promise<string[]> {
  return (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key);
}

async function bytesOf(store: ObjectStore, name: string): Promise<Uint8Array> {
  const key = (await keysIn(store)).find((key) => key.endsWith(name))!;
  return await (await store.get(key)).bytes();
}

for (const kind of ["UPLOAD", "PART", "FINISH"] as const) {
  test(`P9 buildStage() of one shard builds all of it again when ${kind} fails once`, async () => {
    const inner = memoryStore();
    let failures = 0;
    const store = faultStore(inner, {
      fault: (request) => request.kind === kind && failures++ === 0 ? { moment: "before" } : null,
    });
    const events: string[] = [];
    const input = () => ({ name: "stdin", bytes: streamOf(arrowStream(columnsOf(ROWS), 150)) });
    const onEvent = ({ name }: { name: string }): void => void events.push(name);
    const backend = sqliteBackend();
    await rejects(buildStage(newJob(null), { store, backend, input: input(), onEvent }), { name: "StoreError" });
    deepEqual([await keysIn(inner), events.includes("write.shard.retried")], [[], false]);

    failures = 0;
    const job = newJob({ retriesMax: 2, initialBackoffMs: 5, multiplier: 2 });
    const [attempt, ...others] = await buildStage(job, { store, backend, input: input(), onEvent });
    deepEqual([attempt!.attempt, others, events.filter((name) => name === "write.shard.retried").length], [1, [], 1]);
    await publishJob(job, { store: inner, backend, rowCount: ROWS.length });
    deepEqual((await keysIn(inner)).filter((key) => /attempt=00|_attempts/.test(key)), []);

    const whole = memoryStore();
    await writeSnapshot(ROWS, {
      store: whole,
      sharding: singleShard(),
      key: ({ id }) => id,
      value: ({ body }) => body,
    });
    for (const name of ["shard.db", "shard.guard"]) deepEqual(await bytesOf(inner, name), await bytesOf(whole, name));
    await using reader = await openSnapshot({ store: inner });
    equal(new TextDecoder().decode((await reader.get(9))!), ROWS.findLast(({ id }) => id === 9n)!.body);
  });
}

test("buildStage() of one shard gives up when its retries are used up, and leaves nothing", async () => {
  const inner = memoryStore();
  const clock = new ManualClock();
  const store = faultStore(inner, { fault: ({ kind }) => kind === "FINISH" ? { moment: "before" } : null });
  const job = newJob({ retriesMax: 2, initialBackoffMs: 0 });
  const input = { name: "stdin", bytes: streamOf(arrowStream(columnsOf(ROWS))) };
  const names: string[] = [];
  const onEvent = ({ name }: { name: string }): void => void names.push(name);
  await rejects(buildStage(job, { store, backend: sqliteBackend(), input, clock, onEvent }), { name: "StoreError" });
  deepEqual(names.filter((name) => /retr/.test(name)), [
    ...["write.shard.retried", "write.shard.retried", "write.shard.retry_exhausted"],
  ]);
  deepEqual(await keysIn(inner), []);
});
