/**
 * Providers of credentials, for the option `credentials` of S3 stores: a file with profiles, the environment, and the
 * chain of the AWS SDK. They are asked when credentials are first needed.
 * @module
 */
import { ConfigValidationError, MissingLibraryError } from "../errors.ts";
import { keysOf, type ProfilePlace, readProfile } from "./credential_profiles.ts";
import { type CredentialProvider, environment, environmentCredentials } from "./credentials.ts";

export { looseFileWarning, type ProfilePlace, s3OptionsFromFile, type S3Profile } from "./credential_profiles.ts";

/** A file with profiles, the profile to take from it, and for how long. */
export interface CredentialProfile extends ProfilePlace {
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
 * Credentials of one profile of a file of JSON or TOML, such as `credentials.toml` of the command line:
 * `access_key_id`, `secret_access_key` and perhaps `session_token`. What else a profile has is left alone;
 * `s3OptionsFromFile` takes it all. For files of the AWS command line give `{ path, profile }` instead of a provider.
 *
 * @returns A provider that rejects with {@linkcode ConfigValidationError} when the file cannot be read or parsed, has
 * no such profile, or the profile no keys; what the file says does not show in errors.
 *
 * @example
 * ```ts
 * import { credentialsFromFile } from "./credential_sources.ts";
 * import { s3Store } from "./s3_store.ts";
 *
 * const credentials = credentialsFromFile({ path: "./credentials.toml", profile: "staging" });
 * const store = s3Store({ url: "s3://bucket/cities", credentials });
 * if (store.url !== "s3://bucket/cities") throw new Error("unexpected url");
 * ```
 */
export function credentialsFromFile({ maxAgeMs, ...place }: CredentialProfile): CredentialProvider {
  return async () => {
    const { path, profile = "default" } = place;
    const found = keysOf(await readProfile(place), place);
    if (found === undefined) {
      throw new ConfigValidationError(
        `Cannot read credentials from "${path}" as profile "${profile}" must have an "access_key_id"`,
        "credentials",
      );
    }
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
