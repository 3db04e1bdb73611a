/**
 * URLs of places in buckets.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { redacted } from "../redact.ts";

/**
 * Bucket and prefix of `s3://bucket/prefix`.
 *
 * @param option Name of the option that the URL was given as, for the error.
 * @throws {ConfigValidationError} when it is no such URL.
 */
export function parseS3Url(
  url: string,
  option: string = "s3Store.url",
): { readonly bucket: string; readonly prefix: string } {
  const match = /^s3:\/\/([^/?#@]+)\/+([^?#]*?)\/*$/.exec(url);
  if (match?.[2]) return { bucket: match[1]!, prefix: match[2] };
  throw new ConfigValidationError(
    `Cannot use option "${option}" as it must be "s3://bucket/prefix" with a prefix, without "?", "#" and keys: ` +
      `current value is ${JSON.stringify(redacted(String(url)))}`,
    option,
  );
}
