// Searches for vectors. Judges: distances in float64 by hand, the extension sqlite-vec, and lists of what was asked for.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import type { ObjectDigest, SearchHit } from "../../src/backends/backend.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { ShardyfusionError } from "../../src/errors.ts";
import { singleShard } from "../../src/routing/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { scorerOf, type SearchedMetric } from "../../src/vector/distance.ts";
import { Nearest } from "../../src/vector/nearest.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { temporaryFolder } from "../read/fixture_snapshots.ts";
import { nativeSearch, openWithExtension } from "./native_vectors.ts";
import { checkHits, fileKinds, type Folder, remoteShard, shardFile } from "./vector_shards.ts";

const SOAK = process.env["SHARDYFUSION_SOAK"] === "1";

function vectorsOf(count: number, dim: number, seed = 11): Float32Array[] {
  let state = seed;
  const random = (): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) / 2 ** 32 - 0.5;
  return Array.from({ length: count }, () => Float32Array.from({ length: dim }, random));
}

/** A shard of vectors whose ids are their numbers. */
async function shardOf(
  vectors: readonly Float32Array[],
  options: Parameters<typeof sqliteVecBackend>[0],
): Promise<Folder> {
  const store = memoryStore();
  const { winners } = await writeSnapshot(vectors.entries(), {
    store,
    sharding: singleShard(),
    backend: sqliteVecBackend(options),
    key: ([id]) => id,
    value: ([id]) => `${id}`,
    vector: ([id, vector]) => ({ vector, payload: { at: id } }),
  });
  const files = new Map<string, Uint8Array>();
  const folder = winners[0]!.dbUrl!.slice(store.url.length + 1);
  for await (const entries of store.list(folder)) {
    for (const { key } of entries) files.set(key.slice(folder.length + 1), await (await store.get(key)).bytes());
  }
  const { etag } = await store.get(`${folder}/shard.db`);
  const objects = [...files.keys()].sort((one) => one === "shard.db" ? -1 : 1).map((name): ObjectDigest => {
    const file = files.get(name)!;
    // Guards name the file's digest.
    const view = new DataView(files.get("shard.guard")?.slice().buffer ?? new ArrayBuffer(32));
    const xxh3 = view.getBigUint64(24, true).toString(16).padStart(16, "0");
    return { name, sizeBytes: file.length, xxh3, rotatedBytes: 0 };
  });
  return { files, objects, etag: etag! };
}

/** In float64, all by all. */
function bruteForce(vectors: readonly Float32Array[], query: Float32Array, metric: SearchedMetric): SearchHit[] {
  const dot = (one: Float32Array, other: Float32Array): number =>
    one.reduce((sum, number, i) => sum + number * other[i]!, 0);
  return vectors.map((vector, id) => {
    const score = metric === "l2"
      ? Math.hypot(...vector.map((number, i) => number - query[i]!))
      : 1 - dot(vector, query) / Math.sqrt(dot(vector, vector) * dot(query, query));
    return { id, score, payload: { at: id } };
  }).sort((one, other) => one.score - other.score);
}

for (const metric of ["l2", "cosine"] as const) {
  test(`ShardReader.search() finds by ${metric} what comparing all finds, wherever the file is`, async () => {
    for (const [count, dim, pageSizeBytes] of [[3, 1, 4096], [1500, 7, 65536], [2100, 40, 4096]] as const) {
      const vectors = vectorsOf(count, dim);
      const folder = await shardOf(vectors, { dim, metric, pageSizeBytes });
      using directory = temporaryFolder();
      const queries = [...vectorsOf(2, dim, 5), vectors[count - 1]!];
      const all = new Map(queries.map((query) => [query, bruteForce(vectors, query, metric)]));
      for (const kind of fileKinds) {
        const { file } = shardFile(folder, kind, directory.path);
        await using reader = await sqliteVecBackend({ dim, metric }).openShard(file);
        for (const query of queries) {
          for (const topK of [1, 10, 4096]) {
            const expected = all.get(query)!.slice(0, topK);
            const hits = await reader.search!(query, { topK });
            checkHits(hits, expected, `${count} × ${dim}, ${kind}, ${topK}`);
            ok(hits.every(({ score }, i) => i === 0 || score >= hits[i - 1]!.score));
          }
        }
      }
    }
  });
}

