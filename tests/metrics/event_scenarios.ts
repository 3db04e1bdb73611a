/**
 * What makes writers, readers and stores tell their events; each scenario says which ones.
 * @module
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { hashSharding, memoryStore, openSnapshot, type ShardyfusionEvent, writeSnapshot } from "../../mod.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { s3FetchStore } from "../../src/stores/s3_fetch_store.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import { faultStore, ManualClock } from "../../src/testing/mod.ts";
import { publishAttempts, writeShard } from "../../src/write/mod.ts";
import { hashRouter } from "../../src/routing/mod.ts";

type Sink = (event: ShardyfusionEvent) => void;

/** What is done, and the names of all events that come of it. */
export interface Scenario {
  readonly title: string;
  readonly emits: readonly string[];
  run(onEvent: Sink): Promise<void>;
}

const rows = Array.from({ length: 100 }, (_, id) => ({ id, vector: Float32Array.of(id + 1, 1) }));
const key = (row: { id: number }) => row.id;
const value = (row: { id: number }) => `value ${row.id}`;
const sharding = hashSharding({ shards: 2 });

const written = [
  "write.started",
  "write.batch_written",
  "write.sharding_completed",
  "write.shard.started",
  "write.shard.completed",
  "write.shards_completed",
  "write.manifest_published",
  "write.current_published",
  "write.completed",
];
const backend = sqliteVecBackend({ dim: 2, metric: "l2" });
const vectorOf = (row: { id: number; vector: Float32Array }) => ({ id: row.id, vector: row.vector });

