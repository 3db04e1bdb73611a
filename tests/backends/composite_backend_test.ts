// Shards of two engines. Judges: SQLite for rows, distances measured by hand for vectors, what the requests show.
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import type { Backend } from "../../src/backends/backend.ts";
import { compositeBackend } from "../../src/backends/composite_backend.ts";
import { lancedbBackend } from "../../src/backends/lancedb_backend.ts";
import { nativeSqliteBackend } from "../../src/backends/native_sqlite_backend.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { faultStore } from "../../src/testing/fault_store.ts";
import { SeededRandom } from "../../src/testing/seeded_random.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import type { WriteSnapshotOptions } from "../../src/write/write_options.ts";
import { lanceTest, nearestByHand } from "./lance_shards.ts";
import { checkHits } from "./vector_shards.ts";

interface Row {
  readonly id: number;
  readonly text: string;
  readonly vector: Float32Array | null;
}

/** Every seventh row has no vector. */
function sample(count: number, dim = 6): Row[] {
  const random = new SeededRandom(7);
  return Array.from({ length: count }, (_, id) => ({
    id,
    text: `row ${id} ${"x".repeat(id % 50)}`,
    vector: id % 7 === 3 ? null : Float32Array.from({ length: dim }, () => random.next() * 2 - 1),
  }));
}

function optionsFor(backend: Backend, store: ObjectStore): WriteSnapshotOptions<Row> {
  return {
    store,
    backend,
    sharding: hashSharding({ shards: 3 }),
    key: ({ id }) => id,
    value: ({ text }) => text,
    vector: ({ id, vector }) => vector && { vector, payload: { id } },
  };
}

async function checkSnapshot(
  store: ObjectStore,
  rows: readonly Row[],
  { backend, metric, squared }: {
    readonly backend?: Backend;
    readonly metric: "l2" | "cosine";
    readonly squared: boolean;
  },
): Promise<void> {
  await using reader = await openSnapshot({ store, ...(backend && { backend }) });
  for (const { id, text } of rows.slice(0, 60)) equal(new TextDecoder().decode((await reader.get(id))!), text);
  equal(await reader.get(rows.length), null);
  let scanned = 0;
  for await (const _ of reader.scan()) scanned++;
  equal(scanned, rows.length);
  const vectors = rows.flatMap(({ id, vector }) => vector ? [{ id: String(id), vector, payload: { id } }] : []);
  for (const { vector } of vectors.slice(0, 10)) {
    const query = vector.map((number) => number + 0.1);
    const { results, shardsQueried } = await reader.search(query, { topK: 8 });
    equal(shardsQueried, 3);
    const expected = nearestByHand(vectors, query, { metric, topK: 8 })
      .map(({ score, ...hit }) => ({ ...hit, score: metric === "l2" && !squared ? Math.sqrt(score) : score }));
    checkHits(results.map((hit) => ({ ...hit, id: String(hit.id) })), expected, "search");
  }
}

const lance = (): Backend => lancedbBackend({ dim: 6, metric: "cosine" });

const halves: readonly [string, () => Backend][] = [
  ["sqliteBackend", () => sqliteBackend({ pageSizeBytes: 8192 })],
  ["nativeSqliteBackend", () => nativeSqliteBackend()],
];
for (const [label, keyValue] of halves) {
  lanceTest(`compositeBackend puts LanceDB beside ${label}`, async () => {
    const store = memoryStore();
    const rows = sample(500);
    const backend = compositeBackend(keyValue(), lance());
    const { winners } = await writeSnapshot(rows, optionsFor(backend, store));
    equal(winners.reduce((sum, { rowCount }) => sum + rowCount, 0), 500);
    const keys = (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key.replace(/run_id=\w+/, "run_id="));
    equal(keys.filter((key) => key.endsWith("/attempt=00/shard.db")).length, 3);
    equal(keys.filter((key) => key.includes("/attempt=00/vector/vector_index.lance/data/")).length, 3);
    await checkSnapshot(store, rows, { backend, metric: "cosine", squared: false });
  });
}

test("compositeBackend takes any engine of vectors: sqliteVecBackend beside nativeSqliteBackend", async () => {
  const store = memoryStore();
  const rows = sample(300);
  const backend = compositeBackend(nativeSqliteBackend(), sqliteVecBackend({ dim: 6, metric: "l2" }));
  await writeSnapshot(rows, optionsFor(backend, store));
  await checkSnapshot(store, rows, { backend, metric: "l2", squared: false });
});

for (const workers of [0, 2]) {
  lanceTest(`compositeBackend builds with ${workers} worker threads and retries shards`, async () => {
    const rows = sample(400);
    const inner = memoryStore();
    let failures = 0;
    const store = faultStore(inner, {
      fault: ({ kind, key }) => {
        if (kind !== "FINISH" || failures > 0 || !key.includes("/vector/")) return null;
        failures++;
        return { moment: "before" };
      },
    });
    const backend = compositeBackend(sqliteBackend(), lance());
    const { winners } = await writeSnapshot(rows, {
      ...optionsFor(backend, store),
      workers,
      retry: { retriesMax: 2, initialBackoffMs: 1, multiplier: 1 },
    });
    equal(failures, 1);
    equal(winners.filter(({ attempt }) => attempt === 1).length, 1);
    await checkSnapshot(inner, rows, { backend, metric: "cosine", squared: false });
  });
}

