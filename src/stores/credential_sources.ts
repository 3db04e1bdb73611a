/**
 * Providers of credentials, for the option `credentials` of S3 stores: a file with profiles, the environment, and the
 * chain of the AWS SDK. They are asked when credentials are first needed.
 * @module
 */
import { ConfigValidationError, MissingLibraryError } from "../errors.ts";
import { type CredentialProvider, environment, environmentCredentials, type S3Credentials } from "./credentials.ts";

/** A file of our own with profiles, and the profile to take from it. */
export interface CredentialProfile {
  /** A JSON file: `{ "default": { "access_key_id": "…", "secret_access_key": "…", "session_token"?: "…" } }`. */
  readonly path: string | URL;
  /** @default {"default"} */
  readonly profile?: string | undefined;
  /** How long what was read is used before the file is read again, for files that others renew. Default: for ever. */
  readonly maxAgeMs?: number | undefined;
}

/**
 * Credentials of the environment, see `environmentCredentials`; nothing else is tried.
 *
 * @param env Variables to look at instead.
 * @returns A provider that rejects with {@linkcode ConfigValidationError} when there are none.
 */
export function credentialsFromEnvironment(
  env?: Readonly<Record<string, string | undefined>>,
): CredentialProvider {
  return () => {
    const found = environmentCredentials(env ?? environment());
    if (found !== undefined) return Promise.resolve(found);
    return Promise.reject(
      new ConfigValidationError(
        "Cannot find credentials in the environment: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or S3_…",
        "credentials",
      ),
    );
  };
}

/**
 * Credentials of one profile of a JSON file. Names are those of `credentials.toml` of the command line; what else a
 * profile has is left alone, so that it may stand beside an endpoint or a region.
 *
 * @returns A provider that rejects with {@linkcode ConfigValidationError} when the file cannot be read, is no JSON, has
 * no such profile, or the profile no keys; what the file says does not show in errors.
 *
 * @example
 * ```ts
 * import { credentialsFromFile } from "./credential_sources.ts";
 * import { s3Store } from "./s3_store.ts";
 *
 * const credentials = credentialsFromFile({ path: "./credentials.json", profile: "staging" });
 * const store = s3Store({ url: "s3://bucket/cities", credentials });
 * if (store.url !== "s3://bucket/cities") throw new Error("unexpected url");
 * ```
 */
export function credentialsFromFile({ path, profile = "default", maxAgeMs }: CredentialProfile): CredentialProvider {
  return async () => {
    const found = profileOf(await readProfiles(path), { path: String(path), profile });
    return maxAgeMs === undefined ? found : { ...found, expiration: new Date(Date.now() + maxAgeMs) };
  };
}

/**
 * The chain of the AWS SDK, through the package `@aws-sdk/credential-provider-node`: environment, single sign-on,
 * shared files, processes, roles of containers and machines. `s3Store` without credentials ends there as well; this is
 * for `s3FetchStore`, and to name a profile.
 *
 * @param profile Of the shared files. Default: `AWS_PROFILE`, or `default`.
 */
export function awsCredentialChain({ profile }: { readonly profile?: string | undefined } = {}): CredentialProvider {
  let chain: Promise<CredentialProvider> | undefined;
  return async () => {
    chain ??= importChain(profile);
    return await (await chain)();
  };
}

async function importChain(profile: string | undefined): Promise<CredentialProvider> {
  const name = "@aws-sdk/credential-provider-node";
  try {
    const { defaultProvider } = await import("@aws-sdk/credential-provider-node");
    return defaultProvider(profile === undefined ? {} : { profile });
  } catch (cause) {
    throw new MissingLibraryError(`Cannot ask for credentials without the package "${name}": install it`, name, {
      cause,
    });
  }
}

async function readProfiles(path: string | URL): Promise<unknown> {
  const { readFile } = await import("node:fs/promises");
  const shown = String(path);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw refusal(`Cannot read credentials from "${shown}": it must be a file that can be read`, cause);
  }
  try {
    return JSON.parse(text);
  } catch {
    // Without the parser's error, which repeats a part of the text.
    throw refusal(`Cannot read credentials from "${shown}" as it must be JSON`);
  }
}

function profileOf(
  profiles: unknown,
  { path, profile }: { readonly path: string; readonly profile: string },
): S3Credentials {
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject(profiles) || !Object.hasOwn(profiles, profile)) {
    throw refusal(`Cannot read credentials from "${path}" as it must have a profile "${profile}"`);
  }
  const fields = profiles[profile];
  const {
    access_key_id: accessKeyId,
    secret_access_key: secretAccessKey,
    session_token: sessionToken,
  } = isObject(fields) ? fields : {};
  if (!isText(accessKeyId) || !isText(secretAccessKey) || !(sessionToken === undefined || isText(sessionToken))) {
    throw refusal(
      `Cannot read credentials from "${path}" as profile "${profile}" must have strings "access_key_id" and ` +
        `"secret_access_key"`,
    );
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function refusal(message: string, cause?: unknown): ConfigValidationError {
  return new ConfigValidationError(message, "credentials", cause === undefined ? {} : { cause });
}