/** In the order of the table, as far as that goes. */
export const scenarios: readonly Scenario[] = [
  {
    title: "a write",
    emits: written,
    async run(onEvent) {
      await writeSnapshot(rows, { store: memoryStore(), sharding, key, value, onEvent });
    },
  },
  {
    title: "a write in worker threads",
    emits: written,
    async run(onEvent) {
      await writeSnapshot(rows, { store: memoryStore(), sharding, key, value, onEvent, workers: 1 });
    },
  },
  {
    title: "tasks of an engine",
    emits: [
      "write.batch_written",
      "write.shard.started",
      "write.shard.completed",
      "write.manifest_published",
      "write.current_published",
    ],
    async run(onEvent) {
      const run = { store: memoryStore(), runId: "engine", keyEncoding: "u64be" as const };
      const attempt = await writeShard(rows, { ...run, shardId: 0, key, value, onEvent });
      await publishAttempts([attempt!], { ...run, router: hashRouter(1), onEvent });
    },
  },
  {
    title: "a write whose shards fail for a moment",
    emits: [...written, "write.shard.retried"],
    async run(onEvent) {
      const store = faultStore(memoryStore(), {
        fault: ({ kind, kindNumber, key }) =>
          kind === "FINISH" && key.endsWith("shard.db") && kindNumber < 3 ? { moment: "before" } : null,
      });
      await writeSnapshot(rows, { store, sharding, key, value, onEvent, retry: {}, clock: new ManualClock() });
    },
  },
  {
    title: "a write whose shards fail for good",
    emits: [
      ...written.slice(0, 4),
      "write.shard.retried",
      "write.shard.retry_exhausted",
    ],
    async run(onEvent) {
      const store = faultStore(memoryStore(), {
        fault: ({ kind, key }) => kind === "FINISH" && key.endsWith("shard.db") ? { moment: "before" } : null,
      });
      const options = { store, sharding, key, value, onEvent, retry: { retriesMax: 1 }, clock: new ManualClock() };
      await writeSnapshot(rows, options).then(() => Promise.reject(new Error("it was written")), () => {});
    },
  },
  {
    title: "a write that loses against another one",
    emits: written.slice(0, 7),
    async run(onEvent) {
      const store = memoryStore();
      const others = { store, sharding, key, value };
      const validate = async () => void await writeSnapshot(rows, others);
      await writeSnapshot(rows, { ...others, onEvent, validate })
        .then(() => Promise.reject(new Error("it was published")), () => {});
    },
  },
  {
    title: "a write with limits",
    emits: [...written, "rate_limiter.denied", "rate_limiter.throttled"],
    async run(onEvent) {
      const limits = { rateLimit: { rowsPerSecond: 20 }, batch: { rowsMax: 10 }, clock: new ManualClock() };
      await writeSnapshot(rows, { store: memoryStore(), sharding, key, value, onEvent, ...limits });
    },
  },
  {
    title: "a write whose requests are repeated",
    emits: [...written, "s3.retry"],
    async run(onEvent) {
      const store = faultStore(memoryStore(), {
        fault: ({ kind, kindNumber }) => kind === "GET" && kindNumber === 1 ? { moment: "before" } : null,
      });
      const clock = new ManualClock();
      await writeSnapshot(rows, { store, sharding, key, value, onEvent, requestRetry: {}, clock });
    },
  },
  {
    title: "a write whose requests fail for good",
    emits: ["s3.retry", "s3.retry_exhausted"],
    async run(onEvent) {
      const store = faultStore(memoryStore(), { fault: ({ kind }) => kind === "GET" ? { moment: "before" } : null });
      const clock = new ManualClock();
      await writeSnapshot(rows, { store, sharding, key, value, onEvent, requestRetry: {}, clock })
        .then(() => Promise.reject(new Error("it was written")), () => {});
    },
  },
  {
    title: "requests of the AWS client to a busy store",
    emits: ["s3.retry", "s3.retry_exhausted"],
    run: (onEvent) =>
      withBusyServer(async (endpoint) => {
        const credentials = { accessKeyId: "a", secretAccessKey: "b" };
        const store = s3Store({ url: "s3://bucket/prefix", endpoint, credentials, attemptsMax: 2, onEvent });
        await store.get("object").then(() => Promise.reject(new Error("it answered")), () => {});
      }),
  },
  {
    title: "requests by fetch to a busy store",
    emits: ["s3.retry", "s3.retry_exhausted"],
    run: (onEvent) =>
      withBusyServer(async (endpoint) => {
        const credentials = { accessKeyId: "a", secretAccessKey: "b" };
        const store = s3FetchStore({ url: "s3://bucket/prefix", endpoint, credentials, attemptsMax: 2, onEvent });
        await store.get("object").then(() => Promise.reject(new Error("it answered")), () => {});
      }),
  },
  {
    title: "a reader",
    emits: [
      "reader.initialized",
      "reader.get",
      "reader.multi_get",
      "reader.refreshed",
      "rate_limiter.throttled",
      "reader.closed",
    ],
    async run(onEvent) {
      const store = memoryStore();
      await writeSnapshot(rows, { store, sharding, key, value });
      const limits = { rateLimit: { keysPerSecond: 1 }, clock: new ManualClock() };
      await using reader = await openSnapshot({ store, onEvent, ...limits });
      await reader.get(1);
      await reader.getMany([1, 2, 1000]);
      await reader.refresh();
    },
  },
  {
    title: "a write of vectors",
    emits: [...written, "vector.write.started", "vector.write.shard.completed", "vector.write.completed"],
    async run(onEvent) {
      await writeSnapshot(rows, { store: memoryStore(), sharding, key, vector: vectorOf, backend, onEvent });
    },
  },
  {
    title: "a reader of vectors",
    emits: [
      "reader.initialized",
      "vector.reader.initialized",
      "vector.reader.shard_search",
      "vector.reader.search",
      "reader.refreshed",
      "vector.reader.refreshed",
      "reader.closed",
      "vector.reader.closed",
    ],
    async run(onEvent) {
      const options = { store: memoryStore(), sharding, key, vector: vectorOf, backend };
      await writeSnapshot(rows, options);
      await using reader = await openSnapshot({ store: options.store, onEvent });
      await reader.search([1, 1], { shards: [0, 1] });
      await writeSnapshot(rows, options);
      await reader.refresh();
    },
  },
];

async function withBusyServer(use: (endpoint: string) => Promise<void>): Promise<void> {
  const server = createServer((_request, response) => {
    response.writeHead(503, { "content-type": "application/xml" });
    response.end("<Error><Code>SlowDown</Code></Error>");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await use(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
