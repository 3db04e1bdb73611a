/**
 * The binding of an R2 bucket, as far as it is used here: what Cloudflare's own types describe fits it.
 * @module
 */

/** State of the object that a request demands; ETags without quotes, `*` for any. */
export interface R2Condition {
  /** The object must have this ETag. */
  readonly etagMatches?: string;
  /** The object must not have this ETag; `*`: must not be there. */
  readonly etagDoesNotMatch?: string;
}

/** What R2 tells of an object. */
export interface R2ObjectInfo {
  /** Its key in the bucket. */
  readonly key: string;
  /** Length of the whole object. */
  readonly size: number;
  /** With its quotes. */
  readonly httpEtag: string;
  /** The part that the body is, where one was asked for. */
  readonly range?: unknown;
  /** Absent when a condition did not hold. */
  readonly body?: ReadableStream<Uint8Array>;
}

/** A multipart upload under way. */
export interface R2Upload {
  /** What tells it from other uploads of the key. */
  readonly uploadId: string;
  /** Sends a part, counted from 1. */
  uploadPart(partNumber: number, value: Uint8Array): Promise<{ readonly partNumber: number; readonly etag: string }>;
  /** Discards what was sent. */
  abort(): Promise<void>;
  /** Makes an object of the parts. */
  complete(parts: { partNumber: number; etag: string }[]): Promise<R2ObjectInfo>;
}

/** A page of a listing. */
export interface R2Page {
  /** Objects of this page. */
  readonly objects: readonly R2ObjectInfo[];
  /** Whether more pages follow. */
  readonly truncated: boolean;
  /** Where the next page begins. */
  readonly cursor?: string;
  /** What keys begin with up to the delimiter, where one was given. */
  readonly delimitedPrefixes: readonly string[];
}

/** A bucket as a Worker's environment has it. */
export interface R2BucketBinding {
  get(
    key: string,
    options?: { onlyIf?: R2Condition; range?: { offset: number; length: number } },
  ): Promise<R2ObjectInfo | null>;
  /** What is known of an object; null when it is not there. */
  head(key: string): Promise<R2ObjectInfo | null>;
  /** Null when the condition did not hold. */
  put(
    key: string,
    value: Uint8Array,
    options?: { onlyIf?: R2Condition; httpMetadata?: { contentType?: string } },
  ): Promise<R2ObjectInfo | null>;
  /** Removes objects; those that are not there are no error. */
  delete(keys: string | string[]): Promise<void>;
  /** A page of keys in their order. */
  list(options?: { prefix?: string; cursor?: string; delimiter?: string }): Promise<R2Page>;
  /** Begins an upload in parts. */
  createMultipartUpload(key: string, options?: { httpMetadata?: { contentType?: string } }): Promise<R2Upload>;
}
