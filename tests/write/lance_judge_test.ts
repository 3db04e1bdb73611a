// Snapshots of LanceDB and of two engines that we write. Judge: a reader in Python, with LanceDB, SQLite and sqlite-vec
// from PyPI.
import { deepEqual, equal, ok } from "node:assert/strict";
import { join } from "node:path";
import { compositeBackend } from "../../src/backends/composite_backend.ts";
import type { Backend } from "../../src/backends/backend.ts";
import { lancedbBackend } from "../../src/backends/lancedb_backend.ts";
import { nativeSqliteBackend } from "../../src/backends/native_sqlite_backend.ts";
import { slatedbBackend } from "../../src/backends/slatedb_backend.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { hashSharding, type Sharding } from "../../src/routing/sharding.ts";
import { clusterSharding, lshSharding } from "../../src/routing/vector_sharding.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { verifySnapshot } from "../../src/verify/verify_snapshot.ts";
import { writeSnapshot, type WriteSnapshotOptions } from "../../src/write/mod.ts";
import { lanceTest } from "../backends/lance_shards.ts";
import { lanceJudge } from "../backends/python_lance.ts";
import { type JudgedSeries, judgedSeries } from "../backends/python_vectors.ts";
import { temporaryFolder, toHex } from "../read/fixture_snapshots.ts";
import { heaps } from "../vector/fixture_vectors.ts";

const DIM = 12;
const ROWS = 900;
const numbers = heaps({ rows: ROWS, dim: DIM, heaps: 9 });

function vectorAt(row: number): Float32Array {
  return numbers.subarray(row * DIM, (row + 1) * DIM);
}

function idAt(row: number): number | string {
  return row % 3 === 0 ? row : `doc ${row} é`;
}

const space = { dim: DIM, metric: "l2" } as const;
const values = { value: (row: number): string => `value ${row}${"x".repeat(row)}` };
const hashed = hashSharding({ shards: 2 });

type Case = readonly [sharding: Sharding, backend: () => Backend, more: Partial<WriteSnapshotOptions<number>>];

const SERIES: Readonly<Record<string, Case>> = {
  "vectors by l2": [hashed, () => lancedbBackend(space), {}],
  "vectors by dot product": [hashed, () => lancedbBackend({ dim: DIM, metric: "dot_product", index: "hnsw-pq" }), {}],
  "clusters by cosine": [
    clusterSharding({ shards: 4, probes: 2 }),
    () => lancedbBackend({ dim: DIM, metric: "cosine" }),
    { workers: 2 },
  ],
  "hyperplanes": [lshSharding({ shards: 4, probes: 2 }), () => lancedbBackend({ ...space, index: "none" }), {}],
  "SQLite and LanceDB": [
    hashed,
    () => compositeBackend(sqliteBackend(), lancedbBackend({ dim: DIM, metric: "cosine" })),
    values,
  ],
  "SQLite and LanceDB, spilled by two threads": [
    hashSharding({ shards: 3 }),
    () => compositeBackend(nativeSqliteBackend({ pageSizeBytes: 8192 }), lancedbBackend(space)),
    { ...values, workers: 2, memory: { bytesMax: 50_000 } },
  ],
  "SlateDB and LanceDB": [hashed, () => compositeBackend(slatedbBackend(), lancedbBackend(space)), values],
  "SQLite and sqlite-vec": [hashed, () => compositeBackend(sqliteBackend(), sqliteVecBackend(space)), values],
};

for (const [name, [sharding, makeBackend, more]] of Object.entries(SERIES)) {
  lanceTest(`writeSnapshot() and search() agree with LanceDB in Python: ${name}`, async (context) => {
    const judge = lanceJudge(context);
    if (judge === null) return;
    using folder = temporaryFolder();
    const place = join(folder.path, "series");
    const store = fsStore(place);
    const backend = makeBackend();
    await writeSnapshot(Array(ROWS).keys(), {
      store,
      sharding,
      backend,
      key: (row) => row,
      vector: (row) => ({
        id: idAt(row),
        vector: vectorAt(row),
        ...(row % 2 === 0 && { payload: { row, "ü": null } }),
      }),
      ...more,
    });
    const searches = [7, 8, 700].flatMap((row) => [{ query: vectorAt(row), topK: 1 }, {
      query: vectorAt(row).map((number) => number + 0.1),
      topK: 12,
      ...(sharding.kind === "vectors" && { probes: 3 }),
    }]);
    const judged = judgedSeries(place, searches, judge);
    // SlateDB's half has judges of its own.
    const hasRows = "value" in more && name !== "SlateDB and LanceDB";
    checkContent(judged, { isLance: name !== "SQLite and sqlite-vec", hasRows });
    await using reader = await openSnapshot({ store });
    for (const [i, { query, topK, ...options }] of searches.entries()) {
      const { asked, hits } = judged.searches[i]!;
      const { results, shardsQueried } = await reader.search(query, { topK, ...options });
      equal(shardsQueried, asked);
      equal(hits.length, topK);
      deepEqual(
        results.map(({ id, payload }) => ({ id, payload })),
        hits.map(([id, , payload]) => ({ id, payload })),
      );
      for (const [at, [, score]] of hits.entries()) ok(Math.abs(results[at]!.score - score) < 1e-4, `score ${score}`);
    }
    deepEqual((await verifySnapshot(store)).problems, []);
  });
}

/** Every row and every vector is stored once. */
function checkContent({ shards }: JudgedSeries, { isLance, hasRows }: { isLance: boolean; hasRows: boolean }): void {
  deepEqual(shards.flatMap(({ problems }) => problems), []);
  const rows = Array.from({ length: hasRows ? ROWS : 0 }, (_, row) => {
    return [row.toString(16).padStart(16, "0"), toHex(new TextEncoder().encode(values.value(row)))];
  });
  deepEqual(shards.flatMap((shard) => shard.rows).sort(), rows);
  const text = ([id, vector]: readonly [number | string, string]): string => `${typeof id} ${id} ${vector}`;
  deepEqual(
    shards.flatMap((shard) => shard.vectors.map(text)).sort(),
    Array.from(Array(ROWS).keys(), (row) => {
      const { buffer, byteOffset, byteLength } = vectorAt(row);
      // LanceDB has no ids but texts.
      return text([isLance ? String(idAt(row)) : idAt(row), toHex(new Uint8Array(buffer, byteOffset, byteLength))]);
    }).sort(),
  );
}
