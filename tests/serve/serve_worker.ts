/**
 * A Worker that serves a snapshot from its bucket: with the whole package, or with `./reader` below `/edge/`.
 * @module
 */
import { openSnapshot } from "@shardyfusion/shardyfusion";
import { openSnapshot as openAtEdge } from "@shardyfusion/shardyfusion/reader";
import { type SnapshotHandler, snapshotHandler } from "@shardyfusion/shardyfusion/serve";
import { type R2BucketBinding, r2Store } from "@shardyfusion/shardyfusion/stores/r2";

interface Env {
  readonly BUCKET: R2BucketBinding;
}

interface Context {
  waitUntil(promise: Promise<unknown>): void;
}

const handlers = new Map<string, Promise<SnapshotHandler>>();

async function open(isEdge: boolean, env: Env): Promise<SnapshotHandler> {
  const options = { store: r2Store(env.BUCKET, { prefix: "served" }), access: "range", timeoutMs: 5000 } as const;
  const reader = isEdge ? await openAtEdge(options) : await openSnapshot(options);
  return snapshotHandler(reader, { refreshEvery: 1, contentType: "text/plain" });
}

export default {
  async fetch(request: Request, env: Env, context: Context): Promise<Response> {
    const isEdge = new URL(request.url).pathname.startsWith("/edge/");
    const kind = isEdge ? "edge" : "whole";
    const handler = handlers.get(kind) ?? open(isEdge, env);
    handlers.set(kind, handler);
    return await (await handler)(new Request(request.url.replace("/edge/", "/"), request), context);
  },
};
