/**
 * What the stores share in answering: bodies of a known length, ranges, preconditions.
 * @module
 */
import {
  ConfigValidationError,
  ObjectNotFoundError,
  PreconditionFailedError,
  ShardyfusionError,
  StoreError,
} from "../errors.ts";
import type { ByteRange, Precondition, StoredObject } from "./store.ts";

/** A stored object whose body is opened when it is first asked for. */
export interface BodySource {
  readonly etag: string | null;
  readonly sizeBytes: number;
  /** Where the object lies, for errors. */
  readonly url: string;
  /** Ends the reading of the body. */
  readonly signal?: AbortSignal | undefined;
  /** Called at most once, by the first use of `body` or `bytes()`. */
  openBody(): ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** Makes the object that `get` returns; reading it fails unless exactly `sizeBytes` arrive. */
export function storedObject(source: BodySource): StoredObject {
  const { etag, sizeBytes } = source;
  let body: StoredObject["body"] | undefined;
  return {
    etag,
    sizeBytes,
    get body() {
      return body ??= checkedBody(source.openBody(), source);
    },
    bytes: () => readExactly(body ?? source.openBody(), source),
  };
}

/** What {@linkcode readExactly} expects. */
export interface ExpectedBody {
  readonly sizeBytes: number;
  readonly url: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads a body into one array.
 *
 * @throws {StoreError} retryable, when it fails, or ends before or after `sizeBytes`.
 */
export async function readExactly(
  body: StoredObject["body"],
  expected: ExpectedBody,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(expected.sizeBytes);
  let filled = 0;
  for await (const chunk of checkedChunks(body.getReader(), expected)) {
    bytes.set(chunk, filled);
    filled += chunk.byteLength;
  }
  return bytes;
}

/** The same body; reading it fails as {@linkcode readExactly} does. */
export function checkedBody(body: StoredObject["body"], expected: ExpectedBody): StoredObject["body"] {
  const reader = body.getReader();
  const chunks = checkedChunks(reader, expected);
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel(reason) {
      // The reader first, as the generator ends only when its read does.
      await reader.cancel(reason);
      await chunks.return();
    },
  }, { highWaterMark: 0 });
}

/**
 * Passes chunks on, and fails, retryably, when the body breaks off or is longer or shorter than announced, and with the
 * signal's reason when that ends it: HTTP clients differ in what they notice and what they call it.
 */
