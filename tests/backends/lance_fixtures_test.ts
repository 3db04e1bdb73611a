// Shards that the Python package wrote with LanceDB. Judge: the vectors that it noted, measured by hand, and what it
// found, where it used the metric of the snapshot.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import type { SearchHit } from "../../src/backends/backend.ts";
import { LANCE_FILE } from "../../src/backends/lance_folder.ts";
import { readLanceHint, readLanceManifest } from "../../src/backends/lance_manifest.ts";
import { lancedbBackend } from "../../src/backends/lancedb_backend.ts";
import { fixtureJson } from "../snapshots/fixture_manifests.ts";
import { folderShard, lanceTest, nearestByHand, type PlainVector, storeOf } from "./lance_shards.ts";
import { checkHits, floatsOf, idOf, mergedHits, shardsAsked, vectorFixture } from "./vector_shards.ts";

const PREFIX = "series/shards/db=00000";

const fixtures = ["lance_small_l2", "lance_small_cosine", "lance_indexed"];

for (const name of fixtures) {
  lanceTest(`lancedbBackend.openShard() searches ${name} by the metric of the snapshot`, async () => {
    const fixture = vectorFixture(name);
    const { dim, metric } =
      JSON.parse(fixtureJson(`snapshots/${name}/expected.json`).manifest.build_meta.custom).vector;
    const backend = lancedbBackend({ dim, metric });
    const searches: (typeof fixture.searches[number])[] = [...fixture.searches];
    for (const [shardId, { files }] of fixture.shards) {
      const store = await storeOf(files, PREFIX);
      const { shard, requests } = folderShard(store, { prefix: PREFIX, fileName: LANCE_FILE, objects: undefined });
      await using reader = await backend.openShard({ kind: "remote", shard });
      deepEqual(requests, [], "opening sends nothing");
      const vectors = vectorsOf(fixture.vectors.filter(({ shard: place }) => place === shardId));
      for (const noted of searches) {
        const query = floatsOf(noted.query.f32_le_hex);
        const hits = await reader.search!(query, { topK: noted.top_k });
        checkHits(hits, nearestByHand(vectors, query, { metric, topK: noted.top_k }), `shard ${shardId}`);
      }
      const everything = await reader.search!(vectors[0]!.vector, { topK: 4096 });
      equal(everything.length, vectors.length);
      equal(await reader.get(new Uint8Array(8)), null);
    }
  });

  test(`readLanceManifest() names the files of ${name}`, () => {
    for (const [, { files }] of vectorFixture(name).shards) {
      const hint = readLanceHint(files.get(LANCE_FILE)!, name);
      const manifest = files.get(`vector_index.lance/_versions/${(1n << 64n) - 1n - BigInt(hint)}.manifest`)!;
      const { version, rowCount, files: parts } = readLanceManifest(manifest, name);
      equal(version, hint);
      ok(rowCount > 0 && parts.length >= 2);
      for (const { name: part, sizeBytes } of parts) {
        const bytes = files.get(`vector_index.lance/${part}`);
        ok(bytes !== undefined, part);
        if (sizeBytes !== null) equal(bytes.length, sizeBytes, part);
      }
    }
  });
}

lanceTest("lancedbBackend finds what the Python package found where that used the metric of the snapshot", async () => {
  const fixture = vectorFixture("lance_small_l2");
  const backend = lancedbBackend({ dim: 8, metric: "l2" });
  for (const noted of fixture.searches) {
    const hits: SearchHit[] = [];
    for (const shardId of shardsAsked(fixture, noted)) {
      const store = await storeOf(fixture.shards.get(shardId)!.files, PREFIX);
      const { shard } = folderShard(store, { prefix: PREFIX, fileName: LANCE_FILE, objects: undefined });
      await using reader = await backend.openShard({ kind: "remote", shard });
      hits.push(...await reader.search!(floatsOf(noted.query.f32_le_hex), { topK: noted.top_k }));
    }
    const expected = noted.results!.map(({ id, ...rest }) => ({ ...rest, id: String(idOf(id)) }));
    checkHits(mergedHits(hits, noted.top_k), expected, "search");
  }
});

