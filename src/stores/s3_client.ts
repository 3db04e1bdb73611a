/**
 * The client of the package `@aws-sdk/client-s3`, set up from our options.
 * @module
 */
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import { ConfigValidationError, MissingLibraryError } from "../errors.ts";
import { environment, environmentCredentials, firstOf, type S3Credentials } from "./credentials.ts";
import type { S3StoreOptions } from "./s3_options.ts";
import { tellRetries } from "./s3_retries.ts";

/** The package. */
export type Library = typeof import("@aws-sdk/client-s3");

/** The package and a client of it. */
export interface Connection {
  readonly library: Library;
  readonly client: S3Client;
}

/** More than readers and writers ask for at once, so that no request waits for another one's connection. */
const SOCKETS_MAX = 128;

/** Imports the package and makes a client; sends nothing. @throws {MissingLibraryError} */
export async function connect(options: S3StoreOptions): Promise<Connection> {
  const library = await importLibrary();
  if (options.client !== undefined) return { library, client: options.client };
  const client = new library.S3Client(await configOf(options));
  if (options.onEvent !== undefined) tellRetries(client, options.onEvent);
  return { library, client };
}

async function configOf(options: S3StoreOptions): Promise<S3ClientConfig> {
  const env = environment();
  const endpoint = options.endpoint ?? firstOf(env, "SLATEDB_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL");
  const { addressingStyle = "auto", attemptsMax = 5 } = options;
  const credentials = await credentialsOf(options);
  return {
    region: options.region ?? firstOf(env, "S3_REGION", "AWS_REGION") ?? "us-east-1",
    forcePathStyle: addressingStyle === "auto" ? endpoint !== undefined : addressingStyle === "path",
    maxAttempts: attemptsMax,
    requestHandler: {
      connectionTimeout: options.connectTimeoutMs,
      socketTimeout: options.readTimeoutMs,
      httpAgent: { maxSockets: SOCKETS_MAX },
      httpsAgent: { maxSockets: SOCKETS_MAX, ...await tlsOf(options.verifyTls ?? true) },
    },
    // Other servers than AWS do not know its newer checksums; bodies are covered by the signature, and shards carry
    // digests of their own.
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    // Asking before each part costs a round trip and a new connection.
    expectContinueHeader: false,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  };
}

async function importLibrary(): Promise<Library> {
  try {
    return await import("@aws-sdk/client-s3");
  } catch (cause) {
    const name = "@aws-sdk/client-s3";
    throw new MissingLibraryError(`Cannot use s3Store without the package "${name}": install it`, name, { cause });
  }
}

async function tlsOf(verifyTls: boolean | string): Promise<{ rejectUnauthorized?: false; ca?: string }> {
  if (typeof verifyTls === "boolean") return verifyTls ? {} : { rejectUnauthorized: false };
  try {
    const { readFile } = await import("node:fs/promises");
    return { ca: await readFile(verifyTls, "utf8") };
  } catch (cause) {
    const path = "s3Store.verifyTls";
    throw new ConfigValidationError(`Cannot use option "${path}": "${verifyTls}" cannot be read`, path, { cause });
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

/** As the SDK wants it, absent fields are absent. */
interface PlainCredentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
  expiration?: Date;
}

function plain({ accessKeyId, secretAccessKey, sessionToken, expiration }: S3Credentials): PlainCredentials {
  return {
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
    ...(expiration === undefined ? {} : { expiration }),
  };
}
