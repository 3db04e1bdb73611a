// Judge: snapshots that the Python package wrote with CEL sharding, a model in memory, and the store's listing.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import {
  celSharding,
  celShardingByColumns,
  hashSharding,
  type Key,
  memoryStore,
  openSnapshot,
  sampleRows,
  verifySnapshot,
  type WriteResult,
  writeSnapshot,
  type WriteSnapshotOptions,
} from "../../mod.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { SeededRandom } from "../../src/testing/seeded_random.ts";
import { celSnapshots, contextOf, fromHex, keyOf, runOf } from "../read/fixture_snapshots.ts";
import { misbehavingBackend } from "./worker_backends.ts";

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-cel-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The column `sharding` as SQLite reads it. */
function shardingColumn(manifestRef: string): string {
  const database = new DatabaseSync(fileURLToPath(manifestRef), { readOnly: true });
  try {
    return (database.prepare("SELECT sharding FROM build_meta").get() as { sharding: string }).sharding;
  } finally {
    database.close();
  }
}

/** Digests of the files of all shards. */
function digests({ winners }: WriteResult): unknown[] {
  return winners.map(({ shardId, rowCount, minKey, maxKey, writerInfo }) => {
    const { objects } = writerInfo["shardyfusion"] as unknown as { objects: { name: string; xxh3_64: string }[] };
    return [shardId, rowCount, minKey, maxKey, objects.find(({ name }) => name === "shard.db")!.xxh3_64];
  });
}

for (const name of celSnapshots) {
  test(`writeSnapshot() shards the rows of ${name} as the Python package did, and says so in the same words`, async (t) => {
    const run = runOf(name);
    const { build_meta: meta } = run.manifest as unknown as { build_meta: { sharding: string; num_dbs: number } };
    const { cel_expr: expr, cel_columns: columns } = JSON.parse(meta.sharding);
    const { config } = run as unknown as {
      config: { routing_values: { value: string }[] | null; infer_routing_values_from_data: boolean };
    };
    const options = {
      sharding: celSharding({
        expr,
        columns,
        routingValues: config.routing_values?.map(({ value }) => value),
        inferRoutingValues: config.infer_routing_values_from_data,
      }),
      store: fsStore(await temporaryFolder(t)),
      key: (entry: typeof run.entries[number]) => keyOf(entry.key),
      value: (entry: typeof run.entries[number]) => fromHex(entry.value_hex ?? ""),
      ...(run.entries[0]!.routing_context && { columns: (row: typeof run.entries[number]) => contextOf(row).columns! }),
    };
    const result = await writeSnapshot(run.entries, options);
    equal(shardingColumn(result.manifestRef), meta.sharding);
    equal(result.shardCount, meta.num_dbs);
    deepEqual(
      result.winners.map(({ shardId, rowCount }) => [shardId, rowCount]),
      run.manifest.shards.map(({ db_id: shardId, row_count: rowCount }) => [shardId, rowCount]),
    );
    await using reader = await openSnapshot({ store: options.store });
    for (const entry of run.entries) {
      equal(reader.route(keyOf(entry.key), contextOf(entry)), entry.shard);
      deepEqual(await reader.get(keyOf(entry.key), contextOf(entry)), fromHex(entry.value_hex ?? ""));
    }
    const report = await verifySnapshot(options.store);
    equal(report.isSound, true);
    equal(report.unchecked.length, run.entries[0]!.routing_context ? 1 : 0);
  });
}

interface Row {
  readonly id: number;
  readonly region: string;
  readonly tier: number;
}

const REGIONS = ["us", "eu", "～", "😀", "", "ap-south"];

function rowAt(id: number): Row {
  return { id, region: REGIONS[(id * 7 + (id >> 3)) % REGIONS.length]!, tier: id % 5 };
}

/** A source that can be read once only. */
async function* streamOf(count: number): AsyncGenerator<Row> {
  for (let i = 0; i < count; i++) yield rowAt(Math.imul(i, 0x9e3779b1) >>> 0);
}

const base = {
  key: (row: Row): Key => row.id,
  value: (row: Row): string => `row ${row.id} of ${row.region}`,
  columns: ({ region, tier }: Row) => ({ region, tier }),
};
const columns = { region: "string", tier: "int" } as const;
const MODES = {
  direct: celShardingByColumns(["region", { name: "tier", type: "int" }], { shards: 4 }),
  categorical: celSharding({ expr: "region", columns, routingValues: [...REGIONS, "nowhere"] }),
  inferred: celShardingByColumns(["region", { name: "tier", type: "int" }]),
  "inferred numbers": celSharding({ expr: "tier * -3", columns, inferRoutingValues: true }),
};

