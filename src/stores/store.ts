/**
 * Where objects lie: the interfaces that every store implements. Keys are relative to the store's `url`.
 * @module
 */
import { PreconditionFailedError, StoreError } from "../errors.ts";

/** A span of bytes: `offset` from the start, `lengthBytes` from 1 up. */
export interface ByteRange {
  readonly offset: number;
  readonly lengthBytes: number;
}

/** What every request takes. */
export interface RequestOptions {
  /** Aborts the request; the call rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** One object as a GET gave it. Read the body once: through `body` or through `bytes()`. */
export interface StoredObject {
  /** Opaque version, with its quotes; null when the store gave none or a weak one. */
  readonly etag: string | null;
  /** Length of the whole object. */
  readonly sizeBytes: number;
  /** The content as it arrives. */
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** The whole content; rejects with a retryable `StoreError` when fewer or more than `sizeBytes` arrive. */
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
}

/** Parts of one object, all from the same version of it. */
export interface StoredRanges {
  /** As in {@linkcode StoredObject}. */
  readonly etag: string | null;
  /** Length of the whole object; null when the answer did not tell. */
  readonly sizeBytes: number | null;
  /** One entry per range asked for, in that order, each exactly as long as asked. */
  readonly parts: readonly Uint8Array<ArrayBuffer>[];
}

/** Only GET: all that a reader ever sends. */
export interface ReadableStore {
  /** Where the keys begin, without trailing slash: `s3://bucket/prefix`, `file:///dir`, `memory:///name`. */
  readonly url: string;
  /** @throws {ObjectNotFoundError} when there is no such object. */
  get(key: string, options?: RequestOptions): Promise<StoredObject>;
  /**
   * Reads parts of an object. The ranges must lie inside the object.
   *
   * @throws {ObjectNotFoundError} when there is no such object.
   * @throws {StoreError} when a range reaches past the end, or the object changed between two parts.
   */
  getRanges(key: string, ranges: readonly ByteRange[], options?: RequestOptions): Promise<StoredRanges>;
  /**
   * The object; null when it still is the version `etag`, for which no body is sent. One conditional GET. Stores that
   * cannot ask so leave it out.
   *
   * @throws {ObjectNotFoundError} when there is no such object.
   */
  getIfChanged?(key: string, etag: string, options?: RequestOptions): Promise<StoredObject | null>;
}

/** The state that an object must have for a write to happen: absent, or this very version. */
export type Precondition = { readonly ifNoneMatch: "*" } | { readonly ifMatch: string };

/** What a write says about its object. */
export interface WriteOptions extends RequestOptions {
  /** @default {"application/octet-stream"} */
  readonly contentType?: string;
  /** Without one the object is replaced whatever it was. */
  readonly precondition?: Precondition;
}

/** What a copy says about its object; nothing is taken over from the source but its bytes. */
export interface CopyOptions extends WriteOptions {
  /** The version that the source must have. Default: any. */
  readonly sourceEtag?: string | undefined;
}

/** What a finished write made. */
export interface ObjectVersion {
  /** As in {@linkcode StoredObject}. */
  readonly etag: string | null;
  /** Length of the whole object. */
  readonly sizeBytes: number;
}

/** How {@linkcode ObjectStore.upload} lays out the object. */
export interface UploadOptions extends WriteOptions {
  /** Length of the object's head, which comes last (to `finish`): a file whose first page is known at the end. */
  readonly headBytes: number;
}

/**
 * An object in the making: nobody sees it before `finish` has returned, and disposing without `finish` leaves
 * nothing behind (no object, no open multipart upload, no temporary file).
 */
export interface ObjectUpload extends AsyncDisposable {
  /** Appends after the head. The chunk may be reused as soon as the promise resolves. One call at a time. */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Puts the head in front and makes the object visible, at once and as a whole.
   *
   * @param head Exactly `headBytes` long.
   * @throws {PreconditionFailedError} when the object is not in the state that was demanded.
   */
  finish(head: Uint8Array): Promise<ObjectVersion>;
  /** Gives up; idempotent, and without effect after `finish`. Never throws. */
  abort(): Promise<void>;
}

/** One object as a listing shows it. */
export interface ObjectEntry {
  /** Relative to the store's `url`. */
  readonly key: string;
  readonly sizeBytes: number;
  readonly etag: string | null;
}

/** An upload that was begun and neither finished nor given up: under way still, or left by a process that ended. */
export interface OpenUpload {
  /** The object that it would become; relative to the store's `url`. */
  readonly key: string;
  /** What the store calls it, of several for one key. */
  readonly uploadId: string;
  /** When it was begun, or last written to, whichever the store knows, by its clock; microseconds since 1970. */
  readonly changedAtMicros: number;
}

/** A place where snapshots are published. */
export interface ObjectStore extends ReadableStore {
  /** True where preconditions hold by construction; other stores are tried before anything is published. */
  readonly honoursPreconditions?: boolean;
  /** Writes a whole object, atomically. Strongly consistent: a `get` after it sees it. */
  put(key: string, bytes: Uint8Array, options?: WriteOptions): Promise<ObjectVersion>;
  /** Begins an object that is too large to hold in memory. */
  upload(key: string, options: UploadOptions): Promise<ObjectUpload>;
  /**
   * Makes an object of the bytes of another one without their leaving the store: atomically, and all of one version of
   * the source. Stores that cannot leave it out; {@linkcode copyObject} works with all.
   *
   * @throws {ObjectNotFoundError} when there is no source.
   * @throws {PreconditionFailedError} when the source is of another version, or the object is not in the state that was
   * demanded.
   */
  copy?(fromKey: string, toKey: string, options?: CopyOptions): Promise<ObjectVersion>;
  /** All objects whose key begins with `prefix`, ascending by UTF-8 bytes, a page at a time. */
  list(prefix: string, options?: RequestOptions): AsyncIterable<ObjectEntry[]>;
  /** Names directly below `prefix` (which ends with `/` or is empty) that have objects under them, ascending. */
  listFolders(prefix: string, options?: RequestOptions): Promise<string[]>;
  /** Removes an object; one that does not exist is no error. */
  delete(key: string, options?: RequestOptions): Promise<void>;
  /** Removes every object under the path segment `prefix` (`a/b` takes `a/b/c`, not `a/bc`); tells how many. */
  deletePrefix(prefix: string, options?: RequestOptions): Promise<number>;
  /**
   * Uploads of any process to keys that begin with `prefix` and are not finished. Stores on which a process that ends
   * takes its uploads with it, and those that cannot tell, leave it out.
   */
  listUploads?(prefix: string, options?: RequestOptions): Promise<OpenUpload[]>;
  /** Gives up somebody's upload, so that it can no longer be finished; one that has ended meanwhile is no error. */
  abortUpload?(upload: OpenUpload, options?: RequestOptions): Promise<void>;
}

/** Whether a store can write and list as well as read. */
export function isObjectStore(store: ReadableStore): store is ObjectStore {
  return "put" in store && "list" in store;
}

/** Copies an object inside a store; through this program where the store cannot do it by itself. */
export async function copyObject(
  store: ObjectStore,
  { fromKey, toKey }: { readonly fromKey: string; readonly toKey: string },
  options: CopyOptions = {},
): Promise<ObjectVersion> {
  if (store.copy !== undefined) return await store.copy(fromKey, toKey, options);
  const { sourceEtag, ...write } = options;
  const source = await store.get(fromKey, { signal: options.signal });
  try {
    requireSource(`${store.url}/${fromKey}`, source.etag, sourceEtag);
    await using upload = await store.upload(toKey, { ...write, headBytes: 0 });
    for await (const chunk of source.body) await upload.write(chunk);
    return await upload.finish(new Uint8Array(0));
  } catch (error) {
    await source.body.cancel().catch(() => {});
    throw error;
  }
}

/** @throws {PreconditionFailedError} when the source of a copy is not of the version that was demanded. */
export function requireSource(url: string, etag: string | null, sourceEtag: string | undefined): void {
  if (sourceEtag === undefined || etag === sourceEtag) return;
  const found = etag === null ? "it has no version" : `it has version ${etag}`;
  throw new PreconditionFailedError(`Cannot copy "${url}" as it must be of version ${sourceEtag}: ${found}`, {
    url,
    status: 412,
  });
}

/** The error for an object of which two parts are of different versions. */
export function replacedError(url: string): StoreError {
  return new StoreError(`Cannot read "${url}" on as the object was replaced meanwhile: read it anew`, {
    url,
    status: 412,
    retryable: true,
  });
}
