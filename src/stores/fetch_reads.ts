/**
 * Reading objects by plain HTTP: what stores that send their requests by `fetch` have in common.
 * @module
 */
import { sleep } from "../clock.ts";
import { StoreError } from "../errors.ts";
import { requireKey } from "./object_key.ts";
import { type RangeAnswer, rangesTogether } from "./range_reads.ts";
import type { ByteRange, ReadableStore, RequestOptions, StoredObject, StoredRanges } from "./store.ts";
import {
  checkedBody,
  notFoundError,
  rangeError,
  readExactly,
  replacedError,
  requestError,
  requireRanges,
} from "./stored_object.ts";

/** How the requests of a store are sent. */
export interface FetchReadsOptions {
  /** Sends one GET for the path of an object, which is percent-encoded, relative and checked. */
  send(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<Response>;
  /** Tries per request, the first included. @default {3} */
  readonly attemptsMax?: number | undefined;
  /** Told when a try fails for a moment, with the wait before the next one; null: it was the last one. Never throws. */
  readonly onFailure?: ((attempt: number, delayMs: number | null) => void) | undefined;
}

/** A body up to this length is read where only a range of it was wanted; longer ones up to four times the range. */
const WHOLE_BYTES_MAX = 1 << 20;
/** Before the second try; doubled for each further one. */
const DELAY_MS = 50;
/** No longer is a server left alone that asks for it. */
const RETRY_AFTER_MS_MAX = 2000;

const PACKED = "the server compresses what it sends: have it leave the bytes as they are";

type Body = ReadableStream<Uint8Array<ArrayBuffer>>;

/**
 * The store whose requests `send` sends.
 *
 * | answer | what comes of it |
 * | --- | --- |
 * | 200, 206, 304 | the object, the range, null; anything that does not fit what was asked is a `StoreError` |
 * | 404, 410 | `ObjectNotFoundError`, but `StoreError` where S3 says that there is no such bucket |
 * | 403 | `StoreError`: S3 tells nobody that an object is missing who may not list |
 * | 408, 429, 5xx, none, half of one | asked again; `StoreError`, retryable, when no try is left |
 * | all else | `StoreError` |
 *
 * Tries are 50 ms, 100 ms and so on apart, or as many seconds as `Retry-After` says, up to 2. Ranges and `bytes()` that
 * break off are read anew from their beginning; `body` is not, as its beginning was given away.
 *
 * @param url What the store calls itself; also in errors, so that signatures in a query do not show there.
 */
export function fetchReads(url: string, options: FetchReadsOptions): ReadableStore {
  return new FetchReads(url, options);
}

/** A request, and what is made of its answer. */
interface Asked<T> {
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
  /** Those that answer the request. */
  readonly statuses: readonly number[];
  /** An answer that has come already, for the first try. */
  readonly response?: Response;
  /** @param isAgain Whether the answer is not that of the first try. */
  take(response: Response, isAgain: boolean): T | Promise<T>;
}

class FetchReads implements ReadableStore {
  readonly url: string;
  readonly #options: FetchReadsOptions;

  constructor(url: string, options: FetchReadsOptions) {
    this.url = url;
    this.#options = options;
  }

