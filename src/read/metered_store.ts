/**
 * Counts what a reader asks of a store, and limits how long it waits for an answer.
 * @module
 */
import { StoreError } from "../errors.ts";
import type { ReadableStore, RequestOptions } from "../stores/store.ts";

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
      const stored = await inner.get(key, inTime(`${inner.url}/${key}`, options, timeoutMs));
      traffic.bytesRead += stored.sizeBytes;
      return stored;
    },
    async getRanges(key, ranges, options = {}) {
      traffic.requests += ranges.length;
      const stored = await inner.getRanges(key, ranges, inTime(`${inner.url}/${key}`, options, timeoutMs));
      for (const part of stored.parts) traffic.bytesRead += part.byteLength;
      return stored;
    },
  };
}

/** The options with a signal that also ends the request when its time is over. */
function inTime(url: string, options: RequestOptions, timeoutMs: number | undefined): RequestOptions {
  if (timeoutMs === undefined) return options;
  const late = new AbortController();
  // Stores reject with the signal's reason, so it must be an error of ours.
  AbortSignal.timeout(timeoutMs).addEventListener("abort", () => {
    late.abort(new StoreError(`Cannot read "${url}" within ${timeoutMs} ms`, { url, retryable: true }));
  }, { once: true });
  const { signal } = options;
  return { ...options, signal: signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]) };
}
