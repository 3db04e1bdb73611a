/**
 * `credentials.toml`: how to talk to S3, by profiles.
 *
 * ```toml
 * [default]
 * endpoint_url = "https://…"
 * access_key_id = "…"
 * secret_access_key = "…"
 * ```
 * @module
 */
import { looseFileWarning, s3OptionsFromFile } from "../stores/credential_profiles.ts";
import { CliError, messageOf } from "./cli_errors.ts";
import type { CliIo } from "./command.ts";
import { findConfigFile } from "./config_file.ts";
import type { S3Settings } from "./s3_options.ts";

/** Which file, and which profile of it. */
export interface CredentialsChoice {
  /** The option `--credentials`. */
  readonly path: string | undefined;
  /** What options, variables and `reader.toml` say. */
  readonly profile: string | undefined;
}

/**
 * The settings of the profile; none when there is no such file.
 *
 * Warns on stderr when others may read the file.
 *
 * @throws {CliError} when the file cannot be read, has no such profile, or a setting is wrong. Values do not show.
 */
export async function loadProfile({ path: typed, profile }: CredentialsChoice, io: CliIo): Promise<S3Settings> {
  const place = { option: ["--credentials", typed], variable: "SHARDY_CREDENTIALS", name: "credentials.toml" } as const;
  const path = await findConfigFile(place, io.env);
  if (path === null) {
    if (profile === undefined) return {};
    throw new CliError(`Cannot use the profile '${profile}' as there is no credentials.toml: give --credentials`);
  }
  const warning = await looseFileWarning(path);
  if (warning !== null) io.stderr(`Warning: ${warning}\n`);
  try {
    const { credentials, ...connection } = await s3OptionsFromFile({ path, profile });
    return { ...connection, ...credentials };
  } catch (error) {
    throw new CliError(messageOf(error), { cause: error });
  }
}