test("ShardReader.search() gives those first that were stored first, of equally near ones", async () => {
  const vectors = Array.from({ length: 3000 }, (_, id) => Float32Array.of(id % 3, 1));
  const folder = await shardOf(vectors, { dim: 2, metric: "l2" });
  await using reader = await sqliteVecBackend({ dim: 2, metric: "l2" })
    .openShard({ kind: "memory", bytes: folder.files.get("shard.db")! });
  const hits = await reader.search!(Float32Array.of(1, 1), { topK: 1005 });
  const expected = [
    ...Array.from({ length: 1000 }, (_, i) => 3 * i + 1),
    ...[0, 2, 3, 5, 6],
  ];
  deepEqual(hits.map(({ id }) => id), expected);
});

test("ShardReader.search() agrees with sqlite-vec on files that it wrote, with gaps, odd ids and small chunks", async (t) => {
  using folder = temporaryFolder();
  for (const [chunkSize, metric] of [["", "l2"], [", chunk_size=8", "cosine"]] as const) {
    const path = join(folder.path, `${metric}.db`);
    const database = openWithExtension(path, t);
    if (database === null) return;
    database.exec(
      `CREATE VIRTUAL TABLE vec_index USING vec0(embedding float[5] distance_metric=${metric}${chunkSize});
       CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID;
       CREATE TABLE vec_payloads (rowid INTEGER PRIMARY KEY, payload TEXT NOT NULL);
       CREATE TABLE vec_id_map (internal_id INTEGER PRIMARY KEY, original_id TEXT NOT NULL); BEGIN`,
    );
    const insert = database.prepare("INSERT INTO vec_index(rowid, embedding) VALUES (?, ?)");
    insert.setReadBigInts(true);
    const name = database.prepare("INSERT INTO vec_id_map VALUES (?1, json_object('v', ?1, 't', 'int'))");
    name.setReadBigInts(true);
    const vectors = vectorsOf(1300, 5);
    const rowids = vectors.map((_, i) => i === 1200 ? 2n ** 60n : BigInt((i * 7919) % 1300) - 20n);
    vectors.forEach((vector, i) => {
      insert.run(rowids[i]!, new Uint8Array(vector.buffer));
      name.run(rowids[i]!);
    });
    const remove = database.prepare("DELETE FROM vec_index WHERE rowid = ?");
    for (let i = 0; i < 1300; i++) if (i % 3 === 0 || (i > 400 && i < 430)) remove.run(rowids[i]!);
    for (let i = 0; i < 60; i += 3) insert.run(rowids[i]!, new Uint8Array(vectors[i + 1]!.buffer));
    database.exec("COMMIT");
    const backend = sqliteVecBackend({ dim: 5, metric });
    await using reader = await backend.openShard({ kind: "memory", bytes: readFileSync(path) });
    const statement = database.prepare(
      "SELECT rowid, distance FROM vec_index WHERE embedding MATCH ? AND k = ? ORDER BY distance",
    );
    statement.setReadBigInts(true);
    for (const query of [...vectorsOf(5, 5, 3), vectors[1]!]) {
      const expected = statement.all(new Uint8Array(query.buffer), 50).map(({ rowid, distance }) => {
        const id = Number(rowid);
        return { id: Number.isSafeInteger(id) ? id : rowid as bigint, score: distance as number, payload: null };
      });
      checkHits(await reader.search!(query, { topK: 50 }), expected, metric);
    }
    database.close();
  }
});

