// Judges: the requests that the store below was sent, what it holds, and the time that a manual clock says has passed.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { hashSharding, memoryStore, type ObjectStore, openSnapshot, writeSnapshot } from "../../mod.ts";
import { systemClock } from "../../src/clock.ts";
import { type FaultPlan, faultStore } from "../../src/testing/fault_store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";
import { limitedStore } from "../../src/write/limited_store.ts";
import { checkWriteOptions } from "../../src/write/write_options.ts";
import { storeContract } from "../contracts/store_contract.ts";

const requestRetry = { attemptsMax: 5, initialBackoffMs: 200, multiplier: 2 };
const bytesOf = (text: string) => new TextEncoder().encode(text);

/** Fails the first `count` requests of a kind. */
function failing(kind: string, count: number, moment: "before" | "after" = "before", retryable = true) {
  const fault: FaultPlan["fault"] = (request) =>
    request.kind === kind && request.kindNumber <= count ? { moment, retryable } : null;
  return faultStore(memoryStore(), { fault });
}

function writeOptions(store: ObjectStore) {
  const key = (row: number) => row;
  return { store, sharding: hashSharding({ shards: 2 }), key, value: (row: number) => `row ${row}` };
}

storeContract("limitedStore()", () => {
  const limits = { timeoutMs: 60_000, requestRetry, uploadBytesPerSecond: 1e12, clock: systemClock() };
  const store = limitedStore(memoryStore(), limits);
  return Promise.resolve({ store, cleanUp: () => Promise.resolve() });
});

test("limitedStore() is the store itself without limits", () => {
  const inner = memoryStore();
  equal(limitedStore(inner, { clock: systemClock() }), inner);
});

test("limitedStore() repeats what failed for a moment, after 200, 400, 800 and 1600 ms, and then gives up", async () => {
  for (const failures of [1, 4, 5]) {
    const clock = new ManualClock();
    const inner = failing("PUT", failures);
    const store = limitedStore(inner, { requestRetry, clock });
    const put = store.put("a", bytesOf("1"));
    if (failures === 5) await rejects(put, { code: "STORE", retryable: true });
    else equal((await put).sizeBytes, 1);
    equal(inner.count("PUT"), Math.min(failures + 1, 5));
    deepEqual(clock.sleeps, [200, 400, 800, 1600].slice(0, failures));
  }
});

test("limitedStore() does not repeat what will fail again", async () => {
  const clock = new ManualClock();
  const inner = failing("PUT", 1, "before", false);
  const store = limitedStore(inner, { requestRetry, clock });
  await rejects(store.put("a", bytesOf("1")), { retryable: false });
  await rejects(store.get("missing"), { code: "OBJECT_NOT_FOUND" });
  deepEqual([inner.count("PUT"), inner.count("GET"), clock.sleeps], [1, 1, []]);
});

test("limitedStore() repeats every kind of request that may be", async () => {
  const calls: [kind: string, call: (store: ObjectStore) => Promise<unknown>][] = [
    ["GET", (store) => store.get("a/b")],
    ["GET", (store) => store.getRanges("a/b", [{ offset: 0, lengthBytes: 1 }])],
    ["GET", (store) => store.getIfChanged!("a/b", '"none"')],
    ["PUT", (store) => store.put("a/b", bytesOf("2"))],
    ["LIST", (store) => Array.fromAsync(store.list(""))],
    ["LIST", (store) => store.listFolders("")],
    ["DELETE", (store) => store.delete("a/b")],
    ["DELETE", (store) => store.deletePrefix("a")],
    ["UPLOAD", (store) => store.upload("a/b", { headBytes: 0 }).then((upload) => upload.abort())],
  ];
  for (const [failed, call] of calls) {
    const memory = memoryStore();
    await memory.put("a/b", bytesOf("1"));
    const fault: FaultPlan["fault"] = ({ kind, kindNumber }) =>
      kind === failed && kindNumber === 1 ? { moment: "before" } : null;
    const clock = new ManualClock();
    await call(limitedStore(faultStore(memory, { fault }), { requestRetry, clock }));
    deepEqual(clock.sleeps, [200], failed);
  }
});

