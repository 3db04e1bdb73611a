// Shards with vectors that we write. Judges: the extension sqlite-vec in SQLite, SQLite's integrity check, and the
// manifests of the Python package.
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { sqliteVecBackend, type SqliteVecBackendOptions } from "../../src/backends/sqlite_vec_backend.ts";
import { parseJson } from "../../src/bytes/python_json.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { Key } from "../../src/routing/key.ts";
import { hashSharding, singleShard } from "../../src/routing/mod.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { VectorEntry } from "../../src/vector/vector_cell.ts";
import { writeShard } from "../../src/write/write_shard.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import type { WriteSnapshotOptions } from "../../src/write/write_options.ts";
import { temporaryFolder } from "../read/fixture_snapshots.ts";
import { fixtureJson } from "../snapshots/fixture_manifests.ts";
import { integrityProblems, nativeSearch, openWithExtension } from "./native_vectors.ts";

interface Row {
  readonly id: number;
  readonly vector: Float32Array;
}

/** Made up, but always the same. */
function rowsOf(count: number, dim: number): Row[] {
  let state = 7;
  const random = (): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) / 2 ** 32 - 0.5;
  return Array.from({ length: count }, (_, id) => ({ id, vector: Float32Array.from({ length: dim }, random) }));
}

function entryOf({ id, vector }: Row): VectorEntry | null {
  if (id % 10 === 9) return null;
  return id % 2 === 0 ? { vector } : { id: `doc-${id}`, vector, payload: { at: id, of: ["é", null, 2n ** 60n] } };
}

/** Writes one shard into a folder; gives the path of its file. */
async function writeFile(
  path: string,
  rows: Iterable<Row>,
  backend: SqliteVecBackendOptions,
  options: Partial<WriteSnapshotOptions<Row>> = {},
): Promise<string> {
  const { winners } = await writeSnapshot(rows, {
    store: fsStore(path),
    sharding: singleShard(),
    backend: sqliteVecBackend(backend),
    key: (row) => row.id,
    value: (row) => `value ${row.id}`,
    vector: entryOf,
    ...options,
  });
  return `${new URL(winners[0]!.dbUrl!).pathname}/shard.db`;
}

/** Everything that the extension makes of a file, which it then extends. */
function judge(t: TestContext, file: string, rows: readonly Row[]): void {
  const database = openWithExtension(file, t);
  if (database === null) return;
  deepEqual(integrityProblems(database), []);
  const values = database.prepare("SELECT k, v FROM kv ORDER BY k").all();
  deepEqual(values.map(({ v }) => new TextDecoder().decode(v as Uint8Array)), rows.map(({ id }) => `value ${id}`));
  const stored = rows.filter((row) => entryOf(row) !== null);
  const vectors = database.prepare("SELECT rowid, embedding FROM vec_index ORDER BY rowid").all();
  deepEqual(
    vectors.map(({ rowid, embedding }) => [rowid, Buffer.from(embedding as Uint8Array).toString("hex")]),
    stored.map(({ vector }, rowid) => [rowid, Buffer.from(vector.buffer).toString("hex")]),
  );
  const ids = database.prepare("SELECT internal_id, original_id FROM vec_id_map ORDER BY 1").all();
  deepEqual(
    ids.map((row) => [row["internal_id"], JSON.parse(row["original_id"] as string)]),
    stored.map(({ id }, rowid) => [rowid, id % 2 === 0 ? { v: id, t: "int" } : { v: `doc-${id}`, t: "str" }]),
  );
  const payloads = database.prepare("SELECT rowid, payload FROM vec_payloads ORDER BY 1").all();
  deepEqual(
    payloads.map(({ rowid, payload }) => [rowid, parseJson(payload as string)]),
    stored.flatMap(({ id }, rowid) => id % 2 === 0 ? [] : [[rowid, { at: id, of: ["é", null, 2n ** 60n] }]]),
  );
  for (const [rowid, { vector }] of [...stored.entries()].filter(([rowid]) => rowid % 300 === 0)) {
    const [first] = nativeSearch(database, vector, 1);
    ok(first!.distance < 1e-3, `vector ${rowid} is ${first!.distance} from itself`);
  }
  const insert = database.prepare("INSERT INTO vec_index(rowid, embedding) VALUES (?, ?)");
  const far = new Float32Array(rows[0]?.vector.length ?? 8).fill(9);
  for (let i = 0; i < 3; i++) insert.run(BigInt(stored.length + i), new Uint8Array(far.buffer));
  if (stored.length > 0) database.exec("DELETE FROM vec_index WHERE rowid = 0");
  const found = nativeSearch(database, far, 3).map(({ rowid }) => rowid).sort((one, other) => one - other);
  deepEqual(found, [0, 1, 2].map((i) => stored.length + i));
  deepEqual(integrityProblems(database), []);
  database.close();
}

