/**
 * Remembers what a write created, so that a failed one can take it back, and finds out what became of an object when
 * the answer to its writing got lost.
 * @module
 */
import { PreconditionFailedError, StoreError } from "../errors.ts";
import { copyObject, type ObjectStore, type ObjectVersion, type RequestOptions } from "../stores/store.ts";

/** A store that remembers the keys of what was written through it. */
export interface RecordingStore {
  readonly store: ObjectStore;
  /** Removes what was uploaded, and nothing else; failures are swallowed, as another error is on its way. */
  removeCreated(): Promise<void>;
  /** Removes what was uploaded into other folders than these: attempts that were not published. Never throws. */
  removeOthers(folders: readonly string[]): Promise<void>;
}

/** One object on its way. */
interface Written extends RequestOptions {
  readonly key: string;
  /** Null when it is not known beforehand. */
  readonly sizeBytes: number | null;
}

/**
 * Wraps a store; the wrapper has its own `upload` and `put`, everything else is the store's.
 *
 * @param isPrivate Whether no other run can write under these keys. Each of them is written once and as a whole, so an
 * object that is there after a failure is our own: its answer got lost, and the client perhaps tried again. Such a
 * write has succeeded. Costs a GET, and nothing as long as no write fails.
 */
export function recordingStore(inner: ObjectStore, isPrivate: boolean): RecordingStore {
  const created = new Set<string>();
  /** An object whose answer got lost may exist all the same; but one that may be another run's is never removed. */
  async function recorded(written: Written, write: () => Promise<ObjectVersion>): Promise<ObjectVersion> {
    if (isPrivate) created.add(written.key);
    const version = await write().catch(async (error) => {
      const found = isPrivate && mayBeStored(error) ? await storedVersion(inner, written) : null;
      if (found === null) throw error;
      return found;
    });
    created.add(written.key);
    return version;
  }
  const store: ObjectStore = {
    url: inner.url,
    get: inner.get.bind(inner),
    getRanges: inner.getRanges.bind(inner),
    ...(inner.getIfChanged && { getIfChanged: inner.getIfChanged.bind(inner) }),
    list: inner.list.bind(inner),
    listFolders: inner.listFolders.bind(inner),
    async delete(key, options) {
      await inner.delete(key, options);
      // From now on it may be somebody else's. A private one may still arrive, when its answer got lost.
      if (!isPrivate) created.delete(key);
    },
    deletePrefix: inner.deletePrefix.bind(inner),
    put: (key, bytes, options = {}) =>
      recorded({ key, sizeBytes: bytes.length, signal: options.signal }, () => inner.put(key, bytes, options)),
    copy(fromKey, toKey, options = {}) {
      const { precondition, ...others } = options;
      // Where nobody else writes, a copy that is repeated after a lost answer does no harm, and S3 takes one request.
      const demanded = isPrivate || precondition === undefined ? others : options;
      const written = { key: toKey, sizeBytes: null, signal: options.signal };
      return recorded(written, () => copyObject(inner, { fromKey, toKey }, demanded));
    },
    async upload(key, options) {
      const { signal, headBytes } = options;
      const upload = await inner.upload(key, options);
      let sizeBytes = headBytes;
      return {
        async write(chunk) {
          await upload.write(chunk);
          sizeBytes += chunk.length;
        },
        abort: upload.abort.bind(upload),
        finish: (head) => recorded({ key, sizeBytes, signal }, () => upload.finish(head)),
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
        if (!isUnder(key, kept)) await inner.delete(key).catch(() => {});
      }
    },
  };
}

/** Whether an object lies in one of the folders, or below one. */
function isUnder(key: string, folders: ReadonlySet<string>): boolean {
  for (let end = key.lastIndexOf("/"); end > 0; end = key.lastIndexOf("/", end - 1)) {
    if (folders.has(key.slice(0, end))) return true;
  }
  return false;
}

/** Whether the write may have had its effect: no answer came, or the answer is that of the client's second try. */
function mayBeStored(error: unknown): boolean {
  return error instanceof PreconditionFailedError || (error instanceof StoreError && error.retryable);
}

/** The version of an object that is as long as it should be; null when there is none, or nobody can tell. */
async function storedVersion(
  store: ObjectStore,
  { key, sizeBytes, signal }: Written,
): Promise<ObjectVersion | null> {
  if (signal?.aborted) return null;
  try {
    const found = await store.get(key, { signal });
    await found.body.cancel().catch(() => {});
    return sizeBytes === null || found.sizeBytes === sizeBytes
      ? { etag: found.etag, sizeBytes: found.sizeBytes }
      : null;
  } catch {
    return null;
  }
}
