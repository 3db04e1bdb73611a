// Judges: the Python-made fixtures, SQLite, hash-wasm for digests, and a Map of the rows.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { createXXHash3 } from "hash-wasm";
import {
  hashSharding,
  history,
  type Key,
  memoryStore,
  type ObjectStore,
  openSnapshot,
  type ShardyfusionEvent,
  singleShard,
  snapshotSink,
  sqliteBackend,
  type WriteProgress,
  writeSnapshot,
  type WriteSnapshotOptions,
} from "../../mod.ts";

const FIXTURES = new URL("../fixtures/snapshots/", import.meta.url);

interface Entry {
  readonly key: { readonly type: string; readonly value: string };
  readonly "value_hex"?: string;
  readonly shard: number;
  readonly "encoded_key_hex"?: string;
}

function fixture(name: string) {
  return JSON.parse(readFileSync(new URL(`${name}/expected.json`, FIXTURES), "utf8"));
}

function keyOf({ key }: Entry): Key {
  if (key.type === "int") return BigInt(key.value);
  return key.type === "string" ? key.value : Uint8Array.from(Buffer.from(key.value, "hex"));
}

/** What the store holds, by key. */
async function contents(store: ObjectStore): Promise<Map<string, Uint8Array>> {
  const objects = new Map<string, Uint8Array>();
  for await (const entries of store.list("")) {
    for (const { key } of entries) objects.set(key, await (await store.get(key)).bytes());
  }
  return objects;
}

/** Keys of what the store holds, without the records of runs, which stay whatever becomes of a run. */
async function keysOf(store: ObjectStore): Promise<string[]> {
  return [...(await contents(store)).keys()].filter((key) => !key.startsWith("runs/"));
}

/** Rows of a table, read by SQLite. */
async function query(bytes: Uint8Array, sql: string): Promise<Record<string, unknown>[]> {
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  try {
    const path = join(folder, "test.db");
    const { writeFileSync } = await import("node:fs");
    writeFileSync(path, bytes);
    const database = new DatabaseSync(path, { readOnly: true });
    deepEqual(database.prepare("PRAGMA integrity_check").all().map((row) => row["integrity_check"]), ["ok"]);
    const rows = database.prepare(sql).all();
    database.close();
    return rows.map((row) => ({ ...row }));
  } finally {
    await rm(folder, { recursive: true });
  }
}

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function options(store: ObjectStore, more: Partial<WriteSnapshotOptions<number>> = {}): WriteSnapshotOptions<number> {
  return { store, sharding: hashSharding({ shards: 4 }), key: (row) => row, value: (row) => `value ${row}`, ...more };
}

