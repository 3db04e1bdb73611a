/**
 * A Worker that writes vectors to R2 and searches them.
 * @module
 */
import { hashSharding, openSnapshot, writeSnapshot } from "@shardyfusion/shardyfusion";
import { sqliteVecBackend } from "@shardyfusion/shardyfusion/backends/sqlite-vec";
import { type R2BucketBinding, r2Store } from "@shardyfusion/shardyfusion/stores/r2";

interface Env {
  readonly BUCKET: R2BucketBinding;
}

async function writeAndSearch(bucket: R2BucketBinding): Promise<unknown> {
  const store = r2Store(bucket, { prefix: "vectors" });
  await writeSnapshot(Array(1500).keys(), {
    store,
    sharding: hashSharding({ shards: 2 }),
    backend: sqliteVecBackend({ dim: 3, metric: "cosine" }),
    key: (id) => id,
    value: (id) => `value ${id}`,
    vector: (id) => ({ vector: [Math.cos(id / 1000), Math.sin(id / 1000), 0] }),
  });
  const found: Record<string, unknown> = {};
  for (const access of ["memory", "range"] as const) {
    await using reader = await openSnapshot({ store, access });
    const query = [Math.cos(0.0169), Math.sin(0.0169), 0];
    const { results, shardsQueried } = await reader.search(query, { topK: 3 });
    const value = new TextDecoder().decode((await reader.get(17))!);
    found[access] = { results, shardsQueried, value };
  }
  return found;
}

export default {
  async fetch(_request: Request, env: Env): Promise<Response> {
    try {
      return Response.json(await writeAndSearch(env.BUCKET));
    } catch (error) {
      return new Response(String((error as Error).stack), { status: 500 });
    }
  },
};
