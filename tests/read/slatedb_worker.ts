/**
 * A Worker that looks keys up in SlateDB shards: what `slatedb_edge_test.ts` bundles and runs.
 * @module
 */
import { slatedbReader } from "../../src/backends/slatedb_shard_reader.ts";
import { httpStore, type KeyReader, openSnapshot } from "../../src/edge/mod.ts";

/** What is asked: keys as decimal numbers or texts, in an array as JSON. */
export type AskedKeys = readonly (number | string)[];

let reader: Promise<KeyReader> | undefined;

export default {
  async fetch(request: Request, env: { readonly SNAPSHOT_URL: string }): Promise<Response> {
    const opened = await (reader ??= openSnapshot({ store: httpStore(env.SNAPSHOT_URL), backend: slatedbReader() }));
    const keys: AskedKeys = await request.json();
    const values = await opened.getMany(keys);
    return Response.json(keys.map((key) => {
      const value = values.get(key);
      return value ? [...value].map((byte) => byte.toString(16).padStart(2, "0")).join("") : null;
    }));
  },
};
