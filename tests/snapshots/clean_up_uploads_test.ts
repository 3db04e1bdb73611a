// What cleanUp makes of unfinished uploads, and of manifests that are kept elsewhere. The judges: the files of a folder,
// and readers.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hashSharding, type ManifestStore, memoryStore, openSnapshot, writeSnapshot } from "../../mod.ts";
import { StoreError } from "../../src/errors.ts";
import { cleanUp } from "../../src/snapshots/clean_up.ts";
import type { Manifest } from "../../src/snapshots/manifest.ts";
import type { CurrentPointer } from "../../src/snapshots/manifest_store.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import type { ObjectStore, ObjectUpload } from "../../src/stores/store.ts";
import { ManualClock } from "../../src/testing/manual_clock.ts";

const HOUR_MS = 3_600_000;

function clockNow(): ManualClock {
  return new ManualClock(Date.now() * 1000);
}

interface Written {
  readonly value: string;
  readonly clock: ManualClock;
  readonly manifestStore?: ManifestStore;
  readonly fails?: boolean;
}

async function write(store: ObjectStore, { value, clock, manifestStore, fails = false }: Written): Promise<string> {
  const { runId } = await writeSnapshot([1, 2, 3], {
    store,
    sharding: hashSharding({ shards: 2 }),
    key: (row) => row,
    value: () => value,
    clock,
    manifestStore,
    ...(fails && { validate: () => Promise.reject(new Error("refused")) }),
  });
  return runId;
}

/** A run that was killed while it uploaded: its record, and what it has begun. */
async function beginUpload(store: ObjectStore, runId: string, clock: ManualClock): Promise<ObjectUpload> {
  const upload = await store.upload(`shards/run_id=${runId}/db=00000/attempt=00/shard.db`, { headBytes: 0 });
  await upload.write(new Uint8Array(10));
  const record = { runId, startedAtMicros: clock.nowMicros() };
  const stamp = new Date(record.startedAtMicros / 1000).toISOString().replace("Z", "000Z");
  const text = [
    "db_path_template: db={db_id:05d}",
    "error_message: null",
    "error_type: null",
    "format_version: 1",
    `lease_expires_at: '${stamp}'`,
    "manifest_ref: null",
    `run_id: ${runId}`,
    `s3_prefix: ${store.url}`,
    "shard_prefix: shards",
    `started_at: '${stamp}'`,
    "status: running",
    `updated_at: '${stamp}'`,
    "writer_type: test",
    "",
  ].join("\n");
  await store.put(`runs/${stamp}_run_id=${runId}_${"0".repeat(32)}/run.yaml`, new TextEncoder().encode(text));
  return upload;
}

test("cleanUp() gives up the uploads of dead runs and of runs at rest, not those of others (P5, P6)", async () => {
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  const uploads: ObjectUpload[] = [];
  try {
    const store = fsStore(folder);
    const clock = clockNow();
    const published = await write(store, { value: "1", clock });
    uploads.push(await beginUpload(store, "dead", clock));
    const others = [
      `shards/run_id=${published}/db=00000/attempt=01/shard.db`,
      "shards/run_id=nobody/db=00000/attempt=00/shard.db",
      "manifests/x/manifest",
    ];
    for (const key of others) uploads.push(await store.upload(key, { headBytes: 0 }));
    deepEqual((await cleanUp(store, { clock })).uploads, [], "all of them are young");
    clock.advance(2 * HOUR_MS);
    uploads.push(await beginUpload(store, "alive", clock));
    const plan = await cleanUp(store, { clock, dryRun: true });
    const result = await cleanUp(store, { clock });
    const keys = result.uploads!.map(({ key }) => key).sort();
    deepEqual(plan.uploads!.map(({ key }) => key).sort(), keys);
    deepEqual(
      keys,
      [
        "manifests/x/manifest",
        `shards/run_id=${published}/db=00000/attempt=01/shard.db`,
        "shards/run_id=dead/db=00000/attempt=00/shard.db",
      ].sort(),
    );
    deepEqual(result.runs.map(({ runId }) => runId), ["dead"]);
    deepEqual(result.keptRuns, [{ runId: "alive", reason: "grace" }, { runId: "nobody", reason: "unknown age" }]);
    const left = (await readdir(folder, { recursive: true })).filter((path) =>
      /dead|attempt=01|manifests.x/.test(path)
    );
    deepEqual(left, []);
    const last = await cleanUp(store, { clock, includeUnknownAge: true });
    deepEqual(last.uploads!.map(({ runId }) => runId), ["nobody"]);
    deepEqual((await readdir(join(folder, "shards"))).sort(), [`run_id=${published}`, "run_id=alive"].sort());
    equal((await store.listUploads!("")).length, 1);
  } finally {
    for (const upload of uploads) await upload.abort();
    await rm(folder, { recursive: true });
  }
});

