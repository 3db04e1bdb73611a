// deno-lint-ignore-file camelcase -- names of the Python package
/**
 * The connection settings of the Python package, as options of `s3Store`.
 * @module
 */
import * as v from "valibot";
import { parseOptions, positiveNumber } from "../options.ts";
import type { S3StoreOptions } from "./s3_options.ts";

/** `S3ConnectionOptions` of the Python package (WIRE_FORMATS 1): what a configuration shared by both says. */
export interface S3ConnectionOptions {
  /** URL of the server: `endpoint` of `s3Store`. */
  readonly endpoint_url?: string | null | undefined;
  /** `region` of `s3Store`. */
  readonly region_name?: string | null | undefined;
  /** `addressingStyle` of `s3Store`. */
  readonly addressing_style?: "path" | "virtual" | "auto" | null | undefined;
  /** Signatures older than `s3v4` are refused. */
  readonly signature_version?: string | null | undefined;
  /** False accepts any certificate; a path names a file of certificates (PEM) to trust. */
  readonly verify_ssl?: boolean | string | null | undefined;
  /** Seconds. */
  readonly connect_timeout?: number | null | undefined;
  /** Seconds. */
  readonly read_timeout?: number | null | undefined;
  /** Tries per request, the first included. */
  readonly max_attempts?: number | null | undefined;
}

/** The same by the names and in the units of `s3Store`. */
export type S3Connection = Pick<
  S3StoreOptions,
  | "endpoint"
  | "region"
  | "addressingStyle"
  | "signatureVersion"
  | "verifyTls"
  | "connectTimeoutMs"
  | "readTimeoutMs"
  | "attemptsMax"
>;

const schema: v.GenericSchema<S3ConnectionOptions> = v.strictObject({
  "endpoint_url": v.nullish(v.string("a URL")),
  "region_name": v.nullish(v.string("a region's name")),
  "addressing_style": v.nullish(v.picklist(["path", "virtual", "auto"], '"path", "virtual" or "auto"')),
  "signature_version": v.nullish(v.picklist(["s3v4", "v4"], '"s3v4", as older signatures are not supported')),
  "verify_ssl": v.nullish(v.union([v.boolean(), v.string()], "true, false or the path of a file of certificates")),
  "connect_timeout": v.nullish(positiveNumber),
  "read_timeout": v.nullish(positiveNumber),
  "max_attempts": v.nullish(v.pipe(v.number("a whole number"), v.safeInteger("a whole number"))),
}) as unknown as v.GenericSchema<S3ConnectionOptions>;

/**
 * Options for `s3Store` of settings with the names and units of the Python package; `null` counts as left out.
 *
 * @throws {ConfigValidationError} naming the first wrong setting.
 *
 * @example
 * ```ts
 * import { s3ConnectionOptions } from "./s3_connection.ts";
 * import { s3Store } from "./s3_store.ts";
 *
 * const settings = { endpoint_url: "http://127.0.0.1:9000", read_timeout: 10, max_attempts: 3 };
 * const store = s3Store({ url: "s3://bucket/cities", ...s3ConnectionOptions(settings) });
 * if (store.url !== "s3://bucket/cities") throw new Error("unexpected url");
 * ```
 */
export function s3ConnectionOptions(settings: S3ConnectionOptions): S3Connection {
  const checked = parseOptions(schema, settings, "s3ConnectionOptions");
  const options = {
    endpoint: checked.endpoint_url,
    region: checked.region_name,
    addressingStyle: checked.addressing_style,
    signatureVersion: checked.signature_version as "s3v4" | "v4" | null | undefined,
    verifyTls: checked.verify_ssl,
    connectTimeoutMs: milliseconds(checked.connect_timeout),
    readTimeoutMs: milliseconds(checked.read_timeout),
    // The Python package takes 0 for one try.
    attemptsMax: checked.max_attempts === null || checked.max_attempts === undefined
      ? undefined
      : Math.max(1, checked.max_attempts),
  };
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined && value !== null),
  ) as S3Connection;
}

function milliseconds(seconds: number | null | undefined): number | undefined {
  return seconds === null || seconds === undefined ? undefined : Math.ceil(seconds * 1000);
}
