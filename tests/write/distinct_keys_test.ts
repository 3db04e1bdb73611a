// Keys of vectors that come twice. Judge: a Set of keys.
import { deepEqual, equal, match, rejects } from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { celSharding } from "../../src/routing/cel_sharding.ts";
import type { Key } from "../../src/routing/key.ts";
import { hashSharding, type Sharding } from "../../src/routing/sharding.ts";
import { clusterSharding, explicitSharding, lshSharding } from "../../src/routing/vector_sharding.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { DistinctKeysStream } from "../../src/write/distinct_keys.ts";
import { writeSnapshot, type WriteSnapshotOptions } from "../../src/write/mod.ts";
import { PackStream } from "../../src/write/pack_stream.ts";

/** Number of rows that pass; the message where one does not. */
async function pass(keys: readonly Key[], chunk = keys.length): Promise<number | string> {
  const pack = new PackStream<Key>({ key: (key) => key, value: () => "v" }, () => {});
  const chunks = Array.from(
    { length: Math.ceil(keys.length / chunk) },
    (_, i) => keys.slice(i * chunk, (i + 1) * chunk),
  );
  try {
    let rowCount = 0;
    const rows = ReadableStream.from<Key[]>(chunks).pipeThrough(pack).pipeThrough(new DistinctKeysStream());
    for await (const packed of rows) rowCount += packed.rowCount;
    return rowCount;
  } catch (error) {
    return (error as Error).message;
  }
}

test("DistinctKeysStream lets keys pass once, and names the row that repeats one", async () => {
  const keys = fc.oneof(
    fc.array(fc.nat(300), { minLength: 1, maxLength: 40 }),
    fc.array(fc.string({ maxLength: 3 }), { minLength: 1, maxLength: 40 }),
    fc.array(fc.uint8Array({ maxLength: 2 }), { minLength: 1, maxLength: 20 }),
  );
  await fc.assert(
    fc.asyncProperty(keys as fc.Arbitrary<Key[]>, fc.integer({ min: 1, max: 9 }), async (keys, chunk) => {
      const seen = new Set<string>();
      let second = 0;
      for (const [row, key] of keys.entries()) {
        if (seen.has(String(key)) && second === 0) second = row + 1;
        seen.add(String(key));
      }
      const found = await pass(keys, chunk);
      if (second === 0) equal(found, keys.length);
      else match(String(found), new RegExp(`\\(row ${second} of the source\\)$`));
    }),
    { numRuns: 200 },
  );
});

test("DistinctKeysStream takes as many keys as there are", async () => {
  const count = 150_000;
  const keys = Array.from({ length: count }, (_, i) => i * 7919);
  equal(await pass(keys), count);
  match(String(await pass([...keys, 7919 * 77_777])), /same key.*\(row 150001 of the source\)$/);
});

interface Row {
  readonly id: number;
  readonly vector: readonly number[];
}

const rows: readonly Row[] = Array.from({ length: 20 }, (_, id) => ({ id, vector: [id % 2 * 100 + id, 1] }));
const again: readonly Row[] = [...rows, { id: 4, vector: [500, 2] }];

function write(given: readonly Row[], sharding: Sharding, more: Partial<WriteSnapshotOptions<Row>> = {}) {
  const store = memoryStore();
  const backend = sqliteVecBackend({ dim: 2, metric: "l2" });
  const vector = ({ vector }: Row) => ({ vector });
  const written = writeSnapshot(given, { store, sharding, backend, key: ({ id }) => id, vector, ...more });
  return { store, written };
}

const SHARDINGS: Readonly<Record<string, readonly [Sharding, Partial<WriteSnapshotOptions<Row>>?]>> = {
  "given centroids": [clusterSharding({ centroids: [[0, 0], [100, 0]] })],
  "trained centroids": [clusterSharding({ shards: 2 })],
  "trained centroids, two threads": [clusterSharding({ shards: 2 }), { workers: 2 }],
  "hyperplanes": [lshSharding({ shards: 2 })],
  "chosen shards": [explicitSharding<Row>({ shards: 2, shard: ({ id }) => id % 2 })],
  "an expression": [celSharding({ expr: "side % 2", columns: { side: "int" } }), {
    columns: ({ vector }) => ({ side: vector[0]! }),
  }],
};

for (const [name, [sharding, more]] of Object.entries(SHARDINGS)) {
  test(`writeSnapshot() refuses two vectors with one key: ${name}`, async () => {
    const { store, written } = write(again, sharding, more);
    await rejects(written, { code: "CONFIG_VALIDATION", path: "key", message: /\(row 21 of the source\)$/ });
    equal((await Array.fromAsync(store.list("manifests/"))).flat().length, 0);
    await write(rows, sharding, more).written;
  });
}

test("writeSnapshot() keeps the last vector of a key where keys tell the shard, and any number with one id", async () => {
  const { store, written } = write(again, hashSharding({ shards: 2 }));
  await written;
  await using reader = await openSnapshot({ store });
  const { results } = await reader.search([500, 2], { topK: 100 });
  deepEqual([results.length, results[0]], [20, { id: 4, score: 0, payload: null }]);

  const named = write(rows, clusterSharding({ centroids: [[0, 0], [100, 0]] }), {
    vector: ({ id, vector }) => ({ id: `page ${id % 3}`, vector, payload: { id } }),
  });
  await named.written;
  await using pages = await openSnapshot({ store: named.store });
  const found = (await pages.search([0, 1], { topK: 3, probes: 2 })).results;
  deepEqual(found.map(({ id, payload }) => [id, payload]), [
    ["page 0", { id: 0 }],
    ["page 2", { id: 2 }],
    ["page 1", { id: 4 }],
  ]);
});
