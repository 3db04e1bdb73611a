/**
 * Counts what a reader asks of a store, and limits how long it waits for an answer.
 * @module
 */
import { StoreError } from "../errors.ts";
import type { ReadableStore, RequestOptions, StoredObject } from "../stores/store.ts";

/** Requests and bytes so far. */
export interface Traffic {
  requests: number;
  bytesRead: number;
}

/**
 * The same store, with every GET counted; all else that the store can do, such as listing, is left out.
 *
 * @param timeoutMs Longest time of a request, its body included; undefined for ever.
 */
export function meteredStore(inner: ReadableStore, traffic: Traffic, timeoutMs: number | undefined): ReadableStore {
  return {
    url: inner.url,
    async get(key, options = {}) {
      traffic.requests++;
      const limit = limited(`${inner.url}/${key}`, options, timeoutMs);
      const stored = await inner.get(key, limit.options).catch(limit.fail);
      traffic.bytesRead += stored.sizeBytes;
      return timeoutMs === undefined ? stored : withEnd(stored, limit.end);
    },
    async getRanges(key, ranges, options = {}) {
      traffic.requests += ranges.length;
      const limit = limited(`${inner.url}/${key}`, options, timeoutMs);
      const stored = await inner.getRanges(key, ranges, limit.options).catch(limit.fail);
      limit.end();
      for (const part of stored.parts) traffic.bytesRead += part.byteLength;
      return stored;
    },
  };
}

/** Options for a request that is aborted when its time is over, unless `end` comes first. */
interface TimeLimit {
  readonly options: RequestOptions;
  end(): void;
  fail(error: unknown): never;
}

// Not `AbortSignal.timeout`, which keeps Deno from exiting until its time is over.
function limited(url: string, options: RequestOptions, timeoutMs: number | undefined): TimeLimit {
  if (timeoutMs === undefined) return { options, end() {}, fail };
  const late = new AbortController();
  const timer = setTimeout(() => {
    // Stores reject with the signal's reason, so it must be an error of ours.
    late.abort(new StoreError(`Cannot read "${url}" within ${timeoutMs} ms`, { url, retryable: true }));
  }, timeoutMs);
  const { signal } = options;
  const either = signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]);
  return {
    options: { ...options, signal: either },
    end: () => clearTimeout(timer),
    fail(error) {
      clearTimeout(timer);
      throw error;
    },
  };
}

function fail(error: unknown): never {
  throw error;
}

/** The same object; `end` is called when its content was read or given up. */
function withEnd(stored: StoredObject, end: () => void): StoredObject {
  let body: StoredObject["body"] | undefined;
  return {
    etag: stored.etag,
    sizeBytes: stored.sizeBytes,
    get body() {
      return body ??= streamWithEnd(stored.body, end);
    },
    bytes: () => stored.bytes().finally(end),
  };
}

function streamWithEnd(stream: StoredObject["body"], end: () => void): StoredObject["body"] {
  const chunks = stream.getReader();
  return new ReadableStream({
    async pull(controller) {
      try {
        const { value, done } = await chunks.read();
        if (!done) return controller.enqueue(value);
        controller.close();
      } catch (error) {
        controller.error(error);
      }
      end();
    },
    async cancel(reason) {
      end();
      await chunks.cancel(reason);
    },
  }, { highWaterMark: 0 });
}
