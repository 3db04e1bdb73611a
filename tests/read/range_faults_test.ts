// P7: servers that fail at any request of a reader over ranges. Judge: the rows that were written; a clock.
import { deepEqual, equal, ok } from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { ShardyfusionError, StoreError } from "../../src/errors.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { SnapshotReader } from "../../src/read/snapshot_reader.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { httpStore } from "../../src/stores/http_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { s3FetchStore } from "../../src/stores/s3_fetch_store.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import type { ObjectStore, ReadableStore } from "../../src/stores/store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { type CountingProxy, type Fault, startCountingProxy } from "../servers/counting_proxy.ts";
import { upTo } from "./served_series.ts";

const isSoak = process.env["SHARDYFUSION_SOAK"] === "1";
const ROWS = 400;
const LONG = 7;
const TIMEOUT_MS = 400;
/** What a loaded machine may take beside. */
const SLACK_MS = 3000;

function valueOf(id: number, word: string): string {
  return `${word} ${id} `.padEnd(id % 100 === LONG ? 9000 : 60 + id % 50, ".");
}

async function publish(store: ObjectStore, word: string): Promise<Uint8Array> {
  await writeSnapshot(upTo(ROWS), {
    store,
    sharding: hashSharding({ shards: 2 }),
    key: (id) => id,
    value: (id) => valueOf(id, word),
  });
  return await (await store.get("_CURRENT")).bytes();
}

interface Series {
  readonly store: ObjectStore;
  readonly pointers: readonly [one: Uint8Array, two: Uint8Array];
}

let series: Promise<Series> | undefined;

function twoVersions(): Promise<Series> {
  return series ??= (async () => {
    const store = memoryStore();
    return { store, pointers: [await publish(store, "one"), await publish(store, "two")] };
  })();
}

/** The series below a folder, with a pointer of its own. */
function seriesAt({ store, pointers }: Series, folder: string): { objects: ReadableStore; moveOn(): void } {
  const pointerStore = memoryStore();
  let isSet = pointerStore.put("_CURRENT", pointers[0]);
  async function storeOf(key: string): Promise<ReadableStore> {
    await isSet;
    return key === "_CURRENT" ? pointerStore : store;
  }
  const inside = (key: string): string => key.startsWith(folder) ? key.slice(folder.length) : `missing/${key}`;
  return {
    objects: {
      url: store.url,
      get: async (key, options) => await (await storeOf(inside(key))).get(inside(key), options),
      getRanges: async (key, ranges, options) =>
        await (await storeOf(inside(key))).getRanges(inside(key), ranges, options),
    },
    moveOn: () => void (isSet = pointerStore.put("_CURRENT", pointers[1])),
  };
}

type Connect = (server: CountingProxy) => ReadableStore;
const credentials = { accessKeyId: "reader", secretAccessKey: "secret" };
const connections: Record<string, Connect> = {
  httpStore: (server) => httpStore(`${server.url}/bucket/series`),
  s3FetchStore: (server) => s3FetchStore({ url: "s3://bucket/series", endpoint: server.url, credentials }),
  s3Store: (server) => s3Store({ url: "s3://bucket/series", endpoint: server.url, credentials, attemptsMax: 1 }),
};

/** The reader's way: what is done, in this order, and what must come of it. */
const steps: readonly [name: string, run: (reader: SnapshotReader, words: readonly string[]) => Promise<void>][] = [
  ["get a row", (reader, words) => checkKey(reader, 42, words)],
  ["get a long row", (reader, words) => checkKey(reader, 100 + LONG, words)],
  ["get nothing", async (reader) => equal(await reader.get(ROWS + 5), null)],
  ["get many", async (reader, words) => {
    const ids = [3, 50, 200 + LONG, 250, 333, 399, 1000];
    const values = await reader.getMany(ids);
    deepEqual([...values.keys()], ids);
    const seen = words.filter((word) => ids.every((id) => isRight(values.get(id), id, word)));
    equal(seen.length, 1, "values of one version");
  }],
];

async function checkKey(reader: SnapshotReader, id: number, words: readonly string[]): Promise<void> {
  const value = await reader.get(id);
  ok(words.some((word) => isRight(value, id, word)), `key ${id}`);
}

function isRight(value: Uint8Array | null | undefined, id: number, word: string): boolean {
  if (id >= ROWS) return value === null;
  return value instanceof Uint8Array && new TextDecoder().decode(value) === valueOf(id, word);
}

/** A step that may fail once, in time and with an error of ours; then it works. */
async function twice<R>(run: () => Promise<R>, expected: (error: ShardyfusionError) => boolean): Promise<R> {
  const startedMs = performance.now();
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof ShardyfusionError)) throw error;
    ok(expected(error), `${error.code}: ${error.message}`);
    const tookMs = performance.now() - startedMs;
    ok(tookMs < TIMEOUT_MS + SLACK_MS, `took ${tookMs} ms`);
    return await run();
  }
}

interface Journey {
  readonly connect: Connect;
  readonly fault: Fault | null;
  /** Which request of the server fails. */
  readonly failing: number;
  readonly expected: (error: ShardyfusionError) => boolean;
}

