// Jobs of vectors without values, stage by stage. Judge: writeSnapshot of the same rows: its objects byte by byte, its
// manifest, and the results of searches.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import * as arrow from "apache-arrow";
import {
  celSharding,
  clusterSharding,
  explicitSharding,
  hashSharding,
  lshSharding,
  memoryStore,
  openSnapshot,
  type Sharding,
  singleShard,
  writeSnapshot,
} from "../../mod.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import {
  buildStage,
  ENGINE_EXIT_CODES,
  engineExitCode,
  type Job,
  jobVectorSharding,
  parseJob,
  publishJob,
  renderJob,
  routeStage,
  storeJobVectors,
} from "../../src/engine/mod.ts";
import { ConfigValidationError, CorruptFileError, ShardAssignmentError, ShardCoverageError } from "../../src/errors.ts";
import type { VectorRouter } from "../../src/routing/vector_router.ts";
import type { VectorSharding } from "../../src/routing/vector_sharding.ts";
import type { Manifest } from "../../src/snapshots/manifest.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { streamOf } from "../cli/run_shardy.ts";
import { arrowRowsIn, arrowStream, columnsOf } from "./arrow_tables.ts";

const HASH = { strategy: "hash", "hash_algorithm": "xxh3_64" };
const SPACE = { dim: 4, metric: "cosine" } as const;
const REGIONS = ["eu", "us", "ap"];
const ROWS = Array.from({ length: 600 }, (_, row) => ({
  id: BigInt(row * 3),
  vector: [Math.sin(row), Math.cos(row * 7), Math.sin(row * 13), Math.fround(row / 100) - 2],
  region: REGIONS[row % 3]!,
  side: BigInt(row % 2),
  note: `note ${row}`,
}));

type Row = typeof ROWS[number];
type Memory = ReturnType<typeof memoryStore>;

interface Case {
  readonly name: string;
  readonly sharding: Sharding;
  readonly spec: Record<string, unknown>;
  readonly search?: { readonly probes?: number; readonly shards?: number[]; readonly columns?: { region: string } };
}

const CENTROIDS = [[1, 0, 0, 0], [0, 1, 0, 1], [-1, 0, 1, 0], [0, -1, 0, -2], [0, 0, -1, 2]];
const CEL = { strategy: "cel", "hash_algorithm": "xxh3_64", "cel_columns": { region: "string" } };
const CASES: readonly Case[] = [
  {
    name: "explicit",
    sharding: explicitSharding<Row>({ shards: 2, shard: ({ side }) => Number(side) }),
    spec: { vector: { sharding: { strategy: "explicit", column: "side" } }, shardCount: 2 },
    search: { shards: [1] },
  },
  {
    name: "lsh",
    sharding: lshSharding({ shards: 4, hashBits: 6, probes: 2, seed: 7 }),
    spec: { shardCount: 4 },
    search: { probes: 3 },
  },
  { name: "cluster", sharding: clusterSharding({ centroids: CENTROIDS, probes: 2 }), spec: { shardCount: 5 } },
  {
    name: "CEL, direct",
    sharding: celSharding({ expr: 'region == "eu" ? 0 : 1', columns: { region: "string" } }),
    spec: { sharding: { ...CEL, "cel_expr": 'region == "eu" ? 0 : 1' }, shardCount: 2 },
    search: { columns: { region: "us" } },
  },
  {
    name: "CEL, categorical",
    sharding: celSharding({ expr: "region", columns: { region: "string" }, routingValues: REGIONS }),
    spec: { sharding: { ...CEL, "cel_expr": "region", "routing_values": REGIONS }, shardCount: 3 },
    search: { columns: { region: "us" } },
  },
  { name: "hash", sharding: hashSharding({ shards: 3 }), spec: { shardCount: 3 } },
  { name: "single shard", sharding: singleShard(), spec: { shardCount: 1 } },
];

function newJob({ vector, ...spec }: Record<string, unknown>, runId = "run"): Job {
  const text = JSON.stringify({
    ...{ format: 1, packageVersion: "1", runId, currentUrl: "/x/_CURRENT" },
    spec: {
      ...{ keyColumn: "id", keyEncoding: "u64be", sharding: HASH },
      vector: { column: "vector", ...SPACE, payload: { column: "note" }, isOnly: true, ...vector as object },
      ...spec,
    },
  });
  return parseJob(text, { name: "job.json", packageVersion: "1" });
}

