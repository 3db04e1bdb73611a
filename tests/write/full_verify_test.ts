// Judges: one byte that a store damaged, and what the store holds afterwards.
import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { test } from "node:test";
import {
  fullVerify,
  hashSharding,
  memoryStore,
  type ObjectStore,
  openSnapshot,
  singleShard,
  sqliteBackend,
  writeSnapshot,
} from "../../mod.ts";
import { nativeSqliteBackend } from "../../src/backends/native_sqlite_backend.ts";
import { SnapshotValidationError } from "../../src/errors.ts";
import { faultStore } from "../../src/testing/fault_store.ts";

const rows = Array.from({ length: 500 }, (_, index) => index);

function options(store: ObjectStore) {
  const value = (row: number) => `a value for row ${row}`;
  return { store, sharding: hashSharding({ shards: 3 }), key: (row: number) => row, value };
}

async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys = (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key);
  return keys.filter((key) => !key.startsWith("runs/"));
}

/** Flips a bit of one object after it has arrived. */
function damaging(inner: ObjectStore, isVictim: (key: string) => boolean, place: number): ObjectStore {
  const store = faultStore(inner);
  async function damage(key: string): Promise<void> {
    if (!isVictim(key)) return;
    const bytes = await (await inner.get(key)).bytes();
    bytes[Math.floor(place * bytes.length)]! ^= 4;
    await inner.put(key, bytes);
  }
  const [put, upload] = [store.put.bind(store), store.upload.bind(store)];
  store.put = async (key, bytes, write) => {
    const version = await put(key, bytes, write);
    await damage(key);
    return version;
  };
  store.upload = async (key, write) => {
    const begun = await upload(key, write);
    const finish = begun.finish.bind(begun);
    begun.finish = async (head) => {
      const version = await finish(head);
      await damage(key);
      return version;
    };
    return begun;
  };
  return store;
}

for (const backend of [sqliteBackend(), sqliteBackend({ guard: false, sidecar: false }), nativeSqliteBackend()]) {
  test(`fullVerify() lets a sound snapshot pass, ${JSON.stringify(backend.spec)}`, async () => {
    const store = memoryStore();
    let shardsDone = 0;
    const validate = fullVerify({ onProgress: (progress) => shardsDone = progress.shardsDone });
    await writeSnapshot(rows, { ...options(store), backend, validate });
    equal(shardsDone, 3);
    await using reader = await openSnapshot({ store });
    equal(reader.info.rowCount, rows.length);
    await writeSnapshot([], { ...options(store), backend, validate });
  });
}

for (const name of ["shard.db", "shard.guard", "shard.sidecar"]) {
  test(`P7 fullVerify() refuses a snapshot of which a byte of ${name} was damaged; nothing is left of it`, async () => {
    for (const place of [0, 0.3, 0.6, 0.9999]) {
      const inner = memoryStore();
      await writeSnapshot([1], options(inner));
      const before = await keysOf(inner);
      const store = damaging(inner, (key) => key.endsWith(`db=00001/attempt=00/${name}`), place);
      await rejects(writeSnapshot(rows, { ...options(store), validate: fullVerify() }), (error) => {
        equal(error instanceof SnapshotValidationError && error.validator, "fullVerify");
        match((error as Error).message, /are not what was uploaded: shard 1, /);
        match((error as Error).message, new RegExp(name.replace(".", "\\.")));
        return true;
      });
      deepEqual(await keysOf(inner), before);
    }
  });
}

test("fullVerify() tells of a few problems and counts the others", async () => {
  const store = damaging(memoryStore(), (key) => /\.(db|guard|sidecar)$/.test(key), 0.5);
  const write = writeSnapshot(rows, {
    ...options(store),
    sharding: hashSharding({ shards: 12 }),
    validate: fullVerify(),
  });
  await rejects(write, (error: Error) => {
    equal(error.message.match(/shard \d+, /g)!.length, 10);
    match(error.message, /; and \d+ more$/);
    return true;
  });
});

test("fullVerify() stops when the write is aborted", async () => {
  const abort = new AbortController();
  const store = faultStore(memoryStore());
  const validate = fullVerify({ concurrencyMax: 1, onProgress: () => abort.abort(new Error("enough")) });
  await rejects(writeSnapshot(rows, { ...options(store), validate, signal: abort.signal }), /enough/);
  const before = store.count("GET");
  await new Promise((resolve) => setTimeout(resolve, 20));
  equal(store.count("GET"), before);
});

test("fullVerify() refuses wrong options, and other readers than candidates", async () => {
  for (const wrong of [{ concurrencyMax: 0 }, { onProgress: 1 }, { shards: [1] }]) {
    let error: { code?: string; path?: string } = {};
    try {
      fullVerify(wrong as object);
    } catch (caught) {
      error = caught as typeof error;
    }
    deepEqual([error.code, error.path], ["CONFIG_VALIDATION", Object.keys(wrong)[0]]);
  }
  const store = memoryStore();
  await writeSnapshot(rows, { ...options(store), sharding: singleShard() });
  await using reader = await openSnapshot({ store });
  await rejects(fullVerify()(reader), { code: "CONFIG_VALIDATION", path: "validate" });
});