const shapes: readonly [rows: number, options: SqliteVecBackendOptions][] = [
  [1, { dim: 8, metric: "l2" }],
  [9, { dim: 1, metric: "l2", pageSizeBytes: 65536 }],
  [100, { dim: 8, metric: "l2", pageSizeBytes: "auto" }],
  [1138, { dim: 5, metric: "cosine", pageSizeBytes: 8192 }],
  [1139, { dim: 16, metric: "cosine", sidecar: false, guard: false }],
  [9000, { dim: 33, metric: "l2" }],
  [2500, { dim: 300, metric: "cosine", pageSizeBytes: 16384 }],
];

for (const [count, options] of shapes) {
  test(`sqliteVecBackend() writes ${count} rows that sqlite-vec opens and extends: ${JSON.stringify(options)}`, async (t) => {
    using folder = temporaryFolder();
    const rows = rowsOf(count, options.dim);
    judge(t, await writeFile(folder.path, rows, options), rows);
  });
}

test("sqliteVecBackend() writes rows none of which has a vector", async (t) => {
  using folder = temporaryFolder();
  const file = await writeFile(folder.path, rowsOf(5, 8), { dim: 8, metric: "l2" }, { vector: () => null });
  const database = openWithExtension(file, t);
  if (database === null) return;
  deepEqual(integrityProblems(database), []);
  deepEqual(nativeSearch(database, new Float32Array(8), 3), []);
  database.close();
});

test("sqliteVecBackend() has the tables of sqlite-vec, by its own statements", async (t) => {
  using folder = temporaryFolder();
  const database = openWithExtension(await writeFile(folder.path, rowsOf(3, 8), { dim: 8, metric: "l2" }), t);
  if (database === null) return;
  database.exec("CREATE VIRTUAL TABLE other USING vec0(embedding float[8] distance_metric=l2)");
  const statements = (name: string): [string, string][] =>
    database.prepare(
      "SELECT type, replace(name, ?1, '-') AS name, replace(sql, ?1, '-') AS sql FROM sqlite_schema " +
        "WHERE instr(tbl_name, ?1) = 1 AND rootpage > 0 ORDER BY 2",
    ).all(name)
      .map(({ type, name, sql }) => [`${type} ${name}`, String(sql)]);
  deepEqual(statements("vec_index"), statements("other"));
  for (const table of ["info", "chunks"]) {
    const columns = table === "info" ? "key, value" : "0";
    const rows = (name: string): unknown => database.prepare(`SELECT ${columns} FROM ${name}_${table}`).all();
    if (table === "info") deepEqual(rows("vec_index"), rows("other"));
  }
  database.close();
});

test("sqliteVecBackend() P9: the bytes depend neither on order, spilling nor threads", async () => {
  using folder = temporaryFolder();
  const rows = rowsOf(3000, 24);
  const options: SqliteVecBackendOptions = { dim: 24, metric: "cosine" };
  const ways: [Iterable<Row>, Partial<WriteSnapshotOptions<Row>>][] = [
    [rows, {}],
    [rows.toReversed(), {}],
    [rows.toSorted((one, other) => one.vector[0]! - other.vector[0]!), { memory: { bytesMax: 100_000 } }],
    [rows, { workers: 1 }],
  ];
  const files: Buffer[] = [];
  for (const [way, [given, more]] of ways.entries()) {
    mkdirSync(`${folder.path}/${way}`);
    files.push(readFileSync(await writeFile(`${folder.path}/${way}`, given, options, more)));
    rmSync(`${folder.path}/${way}`, { recursive: true });
  }
  for (const file of files) ok(file.equals(files[0]!));
});

test("sqliteVecBackend() keeps the last one of rows with one key, with its vector", async (t) => {
  using folder = temporaryFolder();
  const rows = rowsOf(40, 4);
  const again = rows.map(({ id, vector }) => ({ id: id % 20, vector }));
  judge(t, await writeFile(folder.path, again, { dim: 4, metric: "l2" }), again.slice(20));
});

