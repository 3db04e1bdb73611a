/**
 * Which path leads to what.
 * @module
 */
import type { Call, Endpoint } from "./call.ts";
import { describeHealth, describeShards, describeSnapshot } from "./describe_snapshot.ts";
import { isKnown } from "./entity_tag.ts";
import { getRoute, getValue } from "./get_value.ts";
import { getManyValues } from "./many_values.ts";
import { openApiText } from "./openapi.ts";
import { Problem } from "./problems.ts";
import { scanRows } from "./scan_rows.ts";
import { searchVectors } from "./search_vectors.ts";

/** Methods of one path, and who answers them. */
export type Methods = Readonly<Partial<Record<"GET" | "POST", Endpoint>>>;

/** What a path leads to. */
export interface Found {
  readonly methods: Methods;
  /** The path, with `{key}` for a key. */
  readonly route: string;
  /** The rest of the path, where it is a key. */
  readonly keyText: string;
}

const BY_PATH: ReadonlyMap<string, Methods> = new Map<string, Methods>([
  ["/v1/multiget", { POST: getManyValues }],
  ["/v1/scan", { GET: scanRows, POST: scanRows }],
  ["/v1/search", { POST: searchVectors }],
  ["/v1/info", { GET: describeSnapshot }],
  ["/v1/shards", { GET: describeShards }],
  ["/v1/health", { GET: describeHealth }],
  ["/v1/openapi.json", { GET: describeApi }],
  ["/metrics", { GET: describeMetrics }],
]);

const BY_KEY: readonly (readonly [prefix: string, route: string, methods: Methods])[] = [
  ["/v1/get/", "/v1/get/{key}", { GET: getValue }],
  ["/v1/route/", "/v1/route/{key}", { GET: getRoute }],
];

/** Finds who answers for a path as it came; null for nobody. A key is one segment: its slashes are encoded. */
export function endpointOf(path: string): Found | null {
  for (const [prefix, route, methods] of BY_KEY) {
    if (!path.startsWith(prefix)) continue;
    return path.includes("/", prefix.length) ? null : { methods, route, keyText: path.slice(prefix.length) };
  }
  const methods = BY_PATH.get(path);
  return methods === undefined ? null : { methods, route: path, keyText: "" };
}

/** Methods as the header `Allow` has them. */
export function allowedMethods(methods: Methods): string {
  const names = Object.keys(methods).flatMap((name) => name === "GET" ? ["GET", "HEAD"] : [name]);
  return [...names, "OPTIONS"].join(", ");
}

// deno-lint-ignore require-await -- an endpoint
async function describeApi({ service, request }: Call): Promise<Response> {
  const { text, tag } = openApiText(service);
  const headers = { "content-type": "application/json", "cache-control": service.options.cacheControl, "etag": tag };
  return isKnown(request.headers.get("if-none-match"), tag, true)
    ? new Response(null, { status: 304, headers: { "cache-control": headers["cache-control"], "etag": tag } })
    : new Response(text, { headers });
}

async function describeMetrics({ service: { options } }: Call): Promise<Response> {
  if (options.metrics === undefined) throw new Problem(404, "This service has no metrics");
  const headers = { "content-type": "text/plain; version=0.0.4; charset=utf-8", "cache-control": "no-store" };
  return new Response(await options.metrics(), { headers });
}
