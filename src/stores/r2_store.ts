/**
 * Objects in a bucket of Cloudflare R2, through the binding of a Worker.
 * @module
 */
import { ObjectNotFoundError, ShardyfusionError, StoreError } from "../errors.ts";
import { checkFields, nonEmptyString, optional, refuseOption } from "../option_fields.ts";
import { requireFolder, requireKey, requirePrefix } from "./object_key.ts";
import type { R2BucketBinding, R2Condition, R2ObjectInfo, R2Page } from "./r2_bucket.ts";
import { rangesTogether } from "./range_reads.ts";
import { MultipartUpload } from "./s3_upload.ts";
import type {
  ByteRange,
  ObjectEntry,
  ObjectStore,
  ObjectUpload,
  ObjectVersion,
  Precondition,
  RequestOptions,
  StoredObject,
  StoredRanges,
  UploadOptions,
  WriteOptions,
} from "./store.ts";
import {
  notFoundError,
  preconditionError,
  rangeError,
  readExactly,
  requestError,
  requireHeadBytes,
  requireRanges,
  requireState,
  storedObject,
} from "./stored_object.ts";

export type { R2BucketBinding, R2Condition, R2ObjectInfo, R2Page, R2Upload } from "./r2_bucket.ts";

/** What {@linkcode r2Store} can be told. */
export interface R2StoreOptions {
  /** What the keys in the bucket begin with, without slash at its end. Default: nothing. */
  readonly prefix?: string | undefined;
  /** What the store calls itself, and thus what manifests name. @default {"r2://bucket"} with the prefix */
  readonly url?: string | undefined;
}

/** R2 wants all parts but the last of one length, from 5 MiB up. */
const PART_BYTES = 8 << 20;

type Body = ReadableStream<Uint8Array<ArrayBuffer>>;

/**
 * A store in a bucket that is bound to a Worker.
 *
 * R2 knows no conditional multipart upload: the state that an `upload` of more than 8 MiB demands is looked at just
 * before it becomes visible, and another writer may come in between. `put` is atomic. Objects can be 40 GiB long.
 * Requests cannot be taken back: an aborted write may have happened.
 *
 * @throws {ConfigValidationError} when `bucket` is no bucket or an option is wrong.
 *
 * @example In a Worker
 * ```ts
 * import { type R2BucketBinding, r2Store } from "./r2_store.ts";
 *
 * function storeOf(env: { CITIES: R2BucketBinding }) {
 *   return r2Store(env.CITIES, { prefix: "cities", url: "s3://bucket/cities" });
 * }
 * if (storeOf.length !== 1) throw new Error("unexpected");
 * ```
 */
export function r2Store(bucket: R2BucketBinding, options: R2StoreOptions = {}): ObjectStore {
  // Not by its fields, as it may be a proxy. A function in tests.
  if (bucket === null || !["object", "function"].includes(typeof bucket)) {
    refuseOption("r2Store.bucket", "the binding of a bucket", bucket);
  }
  checkFields(options, "r2Store", { prefix: optional(nonEmptyString), url: optional(nonEmptyString) });
  const { prefix } = options;
  // What no key can be is no prefix either.
  if (prefix?.split("/").some((part) => ["", ".", ".."].includes(part))) {
    refuseOption("r2Store.prefix", "a path without slash at its ends", prefix);
  }
  const root = prefix === undefined ? "" : `${prefix}/`;
  const url = (options.url ?? `r2://bucket/${root}`).replace(/\/+$/, "");
  return new R2Store(bucket, root, url);
}

interface Sent {
  readonly verb: string;
  readonly url: string;
  readonly signal?: AbortSignal | undefined;
}

class R2Store implements ObjectStore {
  readonly url: string;
  readonly honoursPreconditions = true;
  readonly #bucket: R2BucketBinding;
  readonly #root: string;

  constructor(bucket: R2BucketBinding, root: string, url: string) {
    this.#bucket = bucket;
    this.#root = root;
    this.url = url;
  }

  async get(key: string, { signal }: RequestOptions = {}): Promise<StoredObject> {
    return this.#objectOf(key, await this.#find(key, {}, signal), signal);
  }

  async getIfChanged(key: string, etag: string, { signal }: RequestOptions = {}): Promise<StoredObject | null> {
    const found = await this.#find(key, { onlyIf: { etagDoesNotMatch: unquoted(etag) } }, signal);
    return found.body === undefined ? null : this.#objectOf(key, found, signal);
  }