test("writeSnapshot() of vectors without values leaves the table of rows empty, and ids are the keys", async (t) => {
  using folder = temporaryFolder();
  const rows = rowsOf(30, 8);
  const kinds: [key: (row: Row) => Key, id: (row: Row) => unknown][] = [
    [({ id }) => id, ({ id }) => ({ v: id, t: "int" })],
    [({ id }) => 2n ** 62n + BigInt(id), ({ id }) => ({ v: 2n ** 62n + BigInt(id), t: "int" })],
    [({ id }) => `é${id}`, ({ id }) => ({ v: `é${id}`, t: "str" })],
    [({ id }) => Uint8Array.of(255, id), ({ id }) => ({ v: `ff${id.toString(16).padStart(2, "0")}`, t: "str" })],
  ];
  for (const [kind, [key, id]] of kinds.entries()) {
    const file = await writeFile(`${folder.path}/${kind}`, rows, { dim: 8, metric: "l2" }, {
      key,
      value: undefined,
      vector: ({ vector }) => ({ vector }),
    });
    const database = openWithExtension(file, t);
    if (database === null) return;
    deepEqual(integrityProblems(database), []);
    equal(database.prepare("SELECT count(*) AS n FROM kv").get()!["n"], 0);
    const ids = database.prepare("SELECT original_id FROM vec_id_map ORDER BY internal_id").all();
    const expected = rows.map(id);
    const text = (value: unknown): string =>
      JSON.stringify(value, (_, part) => typeof part === "bigint" ? `${part}n` : part);
    deepEqual(
      ids.map((row) => text(parseJson(row["original_id"] as string))).sort(),
      expected.map(text).sort(),
    );
    database.close();
  }
});

test("writeSnapshot() says of vectors in the manifest what the Python package says", async () => {
  const store = memoryStore();
  const rows = rowsOf(60, 8);
  const shared = { store, sharding: hashSharding({ shards: 2 }), key: (row: Row) => row.id };
  const vector = ({ vector }: Row): VectorEntry => ({ vector });
  const backend = sqliteVecBackend({ dim: 8, metric: "l2" });
  await writeSnapshot(rows, { ...shared, backend, vector, value: () => "v" });
  const customOf = (name: string) =>
    JSON.parse(fixtureJson(`snapshots/${name}/expected.json`).manifest.build_meta.custom);
  {
    await using reader = await openSnapshot({ store });
    const { shardyfusion: _, ...custom } = reader.info.custom;
    deepEqual(custom, customOf("vec_unified_l2"));
  }
  await writeSnapshot(rows, { ...shared, backend, vector });
  const manifests = objectManifestStore(store);
  const manifest = await manifests.loadManifest((await manifests.loadCurrent())!.ref);
  deepEqual(manifest.custom["vector"], customOf("vec_only_explicit").vector);
  equal(manifest.keyColumn, "_vector_id");
});

test("writeSnapshot() copies and refers to shards with vectors that did not change", async () => {
  for (const reuse of ["copy", "reference"] as const) {
    const store = memoryStore();
    const rows = rowsOf(200, 8);
    const options = {
      store,
      sharding: hashSharding({ shards: 4 }),
      backend: sqliteVecBackend({ dim: 8, metric: "l2" }),
      key: (row: Row) => row.id,
      value: () => "v",
      vector: ({ vector }: Row) => ({ vector }),
      reuse,
    };
    await writeSnapshot(rows, options);
    const changed = rows.map((row) => row.id === 17 ? { ...row, vector: row.vector.map((number) => -number) } : row);
    const { stats } = await writeSnapshot(changed, options);
    equal(stats.shardsReused, 3);
  }
});

