/**
 * How much searches find, and how long they take, where vectors are sharded by clusters or by hyperplanes and only some
 * shards are asked: `vector_recall.ts [ROWS] [DIM] [SHARDS]`. Prints one line of JSON: recall at 10 and milliseconds
 * (median of the searches, and of the processor) by sharding and number of probes, beside the exact answer, which asks all shards.
 *
 * Vectors are those of `clustered_vectors.ts`; queries are others of the same kind. Whole shards are in memory.
 * @module
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { sqliteVecBackend } from "../src/backends/sqlite_vec_backend.ts";
import { openSnapshot } from "../src/read/open_snapshot.ts";
import { clusterSharding, lshSharding, type VectorSharding } from "../src/routing/vector_sharding.ts";
import { fsStore } from "../src/stores/fs_store.ts";
import { type RankedMatch, recallAtK } from "../src/testing/recall.ts";
import { writeSnapshot } from "../src/write/mod.ts";
import { clusteredVectors } from "./clustered_vectors.ts";
import { peakMiB } from "./rows.ts";

const [rowCount = 200_000, dim = 384, shards = 16] = process.argv.slice(2).map(Number);
const QUERIES = 50;
const TOP_K = 10;
const PROBES = [1, 2, 4];

interface Found {
  readonly recall: number;
  readonly medianMs: number;
  /** Milliseconds of the processor for a search, the mean. */
  readonly cpuMs: number;
}

function* rows(): Generator<number> {
  for (let id = 0; id < rowCount; id++) yield id;
}

const nextQuery = clusteredVectors(dim, 99);
const queries = Array.from({ length: QUERIES }, () => nextQuery().slice());

async function measure(sharding: VectorSharding, exact: RankedMatch[][]): Promise<Record<string, number | Found>> {
  const folder = mkdtempSync(join(tmpdir(), "vectors-bench-"));
  try {
    const store = fsStore(folder);
    const next = clusteredVectors(dim, 1);
    const startCpu = process.cpuUsage();
    await writeSnapshot(rows(), {
      store,
      sharding,
      backend: sqliteVecBackend({ dim, metric: "cosine" }),
      memory: { bytesMax: 128 << 20 },
      key: (id) => id,
      vector: () => ({ vector: next() }),
    });
    const { user, system } = process.cpuUsage(startCpu);
    const built = { rowsPerCpu: Math.round(rowCount / (user + system) * 1e6), peakMiB: peakMiB() };
    await using reader = await openSnapshot({ store, access: "memory" });
    const counts = reader.shards.map(({ rowCount }) => rowCount!);
    const result: Record<string, number | Found> = { ...built, largestShard: Math.max(...counts) };
    const search = async (probes: number | undefined, where?: number[]): Promise<Found> => {
      const times: number[] = [];
      const startCpu = process.cpuUsage();
      let recall = 0;
      await reader.search(queries[0]!, { topK: TOP_K, probes, shards: where });
      for (const [i, query] of queries.entries()) {
        const { results, latencyMs } = await reader.search(query, { topK: TOP_K, probes, shards: where });
        times.push(latencyMs);
        exact[i] ??= [...results];
        recall += recallAtK(results, exact[i], TOP_K) / QUERIES;
      }
      const { user, system } = process.cpuUsage(startCpu);
      const cpuMs = Math.round((user + system) / 10 / (QUERIES + 1)) / 100;
      const medianMs = times.sort((one, other) => one - other)[QUERIES >> 1]!;
      return { recall: Math.round(recall * 1000) / 1000, medianMs: Math.round(medianMs * 10) / 10, cpuMs };
    };
    // First, as it tells what is exact.
    result["all"] = await search(undefined, counts.map((_, shard) => shard));
    for (const probes of PROBES) result[probes] = await search(probes);
    return result;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const exact: RankedMatch[][] = [];
const cluster = await measure(clusterSharding({ shards }), exact);
const lsh = await measure(lshSharding({ shards }), exact);
// What the second build adds to the peak tells nothing.
delete lsh["peakMiB"];
const { rowsPerCpu, peakMiB: peak } = cluster;
console.log(JSON.stringify({ rowsPerSecond: rowsPerCpu, peakMiB: peak, cluster, lsh }));
