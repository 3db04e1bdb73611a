/**
 * Objects behind any HTTP server, read only: a public bucket, a CDN, a folder of a web server.
 * @module
 */
import { anyFunction, checkFields, integerFrom, optional, refuseOption } from "../option_fields.ts";
import { fetchReads } from "./fetch_reads.ts";
import type { ReadableStore } from "./store.ts";

/** What {@linkcode httpStore} can be told. */
export interface HttpStoreOptions {
  /** Where the keys begin. Its query is sent with every request, as presigned places want it. */
  readonly url: string | URL;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Sends the requests instead of the global `fetch`: for proxies, service bindings. */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /** Tries per request, the first included. @default {3} */
  readonly attemptsMax?: number | undefined;
}

const CHECKS = {
  // Checked when it is parsed, as the general error would show what may be secret.
  url: () => null,
  headers: () => null,
  fetch: optional(anyFunction),
  attemptsMax: optional(integerFrom(1)),
};

/**
 * A store that reads by HTTP, with the runtime's `fetch` and nothing else.
 *
 * The server should answer ranges (206 with `Content-Range`), tell strong ETags and lengths, and compress nothing. One
 * that knows no ranges serves whole objects; ranges of large ones fail then. For pages of other origins, CORS must
 * allow the header `If-None-Match` and expose `Content-Range`, `Content-Length` and `ETag`.
 *
 * Caches on the way answer as they like: the pointer object needs `Cache-Control: no-cache` for readers to see a new
 * snapshot at once.
 *
 * What failed for a moment (no answer or half of one, 408, 429, 5xx) is asked again, up to `attemptsMax` tries 50 ms,
 * 100 ms and so on apart, or after the seconds that `Retry-After` says, up to 2. Only `body`, the stream, is not.
 *
 * @throws {ConfigValidationError} when an option is wrong.
 *
 * @example
 * ```ts
 * import { httpStore } from "./http_store.ts";
 *
 * const store = httpStore("https://cdn.example.org/cities/?version=1");
 * if (store.url !== "https://cdn.example.org/cities") throw new Error("unexpected url");
 * ```
 */
export function httpStore(place: string | URL | HttpStoreOptions): ReadableStore {
  const options = typeof place === "string" || place instanceof URL ? { url: place } : place;
  checkFields(options, "httpStore", CHECKS);
  const { origin, pathname, search } = checkedBase(options.url);
  const base = `${origin}${pathname}`.replace(/\/+$/, "");
  return fetchReads(base, {
    attemptsMax: options.attemptsMax,
    send(path, headers, signal) {
      const init = { headers: { ...options.headers, ...headers }, ...(signal && { signal }) };
      return (options.fetch ?? globalThis.fetch)(`${base}/${path}${search}`, init);
    },
  });
}

function checkedBase(url: string | URL): URL {
  const parsed = URL.parse(url);
  if (parsed !== null && /^https?:$/.test(parsed.protocol) && !parsed.username && !parsed.password && !parsed.hash) {
    return parsed;
  }
  // Not the rest of it, which may be secret.
  const shown = `${String(url).slice(0, 12)}...`;
  refuseOption("httpStore.url", 'an http(s) URL without user, password and "#"', shown);
}
