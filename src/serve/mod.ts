/**
 * A snapshot as an HTTP service: one function from `Request` to `Response`, for `Deno.serve`, `Bun.serve`, Workers and,
 * by an adapter, `node:http`.
 *
 * @example
 * ```ts
 * import { hashSharding, memoryStore, openSnapshot, writeSnapshot } from "../../mod.ts";
 * import { snapshotHandler } from "./mod.ts";
 *
 * const store = memoryStore();
 * await writeSnapshot([1], { store, sharding: hashSharding({ shards: 1 }), key: (id) => id, value: () => "one" });
 * await using reader = await openSnapshot({ store });
 * await using handler = snapshotHandler(reader, { refreshEvery: 10_000 });
 * const answer = await handler(new Request("http://localhost/v1/route/1"));
 * if (await answer.text() !== '{"key":"1","shard":0}') throw new Error("unexpected answer");
 * ```
 * @module
 */
export { type FetchHandler, nodeListener } from "./node_listener.ts";
export { type CloseHandlerOptions, type SnapshotHandler, snapshotHandler } from "./snapshot_handler.ts";
export type { CorsOptions, ServeLimits, SnapshotHandlerOptions } from "./serve_options.ts";
