/**
 * S3 for the command line; a file of its own, so that the client is loaded only where it is used.
 * @module
 */
import type { EventSink } from "../events.ts";
import type { S3Credentials } from "../stores/credentials.ts";
import { s3Store } from "../stores/s3_store.ts";
import type { ObjectStore } from "../stores/store.ts";
import { CliError, messageOf, UsageError } from "./cli_errors.ts";
import type { S3Settings } from "./s3_options.ts";

/**
 * A store in a bucket; what the settings leave out comes from the environment. Sends nothing.
 *
 * @throws {UsageError} when one of the keys was typed without the other.
 * @throws {CliError} when the URL or a setting is wrong.
 */
export function openS3Store(url: string, settings: S3Settings, onEvent?: EventSink): ObjectStore {
  const { accessKeyId: _id, secretAccessKey: _key, sessionToken: _token, ...connection } = settings;
  const credentials = credentialsOf(settings);
  try {
    return s3Store({ url, credentials, onEvent, ...connection });
  } catch (error) {
    throw new CliError(messageOf(error), { cause: error });
  }
}

function credentialsOf({ accessKeyId, secretAccessKey, sessionToken }: S3Settings): S3Credentials | undefined {
  if (accessKeyId === undefined && secretAccessKey === undefined && sessionToken === undefined) return undefined;
  if (accessKeyId !== undefined && secretAccessKey !== undefined) return { accessKeyId, secretAccessKey, sessionToken };
  throw new UsageError("--s3-option access_key_id and secret_access_key must be given together");
}