for (
  const name of ["hash_u64", "hash_utf8", "hash_raw", "hash_u32", "hash_max_keys", "empty_shards", "empty_snapshot"]
) {
  test(`writeSnapshot() writes the manifest and the shards' rows of fixture ${name}`, async () => {
    const expected = fixture(name);
    const { build_meta: meta, shards } = expected.manifest;
    const entries: Entry[] = expected.entries;
    const store = memoryStore();
    const perShard = expected.config.max_keys_per_shard;
    await writeSnapshot(entries.filter((entry) => entry.value_hex !== undefined), {
      store,
      sharding: perShard ? hashSharding({ keysPerShard: perShard }) : hashSharding({ shards: expected.num_dbs }),
      keyEncoding: meta.key_encoding,
      key: keyOf,
      value: (entry) => Uint8Array.from(Buffer.from(entry.value_hex!, "hex")),
    });
    const whole = entries.every((entry) => entry.value_hex !== undefined);
    const objects = await contents(store);
    const manifest = objects.get([...objects.keys()].find((key) => key.startsWith("manifests/"))!)!;
    const [ours] = await query(manifest, "SELECT * FROM build_meta");
    deepEqual(Object.keys(ours!), Object.keys(meta));
    for (
      const column of [
        "num_dbs",
        "key_col",
        "sharding",
        "db_path_template",
        "shard_prefix",
        "format_version",
        "key_encoding",
      ]
    ) {
      equal(ours![column], meta[column], column);
    }
    const rows = await query(manifest, "SELECT * FROM shards ORDER BY db_id");
    const folders = rows.map(({ db_url }) => `${db_url}`.replace(`${store.url}/`, ""));
    if (whole) {
      deepEqual(rows.map(({ db_id }) => db_id), shards.map(({ db_id }: { db_id: number }) => db_id));
      rows.forEach((row, index) => {
        deepEqual(Object.keys(row), Object.keys(shards[index]));
        for (const column of ["attempt", "row_count", "min_key", "max_key"]) {
          equal(row[column], shards[index][column], `${column} of shard ${row["db_id"]}`);
        }
        const info = JSON.parse(`${row["writer_info"]}`);
        deepEqual([info.attempt, info.stage_id, info.task_attempt_id], [0, null, null]);
      });
    }
    for (const [index, folder] of folders.entries()) {
      const found = await query(objects.get(`${folder}/shard.db`)!, "SELECT hex(k) k, hex(v) v FROM kv ORDER BY kv.k");
      const wanted = entries
        .filter(({ shard, value_hex }) => shard === rows[index]!["db_id"] && value_hex !== undefined)
        .map((entry) => ({
          k: (entry.encoded_key_hex ?? Buffer.from(keyOf(entry) as string).toString("hex")).toUpperCase(),
          v: entry.value_hex!.toUpperCase(),
        }))
        .sort((left, right) => left.k < right.k ? -1 : 1);
      deepEqual(found, wanted);
    }
  });
}

test("P9 writeSnapshot() gives the same shard bytes for any order of arrival, spilled or not, on every runtime", async () => {
  const rows = numbers(20_000);
  let state = 1;
  const shuffled = rows.map((row) => [state = (Math.imul(state, 48271) >>> 0) % 2147483647, row] as const)
    .sort(([left], [right]) => left - right).map(([, row]) => row);
  const digests = new Set<string>();
  for (const source of [rows, shuffled, [...rows].reverse()]) {
    for (const memory of [{}, { bytesMax: 300_000 }, { rowsMax: 4000 }]) {
      const store = memoryStore();
      await writeSnapshot(source, options(store, { memory }));
      const objects = [...(await contents(store)).entries()].filter(([key]) => key.endsWith("shard.db"));
      const hash = await createXXHash3();
      objects.map(([key, bytes]) => [key.replace(/run_id=[^/]+/, ""), bytes] as const)
        .sort(([left], [right]) => left < right ? -1 : 1)
        .forEach(([, bytes]) => hash.update(bytes));
      digests.add(hash.digest("hex"));
    }
  }
  deepEqual([...digests], ["d3feff78d049a8aa"]);
});

test("writeSnapshot() lets the last write of a key win and counts all of them", async () => {
  const store = memoryStore();
  const rows = numbers(5000);
  const result = await writeSnapshot(rows, options(store, { key: (row) => row % 100 }));
  equal(result.stats.rowsWritten, 5000);
  equal(result.winners.reduce((sum, { rowCount }) => sum + rowCount, 0), 5000);
  await using reader = await openSnapshot({ store });
  for (let key = 0; key < 100; key++) {
    equal(new TextDecoder().decode((await reader.get(key))!), `value ${4900 + key}`);
  }
  const rowCounts = await Array.fromAsync(reader.scan());
  equal(rowCounts.length, 100);
});