/** As `shardy plan` does it. */
async function planned({ sharding, spec }: Case, store: Memory, runId?: string): Promise<Job> {
  const { strategy } = sharding as VectorSharding;
  if (strategy !== "cluster" && strategy !== "lsh") return newJob(spec, runId);
  const router = await (sharding as VectorSharding).routerFor(SPACE, new Float32Array()) as VectorRouter;
  const job = newJob({ ...spec, vector: { sharding: jobVectorSharding(router) } }, runId);
  await storeJobVectors(router, job, { store });
  return parseJob(renderJob(job), { name: "job.json", packageVersion: "1" });
}

function inputOf(rows: readonly Record<string, unknown>[]) {
  return { name: "stdin", bytes: streamOf(arrowStream(columnsOf(rows))) };
}

async function routed(job: Job, store: Memory, rows: readonly Record<string, unknown>[] = ROWS) {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const write = (piece: Uint8Array): Promise<void> => Promise.resolve(void pieces.push(new Uint8Array(piece)));
  const { rowsOffered } = await routeStage(job, { input: inputOf(rows), write, store });
  const out = arrowRowsIn(new Uint8Array(await new Blob(pieces).arrayBuffer())) as (Row & { "shard_id": number })[];
  return { rowsOffered, rows: out.map((row) => ({ ...row, vector: [...row.vector] })) };
}

async function written({ sharding }: Case, store: Memory, runId = "run"): Promise<void> {
  await writeSnapshot(ROWS, {
    ...{ store, sharding, runId, backend: sqliteVecBackend(SPACE), key: ({ id }: Row) => id, keyEncoding: "u64be" },
    vector: ({ vector, note }) => ({ vector, payload: note }),
    columns: sharding.kind === "cel" ? ({ region }) => ({ region }) : undefined,
  });
}

/** Objects of shards and of the router by key; of sidecars only that they are there. */
async function objects(store: Memory): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const prefix of ["shards/", "vector_meta/"]) {
    for (const { key } of (await Array.fromAsync(store.list(prefix))).flat()) {
      const { body } = await store.get(key);
      const digest = await crypto.subtle.digest("SHA-256", await new Response(body).arrayBuffer());
      found.set(key, key.endsWith(".sidecar") ? "there" : new Uint8Array(digest).toHex());
    }
  }
  return found;
}

/** The manifest without what differs from run to run. */
async function manifestIn(store: Memory): Promise<object> {
  const manifests = objectManifestStore(store);
  const { ref } = (await manifests.loadCurrent())!;
  const { createdAtMicros: _, s3Prefix, shards, custom, ...manifest }: Manifest = await manifests.loadManifest(ref);
  const withoutPlace = (text: string): unknown => JSON.parse(text.replaceAll(s3Prefix, "store:"));
  return {
    ...manifest,
    custom: withoutPlace(JSON.stringify(custom)),
    shards: shards.map(({ checkpointId: _, writerInfo, ...shard }) => ({
      ...{ ...shard, dbUrl: shard.dbUrl!.replace(s3Prefix, "store:") },
      // A sidecar names the version of the object beside it.
      own: JSON.stringify(
        writerInfo["shardyfusion"],
        (_, value) => value?.name === "shard.sidecar" ? value.name : value,
      ),
    })),
  };
}

async function found({ search }: Case, store: Memory): Promise<unknown[]> {
  await using reader = await openSnapshot({ store });
  const results = [];
  for (const { vector } of ROWS.slice(0, 20)) {
    results.push(await reader.search(vector, { topK: 5, ...search }));
  }
  return results.map(({ results, shardsQueried }) => ({ results, shardsQueried }));
}

