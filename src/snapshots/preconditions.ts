/**
 * Finds out whether a store honours preconditions (`If-Match`, `If-None-Match`), on which it depends that publishers
 * notice each other: some servers that speak S3's protocol ignore these headers without a word.
 * @module
 */
import * as v from "valibot";
import { ConfigValidationError, ObjectNotFoundError, PreconditionFailedError, StoreError } from "../errors.ts";
import {
  copyObject,
  type ObjectStore,
  type ObjectUpload,
  type Precondition,
  type RequestOptions,
  type StoredObject,
} from "../stores/store.ts";
import { newHexId } from "./layout.ts";

/**
 * What to do about stores that may not honour preconditions:
 *
 * - `"require"`: find out, and refuse those that do not.
 * - `"warn"`: find out; with those that do not, look before and after each write that should be conditional, which
 *   leaves moments in which two publishers overwrite each other unnoticed, and say so.
 * - `"assume"`: believe that they do, and find out nothing.
 */
export type PreconditionPolicy = "require" | "warn" | "assume";

/** Checks a {@linkcode PreconditionPolicy}. */
export const preconditionPolicy: v.GenericSchema<PreconditionPolicy> = v.picklist(
  ["require", "warn", "assume"],
  '"require", "warn" or "assume"',
);

/** How a store is tried. */
export interface FenceOptions extends RequestOptions {
  /** What to do about a store that ignores preconditions. */
  readonly policy: PreconditionPolicy;
  /** Folder for the object that the store is tried with, which is removed again. @default {"probes"} */
  readonly folder?: string | undefined;
  /** The store for which the outcome is remembered, where `store` is one in front of it. Default: `store`. */
  readonly identity?: ObjectStore | undefined;
  /** Told what the store lacks, in a sentence, when that is only to be warned about. */
  readonly onUnfenced?: ((warning: string) => void) | undefined;
}

/** What is wrong with stores that were tried; null: nothing. */
const verdicts = new WeakMap<ObjectStore, string | null>();

/**
 * The store to publish with: the store itself if it honours preconditions. Stores that say that they do are believed;
 * others are tried once, with six requests about an object of one byte, and the outcome is remembered.
 *
 * @throws {ConfigValidationError} with path `preconditions`, when the store does not and they are required.
 * @throws {StoreError} when the store fails.
 */
export async function fencedStore(store: ObjectStore, options: FenceOptions): Promise<ObjectStore> {
  const { policy, folder = "probes", identity = store, onUnfenced, signal } = options;
  if (policy === "assume" || store.honoursPreconditions === true) return store;
  let lack = verdicts.get(identity);
  if (lack === undefined) {
    lack = await lackOf(store, `${folder}/${newHexId()}.probe`, { signal });
    verdicts.set(identity, lack);
  }
  if (lack === null) return store;
  const warning = `the store "${store.url}" ${lack}, so that publishers may overwrite each other unnoticed`;
  if (policy === "require") {
    throw new ConfigValidationError(
      `Cannot publish safely as ${warning}: use another store or a manifestStore of its own, or, if nobody else ` +
        'publishes here at the same time, set option "preconditions" to "warn"',
      "preconditions",
    );
  }
  onUnfenced?.(warning);
  return comparingStore(store);
}

/** What the store does not do, as the end of a sentence; null when it does all that publishing needs. */
async function lackOf(store: ObjectStore, key: string, request: RequestOptions): Promise<string | null> {
  const absent: Precondition = { ifNoneMatch: "*" };
  const put = (content: number, precondition: Precondition): Promise<Outcome> =>
    tryPut(store, { key, bytes: Uint8Array.of(content), precondition }, request);
  try {
    // Refused means that the client has repeated a request that had succeeded.
    if (await put(1, absent) === "unknown") return "does not know the precondition If-None-Match";
    if (await put(2, absent) !== "refused") return "ignores the precondition If-None-Match";
    const { etag } = await readBack(store, key, request);
    if (etag === null) return "gives no ETag of what it holds";
    const outcome = await put(3, { ifMatch: etag });
    if (outcome === "unknown") return "does not know the precondition If-Match";
    const isOurs = outcome === "stored" || (await readBack(store, key, request)).bytes[0] === 3;
    if (!isOurs) return "refuses the precondition If-Match although it is met";
    return await put(4, { ifMatch: etag }) === "refused" ? null : "ignores the precondition If-Match";
  } finally {
    await store.delete(key).catch(() => {});
  }
}