test("writeSnapshot() records the digests of every shard and of what lies beside it as hash-wasm computes them", async () => {
  const store = memoryStore();
  const { winners } = await writeSnapshot(
    numbers(30_000),
    options(store, { backend: sqliteBackend({ pageSizeBytes: 8192 }) }),
  );
  equal(winners.length, 4);
  for (const { dbUrl, writerInfo, dbBytes } of winners) {
    const expected: Record<string, unknown>[] = [];
    for (const [name, rotatedBytes] of [["shard.db", 8192], ["shard.sidecar", 0], ["shard.guard", 0]] as const) {
      const bytes = await (await store.get(`${dbUrl!.slice(store.url.length + 1)}/${name}`)).bytes();
      const hash = (await createXXHash3()).update(bytes.subarray(rotatedBytes)).update(bytes.subarray(0, rotatedBytes));
      expected.push({
        name,
        rotated_bytes: rotatedBytes,
        size_bytes: bytes.length,
        xxh3_64: hash.digest("hex"),
      });
    }
    deepEqual((writerInfo["shardyfusion"] as { objects: unknown })["objects"], expected);
    equal(dbBytes, expected[0]!["size_bytes"]);
  }
});

test("writeSnapshot() counts rows of a stream before it routes them, for keysPerShard", async () => {
  const store = memoryStore();
  const rows = ReadableStream.from(numbers(1001));
  const { winners } = await writeSnapshot(rows, options(store, { sharding: hashSharding({ keysPerShard: 100 }) }));
  await using reader = await openSnapshot({ store });
  equal(reader.info.shardCount, 11);
  equal(winners.reduce((sum, { rowCount }) => sum + rowCount, 0), 1001);
});

test("writeSnapshot() needs no disk to count an array for keysPerShard", async () => {
  const store = memoryStore();
  const sharding = hashSharding({ keysPerShard: 10 });
  const localRoot = join(fileURLToPath(import.meta.url), "no-folder");
  const { winners } = await writeSnapshot(numbers(100), options(store, { sharding, localRoot }));
  equal(winners.length, 10);
  const stream = ReadableStream.from(numbers(100));
  await rejects(writeSnapshot(stream, options(store, { sharding, localRoot })), { code: "STORE" });
});

test("writeSnapshot() puts everything into one shard with singleShard()", async () => {
  const store = memoryStore();
  const { winners } = await writeSnapshot(numbers(50), options(store, { sharding: singleShard() }));
  deepEqual(winners.map(({ shardId, rowCount }) => [shardId, rowCount]), [[0, 50]]);
});

test("writeSnapshot() lays out names, templates and custom fields as asked", async () => {
  const store = memoryStore();
  const result = await writeSnapshot(
    numbers(10),
    options(store, {
      runId: "run-7",
      shardPrefix: "parts",
      dbPathTemplate: "p{db_id:03d}",
      keyColumn: "id",
      runRegistryPrefix: "log",
      pointerKey: "LATEST",
      custom: { team: "é", big: 2n ** 60n, nested: { list: [1, null, true] } },
    }),
  );
  equal(result.runId, "run-7");
  const keys = [...(await contents(store)).keys()];
  ok(keys.includes("LATEST"));
  ok(
    keys.every((key) =>
      key === "LATEST" || key.startsWith("manifests/") ||
      /^log\/.{27}_run_id=run-7_[0-9a-f]{32}\/run\.yaml$/.test(key) ||
      /^parts\/run_id=run-7\/p00\d\/attempt=00\/shard\.(?:db|sidecar|guard)$/.test(key)
    ),
  );
  await using reader = await openSnapshot({ store, pointerKey: "LATEST" });
  deepEqual(reader.info.custom["big"], 2n ** 60n);
  equal(reader.info.custom["team"], "é");
  deepEqual(reader.info.custom["sqlite_sidecar"], {
    codec: "zstd",
    filename: "shard.sidecar",
    format_version: 8,
    page_size: 4096,
  });
});

