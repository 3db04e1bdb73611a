/**
 * Which pages of other origins may read answers in a browser.
 * @module
 */
import type { CorsOptions } from "./serve_options.ts";

const EXPOSED = "ETag, Retry-After, WWW-Authenticate";
const ALLOWED = "Authorization, Content-Type, If-None-Match, Accept";

/** Headers for the origin of a request; none when it is not allowed, or no page asks. */
export function corsHeaders(cors: CorsOptions, origin: string | null): Record<string, string> {
  if (cors.origins === "*") return { "access-control-allow-origin": "*", "access-control-expose-headers": EXPOSED };
  const isAllowed = origin !== null && cors.origins.includes(origin);
  return isAllowed
    ? { "access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED, "vary": "Origin" }
    : { "vary": "Origin" };
}

/** What a browser is told before it sends a request of a page. */
export function preflightHeaders(cors: CorsOptions, allow: string): Record<string, string> {
  return {
    "access-control-allow-methods": allow,
    "access-control-allow-headers": ALLOWED,
    "access-control-max-age": String(cors.maxAgeSeconds ?? 600),
  };
}