async function* checkedChunks(
  reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
  { sizeBytes, url, signal }: ExpectedBody,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const giveUp = (): void => void reader.cancel(signal?.reason).catch(() => {});
  signal?.addEventListener("abort", giveUp);
  let passedBytes = 0;
  try {
    while (true) {
      signal?.throwIfAborted();
      const { done, value } = await reader.read();
      passedBytes += value?.byteLength ?? 0;
      if (done ? passedBytes < sizeBytes : passedBytes > sizeBytes) {
        throw new Error(`${passedBytes} of ${sizeBytes} bytes arrived`);
      }
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw requestError(error, { url, signal });
  } finally {
    signal?.removeEventListener("abort", giveUp);
    giveUp();
  }
}

/** What {@linkcode requestError} tells of a request. */
export interface LostRequest {
  /** Without a query. */
  readonly url: string;
  readonly signal: AbortSignal | undefined;
  /** @default {"read"} */
  readonly verb?: string;
}

/** The error for a request that got no answer, or half of one: the signal's reason when that ended it. */
export function requestError(thrown: unknown, { url, signal, verb = "read" }: LostRequest): unknown {
  if (signal?.aborted) return signal.reason;
  if (thrown instanceof ShardyfusionError) return thrown;
  const reason = reasonOf(thrown);
  const isSpent = /subrequest|too many api requests/i.test(reason);
  const advice = isSpent ? ": look up fewer keys in one invocation, or raise its limit" : "";
  return new StoreError(`Cannot ${verb} "${url}": ${reason}${advice}`, { url, retryable: !isSpent });
}

/**
 * What a client's error says, in words only: some runtimes put the whole URL into its fields or its text, and that of a
 * presigned place is a secret.
 */
function reasonOf(thrown: unknown): string {
  const { message = String(thrown), cause } = Object(thrown) as Error;
  return `${message}${cause instanceof Error ? ` (${cause.message})` : ""}`.replace(/\?[^\s"')]*/g, "?…");
}

/** @throws {ConfigValidationError} with path `ranges`, when an offset or length is no whole number of its kind. */
export function requireRanges(ranges: readonly ByteRange[]): void {
  for (const { offset, lengthBytes } of ranges) {
    if ([offset, lengthBytes - 1].every((count) => Number.isSafeInteger(count) && count >= 0)) continue;
    throw new ConfigValidationError(
      `Cannot read a range as it must begin at 0 or later and have 1 byte or more: ` +
        `current value is offset ${offset}, length ${lengthBytes}`,
      "ranges",
    );
  }
}

/** The error for a range that reaches past the end; `sizeBytes` is the object's length where known. */
export function rangeError(url: string, range: ByteRange, sizeBytes: number | null): StoreError {
  const end = range.offset + range.lengthBytes;
  const length = sizeBytes === null ? "shorter" : `${sizeBytes} bytes long`;
  return new StoreError(`Cannot read bytes ${range.offset} to ${end} of "${url}": the object is ${length}`, {
    url,
    status: 416,
  });
}

/** The error for an object that is of another version than what was read of it before. */
export function replacedError(url: string): StoreError {
  return new StoreError(`Cannot read "${url}" on as it was replaced meanwhile: read it anew`, { url, retryable: true });
}

/** The error for an object that is not there. */
export function notFoundError(url: string, cause?: unknown): ObjectNotFoundError {
  return new ObjectNotFoundError(`Cannot find "${url}": there is no such object`, { url, status: 404, cause });
}

/**
 * Compares the state that a write demands with the one found.
 *
 * @param etag Version of the object that is there; null when there is none.
 * @throws {PreconditionFailedError}
 */
export function requireState(url: string, precondition: Precondition | undefined, etag: string | null): void {
  if (precondition === undefined) return;
  const wanted = "ifMatch" in precondition ? precondition.ifMatch : null;
  if (wanted === etag) return;
  throw preconditionError(url, precondition, {
    found: etag === null ? "there is no object" : `it has version ${etag}`,
  });
}

/** The error for an object that is in another state than the one that a write demanded. */
export function preconditionError(
  url: string,
  precondition: Precondition | undefined,
  { found, cause }: { found: string; cause?: unknown },
): PreconditionFailedError {
  const wanted = precondition === undefined
    ? "in another state"
    : "ifMatch" in precondition
    ? `of version ${precondition.ifMatch}`
    : "absent";
  return new PreconditionFailedError(`Cannot write "${url}" as it must be ${wanted}: ${found}`, {
    url,
    status: 412,
    cause,
  });
}

/** @throws {ConfigValidationError} with path `headBytes`, when it is no whole number or too large. */
export function requireHeadBytes(headBytes: number, headBytesMax: number = Number.MAX_SAFE_INTEGER): void {
  if (Number.isSafeInteger(headBytes) && headBytes >= 0 && headBytes <= headBytesMax) return;
  throw new ConfigValidationError(
    `Cannot begin an upload as headBytes must be a whole number from 0 to ${headBytesMax}: ` +
      `current value is ${headBytes}`,
    "headBytes",
  );
}

/** @throws {ConfigValidationError} with path `head`, when the head is not as long as the upload was begun for. */
export function requireHead(url: string, head: Uint8Array, headBytes: number): void {
  if (head.byteLength === headBytes) return;
  throw new ConfigValidationError(
    `Cannot finish "${url}" as its head must be ${headBytes} bytes: current value is ${head.byteLength} bytes`,
    "head",
  );
}

/** The error for a call on an upload that has ended. */
export function uploadEndedError(url: string): StoreError {
  return new StoreError(`Cannot write to "${url}": its upload was finished or given up`, { url });
}