test("writeSnapshot() refuses wrong options before it reads or writes anything", async () => {
  const wrong: Record<string, unknown>[] = [
    { store: undefined },
    { store: {} },
    { sharding: undefined },
    { sharding: { shards: 4 } },
    { key: undefined },
    { key: "id" },
    { value: 5 },
    { keyEncoding: "u16" },
    { backend: "sqlite" },
    { batch: { rowsMax: 0 } },
    { batch: { rows: 1 } },
    { memory: { bytesMax: 1.5 } },
    { memory: 5 },
    { rateLimit: { rowsPerSecond: 0 } },
    { runId: "" },
    { runId: "a/b" },
    { shardPrefix: "a/b" },
    { shardPrefix: ".." },
    { dbPathTemplate: "db" },
    { dbPathTemplate: "{db}" },
    { custom: 5 },
    { custom: { f: () => 1 } },
    { custom: { n: NaN } },
    { custom: { vector: {} } },
    { signal: {} },
    { onProgress: 1 },
    { shardPrefx: "shards" },
    { workers: 1.5 },
    { retry: { retriesMax: -1 } },
    { fence: "none" },
    { onConflict: "ignore" },
    { validate: true },
    { sharding: { kind: "zzz" } },
    { shardPrefix: "manifests" },
    { pointerKey: "shards" },
  ];
  for (const change of wrong) {
    const store = memoryStore();
    let rowsRead = 0;
    const rows = (function* () {
      rowsRead++;
      yield 1;
    })();
    await rejects(
      writeSnapshot(rows, { ...options(store), ...change } as WriteSnapshotOptions<number>),
      { code: "CONFIG_VALIDATION" },
      Object.keys(change)[0]!,
    );
    equal(rowsRead, 0, Object.keys(change)[0]!);
    equal((await contents(store)).size, 0);
  }
});

test("writeSnapshot() leaves nothing behind when a key or a value is wrong, or the source throws midway", async () => {
  const localRoot = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  const store = memoryStore();
  await writeSnapshot(numbers(10), options(store));
  const before = await keysOf(store);
  const broken: [RegExp, Partial<WriteSnapshotOptions<number>>, Iterable<number>][] = [
    [/row 901/, { key: (row) => row === 900 ? -1 : row }, numbers(1000)],
    [
      /surrogate/i,
      { keyEncoding: "utf8", key: (row) => row === 900 ? "\udc00" as never : `${row}` as never },
      numbers(1000),
    ],
    [/value/, { value: (row) => row === 900 ? undefined as never : "" }, numbers(1000)],
    [/no such column/, {
      key: (row) => {
        if (row === 5) throw new Error("no such column");
        return row;
      },
    }, numbers(10)],
    [
      /source broke/,
      {},
      (function* () {
        yield* numbers(9000);
        throw new Error("source broke");
      })(),
    ],
  ];
  for (const sharding of [hashSharding({ shards: 4 }), hashSharding({ keysPerShard: 10 })]) {
    for (const [message, change, rows] of broken) {
      const memory = { bytesMax: 20_000 };
      const source = Array.isArray(rows) ? rows : (function* () {
        yield* numbers(9000);
        throw new Error("source broke");
      })();
      await rejects(writeSnapshot(source, options(store, { ...change, sharding, memory, localRoot })), message);
      deepEqual(await keysOf(store), before);
      deepEqual(readdirSync(localRoot), []);
    }
  }
  await using reader = await openSnapshot({ store });
  equal(new TextDecoder().decode((await reader.get(3))!), "value 3");
  await rm(localRoot, { recursive: true });
});

test("writeSnapshot() stops when it is aborted, wherever it is", async () => {
  const localRoot = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  await rejects(writeSnapshot([1], options(memoryStore(), { signal: AbortSignal.abort(new Error("early")) })), /early/);
  for (const phase of ["rows", "shards", "publish"] as const) {
    const store = memoryStore();
    const abort = new AbortController();
    const onProgress = (progress: WriteProgress) => {
      if (progress.phase === phase) abort.abort(new Error(`stopped in ${phase}`));
    };
    const memory = { bytesMax: 100_000 };
    const rows = (async function* () {
      for (const row of numbers(30_000)) yield row;
    })();
    await rejects(
      writeSnapshot(rows, options(store, { signal: abort.signal, onProgress, memory, localRoot })),
      /stopped in/,
    );
    deepEqual(await keysOf(store), [], phase);
    deepEqual(readdirSync(localRoot), [], phase);
  }
  await rm(localRoot, { recursive: true });
});

