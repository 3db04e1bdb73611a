/**
 * Objects in a bucket of S3 or of anything that speaks its protocol.
 * @module
 */
import type { GetObjectCommandOutput, S3Client } from "@aws-sdk/client-s3";
import { systemClock } from "../clock.ts";
import { StoreError } from "../errors.ts";
import { requireFolder, requireKey, requirePrefix } from "./object_key.ts";
import { connect, type Connection, type Library } from "./s3_client.ts";
import { conditions, copyS3Object, strongTag } from "./s3_copy.ts";
import { type FailedRequest, isConcurrentWrite, s3Error } from "./s3_errors.ts";
import { type CheckedS3Options, checkedS3Options, type S3StoreOptions } from "./s3_options.ts";
import { MultipartUpload } from "./s3_upload.ts";
import { openUploads } from "./s3_open_uploads.ts";
import { parseS3Url } from "./s3_url.ts";
import type {
  ByteRange,
  CopyOptions,
  ObjectEntry,
  ObjectStore,
  ObjectUpload,
  ObjectVersion,
  OpenUpload,
  RequestOptions,
  StoredObject,
  StoredRanges,
  UploadOptions,
  WriteOptions,
} from "./store.ts";
import { rangeError, readExactly, requireHeadBytes, requireRanges, storedObject } from "./stored_object.ts";

export type { CredentialProvider, CredentialsFile, S3Credentials } from "./credentials.ts";
export { type S3Connection, type S3ConnectionOptions, s3ConnectionOptions } from "./s3_connection.ts";
export type { S3StoreOptions } from "./s3_options.ts";
export { parseS3Url } from "./s3_url.ts";

/** Ranges of one object that are asked for at the same time. */
const RANGES_AT_ONCE = 6;
/** Tries of a write that the store refuses because of another one at the same moment; the delay doubles. */
const CONFLICT_ATTEMPTS_MAX = 5;
const CONFLICT_DELAY_MS = 50;
/** The most that one request deletes. */
const DELETE_MAX = 1000;

/**
 * A place in a bucket, through the package `@aws-sdk/client-s3`, which is imported with the first request.
 *
 * Nothing is sent before the first request, so a wrong bucket or key shows there. The client repeats requests that fail
 * for a moment, up to `attemptsMax` tries; conditional writes that the store refuses because of another one at the same
 * moment (409) are tried anew as well, and end as a retryable `StoreError`. When the answer to a conditional write gets
 * lost, its repetition meets the object that it has written itself: after a `PreconditionFailedError` the object may be
 * one's own. A crash can leave an unfinished multipart upload behind, which `cleanUp` removes, or a rule of the bucket.
 *
 * @throws {ConfigValidationError} when an option is wrong.
 *
 * @example
 * ```ts
 * import { s3Store } from "./s3_store.ts";
 *
 * const store = s3Store({ url: "s3://bucket/cities", endpoint: "http://127.0.0.1:9000" });
 * if (store.url !== "s3://bucket/cities") throw new Error("unexpected url");
 * ```
 */
export function s3Store(options: S3StoreOptions): ObjectStore {
  return new S3Store(checkedS3Options(options));
}

type Body = ReadableStream<Uint8Array<ArrayBuffer>>;

interface ListQuery {
  readonly delimiter?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

class S3Store implements ObjectStore {
  readonly url: string;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #options: CheckedS3Options;
  #connection: Promise<Connection> | undefined;

  constructor(options: CheckedS3Options) {
    const { bucket, prefix } = parseS3Url(options.url);
    this.url = `s3://${bucket}/${prefix}`;
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.#options = options;
  }

  async get(key: string, { signal }: RequestOptions = {}): Promise<StoredObject> {
    return this.#objectOf(key, await this.#getObject(key, { signal }), signal);
  }

  async getIfChanged(key: string, etag: string, { signal }: RequestOptions = {}): Promise<StoredObject | null> {
    try {
      const output = await this.#getObject(key, { IfNoneMatch: etag, signal });
      return this.#objectOf(key, output, signal);
    } catch (error) {
      if (error instanceof StoreError && error.status === 304) return null;
      throw error;
    }
  }

