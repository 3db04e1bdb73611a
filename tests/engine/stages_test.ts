// The stages in one process. Judge: writeSnapshot of the same rows, and the router that readers use.
import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { celSharding, hashSharding, memoryStore, openSnapshot, writeSnapshot } from "../../mod.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import {
  buildStage,
  ENGINE_EXIT_CODES,
  engineExitCode,
  type JobSpec,
  parseAttempts,
  parseJob,
  publishJob,
  renderAttempt,
  renderJob,
  routeStage,
} from "../../src/engine/mod.ts";
import {
  ConfigValidationError,
  PreconditionFailedError,
  ShardAssignmentError,
  ShardCoverageError,
} from "../../src/errors.ts";
import { hashRouter } from "../../src/routing/mod.ts";
import { streamOf } from "../cli/run_shardy.ts";
import { arrowRowsIn, arrowStream, type Columns, columnsOf } from "./arrow_tables.ts";
import { built, inputOf, keysIn, newJob, routed } from "./small_jobs.ts";

const REGIONS = ["eu", "us", "ap"];
const ROWS = Array.from({ length: 3000 }, (_, row) => ({
  id: BigInt(row * 7),
  body: new TextEncoder().encode(`value ${row}`),
  region: REGIONS[row % 3]!,
}));

/** Digests by key; of sidecars only that they are there, as they name the version of the object beside them. */
async function objects(store: ReturnType<typeof memoryStore>): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const { key } of (await Array.fromAsync(store.list("shards/"))).flat()) {
    const { body } = await store.get(key);
    const digest = await crypto.subtle.digest("SHA-256", await new Response(body).arrayBuffer());
    const text = key.endsWith(".sidecar") ? "there" : new Uint8Array(digest).toHex();
    found.set(key.replace(/run_id=[^/]+/, "run"), text);
  }
  return found;
}

test("routeStage() adds the shards that readers route to, and nothing else changes", async () => {
  const { rows, rowCount, rowsOffered } = await routed(newJob(), columnsOf(ROWS));
  const router = hashRouter(3);
  deepEqual(rows, ROWS.map((row) => ({ ...row, "shard_id": router.route(row.id) })));
  equal(rowCount, 3000);
  deepEqual(
    [...rowsOffered],
    [0, 1, 2].map((shard) => [shard, ROWS.filter(({ id }) => router.route(id) === shard).length]),
  );
});

for (const file of ["rows.arrows", "rows.arrow", "rows_zstd.arrow", "rows_lz4.feather"]) {
  test(`routeStage() passes on what pyarrow has written: ${file}`, async () => {
    const bytes = new Uint8Array(await readFile(new URL(`../fixtures/columns/${file}`, import.meta.url)));
    const input = { name: file, bytes: streamOf(bytes) };
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    const write = (piece: Uint8Array): Promise<void> => Promise.resolve(void pieces.push(new Uint8Array(piece)));
    await routeStage(newJob({ value: null }), { input, write });
    const rows = arrowRowsIn(new Uint8Array(await new Blob(pieces).arrayBuffer()));
    const router = hashRouter(3);
    const expected = arrowRowsIn(bytes).map((row) => ({ ...row, "shard_id": router.route(row["id"] as bigint) }));
    equal(texts(rows), texts(expected));
  });
}

/** Rows as JSON, as lists and structs of Arrow are objects with caches inside. */
function texts(rows: readonly Record<string, unknown>[]): string {
  return JSON.stringify(rows, (_, value) => typeof value === "bigint" ? `${value}n` : value);
}

