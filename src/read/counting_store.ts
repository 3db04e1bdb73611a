/**
 * Counts what a reader asks of a store.
 * @module
 */
import type { ReadableStore } from "../stores/store.ts";

/** Requests and bytes so far. */
export interface Traffic {
  requests: number;
  bytesRead: number;
}

/** The same store, with every request counted; all else of the store, such as listing, is left out. */
export function countingStore(inner: ReadableStore, traffic: Traffic): ReadableStore {
  return {
    url: inner.url,
    async get(key, options) {
      traffic.requests++;
      const stored = await inner.get(key, options);
      traffic.bytesRead += stored.sizeBytes;
      return stored;
    },
    async getRanges(key, ranges, options) {
      traffic.requests += ranges.length;
      const stored = await inner.getRanges(key, ranges, options);
      for (const part of stored.parts) traffic.bytesRead += part.byteLength;
      return stored;
    },
  };
}
