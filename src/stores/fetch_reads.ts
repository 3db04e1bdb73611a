/**
 * Reading objects by plain HTTP: what stores that send their requests by `fetch` have in common.
 * @module
 */
import { ShardyfusionError, StoreError } from "../errors.ts";
import { requireKey } from "./object_key.ts";
import { type RangeAnswer, rangesTogether } from "./range_reads.ts";
import type { ByteRange, ReadableStore, StoredObject } from "./store.ts";
import { notFoundError, rangeError, readExactly, reasonOf, requireRanges, storedObject } from "./stored_object.ts";

/** Sends one GET for the path of an object, which is percent-encoded, relative and checked. */
export type SendGet = (
  path: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal | undefined,
) => Promise<Response>;

/** A body up to this length is read where only a range of it was wanted; longer ones up to four times the range. */
const WHOLE_BYTES_MAX = 1 << 20;
const PACKED = "the server compresses what it sends: have it leave the bytes as they are";
const CONTENT_RANGE = /^bytes (?:(\d+)-(\d+)|\*)\/(?:(\d+)|\*)$/;

type Body = ReadableStream<Uint8Array<ArrayBuffer>>;
type Headers = Readonly<Record<string, string>>;

/**
 * The store whose requests `send` sends.
 *
 * | answer | what comes of it |
 * | --- | --- |
 * | 200, 206, 304 | the object, the range, null; anything that does not fit what was asked is a `StoreError` |
 * | 404, 410 | `ObjectNotFoundError`, but `StoreError` where S3 says that there is no such bucket |
 * | 416 | `StoreError` |
 * | 403 | `StoreError`: S3 tells nobody that an object is missing who may not list |
 * | 408, 429, 5xx, no answer | `StoreError`, retryable |
 * | all else | `StoreError` |
 *
 * @param url What the store calls itself; also in errors, so that signatures in a query do not show there.
 */
export function fetchReads(url: string, send: SendGet): ReadableStore {
  const source = { url, send };
  return {
    url,
    async get(key, { signal } = {}) {
      return await objectOf(await ask(source, key, { signal }), { url: `${url}/${key}`, signal });
    },
    async getIfChanged(key, etag, { signal } = {}) {
      const response = await ask(source, key, { headers: { "if-none-match": etag }, signal });
      // A server may know nothing of conditions and send the same again.
      const isSame = response.status === 304 || strongTag(response) === etag;
      if (!isSame) return await objectOf(response, { url: `${url}/${key}`, signal });
      giveUp(response);
      return null;
    },
    async getRanges(key, ranges, { signal } = {}) {
      requireRanges(ranges);
      const readOne = (range: ByteRange, signal: AbortSignal) => rangeOf(source, key, { range, signal });
      return await rangesTogether(`${url}/${key}`, ranges, { signal, readOne });
    },
  };
}

interface Source {
  readonly url: string;
  readonly send: SendGet;
}

interface Asked {
  readonly headers?: Headers;
  readonly signal?: AbortSignal | undefined;
}

/** Sends a request; throws for each status that is no answer to any request of ours. */
async function ask(source: Source, key: string, { headers, signal }: Asked): Promise<Response> {
  requireKey(key);
  signal?.throwIfAborted();
  const url = `${source.url}/${key}`;
  let response: Response;
  try {
    response = await source.send(encodedPath(key), { "accept-encoding": "identity", ...headers }, signal);
  } catch (error) {
    throw requestError(error, { url, signal });
  }
  if ([200, 206, 304, 416].includes(response.status)) return response;
  throw await statusError(url, response, signal);
}

interface Expected {
  readonly url: string;
  readonly signal: AbortSignal | undefined;
}

async function objectOf(response: Response, { url, signal }: Expected): Promise<StoredObject> {
  const { status } = response;
  if (status !== 200) throw refused(response, { url, what: `status ${status} does not fit the request` });
  const etag = strongTag(response);
  const sizeBytes = lengthOf(response);
  if (sizeBytes !== null) {
    const openBody = (): Body => bodyOf(response);
    return storedObject({ etag, sizeBytes, url, signal, openBody });
  }
  const bytes = await response.arrayBuffer().catch((error) => {
    throw requestError(error, { url, signal });
  });
  if (isStillEncoded(response, bytes)) throw refused(response, { url, what: PACKED });
  const openBody = (): Body => bodyOf(new Response(bytes));
  return storedObject({ etag, sizeBytes: bytes.byteLength, url, signal, openBody });
}

/** Deno unpacks nothing when it was asked to get nothing packed; the other runtimes do, and keep the header too. */
function isStillEncoded(response: Response, bytes: ArrayBuffer): boolean {
  if (!isEncoded(response)) return false;
  const [first, second] = new Uint8Array(bytes);
  const isGzip = first === 0x1f && second === 0x8b;
  return isGzip || response.headers.get("content-length") === String(bytes.byteLength);
}