lanceTest("compositeBackend uploads the vectors first, when the rows are sealed", async () => {
  const store = faultStore(memoryStore());
  await writeSnapshot(sample(100), {
    ...optionsFor(compositeBackend(sqliteBackend(), lance()), store),
    sharding: hashSharding({ shards: 1 }),
  });
  const seen = store.requests.filter(({ key, kind }) => key.includes("attempt=00/") && ["FINISH", "PUT"].includes(kind))
    .map(({ key }) => key.slice(key.indexOf("attempt=00/") + 11));
  const file = seen.indexOf("shard.db");
  ok(file > 3);
  ok(seen.slice(0, file).every((name) => name.startsWith("vector/")));
  equal(seen[file - 1], "vector/vector_index.lance/_versions/latest_version_hint.json");
  deepEqual(seen.slice(file + 1).sort(), ["shard.guard", "shard.sidecar"]);
});

lanceTest("compositeBackend uploads no vectors when the rows cannot be sealed", async () => {
  const rows = sqliteBackend();
  const broken: Backend = {
    ...rows,
    async buildShard(sorted, target) {
      await using upload = await target.store.upload(`${target.prefix}/shard.db`, { headBytes: 0 });
      await upload.write(new Uint8Array(100));
      throw new Error(`cannot seal ${sorted.rowCountMax} rows`);
    },
  };
  const store = faultStore(memoryStore());
  await rejects(writeSnapshot(sample(100), optionsFor(compositeBackend(broken, lance()), store)), /cannot seal/);
  deepEqual(store.requests.filter(({ key }) => key.includes("/vector/")), []);
});

lanceTest("compositeBackend leaves nothing of either half behind when a request fails", async () => {
  const rows = sample(40);
  const backend = compositeBackend(sqliteBackend(), lance());
  const counted = faultStore(memoryStore());
  const single = { sharding: hashSharding({ shards: 1 }) };
  await writeSnapshot(rows, { ...optionsFor(backend, counted), ...single });
  const isOfShard = ({ key, kind }: { key: string; kind: string }): boolean =>
    key.includes("attempt=00/") && ["UPLOAD", "PART", "FINISH", "PUT"].includes(kind);
  const total = counted.requests.filter(isOfShard).length;
  ok(total > 10);
  for (let number = 0; number < total; number++) {
    const inner = memoryStore();
    let seen = 0;
    const store = faultStore(inner, {
      fault: (request) =>
        isOfShard(request) && seen++ === number ? { moment: "before", retryable: false, error: new Error("no") } : null,
    });
    await rejects(writeSnapshot(rows, { ...optionsFor(backend, store), ...single }), /no/, `request ${number}`);
    const left = (await Array.fromAsync(inner.list("shards/"))).flat().map(({ key }) => key);
    deepEqual(left, [], `request ${number}`);
  }
});

lanceTest("compositeBackend throws for wrong bytes in either half (P7)", async () => {
  const store = memoryStore();
  const backend = compositeBackend(sqliteBackend(), lance());
  await writeSnapshot(sample(60), { ...optionsFor(backend, store), sharding: hashSharding({ shards: 1 }) });
  const keys = (await Array.fromAsync(store.list("shards/"))).flat().map(({ key }) => key);
  for (const key of keys.filter((name) => name.includes("/vector/") || name.endsWith("shard.db"))) {
    const bytes = await (await store.get(key)).bytes();
    const spoilt = bytes.slice();
    spoilt[bytes.length >> 1]! ^= 4;
    await store.put(key, spoilt);
    await using reader = await openSnapshot({ store, backend });
    const reading = key.includes("/vector/")
      ? reader.search(new Float32Array(6).fill(1))
      : Array.fromAsync(reader.scan());
    await rejects(reading, { code: "CORRUPT_FILE" }, key);
    await store.put(key, bytes);
  }
});

lanceTest("compositeBackend reuses nothing, and says so by writing every shard", async () => {
  const store = memoryStore();
  const options = optionsFor(compositeBackend(sqliteBackend(), lance()), store);
  const rows = sample(50);
  await writeSnapshot(rows, options);
  for (const reuse of ["copy", "reference"] as const) {
    const { winners, runId } = await writeSnapshot(rows, { ...options, reuse });
    ok(winners.every(({ dbUrl }) => dbUrl?.includes(runId)));
  }
});

test("compositeBackend refuses engines that do not fit", () => {
  const vectors = sqliteVecBackend({ dim: 2, metric: "l2" });
  const code = "CONFIG_VALIDATION";
  throws(() => compositeBackend(vectors, vectors), { code, path: "compositeBackend.keyValue" });
  throws(() => compositeBackend(sqliteBackend(), sqliteBackend()), { code, path: "compositeBackend.vector" });
  const composite = compositeBackend(sqliteBackend(), vectors);
  throws(() => compositeBackend(sqliteBackend(), composite), { code });
});
