// Shards of vectors built with LanceDB. Judges: distances measured by hand; LanceDB of Python.
import { deepEqual, equal, ok, rejects, throws } from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { BuiltShard } from "../../src/backends/backend.ts";
import { LANCE_FILE } from "../../src/backends/lance_folder.ts";
import { lancedbBackend, type LancedbBackendOptions } from "../../src/backends/lancedb_backend.ts";
import { systemClock } from "../../src/clock.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { faultStore } from "../../src/testing/fault_store.ts";
import { SeededRandom } from "../../src/testing/seeded_random.ts";
import { fileScratch } from "../../src/write/file_scratch.ts";
import { folderShard, lanceTest, nearestByHand, type PlainVector, vectorRows } from "./lance_shards.ts";
import { lanceJudge } from "./python_lance.ts";
import { checkHits } from "./vector_shards.ts";

const PREFIX = "shards/run_id=x/db=00000/attempt=00";

async function build(
  options: LancedbBackendOptions,
  vectors: readonly PlainVector[],
  { store = memoryStore(), signal = new AbortController().signal }: { store?: ObjectStore; signal?: AbortSignal } = {},
): Promise<{ built: BuiltShard; store: ObjectStore }> {
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  const scratch = await fileScratch(folder, "lance");
  try {
    const built = await lancedbBackend(options).buildShard(await vectorRows(vectors, options), {
      shardId: 0,
      store,
      prefix: PREFIX,
      keyEncoding: "utf8",
      scratch: () => Promise.resolve(scratch),
      clock: systemClock(),
      signal,
    });
    return { built, store };
  } finally {
    const left = (await readdir(folder, { recursive: true })).filter((name) => name.includes("folder-"));
    await scratch[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
    deepEqual(left, [], "nothing is left on disk");
  }
}

/** Vectors around some places, as those that people search are. */
function sample(count: number, dim: number, seed = 1): PlainVector[] {
  const random = new SeededRandom(seed);
  const centers = Array.from({ length: 8 }, () => Float32Array.from({ length: dim }, () => random.next() * 8 - 4));
  return Array.from({ length: count }, (_, index) => ({
    id: `id ${String(index).padStart(6, "0")} é`,
    vector: centers[index % 8]!.map((number) => number + random.next()),
    payload: index % 3 === 0 ? null : { i: index, "schlüssel": [1.5, "ü\u{1f600}"] },
  }));
}

async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys: string[] = [];
  for await (const entries of store.list("")) keys.push(...entries.map(({ key }) => key));
  return keys;
}