for (const each of CASES) {
  test(`P9 buildStage() of vectors, ${each.name}: objects, manifest and results are writeSnapshot's`, async () => {
    const [store, whole] = [memoryStore(), memoryStore()];
    const job = await planned(each, store);
    const backend = sqliteVecBackend(SPACE);
    const { rows, rowsOffered } = await routed(job, store);
    await written(each, whole);
    // A task for each shard, but for the last two.
    for (const shards of [...Array.from({ length: job.spec.shardCount - 2 }, (_, at) => [at + 2]), [0, 1]]) {
      await buildStage(job, { store, backend, input: inputOf(rows.filter((row) => shards.includes(row["shard_id"]))) });
    }
    await rejects(publishJob(job, { store, backend, rowCount: 601 }), ShardCoverageError);
    const { winners } = await publishJob(job, { store, backend, rowsOffered, rowCount: 600 });
    ok(winners.length > 0);
    deepEqual(await objects(store), await objects(whole));
    deepEqual(await manifestIn(store), await manifestIn(whole));
    const results = await found(each, store);
    deepEqual(results, await found(each, whole));
    ok((results[0] as { results: unknown[] }).results.length === 5);
    equal((await publishJob(job, { store, backend })).isRepeated, true);
  });

  test(`buildStage() routes vectors itself, ${each.name}`, async () => {
    const [store, whole] = [memoryStore(), memoryStore()];
    const job = await planned(each, store);
    const backend = sqliteVecBackend(SPACE);
    await buildStage(job, { store, backend, input: inputOf(ROWS) });
    await publishJob(job, { store, backend, rowCount: 600 });
    await written(each, whole);
    deepEqual(await objects(store), await objects(whole));
  });
}

function caseOf(name: string): Case {
  return CASES.find((each) => each.name === name)!;
}

function exitsWith(code: keyof typeof ENGINE_EXIT_CODES, message: RegExp, kind: new (...args: never[]) => Error) {
  return (error: unknown): boolean => {
    match((error as Error).message, message);
    equal(engineExitCode(error), ENGINE_EXIT_CODES[code]);
    return error instanceof kind;
  };
}

