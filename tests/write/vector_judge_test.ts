// Snapshots with vectors that we write. Judge: a reader in Python, with SQLite and the extension sqlite-vec from PyPI.
import { deepEqual, equal, ok } from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { sqliteVecBackend, type SqliteVecBackendOptions } from "../../src/backends/sqlite_vec_backend.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { hashSharding, type Sharding } from "../../src/routing/sharding.ts";
import { clusterSharding, explicitSharding, lshSharding } from "../../src/routing/vector_sharding.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { writeSnapshot, type WriteSnapshotOptions } from "../../src/write/mod.ts";
import { judgedSeries, pythonVectorsMissing } from "../backends/python_vectors.ts";
import { temporaryFolder, toHex } from "../read/fixture_snapshots.ts";
import { heaps } from "../vector/fixture_vectors.ts";

const DIM = 12;
const ROWS = 1500;
const numbers = heaps({ rows: ROWS, dim: DIM, heaps: 9 });

function vectorAt(row: number): Float32Array {
  return numbers.subarray(row * DIM, (row + 1) * DIM);
}

function idAt(row: number): number | string {
  return row % 3 === 0 ? row : `doc ${row} é`;
}

type Case = readonly [Sharding, Partial<SqliteVecBackendOptions>, Partial<WriteSnapshotOptions<number>>?];

const SERIES: Readonly<Record<string, Case>> = {
  "values and vectors by l2": [hashSharding({ shards: 3 }), {}, { value: (row) => `value ${row}` }],
  "values and vectors by cosine": [hashSharding({ shards: 2 }), { metric: "cosine", pageSizeBytes: "auto" }, {
    value: (row) => "x".repeat(row),
  }],
  "spilled by two threads": [hashSharding({ shards: 3 }), {}, {
    value: () => "",
    workers: 2,
    memory: { bytesMax: 50_000 },
  }],
  "vectors by hash": [hashSharding({ shards: 2 }), { metric: "cosine" }],
  "trained clusters": [clusterSharding({ shards: 5, probes: 2 }), {}],
  "trained clusters by cosine": [clusterSharding({ shards: 4 }), { metric: "cosine", pageSizeBytes: 16384 }],
  "hyperplanes": [lshSharding({ shards: 4, probes: 3 }), {}],
  "chosen shards": [explicitSharding<number>({ shards: 3, shard: (row) => row % 2 * 2 }), {}],
};

for (const [name, [sharding, layout, more]] of Object.entries(SERIES)) {
  test(`writeSnapshot() and search() agree with sqlite-vec in Python: ${name}`, { timeout: 60_000 }, async (t) => {
    if (pythonVectorsMissing !== null) {
      console.log(`LEFT OUT: ${pythonVectorsMissing}`);
      return t.skip(pythonVectorsMissing);
    }
    using folder = temporaryFolder();
    const place = join(folder.path, "series");
    const store = fsStore(place);
    await writeSnapshot(Array(ROWS).keys(), {
      store,
      sharding,
      backend: sqliteVecBackend({ dim: DIM, metric: "l2", ...layout }),
      key: (row) => row,
      vector: (row) => ({ id: idAt(row), vector: vectorAt(row), ...(row % 2 === 0 && { payload: { row } }) }),
      ...more,
    });
    const searches = [7, 8, 700].flatMap((row) => [{ query: vectorAt(row), topK: 1 }, {
      query: vectorAt(row).map((number) => number + 0.1),
      topK: 12,
      ...((name.includes("clusters") || name === "hyperplanes") && { probes: 3 }),
    }]);
    const judged = judgedSeries(place, searches);
    deepEqual(judged.shards.flatMap(({ problems }) => problems), []);
    checkContent(judged, more?.value as ((row: number) => string) | undefined);
    await using reader = await openSnapshot({ store });
    for (const [i, { query, topK, ...options }] of searches.entries()) {
      const { asked, hits } = judged.searches[i]!;
      const shards = name === "chosen shards" ? [0, 1, 2] : undefined;
      const { results, shardsQueried } = await reader.search(query, { topK, ...options, shards });
      equal(shardsQueried, asked);
      deepEqual(
        results.map(({ id, payload }) => ({ id, payload })),
        hits.map(([id, , payload]) => ({ id, payload })),
      );
      for (const [at, [, score]] of hits.entries()) ok(Math.abs(results[at]!.score - score) < 1e-5, `score ${score}`);
      ok(hits.length === topK);
    }
  });
}

/** Every row and every vector is stored once. */
function checkContent(
  { shards }: ReturnType<typeof judgedSeries>,
  value: ((row: number) => string) | undefined,
): void {
  const rows = Array.from({ length: value === undefined ? 0 : ROWS }, (_, row) => {
    return [row.toString(16).padStart(16, "0"), toHex(new TextEncoder().encode(value!(row)))];
  });
  deepEqual(shards.flatMap((shard) => shard.rows).sort(), rows);
  const text = ([id, vector]: readonly [number | string, string]): string => `${typeof id} ${id} ${vector}`;
  deepEqual(
    shards.flatMap((shard) => shard.vectors.map(text)).sort(),
    Array.from(Array(ROWS).keys(), (row) => {
      const vector = vectorAt(row);
      return text([idAt(row), toHex(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength))]);
    }).sort(),
  );
}
