/**
 * What clients are told when something is wrong (RFC 9457), and what they are not told.
 * @module
 */
import {
  CelEvaluationError,
  ConfigValidationError,
  type ErrorCode,
  ReaderStateError,
  ShardAssignmentError,
  StoreError,
  UnknownRoutingTokenError,
} from "../errors.ts";

/** Something that a client did wrong, or that cannot be done now; ends the answering of a request. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly status: number;
  readonly code: ErrorCode | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** @param message What the client is told. */
  constructor(
    status: number,
    message: string,
    { code, headers = {} }: {
      readonly code?: ErrorCode | undefined;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

const TITLES: Readonly<Record<number, string>> = Object.freeze({
  400: "Bad Request",
  401: "Unauthorized",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  414: "URI Too Long",
  415: "Unsupported Media Type",
  499: "Client Closed Request",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
});

/** What errors about a request's own parts call them; anything else is the server's own matter. */
const REQUEST_PATHS = new Set([
  "key",
  "columns",
  "query",
  "vector",
  "shard",
  "shards",
  "from",
  "to",
  "prefix",
  "limit",
  "topK",
  "probes",
]);

const DETAIL_CHARS_MAX = 300;
const RETRY = Object.freeze({ "retry-after": "1" });

/** The answer that tells of a problem. */
export function problemResponse({ status, message, code, headers }: Problem): Response {
  const detail = message.length > DETAIL_CHARS_MAX ? `${message.slice(0, DETAIL_CHARS_MAX)}…` : message;
  const body = JSON.stringify({ type: "about:blank", title: TITLES[status], status, detail, code });
  return new Response(body, {
    status,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store", ...headers },
  });
}

/**
 * The problem that stands for anything that was thrown. Only what is wrong with the request itself is told in the words
 * of the error: others may name places of the store.
 */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (isAboutRequest(error)) return new Problem(400, withoutUrls(error.message), { code: error.code });
  if (error instanceof UnknownRoutingTokenError) {
    return new Problem(404, "The columns lead to no shard of this snapshot", { code: error.code });
  }
  if (error instanceof ReaderStateError) {
    return new Problem(503, "The snapshot cannot be read now", { code: error.code, headers: RETRY });
  }
  if (error instanceof StoreError) {
    const { code, retryable } = error;
    return retryable
      ? new Problem(503, "The store of the snapshot does not answer", { code, headers: RETRY })
      : new Problem(502, "The store of the snapshot does not give what was asked for", { code });
  }
  const code = (error as { code?: unknown } | null)?.code;
  return new Problem(500, "The request failed", { code: code === "CORRUPT_FILE" ? code : undefined });
}

function isAboutRequest(
  error: unknown,
): error is ConfigValidationError | CelEvaluationError | ShardAssignmentError {
  if (error instanceof ConfigValidationError) return REQUEST_PATHS.has(error.path);
  return error instanceof CelEvaluationError || error instanceof ShardAssignmentError;
}

function withoutUrls(message: string): string {
  return message.replace(/[a-z][a-z0-9+.-]*:\/\/[^\s"']*/gi, "…");
}
