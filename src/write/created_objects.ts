/**
 * Remembers what a write created, so that a failed one can take it back.
 * @module
 */
import type { ObjectStore } from "../stores/store.ts";

/** A store that remembers the keys of what was written through it. */
export interface RecordingStore {
  readonly store: ObjectStore;
  /** Removes what was uploaded, and nothing else; failures are swallowed, as another error is on its way. */
  removeCreated(): Promise<void>;
  /** Removes what was uploaded into other folders than these: attempts that were not published. Never throws. */
  removeOthers(folders: readonly string[]): Promise<void>;
}

/**
 * Wraps a store; the wrapper has its own `upload` and `put`, everything else is the store's.
 *
 * @param isPrivate Whether no other run can write under these keys. Then an object that is there already is our own
 * after all: its answer got lost, and the client tried again.
 */
export function recordingStore(inner: ObjectStore, isPrivate: boolean): RecordingStore {
  const created = new Set<string>();
  /** An object whose answer got lost may exist all the same; but one that may be another run's is never removed. */
  async function recorded<T>(key: string, write: () => Promise<T>): Promise<T> {
    if (isPrivate) created.add(key);
    const version = await write();
    created.add(key);
    return version;
  }
  const store: ObjectStore = {
    url: inner.url,
    get: inner.get.bind(inner),
    getRanges: inner.getRanges.bind(inner),
    ...(inner.getIfChanged && { getIfChanged: inner.getIfChanged.bind(inner) }),
    list: inner.list.bind(inner),
    listFolders: inner.listFolders.bind(inner),
    delete: inner.delete.bind(inner),
    deletePrefix: inner.deletePrefix.bind(inner),
    put: (key, bytes, options) => recorded(key, () => inner.put(key, bytes, options)),
    async upload(key, options) {
      const upload = await inner.upload(key, options);
      return {
        write: upload.write.bind(upload),
        abort: upload.abort.bind(upload),
        finish: (head) => recorded(key, () => upload.finish(head)),
        [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
      };
    },
  };
  return {
    store,
    async removeCreated() {
      for (const key of created) await inner.delete(key).catch(() => {});
      created.clear();
    },
    async removeOthers(folders) {
      const kept = new Set(folders);
      for (const key of created) {
        if (!kept.has(key.slice(0, key.lastIndexOf("/")))) await inner.delete(key).catch(() => {});
      }
    },
  };
}
