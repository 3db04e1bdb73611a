// Judge: snapshots that the Python package wrote, and what it read back from them.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { objectManifestReader } from "../../src/snapshots/object_manifest_store.ts";
import { fixtureBytes, fixtureJson } from "../snapshots/fixture_manifests.ts";
import {
  celSnapshots,
  checkRows,
  checkRun,
  hashSnapshots,
  looksOf,
  type Run,
  runOf,
  seriesInMemory,
  seriesPath,
  temporaryFolder,
} from "./fixture_snapshots.ts";

for (const name of [...hashSnapshots, ...celSnapshots]) {
  test(`openSnapshot() reads all of ${name} from memory`, async () => {
    await using reader = await openSnapshot({ store: await seriesInMemory(name), access: "memory" });
    equal(reader.info.access, "memory");
    await checkRun(reader, runOf(name));
  });

  test(`openSnapshot() reads all of ${name} from a cache, cold and warm`, async () => {
    using folder = temporaryFolder();
    const store = await seriesInMemory(name);
    const shardCount = runOf(name).manifest.shards.length;
    const looks = looksOf(runOf(name));
    for (const shardRequests of [shardCount, 0]) {
      await using reader = await openSnapshot({ store, access: "download", cacheDir: folder.path });
      equal(reader.info.access, "download");
      equal(reader.stats().requests, 2 + looks + shardRequests);
      await checkRun(reader, runOf(name));
      equal(reader.stats().requests, 2 + looks + shardRequests);
    }
    deepEqual(
      cachedFiles(folder.path),
      runOf(name).manifest.shards.flatMap(({ db_id: id }) => {
        const slot = `shard=${String(id).padStart(5, "0")}`;
        return [`${slot}/shard.db`, `${slot}/shard.identity.json`];
      }),
    );
  });
}

test("openSnapshot() writes the identities of the Python package", async () => {
  using folder = temporaryFolder();
  await (await openSnapshot({ store: await seriesInMemory("hash_u64"), access: "download", cacheDir: folder.path }))
    .close();
  equal(
    readFileSync(join(folder.path, "shard=00000", "shard.identity.json"), "utf8"),
    '{"checkpoint_id": "9ec499f3b6d04488b9b894120a56c938", "db_url": "s3://shardy-fixtures/hash_u64/shards/' +
      'run_id=5a0c11419e984614a4662f1a7f932dc5/db=00000/attempt=00"}',
  );
});

test("sqliteBackend().openShard() reads all of sidecar_auto, whose shards have page sizes of their own", async () => {
  const store = await seriesInMemory("sidecar_auto");
  const run = runOf("sidecar_auto");
  const manifests = objectManifestReader(store);
  const { shards } = await manifests.loadManifest((await manifests.loadCurrent())!.ref);
  const pageSizes = new Set<number>();
  for (const { shardId, dbUrl } of shards) {
    const bytes = fixtureBytes(`snapshots/sidecar_auto/store/${dbUrl!.slice("s3://".length)}/shard.db`);
    pageSizes.add(new DataView(bytes.buffer).getUint16(16));
    await using shard = await sqliteBackend().openShard({ kind: "memory", bytes });
    const rows = (await Array.fromAsync(shard.scan())).flat();
    checkRows(rows, run, shardId);
    for (const [key, value] of rows) deepEqual(await shard.get(key), value);
  }
  equal(pageSizes.size, 4);
});

const history = fixtureJson("snapshots/history/expected.json");
const runs: readonly Run[] = history.runs_in_publish_order;

test("openSnapshot() follows the roll back of history", async () => {
  await using reader = await openSnapshot({ store: await seriesInMemory("history") });
  await checkRun(reader, runs[history.current_run_index]!);
  equal(reader.info.generation, null);
});

test("openSnapshot() reads every run of history by ref, run id and offset", async () => {
  const store = await seriesInMemory("history");
  for (const [index, run] of runs.entries()) {
    for (const pin of [run.manifest_ref, { runId: run.run_id }, { offset: runs.length - 1 - index }]) {
      await using reader = await openSnapshot({ store, pin });
      await checkRun(reader, run);
      equal(await reader.refresh(), false);
    }
  }
  await rejects(openSnapshot({ store, pin: { offset: 3 } }), { code: "READER_STATE" });
  await rejects(openSnapshot({ store, pin: { runId: "none" } }), { code: "READER_STATE" });
});

test("openSnapshot() replaces what another run of history left in the cache", async () => {
  using folder = temporaryFolder();
  const store = await seriesInMemory("history");
  for (const run of [...runs, ...runs]) {
    await using reader = await openSnapshot({
      store,
      pin: run.manifest_ref,
      access: "download",
      cacheDir: folder.path,
    });
    // The place of a shard that is empty in one run still holds that of the run before.
    const { requests } = reader.stats();
    ok(requests > 1 && requests <= 1 + run.manifest.shards.length);
    await checkRun(reader, run);
  }
});

test("openSnapshot() keeps the cached file of an older run readable that is still open", async () => {
  using folder = temporaryFolder();
  const store = await seriesInMemory("history");
  const access = { store, access: "download", cacheDir: folder.path } as const;
  await using older = await openSnapshot({ ...access, pin: runs[0]!.manifest_ref });
  await using newer = await openSnapshot({ ...access, pin: runs[2]!.manifest_ref });
  await checkRun(newer, runs[2]!);
  await checkRun(older, runs[0]!);
});

test("fixtures: every series lies where the tests look for it", () => {
  for (const name of [...hashSnapshots, ...celSnapshots]) ok(fixtureBytes(`${seriesPath(name)}/_CURRENT`).length > 0);
});

function cachedFiles(path: string): string[] {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath.slice(path.length + 1)}/${entry.name}`.replaceAll("\\", "/"))
    .sort();
}