test("P9 buildStage() of routed rows, all shards in one task, gives writeSnapshot's objects, byte by byte", async () => {
  const job = newJob({ memory: { rowsMax: 500 } });
  const { rows, rowsOffered } = await routed(job, columnsOf(ROWS));
  const [store, whole] = [memoryStore(), memoryStore()];
  const backend = sqliteBackend();
  const attempts = await buildStage(job, { store, backend, input: inputOf(columnsOf(rows)) });
  const lines = attempts.map((attempt) => renderAttempt(job.runId, attempt)).join("");
  deepEqual(parseAttempts(lines, { name: "lines", job }), attempts);
  // Found in the store.
  const { winners, isRepeated } = await publishJob(job, { store, backend, rowsOffered, rowCount: 3000 });
  equal(isRepeated, false);
  await writeSnapshot(ROWS, {
    ...{ store: whole, sharding: hashSharding({ shards: 3 }), key: ({ id }) => id, value: ({ body }) => body },
  });
  deepEqual(await objects(store), await objects(whole));
  equal(winners.length, 3);
  await using reader = await openSnapshot({ store });
  equal(new TextDecoder().decode((await reader.get(70))!), "value 10");
  equal((await publishJob(job, { store, backend })).isRepeated, true);
});

test("buildStage() routes by CEL itself, and takes vectors and JSON", async () => {
  const cel = {
    "hash_algorithm": "xxh3_64",
    strategy: "cel",
    "cel_expr": "region",
    "cel_columns": { region: "string" },
  };
  const job = newJob({
    ...{ sharding: { ...cel, "routing_values": REGIONS }, value: { columns: ["id", "region"] } },
    vector: { column: "vector", dim: 2, metric: "l2" },
  });
  const rows = ROWS.slice(0, 300).map((row, at) => ({ ...row, vector: at % 5 === 0 ? null : [at, 1] }));
  const [store, whole] = [memoryStore(), memoryStore()];
  const backend = sqliteVecBackend({ dim: 2, metric: "l2" });
  await buildStage(job, { store, backend, input: inputOf(columnsOf(rows)) });
  await publishJob(job, { store, backend, rowCount: 300 });
  await writeSnapshot(rows, {
    store: whole,
    sharding: celSharding({ expr: "region", columns: { region: "string" }, routingValues: REGIONS }),
    key: ({ id }) => id,
    value: ({ id, region }) => `{"id":${id},"region":"${region}"}`,
    columns: ({ region }) => ({ region }),
    vector: ({ vector }) => vector === null ? null : { vector },
    backend,
  });
  deepEqual(await objects(store), await objects(whole));
});