interface RangeAsked {
  readonly range: ByteRange;
  readonly signal: AbortSignal;
}

async function rangeOf(source: Source, key: string, { range, signal }: RangeAsked): Promise<RangeAnswer> {
  const { offset, lengthBytes } = range;
  const end = offset + lengthBytes;
  const response = await ask(source, key, { headers: { range: `bytes=${offset}-${end - 1}` }, signal });
  const url = `${source.url}/${key}`;
  const { status } = response;
  const isWhole = status === 200;
  const [, first, last, total] = CONTENT_RANGE.exec(response.headers.get("content-range") ?? "") ?? [];
  const sizeBytes = isWhole ? lengthOf(response) : total === undefined ? null : Number(total);
  if (status === 416 || (sizeBytes !== null && end > sizeBytes)) {
    giveUp(response);
    throw rangeError(url, range, sizeBytes);
  }
  if (isWhole && (sizeBytes === null || sizeBytes > Math.max(WHOLE_BYTES_MAX, 4 * lengthBytes))) {
    throw refused(response, { url, what: `the server answers ranges with the whole object: use access "download"` });
  }
  if (isEncoded(response)) throw refused(response, { url, what: PACKED });
  if (!isWhole && (Number(first) !== offset || Number(last) !== end - 1)) {
    const what = "the answer is not of the range that was asked for, or CORS does not expose Content-Range";
    throw refused(response, { url, what, retryable: first !== undefined });
  }
  const length = isWhole ? sizeBytes! : lengthBytes;
  const bytes = await readExactly(bodyOf(response), { sizeBytes: length, url, signal });
  return { etag: strongTag(response), sizeBytes, bytes: isWhole ? bytes.slice(offset, end) : bytes };
}

function refused(
  response: Response,
  { url, what, retryable = false }: { url: string; what: string; retryable?: boolean },
): StoreError {
  giveUp(response);
  return new StoreError(`Cannot read "${url}": ${what}`, { url, status: response.status, retryable });
}

/** A key as it stands in a URL. */
export function encodedPath(key: string): string {
  return key.split("/").map(encodeURIComponent).join("/").replaceAll("%3D", "=");
}

/** What {@linkcode requestError} tells of a request. */
export interface LostRequest {
  /** Without a query. */
  readonly url: string;
  readonly signal: AbortSignal | undefined;
  /** @default {"read"} */
  readonly verb?: string;
}

/** The error for a request that got no answer: the signal's reason when that ended it. */
export function requestError(thrown: unknown, { url, signal, verb = "read" }: LostRequest): unknown {
  if (signal?.aborted) return signal.reason;
  if (thrown instanceof ShardyfusionError) return thrown;
  const reason = reasonOf(thrown);
  if (!/subrequest|too many api requests/i.test(reason)) {
    return new StoreError(`Cannot ${verb} "${url}": there was no answer: ${reason}`, { url, retryable: true });
  }
  return new StoreError(
    `Cannot ${verb} "${url}" as this invocation has sent all requests that it may: look up fewer keys in one, or ` +
      `raise the plan's limit of subrequests; a smaller concurrencyMax does not help`,
    { url },
  );
}

async function statusError(url: string, response: Response, signal: AbortSignal | undefined): Promise<unknown> {
  const { status } = response;
  const code = await errorCode(response);
  if (signal?.aborted) return signal.reason;
  if ((status === 404 || status === 410) && code !== "NoSuchBucket") return notFoundError(url);
  const hint = status === 403 ? ": access is denied, or there is no such object" : "";
  return new StoreError(`Cannot read "${url}": the server says ${status}${code && ` (${code})`}${hint}`, {
    url,
    status,
    retryable: status === 408 || status === 429 || status >= 500,
  });
}

/** The code in what S3 says about a failure; never the rest, which may repeat what was signed. */
async function errorCode(response: Response): Promise<string> {
  const chunks = response.body?.getReader();
  const first = await chunks?.read().catch(() => undefined);
  chunks?.cancel().catch(() => {});
  return /<Code>(\w+)</.exec(new TextDecoder().decode(first?.value))?.[1] ?? "";
}

function giveUp(response: Response): void {
  response.body?.cancel().catch(() => {});
}

/** Weak tags do not identify bytes. */
function strongTag({ headers }: Response): string | null {
  const etag = headers.get("etag");
  return etag?.startsWith('"') ? etag : null;
}

function isEncoded({ headers }: Response): boolean {
  return (headers.get("content-encoding") ?? "identity") !== "identity";
}

/** Length of the body; null when it is not told, or told of a compressed body that was unpacked on the way. */
function lengthOf(response: Response): number | null {
  const length = response.headers.get("content-length");
  return length === null || isEncoded(response) ? null : Number(length);
}

function bodyOf({ body }: Response): Body {
  return body as Body | null ?? new Blob().stream();
}
