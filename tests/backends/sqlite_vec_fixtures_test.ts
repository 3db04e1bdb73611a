// Shards with vectors that the Python package wrote with sqlite-vec. Judge: what it read and found.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import type { SearchHit, ShardReader } from "../../src/backends/backend.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { backendOf } from "../../src/registry.ts";
import { readManifest } from "../../src/snapshots/read_manifest.ts";
import { checkRun, runOf, seriesInMemory, temporaryFolder } from "../read/fixture_snapshots.ts";
import { fixtureManifests } from "../snapshots/fixture_manifests.ts";
import {
  checkHits,
  fileKinds,
  floatsOf,
  idOf,
  mergedHits,
  type RemoteLog,
  shardFile,
  shardsAsked,
  vectorFixture,
  vectorSnapshots,
} from "./vector_shards.ts";

for (const name of vectorSnapshots) {
  for (const kind of fileKinds) {
    test(`ShardReader.search() finds in ${name} what the Python package found: ${kind}`, async () => {
      const fixture = vectorFixture(name);
      using folder = temporaryFolder();
      const readers = new Map<number, ShardReader>();
      const logs: RemoteLog[] = [];
      for (const [shardId, shard] of fixture.shards) {
        const { file, log } = shardFile(shard, kind, folder.path);
        readers.set(shardId, await sqliteVecBackend({ dim: 1, metric: "l2" }).openShard(file));
        if (log !== null) logs.push(log);
      }
      let searchCount = 0;
      for (const noted of fixture.searches) {
        if (noted.error !== undefined) continue;
        const hits: SearchHit[] = [];
        for (const shardId of shardsAsked(fixture, noted)) {
          hits.push(...await readers.get(shardId)!.search!(floatsOf(noted.query.f32_le_hex), { topK: noted.top_k }));
        }
        const expected = noted.results!.map(({ id, ...rest }) => ({ ...rest, id: idOf(id) }));
        checkHits(mergedHits(hits, noted.top_k), expected, `search ${searchCount}`);
        searchCount++;
      }
      ok(searchCount > 2);
      for (const { id, vector, payload, shard } of fixture.vectors) {
        const hits = await readers.get(shard)!.search!(floatsOf(vector), { topK: 1 });
        checkHits(hits, [{ id: idOf(id), score: 0, payload }], `vector ${id.value}`);
      }
      deepEqual(logs.flatMap(({ warnings }) => warnings), []);
      for (const reader of readers.values()) await reader[Symbol.asyncDispose]();
    });
  }
}

for (const name of ["vec_unified_l2", "vec_unified_cosine", "vec_unified_cel"]) {
  for (const access of ["memory", "download", "range"] as const) {
    test(`openSnapshot() reads the rows of ${name}, which have vectors: ${access}`, async () => {
      const store = await seriesInMemory(name);
      using folder = temporaryFolder();
      const cacheDir = access === "download" ? { cacheDir: folder.path } : {};
      await using reader = await openSnapshot({ store, access, ...cacheDir });
      const run = runOf(name);
      // Of some keys that are absent it is not noted where they would be.
      await checkRun(reader, { ...run, absent: run.absent?.filter(({ shard }) => shard !== null) ?? [] });
    });
  }
}

test("backendOf() takes sqlite-vec for what the Python package wrote with it", async () => {
  const manifests = fixtureManifests().filter(({ snapshot }) => vectorSnapshots.includes(snapshot));
  equal(manifests.length, vectorSnapshots.length);
  for (const { bytes, ref, snapshot } of manifests) {
    const manifest = await readManifest(bytes, ref);
    const { spec, vectors } = backendOf(manifest);
    equal(spec.name, "sqlite-vec", snapshot);
    const { dim, metric } = manifest.custom["vector"] as { dim: number; metric: string };
    deepEqual(vectors, { dim, metric }, snapshot);
  }
});