test("routeStage() and buildStage() name row and column of null, NaN and wrong types", async () => {
  const cases: [spec: Partial<Record<keyof JobSpec, unknown>>, columns: Columns, message: RegExp][] = [
    [{}, { id: [1n, null], body: ["a", "b"] }, /column "id" .* is null; leave .*\(row 2 of/],
    [{}, { id: [1, NaN], body: ["a", "b"] }, /column "id" .* NaN; leave .*\(row 2 of/],
    [{}, { id: [1n, -1n], body: ["a", "b"] }, /column "id" .* -1 \(row 2 of/],
    [{}, { id: ["1"], body: ["a"] }, /column "id" as a key as it must be a whole number.*\(row 1 of/],
    [{ keyEncoding: "utf8" }, { id: [1n], body: ["a"] }, /column "id" .* text or bytes.*\(row 1 of/],
    [{}, { key: [1n], body: ["a"] }, /Cannot find column "id" in stdin: it has the columns key, body/],
  ];
  for (const [spec, columns, message] of cases) {
    const job = newJob(spec);
    for (const stage of [routed(job, columns), built(job, columns)]) {
      await rejects(stage, (error: Error) => {
        match(error.message, message);
        equal(engineExitCode(error), ENGINE_EXIT_CODES.badRow);
        return true;
      });
    }
  }
  await rejects(built(newJob(), { id: [1n, 2n], body: ["a", null] }), /column "body" .* null; .*\(row 2 of/);
  const json = newJob({ value: { columns: ["score"] } });
  await rejects(built(json, { id: [1n, 2n], score: [0.5, NaN] }), /NaN in column "score" .*\(row 2 of/);
});

test("buildStage() refuses rows of other shards, and leaves nothing behind", async () => {
  const wrong = ROWS.slice(0, 10).map((row) => ({ ...row, "shard_id": (hashRouter(3).route(row.id) + 1) % 3 }));
  const store = memoryStore();
  await rejects(built(newJob(), columnsOf(wrong), { store }), (error: Error) => {
    match(error.message, /column "shard_id" says, as column "id" belongs to shard \d.*\(row 1 of/);
    equal(engineExitCode(error), ENGINE_EXIT_CODES.wrongShard);
    return error instanceof ShardAssignmentError;
  });
  deepEqual(await Array.fromAsync(store.list("")).then((pages) => pages.flat()), []);
  equal((await built(newJob({ verifyRouting: false }), columnsOf(wrong))).length > 0, true);
  for (const shardId of [3, -1, null]) {
    const job = newJob({ verifyRouting: false });
    const columns = { id: [1n, 2n], body: ["a", "b"], "shard_id": [0, shardId] };
    await rejects(built(job, columns), /column "shard_id" must be from 0 to 2.*\(row 2 of/);
  }
});

test("buildStage() never writes into the folder of another attempt; with retry it takes the next one", async () => {
  const store = memoryStore();
  const columns = columnsOf(ROWS.slice(0, 10));
  const single = { shardCount: 1 };
  await built(newJob(single), columns, { store });
  await rejects(built(newJob(single), columns, { store }), (error: Error) => {
    match(error.message, /another task has had this attempt; give .* --attempt/);
    return error instanceof PreconditionFailedError;
  });
  const [first] = await built(newJob({ ...single, retry: { initialBackoffMs: 1 } }), columns, { store });
  equal(first!.attempt, 1);
  equal((await built(newJob(single), columns, { store, attempt: 2 }))[0]!.attempt, 2);
});

test("buildStage() and routeStage() of an input without a byte do nothing", async () => {
  const store = memoryStore();
  const input = () => ({ name: "stdin", bytes: streamOf(new Uint8Array()) });
  deepEqual(await buildStage(newJob(), { store, backend: sqliteBackend(), input: input() }), []);
  const { rowCount } = await routeStage(newJob(), { input: input(), write: () => Promise.reject(new Error()) });
  equal(rowCount, 0);
});

test("buildStage() and routeStage() refuse a stream whose writer was killed between two batches", async () => {
  const store = memoryStore();
  const whole = arrowStream(columnsOf(ROWS));
  const input = () => ({ name: "stdin", bytes: streamOf(whole.subarray(0, -8)) });
  const refused = { name: "ConfigValidationError", message: /^Cannot read stdin as Arrow: the stream is cut short/ };
  const record = { store, task: 0 };
  await rejects(routeStage(newJob(), { input: input(), write: () => Promise.resolve(), record }), refused);
  await rejects(buildStage(newJob(), { store, backend: sqliteBackend(), input: input() }), refused);
  deepEqual(await keysIn(store), []);
});

test("buildStage() and routeStage() fail over a bad row at once, also while nothing more comes in", {
  timeout: 20_000,
}, async () => {
  const bytes = arrowStream({ id: [1n, null], body: ["a", "b"] });
  let letGo = 0;
  // One batch, whole, and then silence.
  const input = () => ({
    name: "stdin",
    bytes: new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => controller.enqueue(bytes.subarray(0, -8)),
      cancel: () => void letGo++,
    }),
  });
  const refused = /column "id" .* is null; leave .*\(row 2 of/;
  await rejects(buildStage(newJob(), { store: memoryStore(), backend: sqliteBackend(), input: input() }), refused);
  await rejects(routeStage(newJob(), { input: input(), write: () => Promise.resolve() }), refused);
  await new Promise((resolve) => setTimeout(resolve, 20));
  equal(letGo, 2);
});

test("publishJob() fails over missing shards and rows, and can be called again when they are there", async () => {
  const store = memoryStore();
  const backend = sqliteBackend();
  const job = newJob();
  const { rows, rowsOffered } = await routed(job, columnsOf(ROWS));
  const task = (shardId: number, attempt: number) =>
    built(job, columnsOf(rows.filter((row) => row["shard_id"] === shardId)), { attempt, store });
  await task(0, 0);
  await task(1, 1);
  await task(1, 0);
  const missing = { name: "ShardCoverageError", shardIds: [2] };
  await rejects(publishJob(job, { store, backend, rowsOffered }), missing);
  await rejects(publishJob(job, { store, backend, rowCount: 3000 }), ShardCoverageError);
  await task(2, 4);
  const { winners } = await publishJob(job, { store, backend, rowsOffered });
  deepEqual(winners.map(({ attempt }) => attempt), [0, 0, 4]);
  deepEqual(
    [...(await objects(store)).keys()].filter((key) => key.endsWith(".db")),
    ["0/attempt=00", "1/attempt=00", "2/attempt=04"].map((end) => `shards/run/db=0000${end}/shard.db`),
  );
});

test("parseAttempts() reads what data frames make of lines, and refuses those of another run", () => {
  const info = '{"attempt": 0}';
  const line =
    `{"db_id": 1.0, "attempt": 0.0, "task_attempt_id": NaN, "db_url": null, "row_count": 3.0, "db_bytes": 1, ` +
    `"min_key": NaN, "max_key": 9, "checkpoint_id": null, "writer_info": ${info}}`;
  const [attempt] = parseAttempts(`\n${line}\n`, { name: "a.jsonl", job: { runId: "run" } });
  deepEqual([attempt!.shardId, attempt!.taskAttemptId, attempt!.minKey, attempt!.maxKey], [1, null, null, 9n]);
  const parse = (text: string) => () => parseAttempts(text, { name: "a.jsonl", job: { runId: "run" } });
  match(messageOf(parse('{"run_id": "other"}')), /line 1 of a.jsonl as it is of run "other"/);
  match(messageOf(parse('{"db_id": 1.5}')), /line 1 of a.jsonl .* "db_id" must be a whole number/);
  match(messageOf(parse("hello")), /must be a JSON object/);
});

test("parseJob() names the field that is wrong, and which version is which", () => {
  const job = newJob();
  const parse = (change: (job: Record<string, unknown>) => void) => () => {
    const fields = JSON.parse(renderJob(job));
    change(fields);
    return parseJob(JSON.stringify(fields), { name: "job.json", packageVersion: "1" });
  };
  deepEqual(parse(() => {})(), job);
  const spec = (fields: object) => (job: Record<string, unknown>): void => void Object.assign(job["spec"]!, fields);
  const cases: [change: (job: Record<string, unknown>) => void, path: string][] = [
    [(job) => job["runId"] = "", "job.runId"],
    [(job) => job["runId"] = "a/b", "job.runId"],
    [(job) => job["more"] = 1, "job.more"],
    [(job) => job["format"] = 2, "job.format"],
    [(job) => job["packageVersion"] = "2", "job.packageVersion"],
    [spec({ keyEncoding: "u16" }), "job.spec.keyEncoding"],
    [spec({ shardCount: 0 }), "job.spec.shardCount"],
    [spec({ value: { column: "a", columns: ["b"] } }), "job.spec.value"],
    [spec({ sharding: { strategy: "range" } }), "job.spec.sharding.hash_algorithm"],
    [spec({ retry: { retriesMax: -1 } }), "job.spec.retry.retriesMax"],
  ];
  for (const [change, path] of cases) {
    let found: unknown;
    try {
      parse(change)();
    } catch (error) {
      found = error;
    }
    equal(found instanceof ConfigValidationError && found.path, path);
    equal(engineExitCode(found), ENGINE_EXIT_CODES.badJob);
  }
  match(messageOf(parse((job) => job["packageVersion"] = "2")), /planned by version 2 .* this worker is version 1/);
});

function messageOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    return (error as Error).message;
  }
  return "";
}
