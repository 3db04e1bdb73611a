/**
 * A store that keeps nothing: building into it tells what a shard would be.
 * @module
 */
import { ObjectNotFoundError } from "../errors.ts";
import type { ObjectStore } from "../stores/store.ts";

/** Counts what is written and forgets it; versions are null. */
export function discardingStore(url: string): ObjectStore {
  function notFound(key: string): Promise<never> {
    return Promise.reject(
      new ObjectNotFoundError(`Cannot find "${url}/${key}": nothing is kept`, { url, status: 404 }),
    );
  }
  const nothing = (): Promise<void> => Promise.resolve();
  return {
    url,
    get: notFound,
    getRanges: notFound,
    put: (_key, bytes) => Promise.resolve({ etag: null, sizeBytes: bytes.length }),
    upload(_key, { headBytes }) {
      let sizeBytes = headBytes;
      return Promise.resolve({
        write: (chunk) => {
          sizeBytes += chunk.length;
          return nothing();
        },
        finish: () => Promise.resolve({ etag: null, sizeBytes }),
        abort: nothing,
        [Symbol.asyncDispose]: nothing,
      });
    },
    async *list() {},
    listFolders: () => Promise.resolve([]),
    delete: nothing,
    deletePrefix: () => Promise.resolve(0),
  };
}