/** What came of a conditional PUT: unknown, where the store says that it cannot do such a thing. */
type Outcome = "stored" | "refused" | "unknown";

/** Answers of stores to a header that they know and do not implement. */
const UNKNOWN_STATUSES: readonly (number | undefined)[] = [400, 501];

async function tryPut(
  store: ObjectStore,
  { key, bytes, precondition }: { key: string; bytes: Uint8Array; precondition: Precondition },
  request: RequestOptions,
): Promise<Outcome> {
  try {
    await store.put(key, bytes, { ...request, precondition });
    return "stored";
  } catch (error) {
    if (error instanceof PreconditionFailedError) return "refused";
    if (error instanceof StoreError && UNKNOWN_STATUSES.includes(error.status)) return "unknown";
    throw error;
  }
}

async function readBack(
  store: ObjectStore,
  key: string,
  request: RequestOptions,
): Promise<{ etag: string | null; bytes: Uint8Array }> {
  const found = await store.get(key, request);
  return { etag: found.etag, bytes: await found.bytes() };
}

/**
 * A store that is never sent a precondition: what it holds is compared before the write, and after it, where the last
 * one of two writers at the same moment shows.
 */
function comparingStore(inner: ObjectStore): ObjectStore {
  return {
    url: inner.url,
    get: inner.get.bind(inner),
    getRanges: inner.getRanges.bind(inner),
    ...(inner.getIfChanged && { getIfChanged: inner.getIfChanged.bind(inner) }),
    list: inner.list.bind(inner),
    listFolders: inner.listFolders.bind(inner),
    delete: inner.delete.bind(inner),
    deletePrefix: inner.deletePrefix.bind(inner),
    ...(inner.listUploads && { listUploads: inner.listUploads.bind(inner) }),
    ...(inner.abortUpload && { abortUpload: inner.abortUpload.bind(inner) }),
    async put(key, bytes, { precondition, ...options } = {}) {
      if (precondition === undefined) return await inner.put(key, bytes, options);
      const request = { signal: options.signal };
      await requireState(inner, { key, precondition }, request);
      const { sizeBytes } = await inner.put(key, bytes, options);
      const found = await readBack(inner, key, request);
      if (found.bytes.length === bytes.length && found.bytes.every((byte, at) => byte === bytes[at])) {
        return { etag: found.etag, sizeBytes };
      }
      throw changedError(inner, key, "another writer has overwritten it at the same moment");
    },
    async copy(fromKey, toKey, { precondition, ...options } = {}) {
      if (precondition !== undefined) {
        await requireState(inner, { key: toKey, precondition }, { signal: options.signal });
      }
      return await copyObject(inner, { fromKey, toKey }, options);
    },
    async upload(key, { precondition, ...options }): Promise<ObjectUpload> {
      if (precondition !== undefined) await requireState(inner, { key, precondition }, { signal: options.signal });
      return await inner.upload(key, options);
    },
  };
}

async function requireState(
  store: ObjectStore,
  { key, precondition }: { key: string; precondition: Precondition },
  request: RequestOptions,
): Promise<void> {
  const found = await store.get(key, request).catch((error): StoredObject | null => {
    if (error instanceof ObjectNotFoundError) return null;
    throw error;
  });
  await found?.body.cancel().catch(() => {});
  const isMet = "ifMatch" in precondition ? found?.etag === precondition.ifMatch : found === null;
  if (!isMet) throw changedError(store, key, found === null ? "there is no object" : `it has version ${found.etag}`);
}

function changedError(store: ObjectStore, key: string, state: string): PreconditionFailedError {
  const url = `${store.url}/${key}`;
  return new PreconditionFailedError(`Cannot write "${url}" as it is in another state: ${state}`, { url, status: 412 });
}
