// Snapshots with vectors of the Python package, read from a folder and from a real S3 server. Judge: what Python read
// back and found.
import { deepEqual, equal, ok } from "node:assert/strict";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import type { ReadableStore } from "../../src/stores/store.ts";
import { fixtureJson } from "../snapshots/fixture_manifests.ts";
import { findMinio, type Minio, startMinio } from "../servers/minio.ts";
import { floats } from "../vector/fixture_vectors.ts";
import { checkSearches, unifiedSnapshots, vectorOnlySnapshots } from "./fixture_searches.ts";
import { checkRun, copySeries, type NotedKey, runOf, seriesPath, temporaryFolder } from "./fixture_snapshots.ts";

const BUCKET = "shardy-fixtures";
const fixtures = fileURLToPath(new URL("../fixtures/", import.meta.url));
const leaveOut = findMinio() === null ? "vectors from MinIO: there is no minio (see tests/README.md)" : null;
let minio: Promise<Minio> | undefined;

after(async () => await (await minio)?.[Symbol.asyncDispose]());

interface NotedVector {
  readonly "vector_id"?: NotedKey;
  readonly id?: NotedKey;
  readonly vector: string;
  readonly payload: unknown;
  readonly shard: number;
}

/** Everything that the Python package knows of a snapshot: rows, searches, and each vector by itself. */
async function checkAll(store: ReadableStore, name: string): Promise<void> {
  using folder = temporaryFolder();
  const { entries, vectors } = fixtureJson(`snapshots/${name}/expected.json`);
  for (const access of ["memory", "download", "range"] as const) {
    await using reader = await openSnapshot({ store, access, cacheDir: folder.path });
    equal(reader.info.manifestRef, runOf(name).manifest_ref);
    ok(await checkSearches(reader, name) > 0);
    for (const { vector, payload, shard, ...noted } of (entries ?? vectors) as NotedVector[]) {
      const id = noted.vector_id ?? noted.id!;
      const { results: [found] } = await reader.search(floats(vector), { topK: 1, shards: [shard] });
      deepEqual({ id: `${found!.id}`, payload: found!.payload }, { id: id.value, payload });
      ok(found!.score < 1e-5, `score ${found!.score}`);
    }
    // Python's sidecars are bound to the versions of files that S3 tells; those of a folder are others.
    const unexpected = store.url.startsWith("file:") ? /^(?!the sidecar of )/ : /^/;
    deepEqual(reader.info.warnings.filter((warning) => unexpected.test(warning)), []);
    if (!unifiedSnapshots.includes(name)) continue;
    const run = runOf(name);
    // Of some keys that are absent it is not noted where they would be.
    await checkRun(reader, { ...run, absent: run.absent?.filter(({ shard }) => shard !== null) ?? [] });
  }
}

for (const name of [...unifiedSnapshots, ...vectorOnlySnapshots]) {
  test(`SnapshotReader.search() finds all of ${name} in a mirror in a folder`, { timeout: 60_000 }, async () => {
    await checkAll(fsStore(`${fixtures}${seriesPath(name)}`), name);
  });

  test(`SnapshotReader.search() finds all of ${name} on MinIO`, { timeout: 60_000 }, async (t) => {
    if (leaveOut !== null) {
      console.log(`LEFT OUT: ${leaveOut}`);
      return t.skip(leaveOut);
    }
    const store = s3Store({ url: `s3://${BUCKET}/${name}`, ...await (minio ??= startMinio(BUCKET)) });
    await copySeries(name, store);
    await checkAll(store, name);
  });
}