test("ShardReader.search() asks for few, large ranges, checks them (P7) and keeps no vectors", async () => {
  const vectors = vectorsOf(20_000, 64);
  const folder = await shardOf(vectors, { dim: 64, metric: "l2" });
  const vectorBytes = 4 * 64 * 20_480;
  const log = remoteShard(folder, 1 << 20);
  log.etag = folder.etag!;
  const reader = await sqliteVecBackend({ dim: 64, metric: "l2" }).openShard({ kind: "remote", shard: log.shard });
  const hits = await reader.search!(vectors[777]!, { topK: 3 });
  deepEqual(hits[0], { id: 777, score: 0, payload: { at: 777 } });
  deepEqual(log.loads.sort(), ["shard.guard", "shard.sidecar"]);
  ok(log.ranges.length <= 12, `${log.ranges.length} requests`);
  const bytesRead = log.ranges.reduce((sum, bytes) => sum + bytes, 0);
  ok(bytesRead < 1.1 * vectorBytes, `${bytesRead} bytes read for ${vectorBytes} bytes of vectors`);
  equal(log.ranges.filter((bytes) => bytes > 1 << 20).length, 1);

  log.ranges.length = 0;
  await reader.search!(vectors[778]!, { topK: 1 });
  ok(log.ranges.length <= 4, `${log.ranges.length} requests`);
  log.spoil = (bytes) => {
    if (bytes.length > 1 << 20) bytes[1234567]! ^= 1;
  };
  const damaged = { code: "CORRUPT_FILE", message: /bytes do not have the recorded checksum/ };
  await rejects(reader.search!(vectors[778]!, { topK: 1 }), damaged);
  log.spoil = () => {};
  log.etag = '"another"';
  await rejects(reader.search!(vectors[778]!, { topK: 1 }), { code: "STORE", retryable: true });
  equal((await reader.search!(vectors[778]!, { topK: 1 }))[0]!.id, 778, "begins anew without its sidecar");
});

test("ShardReader.search() rejects with the reason when it is aborted", async () => {
  const folder = await shardOf(vectorsOf(2000, 16), { dim: 16, metric: "l2" });
  using directory = temporaryFolder();
  for (const kind of fileKinds) {
    const { file } = shardFile(folder, kind, directory.path);
    await using reader = await sqliteVecBackend({ dim: 16, metric: "l2" }).openShard(file);
    const reason = new Error("enough");
    await rejects(reader.search!(new Float32Array(16), { topK: 1, signal: AbortSignal.abort(reason) }), reason);
  }
});

test("ShardReader.search() refuses queries and counts that make no sense", async () => {
  const bytes = (await shardOf(vectorsOf(3, 3), { dim: 3, metric: "cosine" })).files.get("shard.db")!;
  await using reader = await sqliteVecBackend({ dim: 3, metric: "cosine" }).openShard({ kind: "memory", bytes });
  const wrong: [unknown, number, RegExp][] = [
    [Float32Array.of(1, 2), 1, /must have 3 numbers: current value is 2/],
    [[1, 2, 3], 1, /must be a Float32Array: current value is an array of 3/],
    [Float32Array.of(1, NaN, 2), 1, /must be finite: current value is NaN/],
    [Float32Array.of(1, -Infinity, 2), 1, /must be finite: current value is -Infinity/],
    [new Float32Array(3), 1, /with metric "cosine" it must not be zero/],
    [Float32Array.of(1, 2, 3), 0, /"topK".*whole number from 1 to 4096: current value is 0/],
    [Float32Array.of(1, 2, 3), 4097, /"topK"/],
    [Float32Array.of(1, 2, 3), 1.5, /"topK"/],
  ];
  for (const [query, topK, message] of wrong) {
    await rejects(reader.search!(query as Float32Array, { topK }), { code: "CONFIG_VALIDATION", message });
  }
});

