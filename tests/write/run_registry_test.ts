// Judges: the run record as parseRunRecord reads it, and what was asked of the store.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { hashSharding, memoryStore, type ObjectStore, type ShardyfusionEvent, writeSnapshot } from "../../mod.ts";
import { parseRunRecord, type RunRecord } from "../../src/snapshots/run_record.ts";
import { faultStore } from "../../src/testing/fault_store.ts";
import { sleep, systemClock } from "../../src/clock.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";

const MINUTE_MICROS = 60_000_000;
const rows = Array.from({ length: 300 }, (_, index) => index);

function options(store: ObjectStore) {
  return { store, sharding: hashSharding({ shards: 3 }), key: (row: number) => row, value: () => "v" };
}

async function recordsOf(store: ObjectStore): Promise<RunRecord[]> {
  const keys = (await Array.fromAsync(store.list("runs/"))).flat().map(({ key }) => key);
  return await Promise.all(keys.map(async (key) => parseRunRecord(await (await store.get(key)).bytes(), key)));
}

/** Waits for what is done in the background. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setTimeout(resolve));
}

test("writeSnapshot() records the run before the first byte of a shard, and its outcome last", async () => {
  const store = faultStore(memoryStore());
  const { runId, manifestRef, runRecordRef } = await writeSnapshot(rows, options(store));
  const writes = store.requests.filter(({ kind }) => kind === "PUT" || kind === "FINISH").map(({ key }) => key);
  match(writes[0]!, /^runs\/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z_run_id=[0-9a-f]{32}_[0-9a-f]{32}\/run\.yaml$/);
  deepEqual(writes.slice(-2), ["_CURRENT", writes[0]]);
  equal(runRecordRef, `${store.url}/${writes[0]}`);
  const [record] = await recordsOf(store);
  const { startedAtMicros, updatedAtMicros, leaseExpiresAtMicros, ...rest } = record!;
  ok(startedAtMicros < updatedAtMicros && updatedAtMicros === leaseExpiresAtMicros);
  deepEqual(rest, {
    runId,
    writerType: "typescript",
    status: "succeeded",
    s3Prefix: store.url,
    shardPrefix: "shards",
    dbPathTemplate: "db={db_id:05d}",
    manifestRef,
    errorType: null,
    errorMessage: null,
  });
});

test("writeSnapshot() records what a run failed with", async () => {
  const store = memoryStore();
  const broken = (function* () {
    yield 1;
    throw new RangeError("no more\nrows: ever");
  })();
  await rejects(writeSnapshot(broken, options(store)), RangeError);
  await rejects(writeSnapshot([0.5], options(store)), { code: "CONFIG_VALIDATION" });
  const abort = new AbortController();
  const stopped = writeSnapshot(rows, {
    ...options(store),
    signal: abort.signal,
    onProgress: () => abort.abort("stop"),
  });
  await rejects(stopped, (error) => error === "stop");
  const records = await recordsOf(store);
  deepEqual(records.map(({ status, errorType }) => [status, errorType]), [
    ["failed", "RangeError"],
    ["failed", "ConfigValidationError"],
    ["failed", "string"],
  ]);
  equal(records[0]!.errorMessage, "no more\nrows: ever");
  ok(
    records.every(({ manifestRef, updatedAtMicros, leaseExpiresAtMicros }) =>
      manifestRef === null && updatedAtMicros === leaseExpiresAtMicros
    ),
  );
});

test("writeSnapshot() records the manifest of a run that could not move the pointer", async () => {
  const store = memoryStore();
  const faulty = faultStore(store, {
    fault: ({ kind, key }) => kind === "PUT" && key === "_CURRENT" ? { moment: "before", retryable: false } : null,
  });
  let manifestRef: string | undefined;
  await rejects(writeSnapshot(rows, options(faulty)), (error: Error & { manifestRef?: string }) => {
    manifestRef = error.manifestRef;
    return error.name === "PublishCurrentError";
  });
  const [record] = await recordsOf(store);
  deepEqual([record!.status, record!.errorType, record!.manifestRef], ["failed", "PublishCurrentError", manifestRef]);
});

test("writeSnapshot() renews the lease every minute, from the first row on, until it ends", async () => {
  const store = memoryStore();
  const clock = new ManualClock();
  const begunMicros = clock.nowMicros();
  const seen: number[][] = [];
  const slow = (async function* () {
    for (const row of rows.slice(0, 4)) {
      yield row;
      clock.advance(60_000);
      await settle();
      const [{ status, updatedAtMicros, leaseExpiresAtMicros }] = await recordsOf(store) as [RunRecord];
      equal(status, "running");
      seen.push([updatedAtMicros - begunMicros, leaseExpiresAtMicros - begunMicros]);
    }
  })();
  await writeSnapshot(slow, { ...options(store), clock });
  deepEqual(seen, [1, 2, 3, 4].map((minutes) => [minutes * MINUTE_MICROS, (minutes + 10) * MINUTE_MICROS]));
  const before = await recordsOf(store);
  clock.advance(600_000);
  await settle();
  deepEqual(await recordsOf(store), before);
});

test("writeSnapshot() renews the lease on clocks that can only sleep, and ends its sleep", async () => {
  const store = faultStore(memoryStore());
  let sleeping = 0;
  const time = new ManualClock();
  const clock = {
    nowMicros: () => time.nowMicros(),
    monotonicMs: () => time.monotonicMs(),
    async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
      equal(delayMs, 60_000);
      sleeping++;
      await sleep(10, signal).finally(() => sleeping--);
    },
  };
  const slow = (async function* () {
    yield 1;
    await new Promise((resolve) => setTimeout(resolve, 200));
  })();
  await writeSnapshot(slow, { ...options(store), clock });
  await settle();
  equal(sleeping, 0);
  const records = store.requests.filter(({ kind, key }) => kind === "PUT" && key.startsWith("runs/")).length;
  ok(records >= 4, `${records} writes of the record`);
});

test("P6 writeSnapshot(): a registry that fails never fails a run", async () => {
  for (const moment of ["before", "after"] as const) {
    const inner = memoryStore();
    const events: ShardyfusionEvent[] = [];
    const faulty = faultStore(inner, {
      fault: ({ key }) => key.startsWith("runs/") ? { moment, error: new Error("no such folder") } : null,
    });
    const result = await writeSnapshot(rows, { ...options(faulty), onEvent: (event) => events.push(event) });
    equal(result.runRecordRef, null);
    const failed = events.filter((event) => event.name === "write.run_record_failed");
    deepEqual(
      failed.map(({ payload }) => payload.error),
      Array(3).fill("no such folder"),
      "begin, before publishing, end",
    );
    deepEqual((await recordsOf(inner)).map(({ status }) => status), moment === "before" ? [] : ["succeeded"]);
  }
});

test("writeSnapshot() lets a sign of life that is under way not hold up the end, nor undo it", async () => {
  const clock = new ManualClock();
  let late: (() => Promise<unknown>) | undefined;
  const store = memoryStore();
  const put = store.put.bind(store);
  store.put = (key, bytes, write) => {
    const isBeat = new TextDecoder().decode(bytes).includes("status: running") && clock.nowMicros() > begunMicros;
    if (!isBeat) return put(key, bytes, write);
    const { signal, ...rest } = write!;
    late = () => put(key, bytes, rest);
    return new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason)));
  };
  const begunMicros = clock.nowMicros();
  const slow = (async function* () {
    yield 1;
    clock.advance(60_000);
    await settle();
  })();
  await writeSnapshot(slow, { ...options(store), clock });
  await rejects(late!(), { code: "PRECONDITION_FAILED" });
  deepEqual((await recordsOf(store)).map(({ status }) => status), ["succeeded"]);
});

test("systemClock().every() calls until it is told to stop, and keeps no process alive", async () => {
  let calls = 0;
  const stop = systemClock().every!(5, () => calls++);
  await sleep(60);
  stop();
  const before = calls;
  ok(before >= 2, `${before} calls`);
  await sleep(30);
  equal(calls, before);
  const script = `import { systemClock } from "${new URL("../../src/clock.ts", import.meta.url)}";
    systemClock().every(600_000, () => {});`;
  const args = "Deno" in globalThis ? ["eval", script] : ["--input-type=module", "-e", script];
  const child = spawnSync(process.execPath, "Bun" in globalThis ? ["-e", script] : args, { timeout: 20_000 });
  equal(child.status, 0, child.stderr.toString());
});