test("writeSnapshot() does not overwrite the shards of a run of the same name", async () => {
  const store = memoryStore();
  await writeSnapshot(numbers(100), options(store, { runId: "same" }));
  const before = await contents(store);
  await rejects(writeSnapshot(numbers(50), options(store, { runId: "same" })), { code: "PRECONDITION_FAILED" });
  for (const [key, bytes] of before) deepEqual((await contents(store)).get(key), bytes);
  deepEqual(await keysOf(store), [...before.keys()].filter((key) => !key.startsWith("runs/")));
});

test("writeSnapshot() reports progress and events", async () => {
  const events: ShardyfusionEvent[] = [];
  const progress: WriteProgress[] = [];
  await writeSnapshot(
    numbers(10_000),
    options(memoryStore(), {
      onEvent: (event) => events.push(event),
      onProgress: (report) => progress.push(report),
    }),
  );
  const names = events.map(({ name }) => name);
  equal(names[0], "write.started");
  equal(names.filter((name) => name === "write.shard.completed").length, 4);
  deepEqual(names.slice(-4), [
    "write.shards_completed",
    "write.manifest_published",
    "write.current_published",
    "write.completed",
  ]);
  deepEqual(progress.at(-1), {
    phase: "publish",
    rowsRead: 10_000,
    bytesRead: progress.at(-1)!.bytesRead,
    shardsBuilt: 4,
    shardsToBuild: 4,
  });
  progress.reduce((before, after) => {
    ok(after.rowsRead >= before.rowsRead && after.shardsBuilt >= before.shardsBuilt);
    return after;
  });
});

test("writeSnapshot() keeps the history: previous refs and a rising generation", async () => {
  const store = memoryStore();
  const refs: string[] = [];
  for (let run = 0; run < 12; run++) refs.unshift((await writeSnapshot([run], options(store))).manifestRef);
  const pointer = JSON.parse(new TextDecoder().decode(await (await store.get("_CURRENT")).bytes()));
  equal(pointer.manifest_ref, refs[0]);
  deepEqual(pointer.previous, refs.slice(1, 11));
  equal(pointer.generation, 12);
  deepEqual((await history(store, { limit: 5 })).map(({ ref }) => ref), refs.slice(0, 5));
});

test("snapshotSink() publishes what is piped into it, rows and arrays of rows", async () => {
  for (const rows of [numbers(5000), [numbers(2000), numbers(5000).slice(2000)]]) {
    const store = memoryStore();
    const sink = snapshotSink<number>(options(store));
    await ReadableStream.from<unknown>(rows).pipeTo(sink as unknown as WritableStream<unknown>);
    const { stats } = await sink.result;
    equal(stats.rowsWritten, 5000);
    await using reader = await openSnapshot({ store });
    equal((await Array.fromAsync(reader.scan())).length, 5000);
  }
});

test("snapshotSink() fails the pipe with the write's error and discards everything when aborted", async () => {
  const store = memoryStore();
  const bad = snapshotSink<number>(options(store, { key: (row) => row === 7000 ? 0.5 : row }));
  await rejects(ReadableStream.from(numbers(20_000)).pipeTo(bad), { code: "CONFIG_VALIDATION" });
  await rejects(bad.result, { code: "CONFIG_VALIDATION" });
  const aborted = snapshotSink<number>(options(store));
  const writer = aborted.getWriter();
  await writer.write(1);
  await writer.abort(new Error("changed my mind"));
  await rejects(aborted.result, /changed my mind/);
  const failing = snapshotSink<number>(options(store));
  const source = new ReadableStream<number>({
    pull(controller) {
      controller.error(new Error("upstream"));
    },
  });
  await rejects(source.pipeTo(failing), /upstream/);
  await rejects(failing.result, /upstream/);
  deepEqual(await keysOf(store), []);
});
