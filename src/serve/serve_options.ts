/**
 * Options of a handler: what they are, what they must be, and what they are when left out.
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import { ConfigValidationError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import {
  anyFunction,
  checkFields,
  clockCheck,
  type FieldCheck,
  integerFrom,
  nonEmptyString,
  numberAboveZero,
  objectOf,
  optional,
} from "../option_fields.ts";

/** What one request, and all together, may ask for. */
export interface ServeLimits {
  /** Keys of one multiget. @default {1000} */
  readonly keysMax?: number | undefined;
  /** Rows of one scan. @default {100000} */
  readonly rowsMax?: number | undefined;
  /** Results of one search. @default {1000} */
  readonly topKMax?: number | undefined;
  /** Body of a request, in bytes. @default {1048576} */
  readonly bodyBytesMax?: number | undefined;
  /** Path and query of a request, in characters. @default {8192} */
  readonly urlCharsMax?: number | undefined;
  /** Requests that are answered at the same time; others are told to come again. @default {1024} */
  readonly requestsMax?: number | undefined;
}

/** Which pages of other origins may read answers in a browser. */
export interface CorsOptions {
  /** `"*"` for all, or origins such as `https://app.example.org`. */
  readonly origins: "*" | readonly string[];
  /** For how long browsers may remember what they were told about an endpoint. @default {600} */
  readonly maxAgeSeconds?: number | undefined;
}

/** Options of `snapshotHandler`. */
export interface SnapshotHandlerOptions {
  /** Type of the values. @default {"application/octet-stream"} */
  readonly contentType?: string | undefined;
  /**
   * `Cache-Control` of what the snapshot says. Default: `no-cache`, which lets caches keep answers and ask by ETag
   * whether they still hold, and with a token `private, no-cache`.
   */
  readonly cacheControl?: string | undefined;
  /** What a request must bring as `Authorization: Bearer …`; one of them, if there are several. Default: nothing. */
  readonly token?: string | readonly string[] | undefined;
  /** Which paths need the token, with everything below them: `["/v1/scan"]`. @default {"all"} */
  readonly tokenPaths?: "all" | readonly string[] | undefined;
  /** Default: browsers keep pages of other origins from reading answers. */
  readonly cors?: CorsOptions | undefined;
  /** Sizes and counts. */
  readonly limits?: ServeLimits | undefined;
  /** From this age of the snapshot on the health endpoint answers 503, in milliseconds. Default: never. */
  readonly staleAfterMs?: number | undefined;
  /**
   * Looks for a newer snapshot about every so many milliseconds, a fifth more or less, so that many servers do not ask
   * at once. Default: never. Begins with the first request; where requests come with a context, as on Workers, they
   * take turns in doing it.
   */
  readonly refreshEvery?: number | undefined;
  /** What the metrics endpoint answers, in Prometheus' text format. Default: there is no such endpoint. */
  readonly metrics?: (() => Promise<string>) | undefined;
  /**
   * Asked first about every request, before its token is looked at: what it answers, it has to protect itself. Null
   * leaves the request to the handler.
   */
  readonly routes?: ((request: Request) => Promise<Response | null>) | undefined;
  /** Is told of what clients are not told: failures of the store, damage, a refresh that failed. */
  readonly onError?: ((error: unknown, request: Request | null) => void) | undefined;
  /** Takes the event `serve.request` when an answer begins; the reader has an `onEvent` of its own. */
  readonly onEvent?: EventSink | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

/** Options with defaults filled in. */
export interface CheckedServeOptions extends SnapshotHandlerOptions {
  readonly contentType: string;
  readonly cacheControl: string;
  /** Empty for none. */
  readonly tokens: readonly string[];
  readonly tokenPaths: "all" | readonly string[];
  readonly limits: Readonly<Required<{ [name in keyof ServeLimits]: number }>>;
  readonly clock: Clock;
}

const DEFAULT_LIMITS = Object.freeze({
  keysMax: 1000,
  rowsMax: 100_000,
  topKMax: 1000,
  bodyBytesMax: 1 << 20,
  urlCharsMax: 8192,
  requestsMax: 1024,
});

const limitChecks: Readonly<Record<string, FieldCheck>> = Object.fromEntries(
  Object.keys(DEFAULT_LIMITS).map((name) => [name, optional(integerFrom(1))]),
);

const checks: Readonly<Record<string, FieldCheck>> = {
  contentType: optional(headerText),
  cacheControl: optional(headerText),
  token: () => null, // Below.
  tokenPaths: optional((value) =>
    value === "all" || isList(value, (path) => path.startsWith("/")) ? null : '"all" or paths such as "/v1/scan"'
  ),
  cors: optional(objectOf('{ origins: "*" or a list, maxAgeSeconds? }', "origins")),
  limits: optional(objectOf("{ keysMax?, rowsMax?, topKMax?, bodyBytesMax?, urlCharsMax?, requestsMax? }")),
  staleAfterMs: optional(numberAboveZero),
  refreshEvery: optional(numberAboveZero),
  metrics: optional(anyFunction),
  routes: optional(anyFunction),
  onError: optional(anyFunction),
  onEvent: optional(anyFunction),
  clock: optional(clockCheck),
};

const corsChecks: Readonly<Record<string, FieldCheck>> = {
  origins: (value) =>
    value === "*" || isList(value, (origin) => URL.parse(origin)?.origin === origin)
      ? null
      : '"*" or origins such as "https://app.example.org"',
  maxAgeSeconds: optional(integerFrom(0)),
};

/** @throws {ConfigValidationError} naming the first wrong option. */
export function checkServeOptions(options: SnapshotHandlerOptions): CheckedServeOptions {
  checkFields(options, "", checks);
  const { limits = {}, cors, token = [] } = options;
  checkFields(limits, "limits", limitChecks);
  if (cors !== undefined) checkFields(cors, "cors", corsChecks);
  const tokens = typeof token === "string" ? [token] : token;
  if (options.token !== undefined) checkTokens(tokens);
  return Object.freeze({
    ...options,
    contentType: options.contentType ?? "application/octet-stream",
    cacheControl: options.cacheControl ?? (tokens.length > 0 ? "private, no-cache" : "no-cache"),
    tokens: [...tokens],
    tokenPaths: options.tokenPaths ?? "all",
    limits: Object.freeze({
      ...DEFAULT_LIMITS,
      ...Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)),
    }),
    clock: options.clock ?? systemClock(),
  });
}

function isList(value: unknown, isRight: (item: string) => boolean): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === "string" && isRight(item));
}

/** Passed by what can stand in a header. */
function headerText(value: unknown): string | null {
  const isRight = nonEmptyString(value) === null && /^[\x20-\x7e]+$/.test(value as string);
  return isRight ? null : "a non-empty string of printable ASCII";
}

/** Wants what RFC 6750 lets stand after `Bearer`. What it is instead is not told: it may be a secret. */
function checkTokens(tokens: unknown): void {
  const isRight = isList(tokens, (token) => /^[A-Za-z0-9._~+/-]+=*$/.test(token));
  if (isRight && (tokens as string[]).length > 0) return;
  throw new ConfigValidationError(
    'Cannot use option "token" as it must be one or more tokens of letters, digits and -._~+/, with = at the end',
    "token",
  );
}
