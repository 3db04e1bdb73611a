/**
 * Multipart uploads of a bucket that nobody has finished.
 * @module
 */
import type { ListMultipartUploadsCommandInput, ListMultipartUploadsCommandOutput } from "@aws-sdk/client-s3";
import type { OpenUpload } from "./store.ts";

/** Sends one request for a page of the listing. */
export type UploadPage = (input: ListMultipartUploadsCommandInput) => Promise<ListMultipartUploadsCommandOutput>;

/**
 * Uploads to keys that begin with `prefix`; keys are those of the bucket.
 *
 * MinIO takes the prefix for the whole name of an object, and gives all uploads of the bucket when there is none; so
 * where nothing is found the bucket is asked as a whole. On other servers that costs a second request.
 */
export async function openUploads(
  { bucket, prefix }: { readonly bucket: string; readonly prefix: string },
  ask: UploadPage,
): Promise<OpenUpload[]> {
  const found = await pages({ Bucket: bucket, Prefix: prefix }, ask);
  if (found.length > 0) return found;
  return (await pages({ Bucket: bucket }, ask)).filter(({ key }) => key.startsWith(prefix));
}

async function pages(input: ListMultipartUploadsCommandInput, ask: UploadPage): Promise<OpenUpload[]> {
  const found: OpenUpload[] = [];
  let markers: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {};
  while (markers !== undefined) {
    const page: ListMultipartUploadsCommandOutput = await ask({ ...input, ...markers });
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      // Without a time it counts as new, and stays.
      const changedAtMicros = (Initiated?.getTime() ?? Date.now()) * 1000;
      if (Key !== undefined && UploadId !== undefined) found.push({ key: Key, uploadId: UploadId, changedAtMicros });
    }
    markers = page.IsTruncated && page.NextKeyMarker !== undefined
      ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
      : undefined;
  }
  return found;
}
