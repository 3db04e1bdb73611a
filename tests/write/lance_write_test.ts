// What writing vectors to LanceDB, alone or beside rows, does when things go wrong. Judges: what is in the store.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import type { Backend } from "../../src/backends/backend.ts";
import { compositeBackend } from "../../src/backends/composite_backend.ts";
import { lancedbBackend } from "../../src/backends/lancedb_backend.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { hashSharding } from "../../src/routing/sharding.ts";
import { clusterSharding } from "../../src/routing/vector_sharding.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { faultStore } from "../../src/testing/fault_store.ts";
import { verifySnapshot } from "../../src/verify/verify_snapshot.ts";
import { fullVerify, sampleRows, type VectorEntry, writeSnapshot, type WriteSnapshotOptions } from "../../mod.ts";
import { lanceTest } from "../backends/lance_shards.ts";

const lance = (metric: "l2" | "cosine" | "dot_product" = "l2"): Backend => lancedbBackend({ dim: 3, metric });
const both = (metric?: "l2" | "cosine"): Backend => compositeBackend(sqliteBackend(), lance(metric));
const vectorOf = (row: number): number[] => [Math.sin(row), Math.cos(row), 1 + row % 7];
const ENGINES = [["lancedbBackend", lance, false], ["compositeBackend", both, true]] as const;

function optionsFor(
  store: ObjectStore,
  backend: Backend,
  more: Partial<WriteSnapshotOptions<number>> = {},
): WriteSnapshotOptions<number> {
  const isComposite = backend.spec.name === "composite";
  return {
    ...{ store, backend, sharding: hashSharding({ shards: 2 }), key: (row) => row },
    ...(isComposite && { value: (row) => `row ${row}` }),
    vector: (row) => ({ vector: vectorOf(row) }),
    ...more,
  };
}

async function keysIn(store: ObjectStore): Promise<string[]> {
  return (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key);
}

/** Nothing but the record of the run, which says that it failed. */
async function ensureNothing(store: ObjectStore, label: string): Promise<void> {
  deepEqual((await keysIn(store)).filter((key) => !key.startsWith("runs/")), [], label);
}

const rows = Array(400).keys().toArray();

