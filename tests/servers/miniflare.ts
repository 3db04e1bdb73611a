/**
 * Cloudflare's runtime on this machine, for tests: workerd, with R2 and the Cache API as miniflare has them.
 * @module
 */
import { buildSync } from "esbuild";
import { Miniflare } from "miniflare";
import type { R2BucketBinding, R2ObjectInfo, R2Page, R2Upload } from "../../src/stores/r2_store.ts";

/** A Worker to run. */
export interface WorkerOptions {
  /** One module, as `bundleWorker` gives it. */
  readonly script: string;
  /** Names and texts of its environment, where `BUCKET` is the bucket. */
  readonly texts?: Readonly<Record<string, string>>;
}

/** A bucket, seen from outside the Workers that it is bound to; dispose it. */
export interface MiniflareBucket extends AsyncDisposable {
  readonly bucket: R2BucketBinding;
  /** Where the Worker listens that was given, without slash at its end. */
  readonly url: string;
}

function oneModule(contents: string) {
  // Not by the option `script`, which refuses modules that import anything, however late.
  return { modules: [{ type: "ESModule" as const, path: "worker.js", contents }], compatibilityDate: "2026-04-01" };
}

/** Calls of a bucket's methods that come by HTTP, as miniflare's own proxy cannot pass bodies on to Bun. */
const WORKER = `
function info({ key, size, httpEtag, range, body }) {
  return { key, size, httpEtag, range, hasBody: body !== undefined };
}
async function call(bucket, { method, args }, value) {
  const upload = () => bucket.resumeMultipartUpload(args[0], args[1]);
  switch (method) {
    case "get":
    case "head": {
      const found = await bucket[method](...args);
      return [found && info(found), found?.body];
    }
    case "put": {
      const stored = await bucket.put(args[0], value, args[1]);
      return [stored && info(stored)];
    }
    case "list": {
      const page = await bucket.list(...args);
      return [{ ...page, objects: page.objects.map(info) }];
    }
    case "delete": return [await bucket.delete(...args) ?? null];
    case "createMultipartUpload": return [(await bucket.createMultipartUpload(...args)).uploadId];
    case "uploadPart": return [await upload().uploadPart(args[2], value)];
    case "complete": return [info(await upload().complete(args[2]))];
    case "abort": return [await upload().abort() ?? null];
  }
}
export default {
  async fetch(request, env) {
    const value = await request.arrayBuffer();
    try {
      const [result, body] = await call(env.BUCKET, JSON.parse(decodeURIComponent(request.headers.get("x-call"))), value);
      const text = encodeURIComponent(JSON.stringify(result));
      return text.length < 8000 && body ? new Response(body, { headers: { "x-result": text } }) : new Response(text);
    } catch (error) {
      return new Response(error.message, { status: 500 });
    }
  },
};`;

/** Starts an empty bucket in memory, and a Worker that has it, without compatibility flags. */
export async function startMiniflareBucket(worker?: WorkerOptions): Promise<MiniflareBucket> {
  const { script, texts } = worker ?? { script: "export default {};" };
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    workers: [
      { ...oneModule(script), name: "given", bindings: { ...texts }, r2Buckets: { BUCKET: "bucket" } },
      { ...oneModule(WORKER), name: "calls", r2Buckets: { BUCKET: "bucket" }, routes: ["*/bucket-calls"] },
    ],
  });
  const { origin } = await miniflare.ready;
  async function call<T>(method: string, args: unknown[], value?: Uint8Array): Promise<[T, Response]> {
    const response = await fetch(`${origin}/bucket-calls`, {
      method: "POST",
      headers: { "x-call": encodeURIComponent(JSON.stringify({ method, args })) },
      body: new Uint8Array(value ?? []),
    });
    if (response.status !== 200) throw new Error(await response.text());
    const text = response.headers.get("x-result") ?? await response.text();
    return [JSON.parse(decodeURIComponent(text)), response];
  }
  const first = async <T>([method, ...args]: [string, ...unknown[]]): Promise<T> => (await call<T>(method, args))[0];
  const bucket: R2BucketBinding = {
    async get(...args) {
      const [found, { body }] = await call<R2ObjectInfo & { hasBody: boolean } | null>("get", args);
      if (!found?.hasBody) return found;
      return { ...found, body: (body as ReadableStream<Uint8Array> | null) ?? new Blob().stream() };
    },
    head: (key) => first<R2ObjectInfo | null>(["head", key]),
    put: async (key, value, options) => (await call<R2ObjectInfo | null>("put", [key, options], value))[0],
    delete: (keys) => first(["delete", keys]),
    list: (options) => first<R2Page>(["list", options]),
    async createMultipartUpload(key, options) {
      const uploadId = await first<string>(["createMultipartUpload", key, options]);
      const upload: R2Upload = {
        uploadId,
        uploadPart: async (partNumber, value) =>
          (await call<never>("uploadPart", [key, uploadId, partNumber], value))[0],
        complete: (parts) => first(["complete", key, uploadId, parts]),
        abort: () => first(["abort", key, uploadId]),
      };
      return upload;
    },
  };
  return { bucket, url: origin, [Symbol.asyncDispose]: () => miniflare.dispose() };
}

/** Bundles a module as the author of a Worker would; modules of Node that it may import late stay outside. */
export function bundleWorker(path: string): string {
  const { outputFiles } = buildSync({
    entryPoints: [path],
    bundle: true,
    format: "esm",
    platform: "neutral",
    target: "es2024",
    mainFields: ["module", "main"],
    conditions: ["workerd"],
    external: ["node:*"],
    write: false,
    logLevel: "error",
  });
  return outputFiles[0]!.text;
}