test("P2 limitedStore(): a conditional PUT whose answer got lost has succeeded if the object is ours", async () => {
  const clock = new ManualClock();
  const inner = failing("PUT", 1, "after");
  const store = limitedStore(inner, { requestRetry, clock });
  const { etag } = await store.put("a", bytesOf("ours"), { precondition: { ifNoneMatch: "*" } });
  equal(etag, (await inner.get("a")).etag);
  equal(inner.count("PUT"), 2);
  const next = await store.put("a", bytesOf("next"), { precondition: { ifMatch: etag! } });
  equal(next.etag, (await inner.get("a")).etag);

  // Never arrived, and somebody else was there in the meantime.
  const memory = memoryStore();
  const fault: FaultPlan["fault"] = ({ kind, kindNumber }) =>
    kind === "PUT" && kindNumber === 1 ? { moment: "before" } : null;
  const overtaken = limitedStore(faultStore(memory, { fault }), {
    requestRetry,
    clock: Object.assign(new ManualClock(), { sleep: () => memory.put("a", bytesOf("other")).then(() => {}) }),
  });
  const write = overtaken.put("a", bytesOf("ours"), { precondition: { ifNoneMatch: "*" } });
  await rejects(write, { code: "PRECONDITION_FAILED" });
  // A first try that is refused is refused.
  const again = overtaken.put("a", bytesOf("other"), { precondition: { ifNoneMatch: "*" } });
  await rejects(again, { code: "PRECONDITION_FAILED" });
});

test("limitedStore() ends requests that take too long, retryably, and aborts them", { timeout: 10_000 }, async () => {
  const memory = memoryStore();
  await memory.put("a", bytesOf("1"));
  let signal: AbortSignal | undefined;
  const never = <T>() => new Promise<T>(() => {});
  const stuck: ObjectStore = Object.assign(faultStore(memory), {
    get: (_key: string, options?: { signal?: AbortSignal }) => (signal = options?.signal, never<never>()),
    delete: () => never<never>(),
    put: () => never<never>(),
    listFolders: () => never<never>(),
    upload: () =>
      Promise.resolve({
        write: () => never<never>(),
        finish: () => never<never>(),
        abort: () => Promise.resolve(),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      }),
  });
  const store = limitedStore(stuck, { timeoutMs: 20, clock: systemClock() });
  const late = (error: Error & { retryable?: boolean }) => {
    match(error.message, /"memory:\/\/\/store\/a.*" within timeoutMs: 20 ms are over/);
    return error.retryable === true;
  };
  await rejects(store.get("a"), late);
  ok(signal!.aborted);
  await rejects(store.put("a", bytesOf("2")), late);
  await rejects(store.delete("a"), late);
  await rejects(store.listFolders("a/"), late);
  const upload = await store.upload("a", { headBytes: 0 });
  await rejects(upload.write(bytesOf("2")), late);
  await rejects(upload.finish(bytesOf("")), late);
  // The caller's own reason comes first.
  const abort = new AbortController();
  const aborted = limitedStore(faultStore(memory, { delayMs: 5_000 }), { timeoutMs: 4_000, clock: systemClock() })
    .get("a", { signal: abort.signal });
  abort.abort(new Error("enough"));
  await rejects(aborted, /enough/);
});

test("limitedStore() lets a body that does not come fail, and repeats a request that was too slow", async () => {
  const memory = memoryStore();
  await memory.put("a", bytesOf("1"));
  const inner = faultStore(memory);
  const get = inner.get.bind(inner);
  let gets = 0;
  inner.get = async (key, options) => {
    const found = await get(key, options);
    if (gets++ === 0) await new Promise((resolve) => setTimeout(resolve, 60));
    return gets === 3 ? { ...found, body: found.body, bytes: () => new Promise(() => {}) } : found;
  };
  const fast = { ...requestRetry, initialBackoffMs: 1 };
  const store = limitedStore(inner, { timeoutMs: 20, requestRetry: fast, clock: systemClock() });
  equal(new TextDecoder().decode(await (await store.get("a")).bytes()), "1");
  equal(gets, 2);
  await rejects((await store.get("a")).bytes(), /within timeoutMs/);
});