/** Opens, looks up, refreshes, looks up again; tells how many requests that took. */
async function travel(journey: Journey): Promise<number> {
  const { connect, fault, failing, expected } = journey;
  const { objects, moveOn } = seriesAt(await twoVersions(), "bucket/series/");
  let count = 0;
  await using server = await startCountingProxy({
    objects,
    fault: (_request, index) => {
      count = index + 1;
      return index === failing ? fault : null;
    },
  });
  const store = connect(server);
  const isSlow = fault === "stall" || (typeof fault === "object" && fault !== null && "slowFirstByteMs" in fault);
  const options = { store, access: "range", ...(isSlow ? { timeoutMs: TIMEOUT_MS } : {}) } as const;
  await using reader = await twice(() => openSnapshot(options), expected);
  for (const [, run] of steps) await twice(() => run(reader, ["one"]), expected);
  moveOn();
  // False with a warning when the manifest could not be parsed: the next one takes it over.
  if (!await twice(() => reader.refresh(), expected)) equal(await reader.refresh(), true);
  for (const [, run] of steps) await twice(() => run(reader, ["two"]), expected);
  deepEqual(server.log.filter(({ method }) => method !== "GET"), []);
  return count;
}

const retryable = (error: ShardyfusionError) => error instanceof StoreError && error.retryable;
const never = () => false;
/** Damage that somebody finds, or what falling back makes of it. */
const damaged = (error: ShardyfusionError) =>
  retryable(error) || ["CORRUPT_FILE", "READER_STATE", "MANIFEST_PARSE", "STORE"].includes(error.code);

const faults: readonly [fault: Fault, expected: (error: ShardyfusionError) => boolean][] = [
  ["cut", retryable],
  ["stall", retryable],
  // One byte more than recorded may also be taken for what it says.
  ["badLength", (error) => retryable(error) || error.code === "CORRUPT_FILE"],
  ["wrongRange", retryable],
  ["wrongBytes", damaged],
  ["wholeFor206", retryable],
  ["gzip", damaged],
  ["etag", retryable],
  [{ slowFirstByteMs: 20 }, never],
  [{ slowFirstByteMs: TIMEOUT_MS * 3 }, retryable],
  [{ status: 403 }, (error) => error instanceof StoreError && error.status === 403],
  // A pointer, a manifest or a shard that is not there; sidecars and guards may be missing.
  [{ status: 404 }, ({ code }) => ["OBJECT_NOT_FOUND", "READER_STATE"].includes(code)],
  [{ status: 500 }, retryable],
  [{ status: 503 }, retryable],
];

for (const [name, connect] of Object.entries(connections)) {
  for (const [number, [fault, expected]] of faults.entries()) {
    const label = `${name}() and ${JSON.stringify(fault)}`;
    test(`openSnapshot() P7: over ranges, right or a typed error in time, then right: ${label}`, async () => {
      const count = await travel({ connect, fault: null, failing: -1, expected: never });
      ok(count >= 12, `${count} requests`);
      // All requests in turn; of the other stores, which are slow to set up or alike, some.
      const isAll = isSoak || name === "httpStore";
      const failing = upTo(count).filter((index) => isAll || index % 5 === number % 5);
      for (let first = 0; first < failing.length; first += 8) {
        const atOnce = failing.slice(first, first + 8);
        await Promise.all(atOnce.map((index) => travel({ connect, fault, failing: index, expected })));
      }
    });
  }
}

test("openSnapshot() over ranges: the SDK's client repeats what failed for a moment", async () => {
  const connect: Connect = (server) =>
    s3Store({ url: "s3://bucket/series", endpoint: server.url, credentials, attemptsMax: 3 });
  const count = await travel({ connect, fault: null, failing: -1, expected: never });
  const fault = { status: 503 };
  // Two of the shards' requests, the pointer's and the manifest's.
  const failing = isSoak ? upTo(count) : [0, 1, 3, 6];
  await Promise.all(failing.map((index) => travel({ connect, fault, failing: index, expected: never })));
});

test("SnapshotReader.get() over ranges ends in time when the server stalls, and works when it answers", async () => {
  const { objects } = seriesAt(await twoVersions(), "");
  await using server = await startCountingProxy({ objects });
  const store = httpStore(server.url);
  await using reader = await openSnapshot({ store, access: "range", timeoutMs: TIMEOUT_MS });
  server.fault = () => "stall";
  const startedMs = performance.now();
  const outcomes = await Promise.allSettled([...upTo(20).map((id) => reader.get(id)), reader.getMany([1, 2, 3])]);
  ok(performance.now() - startedMs < TIMEOUT_MS + SLACK_MS);
  for (const outcome of outcomes) ok(outcome.status === "rejected" && retryable(outcome.reason), outcome.status);
  server.fault = null;
  for (const id of upTo(20)) await checkKey(reader, id, ["one"]);
});

test("SnapshotReader.get() over ranges ends with its signal's reason while others go on", async () => {
  const { objects } = seriesAt(await twoVersions(), "");
  const { promise: goOn, resolve: release } = Promise.withResolvers<null>();
  await using server = await startCountingProxy({ objects, fault: () => null });
  await using reader = await openSnapshot({ store: httpStore(server.url), access: "range" });
  server.fault = () => goOn;
  const abort = new AbortController();
  const reason = new Error("enough");
  const given = reader.get(42, { signal: abort.signal }).catch((error) => error);
  const many = reader.getMany([42, 43, 44], { signal: abort.signal }).catch((error) => error);
  const kept = reader.get(42);
  await new Promise((resolve) => setTimeout(resolve, 30));
  abort.abort(reason);
  equal(await given, reason);
  equal(await many, reason);
  release(null);
  ok(isRight(await kept, 42, "one"));
});