test("cleanUp() goes on where uploads may not be listed, and says that it does not know of them", async () => {
  const inner = memoryStore();
  const clock = clockNow();
  await write(inner, { value: "1", clock });
  equal((await cleanUp(inner, { clock })).uploads, null);
  for (const retryable of [false, true]) {
    const error = new StoreError("Cannot list uploads", { url: inner.url, status: 403, retryable });
    const store: ObjectStore = Object.assign(Object.create(inner), { listUploads: () => Promise.reject(error) });
    const bound = new Proxy(store, {
      get: (_, name) => {
        const value = Reflect.get(name === "listUploads" ? store : inner, name);
        return typeof value === "function" ? value.bind(inner) : value;
      },
    });
    if (retryable) await rejects(cleanUp(bound, { clock }), error);
    else equal((await cleanUp(bound, { clock })).uploads, null);
  }
});

/** A manifest store whose refs are ids of runs, as those of the Python package's store in Postgres. */
function tableOfManifests(): ManifestStore {
  const rows = new Map<string, { manifest: Manifest; publishedAtMicros: number }>();
  let current: string | null = null;
  const pointerTo = (ref: string): CurrentPointer => {
    const { publishedAtMicros } = rows.get(ref)!;
    return { ref, runId: ref, publishedAtMicros, generation: null, previous: null, version: null };
  };
  return {
    loadCurrent: () => Promise.resolve(current === null ? null : pointerTo(current)),
    loadManifest: (ref) => Promise.resolve(rows.get(ref)!.manifest),
    list: () => Promise.resolve([...rows.keys()].reverse().map(pointerTo)),
    publish(manifest) {
      rows.set(manifest.runId, { manifest, publishedAtMicros: manifest.createdAtMicros });
      current = manifest.runId;
      return Promise.resolve(pointerTo(current));
    },
    setCurrent: (ref) => Promise.resolve(pointerTo(current = ref)),
  };
}

const stores = {
  "another store": () => objectManifestStore(memoryStore("manifests")),
  "a table": tableOfManifests,
};
for (const [name, make] of Object.entries(stores)) {
  test(`cleanUp() keeps all snapshots of its manifestStore, ${name}, and removes what failed runs left (P5)`, async () => {
    const store = memoryStore();
    const clock = clockNow();
    const manifestStore = make();
    const moved = await write(store, { value: "before the move", clock });
    const runs: string[] = [];
    for (const value of ["1", "2", "3", "4", "5"]) {
      runs.push(await write(store, { value, clock, manifestStore }));
      clock.advance(1000);
    }
    await rejects(write(store, { value: "6", clock, manifestStore, fails: true }), /refused/);
    await store.put("shards/run_id=old/db=00000/attempt=00/shard.db", new Uint8Array(1));
    clock.advance(2 * HOUR_MS);

    const blind = await cleanUp(store, { clock, keep: 1 });
    deepEqual(
      blind.keptRuns.filter(({ reason }) => reason === "published elsewhere").map(({ runId }) => runId),
      [...runs].sort(),
      "without the option their shards stay, too",
    );
    const result = await cleanUp(store, { clock, manifestStore, graceMs: 0, includeUnknownAge: true });
    deepEqual(result.kept.map(({ runId }) => runId), [...runs.toReversed(), moved]);
    deepEqual(result.manifests, []);
    deepEqual(result.runs.map(({ runId }) => runId), ["old"]);
    equal(result.current!.runId, runs.at(-1));
    for (const { ref } of await manifestStore.list(10)) {
      await using reader = await openSnapshot({ store, manifestStore, pin: ref });
      ok(["1", "2", "3", "4", "5"].includes(new TextDecoder().decode((await reader.get(2))!)));
    }
    await using reader = await openSnapshot({ store });
    equal(new TextDecoder().decode((await reader.get(2))!), "before the move");
    await rejects(cleanUp(store, { manifestStore, keep: 3 }), { code: "CONFIG_VALIDATION", path: "keep" });
    await rejects(cleanUp(store, { manifestStore, maxAgeMs: 3 }), { code: "CONFIG_VALIDATION", path: "maxAgeMs" });
  });
}