for (const [label, make, isComposite] of ENGINES) {
  lanceTest(`${label}: a candidate is validated before it is published, and refused without a trace`, async () => {
    const store = memoryStore();
    let seen = 0;
    const validate = async (candidate: Parameters<NonNullable<WriteSnapshotOptions<number>["validate"]>>[0]) => {
      await fullVerify()(candidate);
      const { results } = await candidate.search(vectorOf(5), { topK: 1 });
      deepEqual(results, [{ id: "5", score: 0, payload: null }]);
      seen++;
    };
    const { manifestRef } = await writeSnapshot(rows, optionsFor(store, make(), { validate }));
    equal(seen, 1);
    const before = await keysIn(store);
    await rejects(
      writeSnapshot(rows, {
        ...optionsFor(store, make()),
        validate: async (candidate) => {
          if ((await candidate.search(vectorOf(1), { topK: 1 })).results.length === 1) throw new Error("too few");
        },
      }),
      /too few/,
    );
    deepEqual((await keysIn(store)).filter((key) => !before.includes(key) && !key.startsWith("runs/")), []);
    await using reader = await openSnapshot({ store });
    equal(reader.info.manifestRef, manifestRef);
    if (!isComposite) return;
    await writeSnapshot(
      rows,
      optionsFor(store, make(), { validate: sampleRows([3], { key: (row) => row, value: (row) => `row ${row}` }) }),
    );
  });

  lanceTest(`${label}: fullVerify() and verifySnapshot() name the object that is damaged`, async () => {
    const inner = memoryStore();
    await writeSnapshot(rows, optionsFor(inner, make()));
    deepEqual((await verifySnapshot(inner)).problems, []);
    for (const key of (await keysIn(inner)).filter((name) => name.startsWith("shards/") && name.includes("db=00001"))) {
      const bytes = await (await inner.get(key)).bytes();
      const spoilt = bytes.slice();
      spoilt[bytes.length >> 1]! ^= 1;
      await inner.put(key, spoilt);
      const { problems } = await verifySnapshot(inner);
      const [first, ...others] = problems.filter(({ object }) => object.endsWith(key));
      deepEqual([first?.kind, others.filter(({ kind }) => kind === "digest")], ["digest", []], key);
      await inner.delete(key);
      ok((await verifySnapshot(inner)).problems.some(({ object, kind }) => object.endsWith(key) && kind === "missing"));
      await inner.put(key, bytes);
    }
    const store = faultStore(memoryStore());
    const spoils = async (): Promise<void> => {
      const key = (await keysIn(store)).find((name) => name.includes("/data/"))!;
      await store.put(key, new Uint8Array(10));
    };
    const validate: WriteSnapshotOptions<number>["validate"] = async (candidate) => {
      await spoils();
      await fullVerify()(candidate);
    };
    await rejects(writeSnapshot(rows, optionsFor(store, make(), { validate })), { code: "SNAPSHOT_VALIDATION" });
    ok(!(await keysIn(store)).includes("_CURRENT"));
  });

  for (const workers of [0, 2]) {
    lanceTest(`${label}: a shard whose upload fails is built again, with ${workers} workers`, async () => {
      const inner = memoryStore();
      let failures = 0;
      const store = faultStore(inner, {
        fault: ({ kind, key }) =>
          kind === "FINISH" && key.includes("/data/") && failures++ === 0 ? { moment: "after" } : null,
      });
      const retry = { retriesMax: 2, initialBackoffMs: 1, multiplier: 1 };
      const { winners } = await writeSnapshot(
        rows,
        optionsFor(store, make(), { workers, retry, memory: { bytesMax: 4096 }, requestRetry: { attemptsMax: 1 } }),
      );
      ok(failures > 0);
      deepEqual(winners.map(({ rowCount }) => rowCount).reduce((sum, count) => sum + count), rows.length);
      deepEqual((await verifySnapshot(inner)).problems, []);
      await using reader = await openSnapshot({ store: inner });
      deepEqual((await reader.search(vectorOf(9), { topK: 1 })).results[0]!.id, "9");
      // Whatever an attempt has left is not in the snapshot's folders.
      const folders = new Set(winners.map(({ dbUrl }) => dbUrl!.slice(inner.url.length + 1)));
      const strays = (await keysIn(inner)).filter((key) =>
        key.startsWith("shards/") && ![...folders].some((folder) => key.startsWith(`${folder}/`))
      );
      deepEqual(strays, []);
    });
  }

  lanceTest(`${label}: wrong vectors are errors that name the row's problem, and publish nothing`, async () => {
    const wrong: [vector: unknown, message: RegExp, metric?: "cosine"][] = [
      [[1, 2], /it must have 3 numbers: current value is 2/],
      [[1, 2, 3, 4], /it must have 3 numbers: current value is 4/],
      [[1, NaN, 3], /finite/],
      [[1, -Infinity, 3], /finite/],
      [[1, 1e39, 3], /finite/],
      [[1, "2", 3], /must be numbers/],
      [[0, 0, 0], /must not be zero/, "cosine"],
      [undefined, /with a field `vector`/],
    ];
    for (const [vector, message, metric] of wrong) {
      const store = memoryStore();
      const entry = (row: number): VectorEntry => row === 77 ? { vector } as never : { vector: vectorOf(row) };
      const writing = writeSnapshot(rows, { ...optionsFor(store, make(metric)), vector: entry });
      await rejects(writing, { code: "CONFIG_VALIDATION", message });
      await ensureNothing(store, `${vector}`);
    }
  });

  lanceTest(`${label}: an empty snapshot is one, and equal ids are kept`, async () => {
    const store = memoryStore();
    await writeSnapshot([], optionsFor(store, make()));
    {
      await using reader = await openSnapshot({ store });
      deepEqual((await reader.search([1, 2, 3], { topK: 5 })).results, []);
    }
    const twice = (row: number): VectorEntry => ({ id: "same", vector: [row, 0, 0], payload: row });
    await writeSnapshot([1, 2, 3], optionsFor(store, make(), { vector: twice }));
    await using reader = await openSnapshot({ store });
    const { results } = await reader.search([0, 0, 0], { topK: 5 });
    deepEqual(results, [1, 2, 3].map((row) => ({ id: "same", score: row * row, payload: row })));
  });

  lanceTest(`${label}: searches that cannot be answered are typed errors`, async () => {
    const store = memoryStore();
    await writeSnapshot(rows, optionsFor(store, make("cosine")));
    await using reader = await openSnapshot({ store });
    for (const query of [[1, 2], [1, 2, 3, 4], [], [1, NaN, 2], [1, Infinity, 2], [0, 0, 0]]) {
      await rejects(reader.search(query, { topK: 3 }), { code: "CONFIG_VALIDATION" }, `${query}`);
    }
    for (const topK of [0, -1, 1.5, 5000]) {
      await rejects(reader.search([1, 2, 3], { topK }), { code: "CONFIG_VALIDATION" }, `${topK}`);
    }
    await rejects(reader.search([1, 2, 3], { topK: 1, shards: [2] }), { code: "CONFIG_VALIDATION" });
    await rejects(reader.search([1, 2, 3], { topK: 1, signal: AbortSignal.abort(new Error("stop")) }), /stop/);
  });
}

lanceTest(
  "lancedbBackend: clusters are searched whole when more probes are asked for than there are shards",
  async () => {
    const store = memoryStore();
    const backend = lance();
    const sharding = clusterSharding({ shards: 3 });
    await writeSnapshot(rows, optionsFor(store, backend, { sharding }));
    await using reader = await openSnapshot({ store });
    const { results, shardsQueried } = await reader.search(vectorOf(7), { topK: 2, probes: 99 });
    equal(shardsQueried, 3);
    deepEqual([results.length, results[0]], [2, { id: "7", score: 0, payload: null }]);
  },
);

test("lancedbBackend refuses values, and engines refuse metrics that they do not have", async () => {
  const code = "CONFIG_VALIDATION";
  const store = memoryStore();
  const values = { value: (row: number): string => `${row}` };
  const writing = writeSnapshot(rows, { ...optionsFor(store, lance()), ...values });
  await rejects(writing, {
    code,
    path: "value",
    message: /stores vectors only: leave it out, or take compositeBackend/,
  });
  const { vector: _, ...without } = optionsFor(store, both());
  await rejects(writeSnapshot(rows, without), { code });
  const { vector: __, ...alone } = optionsFor(store, lance());
  await rejects(writeSnapshot(rows, alone), { code });
  await rejects(writeSnapshot(rows, optionsFor(store, sqliteBackend())), { code });
  deepEqual(await keysIn(store), [], "all of it is known before anything is sent");
  for (
    const make of [() => sqliteVecBackend({ dim: 3, metric: "dot_product" as "l2" }), () => lance("euclid" as "l2")]
  ) {
    await rejects(async () => await make(), { code, message: /metric.*must be "cosine"/ });
  }
});
