/**
 * A Worker that looks up what it is asked for in a snapshot with CEL sharding.
 * @module
 */
import { httpStore, openSnapshot } from "@shardyfusion/shardyfusion/reader";
import { celRouting } from "@shardyfusion/shardyfusion/routing/cel";

interface Asked {
  readonly id: number;
  readonly columns: Readonly<Record<string, unknown>>;
}

export default {
  async fetch(request: Request, env: { readonly SNAPSHOT_URL: string }): Promise<Response> {
    const asked: Asked[] = await request.json();
    await using reader = await openSnapshot({ store: httpStore(env.SNAPSHOT_URL), routers: [celRouting] });
    const values = await Promise.all(asked.map(({ id, columns }) => reader.get(id, { columns })));
    return Response.json(values.map((value) => value && new TextDecoder().decode(value)));
  },
};