for (const [mode, sharding] of Object.entries(MODES)) {
  test(`P9 writeSnapshot() with ${mode} CEL sharding: the same files with workers, spilling and any order`, async (t) => {
    const rows = await Array.fromAsync(streamOf(6000));
    const known = digests(await writeSnapshot(rows, { ...base, sharding, store: memoryStore() }));
    ok(known.length >= 4);
    for (
      const changes of [
        { memory: { rowsMax: 300 } },
        { memory: { bytesMax: 20_000 } },
        { workers: 2 },
        { workers: 2, memory: { rowsMax: 500 }, retry: {}, batch: { rowsMax: 20 } },
      ]
    ) {
      const options = { ...base, sharding, store: memoryStore(), localRoot: await temporaryFolder(t), ...changes };
      // Other tokens come first, so that provisional numbers are others.
      deepEqual(digests(await writeSnapshot(rows.toReversed().values(), options)), known);
      deepEqual(await readdir(options.localRoot), []);
    }
  });
}

test("writeSnapshot() with CEL sharding: every key of 100,000 is found with its columns", async () => {
  for (const [mode, sharding] of Object.entries(MODES)) {
    const count = 25_000;
    const store = memoryStore();
    const { stats } = await writeSnapshot(streamOf(count), {
      ...{ ...base, sharding, store, memory: { rowsMax: 7000 }, batch: { bytesMax: 5000 } },
      validate: sampleRows([rowAt(0x9e3779b1)], base),
    });
    equal(stats.rowsWritten, count, mode);
    const rows = new Map((await Array.fromAsync(streamOf(count))).map((row) => [row.id, row]));
    await using reader = await openSnapshot({ store });
    const values = await reader.getMany(rows.keys(), { columns: (id) => base.columns(rows.get(id)!) });
    equal(values.size, count);
    for (const [id, value] of values) equal(value && new TextDecoder().decode(value), base.value(rows.get(id)!), mode);
    const counts = new Array(reader.info.shardCount).fill(0);
    for (const id of rows.keys()) counts[reader.route(id, { columns: base.columns(rows.get(id)!) })]++;
    deepEqual(reader.shards.map(({ rowCount }) => rowCount), counts);
  }
});

test("writeSnapshot() with CEL sharding over keys agrees with hash sharding where the rule is the same", async () => {
  const random = new SeededRandom(5);
  for (
    const key of [(id: number): Key => id, (id: number): Key => BigInt(id) << 30n, (id: number): Key => `key ${id}`]
  ) {
    const type = typeof key(1) === "string" ? "string" : "int";
    const rows = Array.from({ length: 2000 }, () => random.below(2 ** 31));
    const options = { key, value: (id: number) => `${id}` };
    const sharding = celSharding({ expr: "shard_hash(key) % 8u", columns: { key: type } });
    const cel = await writeSnapshot(rows, { ...options, sharding, store: memoryStore() });
    const hash = await writeSnapshot(rows, { ...options, sharding: hashSharding({ shards: 8 }), store: memoryStore() });
    deepEqual(digests(cel), digests(hash));
  }
});

/** What there is in a store beside run records. */
async function remains(store: ReturnType<typeof memoryStore>): Promise<string[]> {
  return (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key).filter((key) => !key.startsWith("runs/"));
}

const WRONG_ROWS: readonly [
  what: string,
  options: Partial<WriteSnapshotOptions<Row>>,
  code: string,
  message: RegExp,
][] = [
  [
    "a division by zero",
    {
      sharding: celSharding({ expr: "7 / (tier - 3)", columns, inferRoutingValues: true }),
    },
    "CEL_EVALUATION",
    /divi.*\(row 4 of the source\)$/,
  ],
  [
    "a column of another type",
    { sharding: MODES.inferred, columns: () => ({ region: 5, tier: 1 }) },
    "CEL_EVALUATION",
    /"region" must be a string.*\(row 1 of the source\)$/,
  ],
  [
    "a column that is missing",
    { sharding: MODES.direct, columns: () => ({ region: "us" }) },
    "CEL_EVALUATION",
    /no column "tier".*\(row 1 of the source\)$/,
  ],
  [
    "columns that are none",
    { sharding: MODES.direct, columns: () => null as never },
    "CONFIG_VALIDATION",
    /"columns" must give an object.*\(row 1 of the source\)$/,
  ],
  [
    "a token that is not expected",
    { sharding: celSharding({ expr: "tier", columns, routingValues: [0, 1, 2, 3] }) },
    "SHARD_ASSIGNMENT",
    /"routingValues" does not have its token: current value is 4 \(row 5 of the source\)$/,
  ],
  [
    "a negative shard",
    { sharding: celSharding({ expr: "1 - tier", columns }) },
    "SHARD_ASSIGNMENT",
    /from 0 to 999999: current value is -1 \(row 3 of the source\)$/,
  ],
  [
    "shards left out",
    { sharding: celSharding({ expr: "tier * 2", columns }) },
    "SHARD_ASSIGNMENT",
    /all numbers from 0 to 8 must occur: only 5 of them do, 1 is missing/,
  ],
  ["a NUL", { sharding: MODES.direct, columns: () => ({ region: "e\0u", tier: 1 }) }, "CEL_EVALUATION", /NUL.*row 1/],
];

for (const [what, change, code, message] of WRONG_ROWS) {
  test(`writeSnapshot() with CEL sharding refuses ${what}, and leaves nothing behind`, async () => {
    for (const workers of [0, 2]) {
      const store = memoryStore();
      const rows = Array.from({ length: 5 }, (_, id) => rowAt(id));
      const options = { ...base, store, workers, ...change } as WriteSnapshotOptions<Row>;
      await rejects(writeSnapshot(rows, options), { code, message });
      deepEqual(await remains(store), []);
    }
  });
}

