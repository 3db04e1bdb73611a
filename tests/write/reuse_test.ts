// Reuse of unchanged shards. Judge: the requests that a store saw, its listing, a reader, the verifier.
import { deepEqual, equal, notEqual, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import {
  hashSharding,
  memoryStore,
  type ObjectStore,
  openSnapshot,
  singleShard,
  sqliteBackend,
  verifySnapshot,
  writeSnapshot,
} from "../../mod.ts";
import { nativeSqliteBackend } from "../../src/backends/native_sqlite_backend.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { faultStore } from "../../src/testing/fault_store.ts";
import { keysOf, MODES, numbers, requireRight, requireSound, write } from "./reused_series.ts";

const SMALL = { rows: 4000, shards: 8 };

/** A store that knows what was uploaded below `shards/`. */
function counting(inner: ObjectStore): { store: ObjectStore; uploaded: Map<string, number> } {
  const uploaded = new Map<string, number>();
  function note(key: string, sizeBytes: number): void {
    if (key.startsWith("shards/")) uploaded.set(key, (uploaded.get(key) ?? 0) + sizeBytes);
  }
  const store: ObjectStore = {
    url: inner.url,
    get: inner.get.bind(inner),
    getRanges: inner.getRanges.bind(inner),
    list: inner.list.bind(inner),
    listFolders: inner.listFolders.bind(inner),
    delete: inner.delete.bind(inner),
    deletePrefix: inner.deletePrefix.bind(inner),
    copy: inner.copy!.bind(inner),
    put(key, bytes, options) {
      note(key, bytes.length);
      return inner.put(key, bytes, options);
    },
    async upload(key, options) {
      const upload = await inner.upload(key, options);
      return {
        write(chunk) {
          note(key, chunk.length);
          return upload.write(chunk);
        },
        finish(head) {
          note(key, head.length);
          return upload.finish(head);
        },
        abort: () => upload.abort(),
        [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
      };
    },
  };
  return { store, uploaded };
}

test("writeSnapshot() with reuse uploads one of 64 shards when one of a million rows has changed", {
  timeout: 240_000,
}, async () => {
  const shape = { rows: 1_000_000, shards: 64 };
  const { store, uploaded } = counting(memoryStore());
  const first = await write(store, shape);
  equal([...uploaded.keys()].filter((key) => key.endsWith("/shard.db")).length, 64);
  const lines: string[] = [`all: ${sum(uploaded)} bytes in ${first.stats.buildMs} ms`];
  for (const [index, reuse] of MODES.entries()) {
    uploaded.clear();
    const key = 777_777 + index;
    const changed = { 777_777: "other", [key]: "other" };
    const { stats } = await write(store, shape, { reuse, changed });
    equal(stats.shards, 64);
    equal(stats.shardsReused, 63);
    deepEqual([...uploaded.keys()].filter((key) => key.endsWith("/shard.db")).length, 1);
    const others = [...uploaded].filter(([key]) => !key.endsWith("/shard.db"));
    // Copies have sidecars of their own.
    equal(others.length, reuse === "copy" ? 65 : 2);
    lines.push(`${reuse}: ${sum(uploaded)} bytes in ${stats.buildMs} ms`);
    ok(sum(uploaded) < first.stats.bytes / (reuse === "copy" ? 20 : 40), lines.join("; "));
    await using reader = await openSnapshot({ store, access: "range" });
    equal(new TextDecoder().decode((await reader.get(key))!), "other");
    equal(new TextDecoder().decode((await reader.get(5))!), "old 5");
    equal(reader.info.warnings.join(), "");
  }
  console.log(lines.join("\n"));
});

function sum(uploaded: ReadonlyMap<string, number>): number {
  return [...uploaded.values()].reduce((total, bytes) => total + bytes, 0);
}

for (const reuse of MODES) {
  const backends = [
    undefined,
    sqliteBackend({ sidecar: false, guard: false }),
    sqliteBackend({ pageSizeBytes: "auto" }),
    nativeSqliteBackend(),
  ];
  for (const backend of backends) {
    const name = backend === undefined ? "the default" : JSON.stringify(backend.spec);
    test(`writeSnapshot() with reuse "${reuse}" gives a whole snapshot, again and again, with ${name}`, async () => {
      const store = memoryStore();
      const options = backend === undefined ? {} : { backend };
      const access = backend?.opens.includes("remote") === false ? "memory" : "range";
      await write(store, SMALL, options);
      for (const changed of [{ 5: "a" }, {}, { 6: "b", 7: "c" }]) {
        await write(store, SMALL, { ...options, reuse, changed });
        if (access === "range") await requireRight(store, SMALL, changed);
      }
      await requireSound(store);
      const { stats, winners, runId } = await write(store, SMALL, { ...options, reuse, changed: { 6: "b", 7: "c" } });
      equal(stats.shardsReused, 8);
      equal(winners.filter(({ dbUrl }) => dbUrl!.includes(runId)).length, reuse === "copy" ? 8 : 0);
      deepEqual((await keysOf(store)).filter((key) => key.startsWith("pins/")), []);
    });
  }

  test(`writeSnapshot() with reuse "${reuse}" says in the manifest what was taken over`, async () => {
    const store = memoryStore();
    const first = await write(store, SMALL);
    const second = await write(store, SMALL, { reuse, changed: { 1: "x" } });
    const third = await write(store, SMALL, { reuse, changed: { 1: "x", 2: "y" } });
    const manifest = await objectManifestStore(store).loadManifest(third.manifestRef);
    equal((manifest.custom["shardyfusion"] as Record<string, unknown>)["reused_shards"], third.stats.shardsReused);
    const reused = manifest.shards.filter(({ writerInfo }) =>
      (writerInfo["shardyfusion"] as Record<string, unknown>)["reused"] === reuse
    );
    equal(reused.length, third.stats.shardsReused);
    if (reuse === "copy") {
      for (const { dbUrl } of manifest.shards) ok(dbUrl!.includes(third.runId));
      notEqual(manifest.shards[0]!.checkpointId, first.winners[0]!.checkpointId);
    } else {
      // A reference to a reference names the original.
      const runs = new Set(manifest.shards.map(({ dbUrl }) => /run_id=([^/]+)/.exec(dbUrl!)![1]));
      deepEqual(runs, new Set([first.runId, second.runId, third.runId]));
    }
  });

  test(`writeSnapshot() with reuse "${reuse}" works in worker threads, with spilled and repeated rows`, async () => {
    const store = memoryStore();
    const options = { memory: { bytesMax: 100_000 }, sharding: hashSharding({ shards: 4 }), key: (row: number) => row };
    const rows = (last: string): [number, string][] => [
      ...Array.from({ length: 9000 }, (_, row): [number, string] => [row, "first"]),
      ...Array.from({ length: 3000 }, (_, row): [number, string] => [row, "second"]),
      [77, last],
    ];
    for (const [index, workers] of [0, 2, 2, 0].entries()) {
      const result = await writeSnapshot(rows(index < 2 ? "third" : "fourth"), {
        ...options,
        store,
        workers,
        reuse,
        key: ([key]) => key,
        value: ([, value]) => value,
      });
      equal(result.stats.shardsReused, [0, 4, 3, 4][index], `write ${index}`);
    }
    await requireSound(store);
  });

  test(`writeSnapshot() with reuse "${reuse}" builds everything where anything differs`, async () => {
    const base = { reuse, sharding: hashSharding({ shards: 4 }) };
    const changes = [
      { sharding: hashSharding({ shards: 5 }) },
      { sharding: singleShard() },
      { keyEncoding: "u32be" as const },
      { backend: sqliteBackend({ pageSizeBytes: 8192 }) },
      { backend: sqliteBackend({ guard: false }) },
      { backend: nativeSqliteBackend() },
    ];
    for (const change of changes) {
      const store = memoryStore();
      await write(store, SMALL, base);
      const { stats } = await write(store, SMALL, { ...base, ...change });
      equal(stats.shardsReused, 0, JSON.stringify(change));
      await requireSound(store);
    }
  });
}

test('writeSnapshot() with reuse "copy" builds what cannot be copied', async () => {
  const spoilers: ((store: ObjectStore, folder: string) => Promise<unknown>)[] = [
    (store, folder) => store.delete(`${folder}/shard.db`),
    (store, folder) => store.delete(`${folder}/shard.sidecar`),
    (store, folder) => store.delete(`${folder}/shard.guard`),
    // Of the same length, so that only its version tells.
    async (store, folder) => {
      const bytes = await (await store.get(`${folder}/shard.db`)).bytes();
      await store.put(`${folder}/shard.db`, bytes.fill(1));
    },
    (store, folder) => store.put(`${folder}/shard.guard`, new Uint8Array(10)),
    async (store, folder) => {
      const bytes = await (await store.get(`${folder}/shard.sidecar`)).bytes();
      bytes[40]! ^= 1;
      await store.put(`${folder}/shard.sidecar`, bytes);
    },
  ];
  for (const [index, spoil] of spoilers.entries()) {
    const store = memoryStore();
    const { winners } = await write(store, SMALL);
    await spoil(store, winners[3]!.dbUrl!.slice(store.url.length + 1));
    const { stats } = await write(store, SMALL, { reuse: "copy" });
    equal(stats.shardsReused, 7, `spoiler ${index}`);
    await requireRight(store, SMALL).catch((error) => {
      // The spoiled one is in the history still.
      if (!String(error).includes(winners[3]!.dbUrl!.split("/").at(-3)!)) throw error;
    });
    await using reader = await openSnapshot({ store, access: "range" });
    equal((await reader.getMany([...numbers(SMALL.rows)])).size, SMALL.rows);
    equal(reader.info.warnings.join(), "");
  }
});

test('writeSnapshot() with reuse "reference" builds what is no longer there', async () => {
  for (const name of ["shard.db", "shard.sidecar", "shard.guard"]) {
    for (const spoil of ["remove", "cut"]) {
      const store = memoryStore();
      const { winners } = await write(store, SMALL);
      const key = `${winners[3]!.dbUrl!.slice(store.url.length + 1)}/${name}`;
      if (spoil === "remove") await store.delete(key);
      else await store.put(key, new Uint8Array(100));
      const { stats, manifestRef } = await write(store, SMALL, { reuse: "reference" });
      equal(stats.shardsReused, 7, `${spoil} ${name}`);
      equal((await verifySnapshot(store, { ref: manifestRef })).isSound, true);
    }
  }
});

test('writeSnapshot() with reuse "copy" reads and writes where the store cannot copy', async () => {
  const { copy: _, ...store } = counting(memoryStore()).store;
  await write(store, SMALL);
  const { stats } = await write(store, SMALL, { reuse: "copy", changed: { 1: "x" } });
  equal(stats.shardsReused, 7);
  await requireRight(store, SMALL, { 1: "x" });
  const { copyShard: __, ...backend } = sqliteBackend();
  equal((await write(store, SMALL, { reuse: "copy", changed: { 1: "x" }, backend })).stats.shardsReused, 0);
  equal((await write(store, SMALL, { reuse: "reference", changed: { 1: "x" }, backend })).stats.shardsReused, 8);
  await requireSound(store);
});

test("writeSnapshot() with reuse does not overwrite the shards of a run of the same name", async () => {
  const store = memoryStore();
  await write(store, SMALL, { runId: "nightly" });
  await rejects(write(store, SMALL, { runId: "nightly", reuse: "copy" }), { code: "PRECONDITION_FAILED" });
  await requireRight(store, SMALL);
});

test("writeSnapshot() takes shards over where a series was moved to", async () => {
  const first = memoryStore("first");
  await write(first, SMALL);
  for (const reuse of MODES) {
    const moved = memoryStore("moved");
    // Objects have other versions there, so that sidecars are of no use, and copies are not made of what is not known.
    for (const key of await keysOf(first)) await moved.put(key, await (await first.get(key)).bytes());
    const { stats, winners } = await write(moved, SMALL, { reuse, changed: { 1: "x" } });
    equal(stats.shardsReused, reuse === "copy" ? 0 : 7);
    for (const { dbUrl } of winners) ok(dbUrl!.startsWith("memory:///moved/"));
  }
});

test("writeSnapshot() refuses what reuse cannot be", async () => {
  const store = memoryStore();
  const wrong = { code: "CONFIG_VALIDATION", path: "reuse" };
  await rejects(async () => await write(store, SMALL, { reuse: "link" as "copy" }), wrong);
  const manifestStore = objectManifestStore(store);
  await rejects(async () => await write(store, SMALL, { reuse: "reference", manifestStore }), wrong);
  await write(store, SMALL, { reuse: "copy", manifestStore });
});

for (const reuse of MODES) {
  for (const retry of [undefined, { retriesMax: 1, initialBackoffMs: 0 }]) {
    test(`P3 P5 P6 writeSnapshot() with reuse "${reuse}"${retry ? " and retry" : ""}: any request may fail`, {
      timeout: 120_000,
    }, async () => {
      const shape = { rows: 200, shards: 3 };
      let failures = 0;
      for (const moment of ["before", "after"] as const) {
        for (let failing = 1;; failing++) {
          const inner = memoryStore();
          await write(inner, shape);
          const before = await keysOf(inner);
          const store = faultStore(inner, {
            fault: ({ requestNumber }) => requestNumber === failing ? { moment } : null,
          });
          const changed = { 7: "new" };
          const options = { reuse, changed, ...(retry && { retry }) };
          const result = await write(store, shape, options).catch((error: { code: string }) => error);
          const label = `request ${failing} failed ${moment} its effect: ${
            JSON.stringify(store.requests[failing - 1])
          }`;
          const isPublished = "stats" in result;
          if (!isPublished) failures++;
          const isOld = !isPublished && !result.code.startsWith("PUBLISH_");
          await requireSound(inner);
          const after = await keysOf(inner);
          if (isOld) deepEqual(after, before, `${label}: nothing is left behind`);
          if (isPublished) {
            await requireRight(inner, shape, changed);
            const folders = result.winners.map(({ dbUrl }) => `${dbUrl!.slice(inner.url.length + 1)}/`);
            const stray = after.filter((key) =>
              !before.includes(key) && !folders.some((folder) => key.startsWith(folder)) &&
              !key.startsWith("manifests/")
            );
            deepEqual(stray, [], `${label}: nothing is left behind`);
          }
          const next = await write(inner, shape, { reuse, changed: { 8: "next" } });
          ok(next.stats.shardsReused >= 1, label);
          await requireRight(inner, shape, { 8: "next" });
          if (store.requests.length < failing) break;
        }
      }
      ok(failures >= 6, `${failures} failures`);
    });
  }
}
