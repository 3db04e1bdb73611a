/**
 * A Worker with the whole package in it: writes a snapshot and reads it back, in memory or in R2.
 * @module
 */
import { hashSharding, memoryStore, openSnapshot, writeSnapshot } from "@shardyfusion/shardyfusion";
import { type R2BucketBinding, r2Store } from "@shardyfusion/shardyfusion/stores/r2";

interface Env {
  readonly BUCKET: R2BucketBinding;
}

async function writeAndRead(request: Request, env: Env): Promise<unknown> {
  const { pathname } = new URL(request.url);
  const store = pathname === "/r2" ? r2Store(env.BUCKET, { prefix: "written-in-workerd" }) : memoryStore();
  const ids = Array.from({ length: 3000 }, (_, id) => id);
  const { stats } = await writeSnapshot(ids, {
    store,
    sharding: hashSharding({ shards: 3 }),
    key: (id) => id,
    value: (id) => `value ${id}`,
  });
  const told: Record<string, unknown> = { rowCount: stats.rowsWritten };
  for (const access of ["memory", "range"] as const) {
    await using reader = await openSnapshot({ store, access });
    const decoder = new TextDecoder();
    const values = [...(await reader.getMany([7, 2999, 3000])).values()];
    let scanned = 0;
    for await (const _row of reader.scan()) scanned++;
    told[access] = { values: values.map((value) => value && decoder.decode(value)), scanned, ...reader.info };
  }
  return told;
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    try {
      return Response.json(await writeAndRead(request, env));
    } catch (error) {
      return new Response(String((error as Error).stack), { status: 500 });
    }
  },
};