  get(key: string, { signal }: RequestOptions = {}): Promise<StoredObject> {
    return this.#ask(key, {
      signal,
      statuses: [200],
      take: (response) => this.#objectOf(key, response, signal),
    });
  }

  getIfChanged(key: string, etag: string, { signal }: RequestOptions = {}): Promise<StoredObject | null> {
    return this.#ask(key, {
      headers: { "if-none-match": etag },
      signal,
      statuses: [200, 304],
      take: (response) => {
        // A server may know nothing of conditions and send the same again.
        const isSame = response.status === 304 || strongTag(response) === etag;
        if (!isSame) return this.#objectOf(key, response, signal);
        giveUp(response);
        return null;
      },
    });
  }

  async getRanges(key: string, ranges: readonly ByteRange[], { signal }: RequestOptions = {}): Promise<StoredRanges> {
    requireRanges(ranges);
    const url = `${this.url}/${key}`;
    return await rangesTogether(url, ranges, {
      signal,
      readOne: (range, signal) =>
        this.#ask(key, {
          headers: { range: `bytes=${range.offset}-${range.offset + range.lengthBytes - 1}` },
          signal,
          statuses: [200, 206],
          take: (response) => rangeOf(response, range, { url, signal }),
        }),
    });
  }

  /** Asks until there is an answer that can be taken, or a try fails for good. */
  async #ask<T>(key: string, { headers, signal, statuses, response, take }: Asked<T>): Promise<T> {
    requireKey(key);
    const { send, onFailure, attemptsMax = 3 } = this.#options;
    const url = `${this.url}/${key}`;
    for (let attempt = 0, answer = response;; attempt++, answer = undefined) {
      let delayMs = DELAY_MS * 2 ** attempt;
      try {
        signal?.throwIfAborted();
        answer ??= await send(encodedPath(key), { "accept-encoding": "identity", ...headers }, signal);
        if (statuses.includes(answer.status)) return await take(answer, attempt > 0);
        const wantedMs = Number(answer.headers.get("retry-after")) * 1000 || 0;
        delayMs = Math.max(delayMs, Math.min(wantedMs, RETRY_AFTER_MS_MAX));
        throw await statusError(url, answer);
      } catch (thrown) {
        const error = requestError(thrown, { url, signal });
        if (!(error instanceof StoreError && error.retryable)) throw error;
        const isLast = attempt + 1 >= attemptsMax;
        onFailure?.(attempt + 1, isLast ? null : delayMs);
        if (isLast) throw error;
      }
      await sleep(delayMs, signal);
    }
  }

  async #objectOf(key: string, response: Response, signal: AbortSignal | undefined): Promise<StoredObject> {
    const url = `${this.url}/${key}`;
    const etag = strongTag(response);
    let sizeBytes = lengthOf(response);
    if (sizeBytes === null) {
      const bytes = await response.arrayBuffer();
      if (isStillEncoded(response, bytes)) throw refused(response, { url, what: PACKED });
      sizeBytes = bytes.byteLength;
      response = new Response(bytes);
    }
    const expected = { url, sizeBytes, signal };
    let body: Body | undefined;
    return {
      etag,
      sizeBytes,
      get body() {
        return body ??= checkedBody(bodyOf(response), expected);
      },
      bytes: () =>
        this.#ask(key, {
          signal,
          statuses: [200],
          response,
          take(answer, isAgain) {
            if (!isAgain || strongTag(answer) === etag) return readExactly(bodyOf(answer), expected);
            giveUp(answer);
            throw replacedError(url);
          },
        }),
    };
  }
}

/** Deno unpacks nothing when it was asked to get nothing packed; the other runtimes do, and keep the header too. */
function isStillEncoded(response: Response, bytes: ArrayBuffer): boolean {
  const [first, second] = new Uint8Array(bytes);
  const isGzip = first === 0x1f && second === 0x8b;
  return isEncoded(response) && (isGzip || response.headers.get("content-length") === `${bytes.byteLength}`);
}

interface Place {
  readonly url: string;
  readonly signal: AbortSignal | undefined;
}

async function rangeOf(response: Response, range: ByteRange, { url, signal }: Place): Promise<RangeAnswer> {
  const { offset, lengthBytes } = range;
  const end = offset + lengthBytes;
  const isWhole = response.status === 200;
  const [place = "", total] = response.headers.get("content-range")?.split("/") ?? [];
  const sizeBytes = isWhole ? lengthOf(response) : Number(total) || null;
  if (sizeBytes !== null && end > sizeBytes) {
    giveUp(response);
    throw rangeError(url, range, sizeBytes);
  }
  if (isEncoded(response)) throw refused(response, { url, what: PACKED });
  if (isWhole && (sizeBytes === null || sizeBytes > Math.max(WHOLE_BYTES_MAX, 4 * lengthBytes))) {
    throw refused(response, { url, what: `the server answers ranges with the whole object: use access "download"` });
  }
  if (!isWhole && (place !== `bytes ${offset}-${end - 1}` || total === undefined)) {
    const what = "the answer is of another range, or CORS does not expose Content-Range";
    throw refused(response, { url, what, retryable: total !== undefined });
  }
  const bytes = await readExactly(bodyOf(response), { sizeBytes: isWhole ? sizeBytes! : lengthBytes, url, signal });
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

async function statusError(url: string, response: Response): Promise<StoreError> {
  const { status } = response;
  // The code in what S3 says about a failure; never the rest, which may repeat what was signed.
  const [, code = ""] = /<Code>(\w+)</.exec(await response.text().catch(() => "")) ?? [];
  if ([404, 410].includes(status) && code !== "NoSuchBucket") return notFoundError(url);
  const hint = status === 403 ? ": access is denied, or there is no such object" : "";
  return new StoreError(`Cannot read "${url}": the server says ${status} ${code}${hint}`, {
    url,
    status,
    retryable: [408, 429].includes(status) || status >= 500,
  });
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
