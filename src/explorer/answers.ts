/**
 * Responses, and the headers that all of them have.
 * @module
 */

/**
 * Nothing but what this server itself sends is loaded or asked, no script stands in the page, and no other page frames
 * it. The module builds the page of elements and texts only.
 */
const CONTENT_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const COMMON_HEADERS = {
  "content-security-policy": CONTENT_POLICY,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

/** A part of the page: the same for everybody, and asked for again with its tag. */
export function assetAnswer(
  request: Request,
  { text, type, etag }: { readonly text: string; readonly type: string; readonly etag: string },
): Response {
  const headers = { ...COMMON_HEADERS, "cache-control": "no-cache", "content-type": type, etag };
  const isKnown = (request.headers.get("if-none-match") ?? "").split(",").some((tag) => tag.trim() === etag);
  if (isKnown) return new Response(null, { status: 304, headers });
  return new Response(request.method === "HEAD" ? null : text, { headers });
}

/** Data, which nobody keeps. Whole numbers beyond 2^53 become texts. */
export function jsonAnswer(
  request: Request,
  data: unknown,
  { status = 200, headers = {} }: { readonly status?: number; readonly headers?: Record<string, string> } = {},
): Response {
  const text = JSON.stringify(data, (_key, value) => typeof value === "bigint" ? String(value) : value);
  return new Response(request.method === "HEAD" ? null : text, {
    status,
    headers: { ...COMMON_HEADERS, "cache-control": "no-store", "content-type": "application/json", ...headers },
  });
}

/** An error as data. */
export function errorAnswer(
  request: Request,
  { status, code, message, headers }: {
    readonly status: number;
    readonly code: string;
    readonly message: string;
    readonly headers?: Record<string, string>;
  },
): Response {
  return jsonAnswer(request, { error: { code, message } }, { status, ...(headers && { headers }) });
}
