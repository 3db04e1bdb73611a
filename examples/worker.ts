// A Worker that serves a snapshot from a bucket of R2. In wrangler.toml:
//
//   main = "worker.ts"
//   compatibility_date = "2026-04-01"
//   r2_buckets = [{ binding = "BUCKET", bucket_name = "people" }]
import { type KeyReader, openSnapshot } from "@shardyfusion/shardyfusion/reader";
import { snapshotHandler } from "@shardyfusion/shardyfusion/serve";
import { cachedStore, type ResponseCache } from "@shardyfusion/shardyfusion/stores/cached";
import { type R2BucketBinding, r2Store } from "@shardyfusion/shardyfusion/stores/r2";

type Env = { BUCKET: R2BucketBinding };
type Context = { waitUntil(promise: Promise<unknown>): void };
type Handler = (request: Request, context: Context) => Promise<Response>;

declare const caches: { readonly default: ResponseCache };

let opened: Promise<Handler> | undefined; // one reader for all requests that come to the isolate

async function open(env: Env): Promise<Handler> {
  // What has a run in its key never changes; where it is cached, no GET is sent to the bucket.
  const store = cachedStore(r2Store(env.BUCKET, { prefix: "people" }), { cache: caches.default });
  const reader: KeyReader = await openSnapshot({ store, concurrencyMax: 6, timeoutMs: 5_000 });
  return snapshotHandler(reader, { contentType: "application/json", refreshEvery: 10_000 });
}

export default {
  async fetch(request: Request, env: Env, context: Context): Promise<Response> {
    opened ??= open(env);
    opened.catch(() => opened = undefined); // the next request tries again
    return (await opened)(request, context);
  },
};