test("limitedStore() keeps to uploadBytesPerSecond over all uploads, in the order in which they came", async () => {
  const clock = new ManualClock();
  const store = limitedStore(faultStore(memoryStore()), { uploadBytesPerSecond: 1000, clock });
  const startMs = clock.monotonicMs();
  const order: string[] = [];
  async function put(key: string, sizeBytes: number): Promise<void> {
    await store.put(key, new Uint8Array(sizeBytes));
    order.push(key);
  }
  async function upload(key: string): Promise<void> {
    await using upload = await store.upload(key, { headBytes: 100 });
    for (let chunk = 0; chunk < 10; chunk++) await upload.write(new Uint8Array(400));
    await upload.finish(new Uint8Array(100));
  }
  // More than a bucket, and smaller ones behind it that must not overtake it for ever.
  await Promise.all([put("full", 1000), put("large", 5000), ...Array.from({ length: 20 }, (_, n) => put(`${n}`, 50))]);
  deepEqual(order.slice(0, 3), ["full", "large", "0"]);
  await Promise.all([upload("x"), upload("y")]);
  const seconds = (clock.monotonicMs() - startMs) / 1000;
  const sentBytes = 1000 + 5000 + 20 * 50 + 2 * 4100;
  ok(Math.abs(seconds - (sentBytes - 1000) / 1000) < 1, `${seconds} s`);
  const abort = AbortSignal.abort(new Error("enough"));
  await rejects(store.put("late", new Uint8Array(5000), { signal: abort }), /enough/);
  await store.put("after", new Uint8Array(10));
});

test("writeSnapshot() with requestRetry publishes although requests fail, and says so in no error", async () => {
  const memory = memoryStore();
  // Each second request of a kind; parts of an upload are for the store itself, and for `retry`.
  const fault: FaultPlan["fault"] = ({ kind, kindNumber }) =>
    ["GET", "PUT", "LIST", "DELETE", "UPLOAD"].includes(kind) && kindNumber % 2 === 1
      ? { moment: kindNumber % 4 === 1 ? "before" : "after" }
      : null;
  const clock = new ManualClock();
  const store = faultStore(memory, { fault });
  for (const count of [50, 100]) {
    const rows = Array.from({ length: count }, (_, row) => row);
    await writeSnapshot(rows, { ...writeOptions(store), requestRetry: {}, clock });
    await using reader = await openSnapshot({ store: memory });
    equal(reader.info.rowCount, count);
  }
  ok(clock.sleeps.includes(200));
});

test("writeSnapshot() with uploadBytesPerSecond takes as long as its bytes do", async () => {
  const clock = new ManualClock();
  const startMs = clock.monotonicMs();
  const { stats } = await writeSnapshot([1, 2, 3], {
    ...writeOptions(memoryStore()),
    uploadBytesPerSecond: 1000,
    clock,
  });
  const seconds = (clock.monotonicMs() - startMs) / 1000;
  ok(seconds > stats.bytes / 1000 - 1, `${stats.bytes} bytes in ${seconds} s`);
});

test("checkWriteOptions() checks and completes the limits of requests", () => {
  const options = writeOptions(memoryStore());
  deepEqual(checkWriteOptions({ ...options, requestRetry: {} }).requestRetry, requestRetry);
  equal(checkWriteOptions(options).requestRetry, undefined);
  const wrong: [path: string, value: object][] = [
    ["timeoutMs", { timeoutMs: 0 }],
    ["uploadBytesPerSecond", { uploadBytesPerSecond: -1 }],
    ["requestRetry.attemptsMax", { requestRetry: { attemptsMax: 0 } }],
    ["requestRetry.tries", { requestRetry: { tries: 1 } }],
  ];
  for (const [path, value] of wrong) {
    let found: string | undefined;
    try {
      checkWriteOptions({ ...options, ...value });
    } catch (error) {
      found = (error as { path?: string }).path;
    }
    equal(found, path);
  }
});
