/**
 * Objects in a bucket of S3, read only and by `fetch`: small enough for a Worker or a browser.
 * @module
 */
import { AwsV4Signer } from "aws4fetch";
import { ConfigValidationError } from "../errors.ts";
import { type EventSink, guardedEventSink } from "../events.ts";
import { anyFunction, checkFields, integerFrom, nonEmptyString, optional } from "../option_fields.ts";
import type { CredentialProvider, S3Credentials } from "./credentials.ts";
import { encodedPath, fetchReads } from "./fetch_reads.ts";
import { parseS3Url } from "./s3_url.ts";
import type { ReadableStore } from "./store.ts";

export type { CredentialProvider, S3Credentials } from "./credentials.ts";

/** What {@linkcode s3FetchStore} can be told; the names mean what they mean for `s3Store`. */
export interface S3FetchStoreOptions {
  /** `s3://bucket/prefix`; the prefix is not empty. */
  readonly url: string;
  /** Keys, or a function that gives them. Nothing is taken from the environment. */
  readonly credentials: S3Credentials | CredentialProvider;
  /** URL of the server, for anything but AWS. */
  readonly endpoint?: string | undefined;
  /** What requests are signed for. @default {"us-east-1"} */
  readonly region?: string | undefined;
  /** Whether the bucket stands in the path or in the host's name. Default: path with an endpoint, else host name. */
  readonly addressingStyle?: "path" | "virtual" | "auto" | undefined;
  /** Sends the requests instead of the global `fetch`: for proxies, service bindings. */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /** Tries per request, the first included. @default {3} */
  readonly attemptsMax?: number | undefined;
  /** The only way to sign that there is; older ones are refused. @default {"s3v4"} */
  readonly signatureVersion?: "s3v4" | "v4" | undefined;
  /** Takes the events `s3.retry` and `s3.retry_exhausted`. */
  readonly onEvent?: EventSink | undefined;
}

/** How long before their end credentials are not used any more. */
const EXPIRATION_MARGIN_MS = 300_000;

/**
 * A place in a bucket, for reading, through the package `aws4fetch` and the runtime's `fetch`.
 *
 * What failed for a moment (no answer or half of one, 408, 429, 5xx) is asked again, up to `attemptsMax` tries 50 ms,
 * 100 ms and so on apart, or after the seconds that `Retry-After` says, up to 2. Only `body`, the stream, is not.
 *
 * @throws {ConfigValidationError} when an option is wrong.
 *
 * @example
 * ```ts
 * import { s3FetchStore } from "./s3_fetch_store.ts";
 *
 * const credentials = { accessKeyId: "reader", secretAccessKey: "secret" };
 * const store = s3FetchStore({ url: "s3://bucket/cities", endpoint: "http://127.0.0.1:9000", credentials });
 * if (store.url !== "s3://bucket/cities") throw new Error("unexpected url");
 * ```
 */
export function s3FetchStore(options: S3FetchStoreOptions): ReadableStore {
  checkFields(options, "s3FetchStore", {
    url: nonEmptyString,
    credentials: () => null,
    endpoint: () => null,
    region: optional(nonEmptyString),
    addressingStyle: optional((value) =>
      ["path", "virtual", "auto"].includes(String(value)) ? null : '"path", "virtual" or "auto"'
    ),
    fetch: optional(anyFunction),
    attemptsMax: optional(integerFrom(1)),
    onEvent: optional(anyFunction),
    signatureVersion: optional((value) => value === "s3v4" || value === "v4" ? null : '"s3v4"'),
  });
  requireEndpoint(options.endpoint);
  requireKeys(options.credentials);
  const { bucket, prefix } = parseS3Url(options.url, "s3FetchStore.url");
  const { region = "us-east-1" } = options;
  const base = `${bucketUrl(bucket, { ...options, region })}/${encodedPath(prefix)}`;
  const credentialsNow = cachedCredentials(options.credentials);
  const signingKeys = new Map<string, ArrayBuffer>();
  async function send(path: string, headers: Readonly<Record<string, string>>, signal: AbortSignal | undefined) {
    const { accessKeyId, secretAccessKey, sessionToken } = await credentialsNow();
    signal?.throwIfAborted();
    const signer = new AwsV4Signer({
      url: `${base}/${path}`,
      service: "s3",
      region,
      accessKeyId,
      secretAccessKey,
      ...(sessionToken && { sessionToken }),
      cache: signingKeys,
    });
    const signed = await signer.sign();
    // Only now, as what is not signed may be changed on the way.
    for (const [name, value] of Object.entries(headers)) signed.headers.set(name, value);
    return await (options.fetch ?? globalThis.fetch)(`${signed.url}`, {
      headers: signed.headers,
      ...(signal && { signal }),
    });
  }
  const emit = guardedEventSink(options.onEvent);
  return fetchReads(`s3://${bucket}/${prefix}`, {
    send,
    attemptsMax: options.attemptsMax,
    onFailure(attempt, delayMs) {
      if (delayMs === null) emit({ name: "s3.retry_exhausted", payload: { attempts: attempt } });
      else emit({ name: "s3.retry", payload: { attempt, "backoff_s": delayMs / 1000 } });
    },
  });
}

function requireEndpoint(endpoint: string | undefined): void {
  if (endpoint === undefined) return;
  const { protocol = "", username, password } = URL.parse(String(endpoint)) ?? {};
  if (/^https?:$/.test(protocol) && !username && !password) return;
  // Without the value, which may have a password.
  throw new ConfigValidationError(
    'Cannot use option "s3FetchStore.endpoint" as it must be an http(s) URL without user and password',
    "s3FetchStore.endpoint",
  );
}

function requireKeys(value: S3FetchStoreOptions["credentials"]): void {
  const { accessKeyId, secretAccessKey } = Object(value);
  if (typeof value === "function" || (typeof accessKeyId === "string" && typeof secretAccessKey === "string")) return;
  // Without the value, which may be secret even so.
  throw new ConfigValidationError(
    `Cannot use option "s3FetchStore.credentials" as it must be keys, or a function that gives them`,
    "s3FetchStore.credentials",
  );
}

function bucketUrl(
  bucket: string,
  { endpoint, region, addressingStyle = "auto" }: Pick<S3FetchStoreOptions, "endpoint" | "addressingStyle"> & {
    readonly region: string;
  },
): string {
  const { protocol, host, pathname } = new URL(endpoint ?? `https://s3.${region}.amazonaws.com`);
  // A certificate for *.host covers no name with more dots.
  const isPath = addressingStyle === "auto"
    ? endpoint !== undefined || bucket.includes(".")
    : addressingStyle === "path";
  const root = isPath ? `${protocol}//${host}${pathname}` : `${protocol}//${bucket}.${host}${pathname}`;
  return `${root.replace(/\/+$/, "")}${isPath ? `/${bucket}` : ""}`;
}

/** Asks a provider when credentials are first needed, then before each one's end; once for all that wait. */
function cachedCredentials(credentials: S3Credentials | CredentialProvider): CredentialProvider {
  if (typeof credentials !== "function") return () => Promise.resolve(credentials);
  let current: Promise<S3Credentials> | undefined;
  let endMs = Infinity;
  async function ask(provider: CredentialProvider): Promise<S3Credentials> {
    try {
      const given = await provider();
      if (given.expiration !== undefined) endMs = given.expiration.getTime() - EXPIRATION_MARGIN_MS;
      return given;
    } catch (error) {
      current = undefined;
      throw error;
    }
  }
  return () => {
    if (current !== undefined && Date.now() < endMs) return current;
    endMs = Infinity;
    return current = ask(credentials);
  };
}