const wrongVectors: [what: string, entry: unknown, message: RegExp][] = [
  ["too few numbers", { vector: [1, 2] }, /it must have 3 numbers: current value is 2 \(row 2 of the source\)/],
  ["NaN", { vector: [1, NaN, 2] }, /finite as float32: current value is NaN \(row 2/],
  ["infinity", { vector: Float64Array.of(1, Infinity, 2) }, /finite as float32: current value is Infinity/],
  ["more than a float32", { vector: [1, 1e39, 2] }, /finite as float32: current value is 1e\+39/],
  ["texts", { vector: ["1", "2", "3"] }, /all of it must be numbers: current value is "1"/],
  ["no vector at all", { id: 3 }, /must be null or an object with a field `vector`/],
  ["undefined", undefined, /must be null or an object with a field `vector`/],
  ["the zero vector under cosine", { vector: [0, -0, 0] }, /with metric "cosine" it must not be zero/],
  ["what is zero in the arithmetic", { vector: [1e-30, 0, 0] }, /with metric "cosine" it must not be zero/],
  ["what is infinitely long", { vector: [1e38, 0, 0] }, /its length must be a float32/],
  ["a fraction as id", { id: 1.5, vector: [1, 2, 3] }, /id of a vector as it must be a string or a whole number/],
  [
    "an id beyond 64 bits",
    { id: 2n ** 63n, vector: [1, 2, 3] },
    /whole number of 64 bits: current value is 9223372036854775808n/,
  ],
  ["a payload that is no JSON", { payload: () => {}, vector: [1, 2, 3] }, /payload/],
];

for (const [what, entry, message] of wrongVectors) {
  test(`writeSnapshot() refuses ${what} with the number of the row`, async () => {
    const store = memoryStore();
    const good: VectorEntry = { vector: [1, 2, 3] };
    const backend = sqliteVecBackend({ dim: 3, metric: "cosine" });
    const options = { sharding: singleShard(), backend, key: (row: number) => row, value: () => "" };
    const vector = (row: number): VectorEntry => row === 1 ? entry as VectorEntry : good;
    await rejects(writeSnapshot([0, 1, 2], { ...options, store, vector }), (error: Error & { code?: string }) => {
      equal(error.code, "CONFIG_VALIDATION");
      ok(message.test(error.message), error.message);
      ok(error.message.endsWith("(row 2 of the source)"), error.message);
      return true;
    });
    deepEqual((await Array.fromAsync(store.list("shards"))).length, 0);
  });
}

test("writeSnapshot() and writeShard() refuse options that do not fit the backend before rows are read", async () => {
  function* unread(): Generator<number> {
    yield 0;
    throw new Error("rows were read");
  }
  const shared = { store: memoryStore(), sharding: singleShard(), key: (row: number) => row };
  const backend = sqliteVecBackend({ dim: 3, metric: "l2" });
  const vector = (): VectorEntry => ({ vector: [1, 2, 3] });
  const wrong: [Partial<WriteSnapshotOptions<number>>, RegExp][] = [
    [{ value: () => "", vector }, /option "vector" with the backend "sqlite" as that has no room for vectors/],
    [{ value: () => "", backend }, /option "vector" as the backend "sqlite-vec" needs a function/],
    [{ backend }, /option "value" as it must be a function: it is missing/],
    [{}, /option "value" as it must be a function: it is missing/],
  ];
  for (const [options, message] of wrong) {
    await rejects(writeSnapshot(unread(), { ...shared, ...options }), { code: "CONFIG_VALIDATION", message });
    const task = { ...shared, runId: "r", shardId: 0, keyEncoding: "u64be" as const, ...options };
    await rejects(writeShard([0], task as Parameters<typeof writeShard<number>>[1]), { message });
  }
  await rejects(
    writeSnapshot([1], { ...shared, backend, vector: () => null }),
    /neither value nor vector: leave it out \(row 1 of the source\)/,
  );
});

test("sqliteVecBackend() refuses dimensions and metrics that sqlite-vec has not", () => {
  const make = (options: unknown) => () => sqliteVecBackend(options as SqliteVecBackendOptions);
  for (const dim of [0, -1, 1.5, 8193, "3", undefined]) {
    throws(make({ dim, metric: "l2" }), { code: "CONFIG_VALIDATION", message: /sqliteVecBackend.dim.*from 1 to 8192/ });
  }
  for (const metric of ["dot_product", "L2", undefined]) {
    throws(make({ dim: 3, metric }), {
      code: "CONFIG_VALIDATION",
      message: /sqliteVecBackend.metric.*"cosine" or "l2"/,
    });
  }
  throws(make({ dim: 3, metric: "l2", pageSizeBytes: 512 }), { code: "CONFIG_VALIDATION" });
  throws(make({ dim: 3, metric: "l2", pagesize: 4096 }), { code: "CONFIG_VALIDATION" });
});