  async getRanges(key: string, ranges: readonly ByteRange[], { signal }: RequestOptions = {}): Promise<StoredRanges> {
    requireRanges(ranges);
    requireKey(key);
    const url = this.#urlOf(key);
    return await rangesTogether(url, ranges, {
      signal,
      readOne: async (range, signal) => {
        const { offset, lengthBytes } = range;
        const asked = { range: { offset, length: lengthBytes } };
        const found = await this.#find(key, asked, signal).catch(async (error) => {
          if (signal.aborted || error instanceof ObjectNotFoundError) throw error;
          // What a range past the end is called depends on where R2 runs.
          const { size = Infinity } = await this.#bucket.head(`${this.#root}${key}`).catch(() => null) ?? {};
          throw offset + lengthBytes > size ? rangeError(url, range, size) : error;
        });
        const { size: sizeBytes, httpEtag: etag } = found;
        if (offset + lengthBytes > sizeBytes) {
          found.body?.cancel().catch(() => {});
          throw rangeError(url, range, sizeBytes);
        }
        return { etag, sizeBytes, bytes: await readExactly(bodyOf(found), { sizeBytes: lengthBytes, url, signal }) };
      },
    });
  }

  async put(key: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<ObjectVersion> {
    requireKey(key);
    const { contentType = "application/octet-stream", precondition, signal } = options;
    const url = this.#urlOf(key);
    const stored = await this.#send(
      { verb: "write", url, signal },
      () =>
        this.#bucket.put(`${this.#root}${key}`, bytes, {
          httpMetadata: { contentType },
          ...(precondition && { onlyIf: conditionOf(precondition) }),
        }),
    );
    if (stored === null) throw preconditionError(url, precondition, { found: "it is in another state" });
    return { etag: stored.httpEtag, sizeBytes: bytes.byteLength };
  }

  // deno-lint-ignore require-await -- the interface is for stores that have to ask
  async upload(key: string, options: UploadOptions): Promise<ObjectUpload> {
    requireKey(key);
    const { headBytes, contentType = "application/octet-stream", precondition, signal } = options;
    requireHeadBytes(headBytes, PART_BYTES);
    signal?.throwIfAborted();
    const url = this.#urlOf(key);
    // Without the signal: what was begun has to be waited for, to be given up.
    const sent = { verb: "write", url };
    const create = () => this.#bucket.createMultipartUpload(`${this.#root}${key}`, { httpMetadata: { contentType } });
    let begun: ReturnType<typeof create> | undefined;
    return new MultipartUpload({
      url,
      putWhole: (bytes) => this.put(key, bytes, options),
      create: async () => (await this.#send(sent, () => begun = create())).uploadId,
      uploadPart: async ({ partNumber, bytes }, givenUp) => {
        signal?.throwIfAborted();
        givenUp.throwIfAborted();
        return (await this.#send(sent, async () => await (await begun!).uploadPart(partNumber, bytes))).etag;
      },
      complete: async (_uploadId, etags) => {
        const upload = await begun!;
        if (precondition !== undefined) {
          const found = await this.#send(sent, () => this.#bucket.head(`${this.#root}${key}`));
          requireState(url, precondition, found?.httpEtag ?? null);
        }
        const parts = etags.map((etag, index) => ({ partNumber: index + 1, etag }));
        return { etag: (await this.#send(sent, () => upload.complete(parts))).httpEtag };
      },
      abort: async () => await (await begun!).abort(),
    }, { headBytes, partBytes: PART_BYTES, signal });
  }

  async *list(prefix: string, { signal }: RequestOptions = {}): AsyncGenerator<ObjectEntry[], void, undefined> {
    requirePrefix(prefix);
    for await (const { objects } of this.#pages(prefix, { signal })) {
      const entries = objects.map(({ key, size, httpEtag }) => ({
        key: key.slice(this.#root.length),
        sizeBytes: size,
        etag: httpEtag,
      }));
      if (entries.length > 0) yield entries;
    }
  }

  async listFolders(prefix: string, { signal }: RequestOptions = {}): Promise<string[]> {
    requirePrefix(prefix);
    const folders: string[] = [];
    const start = this.#root.length + prefix.length;
    for await (const { delimitedPrefixes } of this.#pages(prefix, { delimiter: "/", signal })) {
      for (const folder of delimitedPrefixes) folders.push(folder.slice(start, -1));
    }
    return folders;
  }

  async delete(key: string, { signal }: RequestOptions = {}): Promise<void> {
    requireKey(key);
    await this.#send(
      { verb: "delete", url: this.#urlOf(key), signal },
      () => this.#bucket.delete(`${this.#root}${key}`),
    );
  }

  async deletePrefix(prefix: string, { signal }: RequestOptions = {}): Promise<number> {
    const folder = requireFolder(prefix);
    let count = 0;
    for await (const { objects } of this.#pages(folder, { signal })) {
      const keys = objects.map(({ key }) => key);
      if (keys.length === 0) continue;
      await this.#send({ verb: "delete", url: this.#urlOf(folder), signal }, () => this.#bucket.delete(keys));
      count += keys.length;
    }
    return count;
  }

  async *#pages(
    prefix: string,
    { delimiter, signal }: { delimiter?: string; signal?: AbortSignal | undefined },
  ): AsyncGenerator<R2Page, void, undefined> {
    let cursor: string | undefined;
    do {
      const page = await this.#send({ verb: "list", url: this.#urlOf(prefix), signal }, () =>
        this.#bucket.list({
          prefix: `${this.#root}${prefix}`,
          ...(delimiter && { delimiter }),
          ...(cursor && { cursor }),
        }));
      yield page;
      cursor = page.truncated ? page.cursor : undefined;
    } while (cursor !== undefined);
  }

  async #find(
    key: string,
    options: { onlyIf?: R2Condition; range?: { offset: number; length: number } },
    signal: AbortSignal | undefined,
  ): Promise<R2ObjectInfo> {
    requireKey(key);
    const url = this.#urlOf(key);
    const found = await this.#send({ verb: "read", url, signal }, async () => {
      const found = await this.#bucket.get(`${this.#root}${key}`, options);
      // Nobody is there any more to read it.
      if (signal?.aborted) found?.body?.cancel().catch(() => {});
      return found;
    });
    if (found === null) throw notFoundError(url);
    return found;
  }

  #objectOf(key: string, found: R2ObjectInfo, signal: AbortSignal | undefined): StoredObject {
    const { size: sizeBytes, httpEtag: etag } = found;
    const url = this.#urlOf(key);
    const openBody = (): Body => bodyOf(found);
    return storedObject({ etag, sizeBytes, url, signal, openBody });
  }

  #urlOf(key: string): string {
    return `${this.url}/${key}`;
  }

  /** R2's methods know no signal: the caller stops waiting, the request goes on. */
  async #send<T>({ verb, url, signal }: Sent, request: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    let onAbort: (() => void) | undefined;
    const aborted = new Promise<never>((_resolve, reject) => {
      onAbort = () => reject(signal!.reason);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
    try {
      return await Promise.race([request(), aborted]);
    } catch (error) {
      throw r2Error(error, { verb, url, signal });
    } finally {
      signal?.removeEventListener("abort", onAbort!);
    }
  }
}

/** Numbers of R2's errors that pass: internal error, unavailable, client gone, too many requests. */
const TRANSIENT = [10001, 10043, 10054, 10058];

/** R2 puts a number in brackets at the end of its messages; an error without one is of the way there. */
function r2Error(thrown: unknown, { verb, url, signal }: Sent): unknown {
  const code = Number(/\((\d{5})\)$/.exec((thrown as Error)?.message ?? "")?.[1]);
  if (signal?.aborted || thrown instanceof ShardyfusionError || Number.isNaN(code)) {
    return requestError(thrown, { verb, url, signal });
  }
  return new StoreError(`Cannot ${verb} "${url}": ${(thrown as Error).message}`, {
    url,
    retryable: TRANSIENT.includes(code),
    cause: thrown,
  });
}

function conditionOf(precondition: Precondition): R2Condition {
  return "ifMatch" in precondition ? { etagMatches: unquoted(precondition.ifMatch) } : { etagDoesNotMatch: "*" };
}

function unquoted(etag: string): string {
  return etag.replaceAll('"', "");
}

function bodyOf({ body }: R2ObjectInfo): Body {
  return body as Body | undefined ?? new Blob().stream();
}
