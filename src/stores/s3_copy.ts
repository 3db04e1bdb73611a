/**
 * Copies inside a bucket: the bytes stay on the server.
 * @module
 */
import type { S3Client } from "@aws-sdk/client-s3";
import { StoreError } from "../errors.ts";
import type { Library } from "./s3_client.ts";
import type { FailedRequest } from "./s3_errors.ts";
import { type CopyOptions, type ObjectVersion, type Precondition, requireSource } from "./store.ts";

/** One request copies at most this much. */
const COPY_BYTES_MAX = 5 * 2 ** 30;
/** Parts of larger ones, and of copies with a precondition: what every server heeds is that of a multipart upload. */
const PART_BYTES = 2 ** 29;
const PARTS_AT_ONCE = 4;

type S3Command<Output> = (
  library: Library,
  client: S3Client,
  options: { abortSignal?: AbortSignal },
) => Promise<Output>;

/** Sends a request through the store's client; its failures come as our errors. */
export type SendS3 = <Output>(command: S3Command<Output>, request: FailedRequest) => Promise<Output>;

/** An object in a bucket. */
export interface S3Place {
  readonly Bucket: string;
  readonly Key: string;
}

/** From where to where, and what errors call it. */
export interface S3CopyPlace {
  readonly from: S3Place;
  readonly fromUrl: string;
  readonly to: S3Place;
  readonly url: string;
}

interface Source {
  readonly CopySource: string;
  readonly CopySourceIfMatch?: string;
  readonly sizeBytes: number;
}

/** Asks for the source's version and length, then copies that version: one request, or a multipart upload. */
export async function copyS3Object(send: SendS3, place: S3CopyPlace, options: CopyOptions): Promise<ObjectVersion> {
  const { contentType = "application/octet-stream", precondition, sourceEtag, signal } = options;
  const { from, fromUrl, to, url } = place;
  const head = await send(
    ({ HeadObjectCommand }, client, options) => client.send(new HeadObjectCommand(from), options),
    { verb: "copy", url: fromUrl, signal },
  );
  const etag = strongTag(head.ETag);
  requireSource(fromUrl, etag, sourceEtag);
  const source = {
    CopySource: `${from.Bucket}/${from.Key.split("/").map(encodeURIComponent).join("/")}`,
    ...(etag === null ? {} : { CopySourceIfMatch: etag }),
    sizeBytes: present(head.ContentLength, fromUrl),
  };
  if (precondition !== undefined || source.sizeBytes > COPY_BYTES_MAX) {
    return await copyInParts(send, { source, to, url }, { contentType, precondition, signal });
  }
  const { sizeBytes, ...copied } = source;
  const input = { ...to, ...copied, ContentType: contentType, MetadataDirective: "REPLACE" as const };
  const output = await send(
    ({ CopyObjectCommand }, client, options) => client.send(new CopyObjectCommand(input), options),
    { verb: "copy", url, signal },
  );
  return { etag: strongTag(present(output.CopyObjectResult?.ETag, url)), sizeBytes };
}

async function copyInParts(
  send: SendS3,
  { source: { sizeBytes, ...source }, to, url }: { source: Source; to: S3Place; url: string },
  { contentType, precondition, signal }: {
    contentType: string;
    precondition: Precondition | undefined;
    signal: AbortSignal | undefined;
  },
): Promise<ObjectVersion> {
  signal?.throwIfAborted();
  // Without the caller's signal: an upload whose id got lost could not be given up.
  const created = await send(
    ({ CreateMultipartUploadCommand }, client) =>
      client.send(new CreateMultipartUploadCommand({ ...to, ContentType: contentType })),
    { verb: "copy", url },
  );
  const upload = { ...to, UploadId: present(created.UploadId, url) };
  async function copyPart(index: number): Promise<string> {
    const offset = index * PART_BYTES;
    const last = Math.min(offset + PART_BYTES, sizeBytes) - 1;
    const range = sizeBytes === 0 ? {} : { CopySourceRange: `bytes=${offset}-${last}` };
    const input = { ...upload, ...source, ...range, PartNumber: index + 1 };
    const output = await send(
      ({ UploadPartCopyCommand }, client, options) => client.send(new UploadPartCopyCommand(input), options),
      { verb: "copy", url, signal },
    );
    return present(output.CopyPartResult?.ETag, url);
  }
  try {
    const count = Math.max(1, Math.ceil(sizeBytes / PART_BYTES));
    const Parts = (await inTurns(count, copyPart)).map((ETag, index) => ({ ETag, PartNumber: index + 1 }));
    const input = { ...upload, MultipartUpload: { Parts }, ...conditions(precondition) };
    const output = await send(
      ({ CompleteMultipartUploadCommand }, client, options) =>
        client.send(new CompleteMultipartUploadCommand(input), options),
      { verb: "write", url, precondition, signal },
    );
    return { etag: strongTag(present(output.ETag, url)), sizeBytes };
  } catch (error) {
    await send(
      ({ AbortMultipartUploadCommand }, client) => client.send(new AbortMultipartUploadCommand(upload)),
      { verb: "give up", url },
    ).catch(() => {});
    throw error;
  }
}

/** Some at a time; when one fails, the others that have begun are waited for. */
async function inTurns<T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  async function takeTurns(): Promise<void> {
    while (next < count) {
      const index = next++;
      results[index] = await work(index).catch((error) => {
        next = count;
        throw error;
      });
    }
  }
  const outcomes = await Promise.allSettled(Array.from({ length: PARTS_AT_ONCE }, takeTurns));
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  return results;
}

/** The headers of a precondition. */
export function conditions(precondition: Precondition | undefined): { IfMatch?: string; IfNoneMatch?: string } {
  if (precondition === undefined) return {};
  return "ifMatch" in precondition ? { IfMatch: precondition.ifMatch } : { IfNoneMatch: "*" };
}

/** Weak tags do not identify bytes. */
export function strongTag(etag: string | undefined): string | null {
  return etag === undefined || etag.startsWith("W/") ? null : etag;
}

function present<T>(field: T | undefined, url: string): T {
  if (field !== undefined) return field;
  throw new StoreError(`Cannot copy "${url}": the answer is not complete`, { url, retryable: true });
}
