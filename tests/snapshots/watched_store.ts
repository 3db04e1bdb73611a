/**
 * A store in front of another: under another URL, and with a word to say at each request.
 * @module
 */
import type { ObjectStore, RequestOptions } from "../../src/stores/store.ts";

/** A request that is about to be sent. */
export interface WatchedRequest {
  readonly method:
    | "get"
    | "getIfChanged"
    | "getRanges"
    | "put"
    | "upload"
    | "list"
    | "listFolders"
    | "delete"
    | "deletePrefix";
  readonly key: string;
  /** Position among all requests, from 0. */
  readonly index: number;
}

/** Sends the request, or fails, or both. */
export type OnRequest = <R>(request: WatchedRequest, send: () => Promise<R>) => Promise<R>;

/** Passes everything on to `inner`; `url` replaces the URL of `inner`, whose keys stay the same. */
export function watchedStore(
  inner: ObjectStore,
  { url = inner.url, onRequest }: { url?: string; onRequest?: OnRequest } = {},
): ObjectStore {
  let index = 0;
  function pass<R>(method: WatchedRequest["method"], key: string, send: () => Promise<R>): Promise<R> {
    return onRequest === undefined ? send() : onRequest({ method, key, index: index++ }, send);
  }
  return {
    url,
    ...(inner.honoursPreconditions && { honoursPreconditions: true }),
    get: (key, options) => pass("get", key, () => inner.get(key, options)),
    getRanges: (key, ranges, options) => pass("getRanges", key, () => inner.getRanges(key, ranges, options)),
    // As in the store below: whether it is there is a difference to readers.
    ...(inner.getIfChanged && {
      getIfChanged: (key: string, etag: string, options?: RequestOptions) =>
        pass("getIfChanged", key, () => inner.getIfChanged!(key, etag, options)),
    }),
    put: (key, bytes, options) => pass("put", key, () => inner.put(key, bytes, options)),
    upload: (key, options) => pass("upload", key, () => inner.upload(key, options)),
    async *list(prefix, options) {
      await pass("list", prefix, () => Promise.resolve());
      yield* inner.list(prefix, options);
    },
    listFolders: (prefix, options) => pass("listFolders", prefix, () => inner.listFolders(prefix, options)),
    delete: (key, options) => pass("delete", key, () => inner.delete(key, options)),
    deletePrefix: (prefix, options) => pass("deletePrefix", prefix, () => inner.deletePrefix(prefix, options)),
  };
}