function vectorsOf(noted: ReturnType<typeof vectorFixture>["vectors"]): PlainVector[] {
  return noted.map(({ id, vector, payload }) => ({ id: String(idOf(id)), vector: floatsOf(vector), payload }));
}

lanceTest("lancedbBackend.openShard() finds nothing where the table is missing", async () => {
  const store = await storeOf(new Map(), PREFIX);
  for (const objects of [undefined, []]) {
    const { shard } = folderShard(store, { prefix: PREFIX, fileName: LANCE_FILE, objects });
    await using reader = await lancedbBackend({ dim: 8, metric: "l2" }).openShard({ kind: "remote", shard });
    deepEqual(await reader.search!(new Float32Array(8), { topK: 3 }), []);
  }
});

test("readLanceManifest() throws for damage, whatever it is", async () => {
  const { files } = vectorFixture("lance_indexed").shards.get(0)!;
  const manifest = files.get("vector_index.lance/_versions/18446744073709551612.manifest")!;
  for (let length = 0; length < manifest.length; length++) {
    await rejects(async () => await readLanceManifest(manifest.slice(0, length), "x"), { code: "CORRUPT_FILE" });
  }
  for (let at = 0; at < manifest.length; at++) {
    for (const flip of [1, 0x80, 0xff]) {
      const spoilt = manifest.slice();
      spoilt[at]! ^= flip;
      try {
        readLanceManifest(spoilt, "x");
      } catch (error) {
        ok(["CORRUPT_FILE", "DB_ADAPTER"].includes((error as { code: string }).code), `${error}`);
      }
    }
  }
  for (const hint of ["", "{}", '{"version":0}', '{"version":"3"}', "null"]) {
    await rejects(async () => await readLanceHint(new TextEncoder().encode(hint), "x"), { code: "CORRUPT_FILE" });
  }
});

lanceTest("lancedbBackend.openShard() throws when files are missing or cut", async () => {
  const { files } = vectorFixture("lance_indexed").shards.get(0)!;
  for (const part of [...files.keys()].filter((key) => /data|_indices|612.manifest/.test(key))) {
    for (const spoil of ["missing", "cut"]) {
      const spoilt = new Map(files);
      spoilt.delete(part);
      if (spoil === "cut") spoilt.set(part, files.get(part)!.slice(0, -1));
      const store = await storeOf(spoilt, PREFIX);
      const { shard } = folderShard(store, { prefix: PREFIX, fileName: LANCE_FILE, objects: undefined });
      await using reader = await lancedbBackend({ dim: 8, metric: "l2" }).openShard({ kind: "remote", shard });
      const search = reader.search!(new Float32Array(8), { topK: 3 });
      // Files of an index that was replaced are not asked for.
      if (part.includes("379f6156")) equal((await search).length, 3);
      else await rejects(search, { code: "CORRUPT_FILE" }, `${part} ${spoil}`);
    }
  }
});

lanceTest(
  "lancedbBackend.openShard() refuses queries that cannot be answered, and tables of another dimension",
  async () => {
    const { files } = vectorFixture("lance_small_cosine").shards.get(0)!;
    const store = await storeOf(files, PREFIX);
    const { shard } = folderShard(store, { prefix: PREFIX, fileName: LANCE_FILE, objects: undefined });
    await using reader = await lancedbBackend({ dim: 8, metric: "cosine" }).openShard({ kind: "remote", shard });
    const ones = new Float32Array(8).fill(1);
    for (
      const query of [new Float32Array(7), new Float32Array(8), ones.with(3, NaN), ones.with(0, Infinity), [1] as never]
    ) {
      await rejects(reader.search!(query, { topK: 3 }), { code: "CONFIG_VALIDATION" });
    }
    for (const topK of [0, 1.5, -1, NaN]) await rejects(reader.search!(ones, { topK }), { code: "CONFIG_VALIDATION" });
    const signal = AbortSignal.abort(new Error("stop"));
    await rejects(reader.search!(ones, { topK: 1, signal }), /stop/);
    await using other = await lancedbBackend({ dim: 9, metric: "cosine" }).openShard({ kind: "remote", shard });
    await rejects(other.search!(new Float32Array(9).fill(1), { topK: 3 }), { code: "CORRUPT_FILE" });
  },
);
