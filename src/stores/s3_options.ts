/**
 * What an S3 store can be told, and its URL.
 * @module
 */
import type { S3Client } from "@aws-sdk/client-s3";
import * as v from "valibot";
import { ConfigValidationError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import { functionOf, objectWith, parseOptions, positiveInteger } from "../options.ts";
import { type CredentialProvider, type CredentialsFile, isCredentials, type S3Credentials } from "./credentials.ts";

/** Where the bucket is and how to get in. */
export interface S3StoreOptions {
  /** `s3://bucket/prefix`; the prefix is not empty. */
  readonly url: string;
  /** URL of the server, for anything but AWS. Default: `SLATEDB_S3_ENDPOINT_URL`, `AWS_ENDPOINT_URL`, or AWS. */
  readonly endpoint?: string | undefined;
  /** Default: `S3_REGION`, `AWS_REGION`, or `us-east-1`. */
  readonly region?: string | undefined;
  /**
   * Keys, a function that gives them, such as `credentialsFromFile(…)`, or a file of the AWS command line. Default:
   * the environment, then the chain of the AWS SDK.
   */
  readonly credentials?: S3Credentials | CredentialProvider | CredentialsFile | undefined;
  /** Whether the bucket stands in the path or in the host's name. Default: path with an endpoint, else host name. */
  readonly addressingStyle?: "path" | "virtual" | "auto" | undefined;
  /** Tries per request, the first included. @default {5} */
  readonly attemptsMax?: number | undefined;
  /** Length of the parts of large uploads, at least 5 MiB. An upload holds five of them. @default {8388608} */
  readonly partBytes?: number | undefined;
  /** False accepts any certificate; a path names a file of certificates (PEM) to trust. @default {true} */
  readonly verifyTls?: boolean | string | undefined;
  /** How long connecting may take, per try. @default {5000} */
  readonly connectTimeoutMs?: number | undefined;
  /** How long a connection may be silent, per try. @default {30000} */
  readonly readTimeoutMs?: number | undefined;
  /** The only way to sign that there is; older ones are refused. @default {"s3v4"} */
  readonly signatureVersion?: "s3v4" | "v4" | undefined;
  /** Takes the events `s3.retry` and `s3.retry_exhausted`. */
  readonly onEvent?: EventSink | undefined;
  /** A client to use as it is; only `url` and `partBytes` count besides. */
  readonly client?: S3Client | undefined;
}

/** The options with what has a default. */
export type CheckedS3Options = S3StoreOptions & { readonly partBytes: number };

const PART_BYTES_MIN = 5 * 1024 * 1024;
const PARTS_EXPECTED = "a whole number from 5242880 (5 MiB) up";
const schema: v.GenericSchema<S3StoreOptions, CheckedS3Options> = v
  .strictObject({
    url: v.string('a URL such as "s3://bucket/prefix"'),
    endpoint: v.optional(v.string("an http(s) URL")),
    region: v.optional(v.string("a region's name")),
    credentials: v.optional(v.any()),
    addressingStyle: v.optional(v.picklist(["path", "virtual", "auto"], '"path", "virtual" or "auto"')),
    attemptsMax: v.optional(positiveInteger, 5),
    partBytes: v.optional(
      v.pipe(v.number(PARTS_EXPECTED), v.safeInteger(PARTS_EXPECTED), v.minValue(PART_BYTES_MIN, PARTS_EXPECTED)),
      8 * 1024 * 1024,
    ),
    verifyTls: v.optional(v.union([v.boolean(), v.string()], "true, false or the path of a file of certificates")),
    connectTimeoutMs: v.optional(positiveInteger, 5_000),
    readTimeoutMs: v.optional(positiveInteger, 30_000),
    signatureVersion: v.optional(v.picklist(["s3v4", "v4"], '"s3v4", as older signatures are not supported')),
    onEvent: v.optional(functionOf<EventSink>()),
    client: v.optional(objectWith<S3Client>("a client of @aws-sdk/client-s3", "send")),
  }) as unknown as v.GenericSchema<S3StoreOptions, CheckedS3Options>;

/** @throws {ConfigValidationError} when an option is wrong. */
export function checkedS3Options(options: S3StoreOptions): CheckedS3Options {
  const checked = parseOptions(schema, options, "s3Store");
  requireEndpoint(checked.endpoint);
  if (checked.credentials !== undefined && !isCredentials(checked.credentials)) {
    refuseUnseen("s3Store.credentials", "keys, a function that gives them, or a file's { path, profile }");
  }
  return checked;
}

/** @throws {ConfigValidationError} when an endpoint is no URL of a server, or has a user and a password. */
function requireEndpoint(endpoint: string | undefined): void {
  if (endpoint === undefined) return;
  const { protocol = "", username, password } = URL.parse(endpoint) ?? {};
  if (/^https?:$/.test(protocol) && !username && !password) return;
  refuseUnseen("s3Store.endpoint", 'an http(s) URL without user and password, such as "https://minio.example.org"');
}

/** Without the value, which may be secret even when it is wrong. */
function refuseUnseen(path: string, expected: string): never {
  throw new ConfigValidationError(`Cannot use option "${path}" as it must be ${expected}`, path);
}
