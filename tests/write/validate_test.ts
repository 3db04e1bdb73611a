// Judges: a Map of the rows, and what the store holds afterwards.
import { deepEqual, equal, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import {
  hashSharding,
  type Key,
  memoryStore,
  type ObjectStore,
  openSnapshot,
  rowCountDrift,
  sampleRows,
  sqliteBackend,
  writeSnapshot,
} from "../../mod.ts";
import { nativeSqliteBackend } from "../../src/backends/native_sqlite_backend.ts";
import { SnapshotValidationError } from "../../src/errors.ts";
import { objectManifestStore } from "../../src/snapshots/object_manifest_store.ts";
import { parseRunRecord } from "../../src/snapshots/run_record.ts";
import { faultStore } from "../../src/testing/fault_store.ts";

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function options(store: ObjectStore, value = "v") {
  const key = (row: number) => row;
  return { store, sharding: hashSharding({ shards: 3 }), key, value: (row: number) => `${value} ${row}` };
}

/** Without the records of runs. */
async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys = (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key);
  return keys.filter((key) => !key.startsWith("runs/"));
}

async function valueOf(store: ObjectStore, key: Key): Promise<string | null> {
  await using reader = await openSnapshot({ store });
  const value = await reader.get(key);
  return value && new TextDecoder().decode(value);
}

for (const backend of [sqliteBackend(), sqliteBackend({ guard: false, sidecar: false }), nativeSqliteBackend()]) {
  test(`writeSnapshot() lets validate read all of the new snapshot before anyone else, ${JSON.stringify(backend.spec)}`, async () => {
    const store = memoryStore();
    await writeSnapshot(numbers(10), { ...options(store, "old"), backend });
    let seen = 0;
    await writeSnapshot(numbers(300), {
      ...options(store, "new"),
      backend,
      async validate(candidate) {
        equal(candidate.info.rowCount, 300);
        for (const row of numbers(300)) {
          equal(new TextDecoder().decode((await candidate.get(row))!), `new ${row}`);
          seen++;
        }
        equal(await candidate.get(300), null);
        equal((await Array.fromAsync(candidate.scan())).length, 300);
        equal(await candidate.refresh(), false);
        equal(await valueOf(store, 3), "old 3", "nobody else sees it");
        equal((await keysOf(store)).filter((key) => key.startsWith("manifests/")).length, 1, "no manifest is stored");
      },
    });
    equal(seen, 300);
    equal(await valueOf(store, 3), "new 3");
  });
}

test("P3 writeSnapshot() publishes nothing, leaves nothing and rejects with what validate threw", async () => {
  const store = memoryStore();
  await writeSnapshot(numbers(10), options(store, "old"));
  const before = await keysOf(store);
  const verdict = new Error("looks wrong to me");
  const validators = [
    () => Promise.reject(verdict),
    () => {
      throw verdict;
    },
  ];
  for (const validate of validators) {
    const refused = writeSnapshot(numbers(300), { ...options(store), runId: undefined, validate });
    await rejects(refused, (error) => error === verdict);
    deepEqual(await keysOf(store), before);
    equal(await valueOf(store, 3), "old 3");
  }
  const records = (await Array.fromAsync(store.list("runs/"))).flat();
  const last = parseRunRecord(await (await store.get(records.at(-1)!.key)).bytes(), "run.yaml");
  deepEqual([last.status, last.errorMessage], ["failed", "looks wrong to me"]);
});

test("writeSnapshot() does not wait for validate when it is aborted", async () => {
  const store = memoryStore();
  const abort = new AbortController();
  const validate = () => {
    setTimeout(() => abort.abort(new Error("enough")), 10);
    return new Promise<void>(() => {});
  };
  await rejects(writeSnapshot(numbers(300), { ...options(store), validate, signal: abort.signal }), /enough/);
  deepEqual(await keysOf(store), []);
});