test("ShardReader.search() says when a shard has no vectors, or such as it cannot search", async (t) => {
  using folder = temporaryFolder();
  const path = join(folder.path, "plain.db");
  const database = openWithExtension(path, t);
  if (database === null) return;
  database.exec("CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID");
  const search = async (): Promise<unknown> => {
    const bytes = readFileSync(path);
    const reader = await sqliteVecBackend({ dim: 3, metric: "l2" }).openShard({ kind: "memory", bytes });
    return await reader.search!(new Float32Array(3), { topK: 1 });
  };
  await rejects(search(), { code: "DB_ADAPTER", message: /no vectors/ });
  const others = [
    "e bit[8]",
    "e float[3] distance_metric=l1",
    "e float[3], n integer",
    "id text primary key, e float[3]",
  ];
  for (const columns of others) {
    database.exec(`CREATE VIRTUAL TABLE vec_index USING vec0(${columns})`);
    await rejects(search(), { code: "DB_ADAPTER", message: /only one column of float32/ }, columns);
    database.exec("DROP TABLE vec_index");
  }
  database.close();
});

test("ShardReader.search() answers damage with CorruptFileError or some answer, and always ends", async () => {
  const folder = await shardOf(vectorsOf(1100, 4), { dim: 4, metric: "l2", guard: false });
  const whole = folder.files.get("shard.db")!;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 4 }),
      fc.constantFrom("memory" as const, "remote" as const),
      async (flips, kind) => {
        const bytes = whole.slice();
        // Half of them where pages begin, as that is where structure is.
        for (const [at, mask] of flips) bytes[at % 2 === 0 ? at : at - at % 4096 + at % 16]! ^= mask;
        const { file } = shardFile({ ...folder, files: new Map([["shard.db", bytes]]) }, kind, "");
        try {
          const reader = await sqliteVecBackend({ dim: 4, metric: "l2" }).openShard(file);
          const hits = await reader.search!(Float32Array.of(1, 2, 3, 4), { topK: 5 });
          ok(hits.length <= 5);
        } catch (error) {
          ok(error instanceof ShardyfusionError, String((error as Error).stack));
        }
      },
    ),
    { numRuns: SOAK ? 20_000 : 300 },
  );
});

test("scorerOf() gives what has no distance an infinite one", () => {
  const vectors = Float32Array.of(0, 0, NaN, 1, Infinity, 1, 1, 1);
  const scores = new Float32Array(4);
  scorerOf(Float32Array.of(2, 2), { dim: 2, metric: "cosine" })(vectors, scores);
  deepEqual([...scores.subarray(0, 3)], [Infinity, Infinity, Infinity]);
  ok(Math.abs(scores[3]!) < 1e-7);
  scorerOf(Float32Array.of(2, 2), { dim: 2, metric: "l2" })(vectors, scores);
  deepEqual([...scores], [Math.fround(Math.sqrt(8)), Infinity, Infinity, Math.fround(Math.SQRT2)]);
});

test("Nearest keeps what sorting all would give", () => {
  fc.assert(fc.property(fc.array(fc.nat(20), { maxLength: 200 }), fc.integer({ min: 1, max: 30 }), (scores, count) => {
    const nearest = new Nearest<number>(count);
    scores.forEach((score, key) => nearest.offer(score, key));
    const all = scores.map((score, key) => ({ score, key }));
    const expected = all.sort((one, other) => one.score - other.score || one.key - other.key).slice(0, count);
    deepEqual(nearest.sorted(), expected);
  }));
});

test("nativeSearch() and search() give the same scores on our files", async (t) => {
  using directory = temporaryFolder();
  const vectors = vectorsOf(3000, 48);
  for (const metric of ["l2", "cosine"] as const) {
    const folder = await shardOf(vectors, { dim: 48, metric });
    const { file } = shardFile(folder, "file", directory.path);
    if (file.kind !== "file") return;
    await using reader = await sqliteVecBackend({ dim: 48, metric }).openShard(file);
    const database = openWithExtension(file.path, t);
    if (database === null) return;
    for (const query of vectorsOf(5, 48, 9)) {
      const expected = nativeSearch(database, query, 20)
        .map(({ rowid, distance }) => ({ id: rowid, score: distance, payload: { at: rowid } }));
      checkHits(await reader.search!(query, { topK: 20 }), expected, metric);
    }
    database.close();
  }
});