test("routeStage() and buildStage() name rows whose vectors are none, and shards that are none", async () => {
  const store = memoryStore();
  const backend = sqliteVecBackend(SPACE);
  const job = await planned(caseOf("cluster"), store);
  const wrong: [vector: unknown, message: RegExp][] = [
    [null, /(column "vector" is null|neither value nor vector).*\(row 2 of/],
    [[1, 2, 3], /must have 4 numbers: current value is 3 \(row 2 of/],
    [[1, 2, NaN, 4], /must be finite as float32: current value is NaN \(row 2 of/],
    [[0, 0, 0, 0], /must not be zero.*\(row 2 of/],
    [[1, 2, null, 4], /all of it must be numbers: current value is null \(row 2 of/],
  ];
  for (const [vector, message] of wrong) {
    const rows = [ROWS[0]!, { ...ROWS[1]!, vector }, ROWS[2]!];
    const isBad = exitsWith("badRow", message, ConfigValidationError);
    await rejects(routed(job, store, rows), isBad);
    await rejects(buildStage(job, { store, backend, input: inputOf(rows) }), isBad);
  }
  const explicit = newJob(caseOf("explicit").spec);
  for (const side of [2n, -1n, null]) {
    const rows = [ROWS[0]!, { ...ROWS[1]!, side }];
    const message = /column "side" must be from 0 to 1: current value is (2|-1|null).*\(row 2 of/;
    await rejects(routed(explicit, store, rows), exitsWith("wrongShard", message, ShardAssignmentError));
  }
  const twice = exitsWith("badRow", /second vector with the same key.*row 3/, ConfigValidationError);
  await rejects(buildStage(job, { store, backend, input: inputOf([ROWS[0]!, ROWS[1]!, ROWS[0]!]) }), twice);
  const { rows } = await routed(job, store, ROWS.slice(0, 10));
  const moved = rows.map((row) => ({ ...row, "shard_id": (row["shard_id"] + 1) % 5 }));
  await rejects(
    buildStage(job, { store, backend, input: inputOf(moved) }),
    exitsWith("wrongShard", /column "shard_id" says, as column "vector" belongs to shard \d/, ShardAssignmentError),
  );
});

test("routeStage() reads lists of any numbers, of one length or not, in batches that are parts of others", async () => {
  const store = memoryStore();
  const job = await planned(caseOf("cluster"), store);
  const { rows: expected } = await routed(job, store);
  const item = (type: arrow.DataType) => new arrow.Field("item", type, true);
  const whole = ROWS.map(({ vector }) => vector.map((number) => Math.round(number * 100)));
  const { rows: expectedWhole } = await routed(job, store, ROWS.map((row, at) => ({ ...row, vector: whole[at]! })));
  const types: [type: arrow.DataType, vectors: readonly unknown[], expected: typeof expected][] = [
    [new arrow.FixedSizeList(4, item(new arrow.Float32())), ROWS.map(({ vector }) => vector), expected],
    [new arrow.FixedSizeList(4, item(new arrow.Float64())), ROWS.map(({ vector }) => vector), expected],
    [new arrow.List(item(new arrow.Float64())), ROWS.map(({ vector }) => vector), expected],
    [new arrow.List(item(new arrow.Int32())), whole, expectedWhole],
    [new arrow.List(item(new arrow.Int64())), whole.map((vector) => vector.map(BigInt)), expectedWhole],
  ];
  for (const [type, vectors, wanted] of types) {
    const table = new arrow.Table({
      id: arrow.vectorFromArray(ROWS.map(({ id }) => id), new arrow.Int64()),
      vector: arrow.vectorFromArray(vectors, type),
    });
    const bytes = new Uint8Array(arrow.tableToIPC(table.slice(100, 350), "stream"));
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    const write = (piece: Uint8Array): Promise<void> => Promise.resolve(void pieces.push(new Uint8Array(piece)));
    await routeStage(job, { input: { name: "stdin", bytes: streamOf(bytes) }, write, store });
    const rows = arrowRowsIn(new Uint8Array(await new Blob(pieces).arrayBuffer()));
    deepEqual(rows.map((row) => row["shard_id"]), wanted.slice(100, 350).map((row) => row["shard_id"]));
  }
});

test("routeStage() refuses centroids that are gone, or others than the job's", async () => {
  const store = memoryStore();
  const job = await planned(caseOf("cluster"), store);
  const write = (): Promise<void> => Promise.resolve();
  await rejects(
    routeStage(job, { input: inputOf(ROWS), write }),
    exitsWith("badJob", /centroids.npy without option "store"/, ConfigValidationError),
  );
  await rejects(
    routed(job, memoryStore()),
    exitsWith("badJob", /centroids.npy is not in the store: plan it again/, ConfigValidationError),
  );
  const other = { ...caseOf("cluster"), sharding: clusterSharding({ centroids: CENTROIDS.toReversed() }) };
  const otherStore = memoryStore();
  await planned(other, otherStore);
  await rejects(
    routed(job, otherStore),
    exitsWith("failed", /not the file that the job was planned/, CorruptFileError),
  );
});

test("parseJob() refuses vectors that do not go with the rest", () => {
  const explicit = { strategy: "explicit", column: "side" };
  const cases: [spec: Record<string, unknown>, path: string][] = [
    [{ shardCount: 2, value: { column: "note" } }, "value"],
    [{ shardCount: 2, backend: { engine: "slatedb" } }, "backend"],
    [{ shardCount: 2, vector: { isOnly: false, sharding: explicit } }, "vector.sharding"],
    [{ shardCount: 2, vector: { sharding: { ...explicit, column: "shard_id" } } }, "vector.sharding.column"],
    [{ shardCount: 2, vector: { sharding: { strategy: "nearest" } } }, "vector.sharding.strategy"],
    [
      { shardCount: 2, vector: { sharding: explicit }, sharding: caseOf("CEL, direct").spec["sharding"] },
      "vector.sharding",
    ],
    [
      {
        shardCount: 2,
        vector: { sharding: { strategy: "lsh", probes: 3, meta: { sizeBytes: 1, xxh3: "0".repeat(16) } } },
      },
      "vector.sharding.probes",
    ],
  ];
  for (const [spec, path] of cases) {
    let thrown: unknown;
    try {
      newJob(spec);
    } catch (error) {
      thrown = error;
    }
    equal(thrown instanceof ConfigValidationError && thrown.path, `job.spec.${path}`);
  }
});