test("P2 writeSnapshot(): what another writer publishes while validate is at work is not overwritten", async () => {
  const store = memoryStore();
  const validate = async () => void await writeSnapshot(numbers(10), options(store, "other"));
  await rejects(writeSnapshot(numbers(300), { ...options(store), validate }), { code: "PUBLISH_CONFLICT" });
  equal(await valueOf(store, 3), "other 3");
});

test("writeSnapshot() fetches only what validate looks at", async () => {
  const store = faultStore(memoryStore());
  const before = () => store.count("GET");
  await writeSnapshot(numbers(30_000), {
    ...options(store),
    async validate(candidate) {
      const atFirst = before();
      equal(candidate.info.access, "range");
      equal(candidate.info.rowCount, 30_000);
      equal(before(), atFirst);
      await candidate.get(5);
      equal(before() - atFirst <= 3, true);
    },
  });
});

test("rowCountDrift() refuses too many and too few rows, against a store and against a manifest", async () => {
  const store = memoryStore();
  const write = (count: number, against: Parameters<typeof rowCountDrift>[0]["against"], maxRatio: number) =>
    writeSnapshot(numbers(count), { ...options(store), validate: rowCountDrift({ against, maxRatio }) });
  await write(1000, store, 0);
  const manifests = objectManifestStore(store);
  const manifest = await manifests.loadManifest((await manifests.loadCurrent())!.ref);
  for (const [count, maxRatio] of [[1000, 0], [1100, 0.1], [900, 0.1], [0, 1]] as const) {
    await write(count, manifest, maxRatio);
  }
  for (const [count, maxRatio] of [[1001, 0], [999, 0], [1101, 0.1], [899, 0.1], [0, 0.99]] as const) {
    await rejects(write(count, manifest, maxRatio), (error) => {
      equal(error instanceof SnapshotValidationError && error.validator, "rowCountDrift");
      return (error as Error).message.includes(`${count} rows and the one before 1000`);
    });
  }
  await write(7, store, 0); // The current one is empty.
  await rejects(write(8, store, 0), { code: "SNAPSHOT_VALIDATION", retryable: false });
});

test("sampleRows() compares values byte by byte, in any number of rows and keys of any type", async () => {
  const keys: ((row: number) => Key)[] = [
    (row) => row,
    (row) => BigInt(row),
    (row) => `${row}`,
    (row) => Uint8Array.of(row >> 8, row),
  ];
  for (const key of keys) {
    const store = memoryStore();
    const value = (row: number) => `v ${row}`;
    const write = (validate: ReturnType<typeof sampleRows>) =>
      writeSnapshot(numbers(1000), { store, sharding: hashSharding({ shards: 3 }), key, value, validate });
    await write(sampleRows(numbers(1000), { key, value }));
    await write(sampleRows(
      (async function* () {
        yield* [1, 999];
      })(),
      { key, value: (row) => new TextEncoder().encode(value(row)) },
    ));
    await write(sampleRows([], { key, value }));
    const missing = { code: "SNAPSHOT_VALIDATION", validator: "sampleRows", message: /is missing/ };
    await rejects(write(sampleRows([5, 1000], { key, value })), missing);
    const changed = (row: number) => row === 700 ? "V 700" : value(row);
    await rejects(write(sampleRows(numbers(1000), { key, value: changed })), { message: /another value, of 5 bytes/ });
    await rejects(write(sampleRows([700], { key, value: () => "" })), {
      message: /another value, of 5 bytes and not 0/,
    });
  }
});

test("rowCountDrift() and sampleRows() refuse wrong options", () => {
  const wrong: unknown[] = [{}, { against: {}, maxRatio: 1 }, { against: memoryStore(), maxRatio: -1 }, {
    against: memoryStore(),
    maxRatio: NaN,
  }, { against: memoryStore(), maxRatio: 1, ratio: 1 }];
  for (const given of wrong) throws(() => rowCountDrift(given as never), { code: "CONFIG_VALIDATION" });
  throws(() => sampleRows([], {} as never), { code: "CONFIG_VALIDATION" });
});