  #objectOf(key: string, output: GetObjectCommandOutput, signal: AbortSignal | undefined): StoredObject {
    const url = this.#urlOf(key);
    const sizeBytes = output.ContentLength;
    if (sizeBytes === undefined) {
      bodyOf(output).cancel().catch(() => {});
      throw new StoreError(`Cannot read "${url}": the answer does not tell its length`, { url, retryable: true });
    }
    const openBody = (): Body => bodyOf(output);
    return storedObject({ etag: strongTag(output.ETag), sizeBytes, url, signal, openBody });
  }

  async getRanges(key: string, ranges: readonly ByteRange[], { signal }: RequestOptions = {}): Promise<StoredRanges> {
    requireRanges(ranges);
    if (ranges.length === 0) return { etag: null, sizeBytes: null, parts: [] };
    const first = await this.#getRange(key, ranges[0]!, { signal });
    const parts = [first.bytes];
    for (let at = 1; at < ranges.length; at += RANGES_AT_ONCE) {
      const group = ranges.slice(at, at + RANGES_AT_ONCE);
      const answers = await Promise.all(group.map((range) => this.#getRange(key, range, { signal, etag: first.etag })));
      parts.push(...answers.map(({ bytes }) => bytes));
    }
    return { etag: strongTag(first.etag ?? undefined), sizeBytes: first.sizeBytes, parts };
  }

  async put(key: string, bytes: Uint8Array, options: WriteOptions = {}): Promise<ObjectVersion> {
    const { contentType = "application/octet-stream", precondition, signal } = options;
    const input = { ...this.#at(key), Body: bytes, ContentLength: bytes.length, ContentType: contentType };
    const output = await this.#send(
      ({ PutObjectCommand }, client, options) =>
        retryConflicts(
          signal,
          () => client.send(new PutObjectCommand({ ...input, ...conditions(precondition) }), options),
        ),
      { verb: "write", url: this.#urlOf(key), precondition, signal },
    );
    return { etag: strongTag(output.ETag), sizeBytes: bytes.length };
  }

  // deno-lint-ignore require-await -- the interface is for stores that have to ask
  async upload(key: string, options: UploadOptions): Promise<ObjectUpload> {
    const { headBytes, contentType = "application/octet-stream", precondition, signal } = options;
    const { partBytes } = this.#options;
    requireHeadBytes(headBytes, partBytes);
    signal?.throwIfAborted();
    const url = this.#urlOf(key);
    const place = this.#at(key);
    const request = { verb: "write", url, signal };
    return new MultipartUpload({
      url,
      putWhole: (bytes) => this.put(key, bytes, options),
      // Without the caller's signal: an upload whose id got lost could not be given up.
      create: async () => {
        const output = await this.#send(
          ({ CreateMultipartUploadCommand }, client) =>
            client.send(new CreateMultipartUploadCommand({ ...place, ContentType: contentType })),
          { verb: "write", url },
        );
        // Without the id, parts would be taken for whole objects.
        return present(output.UploadId, url);
      },
      uploadPart: async ({ uploadId, partNumber, bytes }, givenUp) => {
        const input = {
          ...place,
          UploadId: uploadId,
          PartNumber: partNumber,
          Body: bytes,
          ContentLength: bytes.length,
        };
        const output = await this.#send(
          ({ UploadPartCommand }, client, options) => client.send(new UploadPartCommand(input), options),
          { ...request, signal: signal === undefined ? givenUp : AbortSignal.any([signal, givenUp]) },
        );
        return present(output.ETag, url);
      },
      complete: async (UploadId, etags) => {
        const Parts = etags.map((ETag, index) => ({ ETag, PartNumber: index + 1 }));
        const input = { ...place, UploadId, MultipartUpload: { Parts }, ...conditions(precondition) };
        const output = await this.#send(
          ({ CompleteMultipartUploadCommand }, client, options) =>
            client.send(new CompleteMultipartUploadCommand(input), options),
          { ...request, precondition },
        );
        return { etag: strongTag(present(output.ETag, url)) };
      },
      // Not with the caller's signal: this is what runs after an abort.
      abort: (uploadId) => this.#abortUpload(key, uploadId, undefined),
    }, { headBytes, partBytes, signal });
  }