for (const metric of ["l2", "cosine", "dot_product"] as const) {
  for (const [count, index] of [[40, "hnsw-sq"], [900, "hnsw-sq"], [900, "hnsw-pq"], [900, "none"]] as const) {
    lanceTest(`lancedbBackend builds ${count} vectors with ${index} and searches them by ${metric}`, async () => {
      const options = { dim: 12, metric, index } as const;
      const vectors = sample(count, 12);
      const { built, store } = await build(options, vectors);
      equal(built.rowCount, count);
      equal(built.objects[0]!.name, LANCE_FILE);
      equal(built.dbBytes, built.objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
      deepEqual(built.objects.map(({ name }) => `${PREFIX}/${name}`).sort(), await keysOf(store));
      equal(built.objects.filter(({ name }) => name.endsWith(".idx")).length, count < 256 || index === "none" ? 0 : 2);
      equal(built.objects.filter(({ name }) => name.endsWith(".manifest")).length, 1, "one version");
      const { shard } = folderShard(store, { prefix: PREFIX, fileName: LANCE_FILE, objects: built.objects });
      await using reader = await lancedbBackend(options).openShard({ kind: "remote", shard });
      for (const { vector, payload: _ } of vectors.slice(0, 20)) {
        const query = vector.map((number) => number + 0.25);
        const hits = await reader.search!(query, { topK: 7 });
        checkHits(hits, nearestByHand(vectors, query, { metric, topK: 7 }), metric);
      }
    });
  }
}

lanceTest("lancedbBackend finds most neighbours among more vectors than it goes through, by its index", async () => {
  const options = { dim: 16, metric: "cosine", efConstruction: 60 } as const;
  const vectors = sample(11_000, 16);
  const { built, store } = await build(options, vectors);
  ok(built.objects.some(({ name }) => name.endsWith("auxiliary.idx")));
  const { shard } = folderShard(store, { prefix: PREFIX, fileName: LANCE_FILE, objects: built.objects });
  await using reader = await lancedbBackend(options).openShard({ kind: "remote", shard });
  let found = 0;
  for (const { vector } of vectors.slice(0, 50)) {
    const query = vector.map((number, place) => number + (place % 3) / 8);
    const expected = nearestByHand(vectors, query, { metric: "cosine", topK: 10 });
    const hits = await reader.search!(query, { topK: 10 });
    equal(hits.length, 10);
    for (const { id, score } of hits) {
      const same = expected.find((hit) => hit.id === id);
      if (same === undefined) continue;
      found++;
      ok(Math.abs(same.score - score) <= 1e-5, "scores are measured, not estimated");
    }
  }
  console.log(`recall@10 of 11,000 vectors of 16 numbers: ${found / 500}`);
  ok(found >= 475, `recall ${found / 500}`);
});

lanceTest("lancedbBackend writes nothing for rows without vectors, and reads it as nothing", async () => {
  const { built, store } = await build({ dim: 3, metric: "l2" }, []);
  deepEqual([built.rowCount, built.dbBytes, built.objects], [0, 0, []]);
  deepEqual(await keysOf(store), []);
});

lanceTest("lancedbBackend leaves nothing in the store when an upload fails or is aborted", async () => {
  const vectors = sample(300, 4);
  const { built } = await build({ dim: 4, metric: "l2" }, vectors);
  for (const step of ["UPLOAD", "PART", "FINISH"] as const) {
    for (let number = 1; number <= built.objects.length; number++) {
      const inner = memoryStore();
      const store = faultStore(inner, {
        fault: ({ kind, kindNumber }) =>
          kind === step && kindNumber === number ? { moment: "before", error: new Error("no") } : null,
      });
      await rejects(build({ dim: 4, metric: "l2" }, vectors, { store }), /no/);
      deepEqual(await keysOf(inner), [], `${step} ${number}`);
    }
  }
  const signal = AbortSignal.abort(new Error("stop"));
  await rejects(build({ dim: 4, metric: "l2" }, vectors, { signal }), /stop/);
});

lanceTest("lancedbBackend throws for every file with a wrong byte (P7)", async () => {
  const options = { dim: 4, metric: "l2" } as const;
  const { built, store } = await build(options, sample(300, 4));
  for (const { name } of built.objects) {
    const key = `${PREFIX}/${name}`;
    const bytes = await (await store.get(key)).bytes();
    const spoilt = bytes.slice();
    spoilt[bytes.length >> 1]! ^= 1;
    await store.put(key, spoilt);
    const { shard } = folderShard(store, { prefix: PREFIX, fileName: LANCE_FILE, objects: built.objects });
    await using reader = await lancedbBackend(options).openShard({ kind: "remote", shard });
    await rejects(reader.search!(new Float32Array(4), { topK: 1 }), { code: "CORRUPT_FILE" }, name);
    await store.put(key, bytes);
  }
});

lanceTest("lancedbBackend searches after it was disposed of, and removes its copy each time", async () => {
  const options = { dim: 4, metric: "l2" } as const;
  const vectors = sample(30, 4);
  const { built, store } = await build(options, vectors);
  const copies = async () => (await readdir(tmpdir())).filter((name) => name.startsWith("shardyfusion-lance-"));
  const before = await copies();
  const { shard } = folderShard(store, { prefix: PREFIX, fileName: LANCE_FILE, objects: built.objects });
  const reader = await lancedbBackend(options).openShard({ kind: "remote", shard });
  const search = () => reader.search!(vectors[3]!.vector, { topK: 1 });
  const searches = Promise.all([search(), search(), search()]);
  await reader[Symbol.asyncDispose]();
  deepEqual((await searches).map(([hit]) => hit!.id), Array(3).fill(vectors[3]!.id));
  deepEqual((await search())[0]!.id, vectors[3]!.id);
  deepEqual((await copies()).filter((name) => !before.includes(name)), []);
});

lanceTest("lancedbBackend reads a shard where it lies, by LanceDB itself", async () => {
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  try {
    const store = fsStore(folder);
    const options = { dim: 4, metric: "l2" } as const;
    const vectors = sample(300, 4);
    const { built } = await build(options, vectors, { store });
    const { shard, requests } = folderShard(store, { prefix: PREFIX, fileName: LANCE_FILE, objects: built.objects });
    await using reader = await lancedbBackend({ ...options, native: {} }).openShard({ kind: "remote", shard });
    checkHits(
      await reader.search!(vectors[5]!.vector, { topK: 5 }),
      nearestByHand(vectors, vectors[5]!.vector, { metric: "l2", topK: 5 }),
      "in place",
    );
    deepEqual(requests, []);
    const before = await keysOf(store);
    deepEqual(before.length, built.objects.length, "reading writes nothing");
    const none = folderShard(store, { prefix: "shards/none", fileName: LANCE_FILE, objects: undefined });
    await using empty = await lancedbBackend({ ...options, native: {} }).openShard({
      kind: "remote",
      shard: none.shard,
    });
    deepEqual(await empty.search!(vectors[5]!.vector, { topK: 5 }), []);
  } finally {
    await rm(folder, { recursive: true });
  }
});

const SEARCH = `
import json, sys, lancedb
replies = []
for asked in json.loads(sys.argv[1]):
    table = lancedb.connect(asked["folder"]).open_table("vector_index")
    indexes = [(index.index_type, index.columns) for index in table.list_indices()]
    types = [str(field.type) for field in table.schema]
    answers = []
    for query in asked["queries"]:
        search = table.search(query).distance_type(asked["metric"]).limit(6)
        if indexes: search = search.refine_factor(10)
        answers.append([[row["id"], row["_distance"], row["payload"]] for row in search.to_list()])
    replies.append({"count": table.count_rows(), "indexes": indexes, "types": types, "answers": answers})
print(json.dumps(replies))
`;

lanceTest("lancedbBackend: LanceDB of Python reads what it writes", async (context) => {
  const judge = lanceJudge(context);
  if (judge === null) return;
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  const series = [["l2", "l2", 700], ["cosine", "cosine", 700], ["dot_product", "dot", 50]] as const;
  try {
    const asked: { folder: string; metric: string; queries: Float32Array[]; vectors: PlainVector[] }[] = [];
    for (const [metric, name, count] of series) {
      const vectors = sample(count, 8);
      await build({ dim: 8, metric }, vectors, { store: fsStore(join(folder, metric)) });
      const queries = vectors.slice(0, 5).map(({ vector }) => vector.map((number) => number + 0.5));
      asked.push({ folder: join(folder, metric, PREFIX), metric: name, queries, vectors });
    }
    const text = JSON.stringify(asked.map(({ queries, vectors: _, ...rest }) => ({
      ...rest,
      queries: queries.map((query) => Array.from(query)),
    })));
    const replies = JSON.parse(execFileSync(judge.python, ["-c", SEARCH, text], { encoding: "utf8" }));
    series.forEach(([metric, , count], place) => {
      const { queries, vectors } = asked[place]!;
      const reply = replies[place];
      equal(reply.count, count);
      deepEqual(reply.types, ["string", "fixed_size_list<item: float>[8]", "string"]);
      deepEqual(reply.indexes, count >= 256 ? [["IvfHnswSq", ["vector"]]] : []);
      queries.forEach((query, index) => {
        const hits = reply.answers[index].map(([id, score, payload]: [string, number, string | null]) => ({
          id,
          score,
          payload: payload === null ? null : JSON.parse(payload),
        }));
        checkHits(hits, nearestByHand(vectors, query, { metric, topK: 6 }), `${metric} ${index}`);
      });
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("lancedbBackend refuses wrong options and names them", () => {
  for (
    const options of [{}, { dim: 0, metric: "l2" }, { dim: 1.5, metric: "l2" }, { dim: 2 }, { dim: 2, metric: "dot" }]
      .concat([{ dim: 2, metric: "l2", index: "ivf" }, { dim: 2, metric: "l2", m: 0 }] as never)
      .concat([{ dim: 2, metric: "l2", efConstruction: -1 }, { dim: 2, metric: "l2", pageSizeBytes: 4096 }] as never)
  ) {
    throws(() => lancedbBackend(options as never), { code: "CONFIG_VALIDATION" }, JSON.stringify(options));
  }
  const { spec } = lancedbBackend({ dim: 2, metric: "l2", native: { storageOptions: { secret: "x" } } });
  const layout = { dim: 2, metric: "l2", index: "hnsw-sq", m: 20, efConstruction: 300 };
  deepEqual(spec, { name: "lancedb", options: layout }, "no secret is recorded");
});
