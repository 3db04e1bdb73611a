// Snapshots that the Python package wrote with LanceDB, alone and beside rows, from memory, a folder and a real S3
// server. Judges: its values; its vectors, measured by hand; its searches, where it used the metric of the snapshot.
import { deepEqual, equal, ok } from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { after } from "node:test";
import { fileURLToPath } from "node:url";
import { compositeBackend } from "../../src/backends/composite_backend.ts";
import { lancedbBackend } from "../../src/backends/lancedb_backend.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import type { OpenSnapshotOptions } from "../../src/read/read_options.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import type { ReadableStore } from "../../src/stores/store.ts";
import { verifySnapshot } from "../../src/verify/verify_snapshot.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { checkRun, contextOf, copySeries, runOf, seriesInMemory, seriesPath } from "../read/fixture_snapshots.ts";
import { findMinio, type Minio, startMinio } from "../servers/minio.ts";
import { filesUnder, fixtureJson } from "../snapshots/fixture_manifests.ts";
import { lanceTest, nearestByHand } from "./lance_shards.ts";
import { checkHits, floatsOf, idOf, type NotedSearch, shardsAsked, vectorFixture } from "./vector_shards.ts";

const BUCKET = "shardy-fixtures";
const fixtures = fileURLToPath(new URL("../fixtures/", import.meta.url));
let minio: Promise<Minio> | undefined;

after(async () => await (await minio)?.[Symbol.asyncDispose]());

const names = [
  "lance_small_l2",
  "lance_small_cosine",
  "lance_indexed",
  "composite_sqlite_lancedb",
  "composite_slatedb_lancedb",
];

async function checkSearches(name: string, options: OpenSnapshotOptions): Promise<void> {
  await using reader = await openSnapshot(options);
  const fixture = vectorFixture(name);
  const { metric } = JSON.parse(fixtureJson(`snapshots/${name}/expected.json`).manifest.build_meta.custom).vector;
  const searches: readonly (NotedSearch & { readonly "num_shards_queried": number })[] =
    fixtureJson(`snapshots/${name}/expected.json`).searches;
  for (const noted of searches) {
    const query = floatsOf(noted.query.f32_le_hex);
    const chosen = noted.shard_ids && { shards: noted.shard_ids };
    const { results, shardsQueried } = await reader.search(query, {
      topK: noted.top_k,
      ...chosen,
      ...contextOf(noted as never),
    });
    equal(shardsQueried, noted.num_shards_queried);
    const asked = shardsAsked(fixture, noted);
    const vectors = fixture.vectors.filter(({ shard }) => asked.includes(shard))
      .map(({ id, vector, payload }) => ({ id: String(idOf(id)), vector: floatsOf(vector), payload }));
    checkHits(results, nearestByHand(vectors, query, { metric, topK: noted.top_k }), name);
    // Python measures by l2 whatever the metric, and by a coarse index where there is one.
    if (metric !== "l2" || name === "lance_indexed") continue;
    checkHits(results, noted.results!.map(({ id, ...rest }) => ({ ...rest, id: String(idOf(id)) })), name);
  }
  if (!name.startsWith("composite_")) return;
  const run = runOf(name);
  await checkRun(reader, { ...run, absent: run.absent?.filter(({ shard }) => shard !== null) ?? [] });
}

for (const name of names) {
  lanceTest(`openSnapshot() reads ${name} from memory and finds its engine`, async () => {
    const store = await seriesInMemory(name);
    await checkSearches(name, { store });
    const { problems } = await verifySnapshot(store);
    deepEqual(problems, []);
  });

  lanceTest(`openSnapshot() reads ${name} from a folder and leaves it as it was (P8)`, async () => {
    const folder = `${fixtures}${seriesPath(name)}`;
    const sums = (): string[] =>
      filesUnder(seriesPath(name), "").map((file) =>
        createHash("sha256").update(readFileSync(`${folder}/${file}`)).digest("hex")
      );
    const before = sums();
    await checkSearches(name, { store: fsStore(folder) });
    deepEqual(sums(), before);
  });

  lanceTest(`openSnapshot() reads ${name} from MinIO`, async (context) => {
    if (findMinio() === null) {
      console.log("LEFT OUT: fixtures from MinIO: there is no minio (see tests/README.md)");
      return context.skip("there is no minio");
    }
    const { endpoint, credentials } = await (minio ??= startMinio(BUCKET));
    const store = s3Store({ url: `s3://${BUCKET}/${name}`, endpoint, credentials, region: "us-east-1" });
    await copySeries(name, store);
    const gets: ReadableStore = {
      url: store.url,
      get: (key, options) => store.get(key, options),
      getRanges: (key, ranges, options) => store.getRanges(key, ranges, options),
    };
    await checkSearches(name, { store: gets });
    if (name.startsWith("composite_")) return;
    // LanceDB itself, where the shards lie.
    const { dim, metric } =
      JSON.parse(fixtureJson(`snapshots/${name}/expected.json`).manifest.build_meta.custom).vector;
    const { accessKeyId, secretAccessKey } = credentials;
    const keys = { "aws_access_key_id": accessKeyId, "aws_secret_access_key": secretAccessKey };
    const storageOptions = { ...keys, "aws_endpoint": endpoint, "aws_region": "us-east-1", "allow_http": "true" };
    await checkSearches(name, { store: gets, backend: lancedbBackend({ dim, metric, native: { storageOptions } }) });
  });
}

lanceTest(
  "writeSnapshot() puts LanceDB beside SQLite on MinIO, and verifySnapshot() finds it right",
  async (context) => {
    if (findMinio() === null) {
      console.log("LEFT OUT: composite shards on MinIO: there is no minio (see tests/README.md)");
      return context.skip("there is no minio");
    }
    const { endpoint, credentials } = await (minio ??= startMinio(BUCKET));
    const store = s3Store({ url: `s3://${BUCKET}/written`, endpoint, credentials, region: "us-east-1" });
    const rows = Array.from({ length: 700 }, (_, id) => ({ id, vector: [Math.sin(id), Math.cos(id), id % 5] }));
    await writeSnapshot(rows, {
      store,
      sharding: hashSharding({ shards: 2 }),
      backend: compositeBackend(sqliteBackend(), lancedbBackend({ dim: 3, metric: "l2" })),
      key: ({ id }) => id,
      value: ({ id }) => `row ${id}`,
      vector: ({ vector }) => ({ vector }),
    });
    await using reader = await openSnapshot({ store });
    equal(new TextDecoder().decode((await reader.get(699))!), "row 699");
    const { results } = await reader.search(rows[5]!.vector, { topK: 1 });
    deepEqual(results, [{ id: "5", score: 0, payload: null }]);
    const report = await verifySnapshot(store);
    deepEqual(report.problems, []);
    const { vector } = reader.info.custom as { vector: unknown };
    deepEqual(vector, {
      ...{ backend: "lancedb", dim: 3, "index_type": "hnsw", "kv_backend": "sqlite", metric: "l2", quantization: null },
      unified: true,
    });
    const [key] = (await Array.fromAsync(store.list("shards/"))).flat().filter((entry) => entry.key.includes("/data/"));
    await store.put(key!.key, new Uint8Array(key!.sizeBytes));
    const damaged = await verifySnapshot(store);
    ok(damaged.problems.length === 1 && damaged.problems[0]!.object.endsWith(key!.key.split("/").at(-1)!));
  },
);
