/**
 * The binding of an R2 bucket, as far as it is used here: what Cloudflare's own types describe fits it.
 * @module
 */

/** State of the object that a request demands; ETags without quotes, `*` for any. */
export interface R2Condition {
  readonly etagMatches?: string;
  readonly etagDoesNotMatch?: string;
}

/** What R2 tells of an object. */
export interface R2ObjectInfo {
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
  readonly uploadId: string;
  uploadPart(partNumber: number, value: Uint8Array): Promise<{ readonly partNumber: number; readonly etag: string }>;
  abort(): Promise<void>;
  complete(parts: { partNumber: number; etag: string }[]): Promise<R2ObjectInfo>;
}

/** A page of a listing. */
export interface R2Page {
  readonly objects: readonly R2ObjectInfo[];
  readonly truncated: boolean;
  readonly cursor?: string;
  readonly delimitedPrefixes: readonly string[];
}

/** A bucket as a Worker's environment has it. */
export interface R2BucketBinding {
  get(
    key: string,
    options?: { onlyIf?: R2Condition; range?: { offset: number; length: number } },
  ): Promise<R2ObjectInfo | null>;
  head(key: string): Promise<R2ObjectInfo | null>;
  /** Null when the condition did not hold. */
  put(
    key: string,
    value: Uint8Array,
    options?: { onlyIf?: R2Condition; httpMetadata?: { contentType?: string } },
  ): Promise<R2ObjectInfo | null>;
  delete(keys: string | string[]): Promise<void>;
  list(options?: { prefix?: string; cursor?: string; delimiter?: string }): Promise<R2Page>;
  createMultipartUpload(key: string, options?: { httpMetadata?: { contentType?: string } }): Promise<R2Upload>;
}
