/**
 * S3 for the command line; a file of its own, so that the client is loaded only where it is used.
 * @module
 */
import type { EventSink } from "../events.ts";
import { s3Store } from "../stores/s3_store.ts";
import type { ObjectStore } from "../stores/store.ts";
import { CliError, messageOf, UsageError } from "./cli_errors.ts";
import type { S3Settings } from "./s3_options.ts";

/**
 * A store in a bucket; what the settings leave out comes from the environment. Sends nothing.
 *
 * @throws {UsageError} for settings that the Python package's client has and this one has not: leaving them out of
 * account without a word could be worse than stopping.
 * @throws {CliError} when the URL or a setting is wrong.
 */
export function openS3Store(url: string, settings: S3Settings, onEvent?: EventSink): ObjectStore {
  refuseUnsupported(settings);
  const credentials = credentialsOf(settings);
  const { endpoint, region, addressingStyle, attemptsMax, verifySsl: verifyTls } = settings;
  const connectTimeoutMs = milliseconds(settings.connectTimeoutSeconds);
  const readTimeoutMs = milliseconds(settings.readTimeoutSeconds);
  const limits = { attemptsMax, connectTimeoutMs, readTimeoutMs };
  try {
    return s3Store({ url, endpoint, region, addressingStyle, credentials, verifyTls, onEvent, ...limits });
  } catch (error) {
    throw new CliError(messageOf(error), { cause: error });
  }
}

function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}

function credentialsOf({ accessKeyId, secretAccessKey, sessionToken }: S3Settings) {
  if (accessKeyId === undefined && secretAccessKey === undefined && sessionToken === undefined) return undefined;
  if (accessKeyId !== undefined && secretAccessKey !== undefined) return { accessKeyId, secretAccessKey, sessionToken };
  throw new UsageError("--s3-option access_key_id and secret_access_key must be given together");
}

function refuseUnsupported(settings: S3Settings): void {
  const { signatureVersion } = settings;
  if (signatureVersion !== undefined && !["s3v4", "v4"].includes(signatureVersion)) {
    throw new UsageError(`--s3-option signature_version must be 's3v4', got: '${signatureVersion}'`);
  }
}
