/**
 * The client of the package `@aws-sdk/client-s3`, set up from our options.
 * @module
 */
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import { MissingLibraryError } from "../errors.ts";
import { environment, environmentCredentials, firstOf, type S3Credentials } from "./credentials.ts";
import type { S3StoreOptions } from "./s3_store.ts";

/** The package. */
export type Library = typeof import("@aws-sdk/client-s3");

/** The package and a client of it. */
export interface Connection {
  readonly library: Library;
  readonly client: S3Client;
}

/** Imports the package and makes a client; sends nothing. @throws {MissingLibraryError} */
export async function connect(options: S3StoreOptions): Promise<Connection> {
  const library = await importLibrary();
  const env = environment();
  const endpoint = options.endpoint ?? firstOf(env, "SLATEDB_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL");
  const { addressingStyle = "auto", attemptsMax = 5 } = options;
  const credentials = await credentialsOf(options);
  const config: S3ClientConfig = {
    region: options.region ?? firstOf(env, "S3_REGION", "AWS_REGION") ?? "us-east-1",
    forcePathStyle: addressingStyle === "auto" ? endpoint !== undefined : addressingStyle === "path",
    maxAttempts: attemptsMax,
    // Other servers than AWS do not know its newer checksums; shards carry digests of their own.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  };
  return { library, client: new library.S3Client(config) };
}

async function importLibrary(): Promise<Library> {
  try {
    return await import("@aws-sdk/client-s3");
  } catch (cause) {
    const name = "@aws-sdk/client-s3";
    throw new MissingLibraryError(`Cannot use s3Store without the package "${name}": install it`, name, { cause });
  }
}

async function credentialsOf({ credentials }: S3StoreOptions): Promise<S3ClientConfig["credentials"] | undefined> {
  if (credentials === undefined) {
    const found = environmentCredentials();
    return found && plain(found);
  }
  if (typeof credentials === "function") return async () => plain(await credentials());
  if ("accessKeyId" in credentials) return plain(credentials);
  const { fromIni } = await import("@aws-sdk/credential-provider-ini");
  const { path, profile = "default" } = credentials;
  return fromIni({ profile, ...(path === undefined ? {} : { filepath: path }) });
}

/** The SDK wants absent fields to be absent. */
function plain({ accessKeyId, secretAccessKey, sessionToken }: S3Credentials) {
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}