  async copy(fromKey: string, toKey: string, options: CopyOptions = {}): Promise<ObjectVersion> {
    const place = {
      from: this.#at(fromKey),
      fromUrl: this.#urlOf(fromKey),
      to: this.#at(toKey),
      url: this.#urlOf(toKey),
    };
    return await copyS3Object((command, request) => this.#send(command, request), place, options);
  }

  async *list(prefix: string, options: RequestOptions = {}): AsyncGenerator<ObjectEntry[], void, undefined> {
    requirePrefix(prefix);
    for await (const page of this.#listPages(prefix, { ...options })) {
      const entries = (page.Contents ?? []).map((entry) => ({
        key: entry.Key!.slice(this.#prefix.length + 1),
        sizeBytes: entry.Size ?? 0,
        etag: strongTag(entry.ETag),
      }));
      if (entries.length > 0) yield entries;
    }
  }

  async listFolders(prefix: string, options: RequestOptions = {}): Promise<string[]> {
    requirePrefix(prefix);
    const folders: string[] = [];
    const start = this.#prefix.length + 1 + prefix.length;
    for await (const page of this.#listPages(prefix, { ...options, delimiter: "/" })) {
      for (const { Prefix } of page.CommonPrefixes ?? []) folders.push(Prefix!.slice(start, -1));
    }
    return folders;
  }

  async delete(key: string, { signal }: RequestOptions = {}): Promise<void> {
    await this.#send(
      ({ DeleteObjectCommand }, client, options) => client.send(new DeleteObjectCommand(this.#at(key)), options),
      { verb: "delete", url: this.#urlOf(key), signal },
    );
  }

  async deletePrefix(prefix: string, { signal }: RequestOptions = {}): Promise<number> {
    const folder = requireFolder(prefix);
    let count = 0;
    for await (const page of this.#listPages(folder, { signal })) {
      const keys = (page.Contents ?? []).map(({ Key }) => Key!);
      for (let at = 0; at < keys.length; at += DELETE_MAX) {
        await this.#deleteKeys(keys.slice(at, at + DELETE_MAX), { url: `${this.url}/${folder}`, signal });
      }
      count += keys.length;
    }
    return count;
  }

  async #deleteKeys(keys: readonly string[], { url, signal }: { url: string; signal?: AbortSignal | undefined }) {
    const input = { Bucket: this.#bucket, Delete: { Objects: keys.map((Key) => ({ Key })), Quiet: true } };
    const output = await this.#send(
      ({ DeleteObjectsCommand }, client, options) => client.send(new DeleteObjectsCommand(input), options),
      { verb: "delete", url, signal },
    );
    const [failed] = output.Errors ?? [];
    if (failed) throw new StoreError(`Cannot delete "${failed.Key}": ${failed.Message}`, { url, retryable: true });
  }

  async listUploads(prefix: string, { signal }: RequestOptions = {}): Promise<OpenUpload[]> {
    requirePrefix(prefix);
    const root = `${this.#prefix}/`;
    const uploads = await openUploads(
      { bucket: this.#bucket, prefix: `${root}${prefix}` },
      (input) =>
        this.#send(
          ({ ListMultipartUploadsCommand }, client, options) =>
            client.send(new ListMultipartUploadsCommand(input), options),
          { verb: "list uploads of", url: `${this.url}/${prefix}`, signal },
        ),
    );
    return uploads.map((upload) => ({ ...upload, key: upload.key.slice(root.length) }));
  }

  async abortUpload({ key, uploadId }: OpenUpload, { signal }: RequestOptions = {}): Promise<void> {
    await this.#abortUpload(key, uploadId, signal).catch((error) => {
      if (!(error instanceof StoreError && error.status === 404)) throw error;
    });
  }

  async #abortUpload(key: string, UploadId: string, signal: AbortSignal | undefined): Promise<void> {
    const input = { ...this.#at(key), UploadId };
    await this.#send(
      ({ AbortMultipartUploadCommand }, client, options) =>
        client.send(new AbortMultipartUploadCommand(input), options),
      { verb: "give up", url: this.#urlOf(key), signal },
    );
  }

  async *#listPages(prefix: string, { delimiter, signal }: ListQuery) {
    const url = `${this.url}/${prefix}`;
    let token: string | undefined;
    do {
      const input = {
        Bucket: this.#bucket,
        Prefix: `${this.#prefix}/${prefix}`,
        Delimiter: delimiter,
        ContinuationToken: token,
      };
      const page = await this.#send(
        ({ ListObjectsV2Command }, client, options) => client.send(new ListObjectsV2Command(input), options),
        { verb: "list", url, signal },
      );
      yield page;
      token = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  #getObject(
    key: string,
    { signal, ...more }: { Range?: string; IfMatch?: string; IfNoneMatch?: string; signal?: AbortSignal | undefined },
  ): Promise<GetObjectCommandOutput> {
    const input = { ...this.#at(key), ...more };
    return this.#send(({ GetObjectCommand }, client, options) => client.send(new GetObjectCommand(input), options), {
      verb: "read",
      url: this.#urlOf(key),
      signal,
    });
  }

  async #getRange(
    key: string,
    range: ByteRange,
    { signal, etag }: { signal?: AbortSignal | undefined; etag?: string | null | undefined },
  ): Promise<{ bytes: Uint8Array<ArrayBuffer>; etag: string | null; sizeBytes: number | null }> {
    const url = this.#urlOf(key);
    const last = range.offset + range.lengthBytes - 1;
    let output: GetObjectCommandOutput;
    try {
      const condition = etag ? { IfMatch: etag } : {};
      output = await this.#getObject(key, { Range: `bytes=${range.offset}-${last}`, ...condition, signal });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.status === 416) throw rangeError(url, range, null);
      if (error.status === 412) throw changedError(url, error);
      throw error;
    }
    const answered = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(output.ContentRange ?? "");
    const sizeBytes = answered === null || answered[3] === "*" ? null : Number(answered[3]);
    const isWhole = Number(answered?.[1]) === range.offset && Number(answered?.[2]) === last;
    if (!isWhole) {
      bodyOf(output).cancel().catch(() => {});
      if (sizeBytes !== null && last >= sizeBytes) throw rangeError(url, range, sizeBytes);
      throw new StoreError(`Cannot read a range of "${url}": the answer is of another range`, { url, retryable: true });
    }
    if (etag && output.ETag !== etag) throw changedError(url);
    const bytes = await readExactly(bodyOf(output), { sizeBytes: range.lengthBytes, url, signal });
    return { bytes, etag: output.ETag ?? null, sizeBytes };
  }

  #at(key: string): { Bucket: string; Key: string } {
    requireKey(key);
    return { Bucket: this.#bucket, Key: `${this.#prefix}/${key}` };
  }

  #urlOf(key: string): string {
    return `${this.url}/${key}`;
  }

  async #send<Output>(
    command: (library: Library, client: S3Client, options: { abortSignal?: AbortSignal }) => Promise<Output>,
    request: FailedRequest,
  ): Promise<Output> {
    request.signal?.throwIfAborted();
    this.#connection ??= connect(this.#options);
    const { library, client } = await this.#connection;
    try {
      return await command(library, client, request.signal === undefined ? {} : { abortSignal: request.signal });
    } catch (error) {
      throw s3Error(error, request);
    }
  }
}

/** What every answer to a request of an upload has, unless something on the way cut it short. */
function present(field: string | undefined, url: string): string {
  if (field !== undefined) return field;
  throw new StoreError(`Cannot write "${url}": the answer is not complete`, { url, retryable: true });
}

function bodyOf(output: GetObjectCommandOutput): Body {
  if (output.Body === undefined) return new ReadableStream({ start: (controller) => controller.close() });
  return output.Body.transformToWebStream() as Body;
}

/** A store may refuse one of two writes at the same moment without looking at either: it changed nothing then. */
async function retryConflicts<T>(signal: AbortSignal | undefined, request: () => Promise<T>): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await request();
    } catch (error) {
      if (attempt === CONFLICT_ATTEMPTS_MAX || !isConcurrentWrite(error)) throw error;
      await systemClock().sleep(CONFLICT_DELAY_MS * 2 ** (attempt - 1), signal);
    }
  }
}

function changedError(url: string, cause?: unknown): StoreError {
  return new StoreError(`Cannot read ranges of "${url}" as the object was replaced meanwhile: read it anew`, {
    url,
    status: 412,
    retryable: true,
    cause,
  });
}