test("writeSnapshot() wants columns where the expression looks at some, and only there", async () => {
  const { columns: _, ...others } = base;
  const options = { ...others, store: memoryStore(), sharding: MODES.inferred };
  await rejects(writeSnapshot([], options), { code: "CONFIG_VALIDATION", path: "columns" });
  const hashed = { ...base, store: memoryStore(), sharding: hashSharding({ shards: 2 }) };
  await rejects(writeSnapshot([], hashed), { code: "CONFIG_VALIDATION", path: "columns" });
});

test("writeSnapshot() with CEL sharding publishes snapshots without rows", async () => {
  for (const [mode, sharding] of Object.entries(MODES)) {
    const store = memoryStore();
    const { shardCount } = await writeSnapshot([], { ...base, store, sharding });
    equal(shardCount, mode === "categorical" ? 7 : 1);
    await using reader = await openSnapshot({ store });
    equal(reader.info.rowCount, 0);
    if (mode !== "direct") equal(await reader.get(1, { columns: { region: "us", tier: 1 } }), null);
  }
});

test("writeSnapshot() keeps rows of one key apart that are in different shards", async () => {
  const store = memoryStore();
  const rows = REGIONS.flatMap((region) => [1, 2].map((tier) => ({ id: 7, region, tier })));
  await writeSnapshot(rows, {
    ...base,
    store,
    sharding: celSharding({ expr: "region", columns, inferRoutingValues: true }),
  });
  await using reader = await openSnapshot({ store });
  for (const region of REGIONS) {
    const value = await reader.get(7, { columns: { region } });
    equal(new TextDecoder().decode(value!), `row 7 of ${region}`);
  }
  equal(reader.info.rowCount, 2 * REGIONS.length);
});

test("writeSnapshot() with `reuse` takes over what the same expression put into the same shards", async () => {
  const store = memoryStore();
  const rows = Array.from({ length: 500 }, (_, id) => rowAt(id));
  const write = (sharding: WriteSnapshotOptions<Row>["sharding"], source: readonly Row[]): Promise<WriteResult> =>
    writeSnapshot(source, { ...base, store, sharding, reuse: "copy" });
  const all = (await write(MODES.inferred, rows)).stats.shards;
  equal((await write(MODES.inferred, rows.toReversed())).stats.shardsReused, all);
  const changed = [...rows, { id: 1000, region: "eu", tier: 0 }];
  equal((await write(MODES.inferred, changed)).stats.shardsReused, all - 1);
  // A new token moves the shards behind it: their numbers are others, and nothing is taken over.
  const more = await write(MODES.inferred, [...changed, { id: 1001, region: "!", tier: 0 }]);
  deepEqual([more.stats.shards, more.stats.shardsReused], [all + 1, 0]);
});

test("writeSnapshot() with workers names shards rightly when one is lost, or says that they have no numbers", async (t) => {
  const localRoot = await temporaryFolder(t);
  const options = { ...base, sharding: MODES.inferred, store: memoryStore(), workers: 1, localRoot };
  const rows = await Array.fromAsync(streamOf(500));
  const exits = { ...options, backend: misbehavingBackend({ what: "exits", shardId: 3 }) };
  await rejects(writeSnapshot(rows, exits), (error: { message: string; shardIds: readonly number[] }) => {
    match(error.message, /^Cannot build shards .*\b3\b.* as worker 0 exited with code 3$/);
    return error.shardIds.includes(3);
  });
  const refuses = { ...options, backend: misbehavingBackend({ what: "refuses", shardId: 2 }) };
  await rejects(writeSnapshot(rows, refuses), (error: Error) => !/-1|undefined/.test(error.message));
  const retried = await writeSnapshot(rows, {
    ...{ ...options, retry: { initialBackoffMs: 0 } },
    backend: misbehavingBackend({ what: "exits", shardId: 4, flag: join(localRoot, "flag") }),
  });
  const sound = await writeSnapshot(rows, { ...options, workers: 0, store: memoryStore() });
  deepEqual(digests(retried), digests(sound));
});

test("verifySnapshot() finds rows in the wrong shard where the key alone tells it", async () => {
  const store = memoryStore();
  const sharding = celSharding({ expr: "shard_hash(key) % 2u", columns: { key: "int" } });
  await writeSnapshot(Array.from({ length: 100 }, (_, id) => id), { store, sharding, key: (id) => id, value: String });
  equal((await verifySnapshot(store)).isSound, true);
  deepEqual((await verifySnapshot(store)).unchecked, []);
  const files = (await remains(store)).filter((key) => key.endsWith("shard.db"));
  equal(files.length, 2);
  const bytes = await (await store.get(files[0]!)).bytes();
  await store.put(files[1]!, bytes);
  const { problems } = await verifySnapshot(store);
  ok(problems.some(({ kind, message }) => kind === "route" && /belongs into shard 0/.test(message)));
});
