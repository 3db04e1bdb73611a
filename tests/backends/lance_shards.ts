/**
 * LanceDB for tests, shards that are folders, and vectors whose neighbours are measured by going through all of them.
 * @module
 */
import { test, type TestContext } from "node:test";
import type { ObjectDigest, RemoteShard, SearchHit } from "../../src/backends/backend.ts";
import { importLance } from "../../src/backends/lance_library.ts";
import { ObjectNotFoundError } from "../../src/errors.ts";
import { PagePool } from "../../src/read/page_pool.ts";
import { faultStore } from "../../src/testing/fault_store.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import type { SortedRows } from "../../src/rows.ts";
import { VectorCellPacker } from "../../src/vector/vector_cell.ts";
import { ShardRows } from "../../src/write/shard_rows.ts";

/**
 * Why tests of LanceDB are left out; null when they are not. `SHARDYFUSION_LANCEDB` names a folder in whose
 * `node_modules` the package is, for those who do not have it beside the other packages of the checkout.
 */
export const lanceMissing: string | null = await findLance();

async function findLance(): Promise<string | null> {
  const folder = process.env["SHARDYFUSION_LANCEDB"];
  if (folder !== undefined && folder !== "") process.chdir(folder);
  try {
    await importLance();
    return null;
  } catch (error) {
    const { cause } = error as Error;
    return `no @lancedb/lancedb: ${cause instanceof Error ? cause.message.split("\n")[0] : cause}`;
  }
}

/** A test that is skipped aloud without LanceDB. */
export function lanceTest(name: string, use: (context: TestContext) => Promise<void>): void {
  // Importing LanceDB takes Python many seconds on a busy machine; Bun allows five.
  test(name, { timeout: 120_000 }, async (context) => {
    if (lanceMissing === null) return await use(context);
    if (!isTold) console.log(`LEFT OUT: tests of LanceDB: ${lanceMissing}`);
    isTold = true;
    context.skip(lanceMissing);
  });
}

let isTold = false;

/** A shard's folder in a store, as a reader over ranges sees it. */
export function folderShard(
  store: ObjectStore,
  { prefix, fileName, objects, sizeBytes = 0 }: {
    readonly prefix: string;
    readonly fileName: string;
    readonly objects: readonly ObjectDigest[] | undefined;
    readonly sizeBytes?: number;
  },
): { readonly shard: RemoteShard; readonly requests: string[] } {
  const requests: string[] = [];
  const counted = faultStore(store, {
    fault: ({ key }) => {
      requests.push(key);
      return null;
    },
  });
  const shard: RemoteShard = {
    store: counted,
    key: `${prefix}/${fileName}`,
    url: `${store.url}/${prefix}/${fileName}`,
    sizeBytes: objects?.[0]?.sizeBytes ?? sizeBytes,
    keyEncoding: "u64be",
    objects,
    pageSizeHint: undefined,
    mayHaveSidecar: false,
    pages: new PagePool(1 << 24),
    tally: { cacheHits: 0, filterHits: 0 },
    async read(range, signal) {
      const { parts, etag } = await counted.getRanges(`${prefix}/${fileName}`, [range], { signal });
      return { bytes: parts[0]!, etag };
    },
    async load(name, signal) {
      try {
        return await (await counted.get(`${prefix}/${name}`, { signal })).bytes();
      } catch (error) {
        if (error instanceof ObjectNotFoundError) return null;
        throw error;
      }
    },
    gapBytesMax: () => 1 << 14,
    warn: () => {},
  };
  return { shard, requests };
}

/** A store with these files. */
export async function storeOf(files: ReadonlyMap<string, Uint8Array>, prefix: string): Promise<ObjectStore> {
  const store = memoryStore();
  for (const [name, bytes] of files) await store.put(`${prefix}/${name}`, bytes);
  return store;
}

/** A vector with what LanceDB keeps of it. */
export interface PlainVector {
  readonly id: string;
  readonly vector: Float32Array;
  readonly payload: SearchHit["payload"];
}

/** The nearest by LanceDB's scores, measured in 64-bit arithmetic. */
export function nearestByHand(
  vectors: Iterable<PlainVector>,
  query: Float32Array,
  { metric, topK }: { readonly metric: "cosine" | "l2" | "dot_product"; readonly topK: number },
): SearchHit[] {
  const hits = Array.from(vectors, ({ id, vector, payload }) => ({ id, payload, score: scoreOf(vector) }));
  function scoreOf(vector: Float32Array): number {
    let square = 0, dot = 0, own = 0, other = 0;
    vector.forEach((number, index) => {
      square += (number - query[index]!) ** 2;
      dot += number * query[index]!;
      own += number ** 2;
      other += query[index]! ** 2;
    });
    if (metric === "l2") return square;
    return metric === "cosine" ? 1 - dot / Math.sqrt(own * other) : 1 - dot;
  }
  return hits.toSorted((one, another) => one.score - another.score).slice(0, topK);
}

/** Sorted rows that have vectors and no values, packed as a write packs them; keys are the ids. */
export function vectorRows(
  vectors: readonly PlainVector[],
  { dim, metric, values }: {
    readonly dim: number;
    readonly metric: "cosine" | "l2" | "dot_product";
    readonly values?: readonly string[];
  },
): Promise<SortedRows> {
  const packer = new VectorCellPacker({ dim, metric });
  const rows = new ShardRows(0);
  const encoder = new TextEncoder();
  for (let at = 0; at < vectors.length; at += 1000) {
    const chunk = vectors.slice(at, at + 1000).map(({ id, vector, payload }, index): Uint8Array[] => {
      const value = values === undefined ? null : encoder.encode(values[at + index]!);
      const cell = new Uint8Array(packer.prepare({ id, vector, payload }, id) + (value?.length ?? 0));
      cell.set(value ?? []);
      packer.put(cell, value?.length ?? 0, value?.length ?? null);
      return [encoder.encode(id), cell];
    });
    const starts = new Uint32Array(chunk.length + 1);
    chunk.forEach(([key, cell], index) => starts[index + 1] = starts[index]! + key!.length + cell!.length);
    const keyLengths = Uint32Array.from(chunk, ([key]) => key!.length);
    const bytes = new Uint8Array(Buffer.concat(chunk.flat()));
    rows.add({ rowCount: chunk.length, starts, keyLengths, bytes, shardId: 0, isPaid: false });
  }
  return rows.sorted();
}
