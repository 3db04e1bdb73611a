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
import { looseFileWarning } from "../stores/credential_profiles.ts";
import { CliError, UsageError } from "./cli_errors.ts";
import type { CliIo } from "./command.ts";
import { readConfigFile } from "./config_file.ts";
import { parseS3Options } from "./s3_options.ts";

/** Which file, and which profile of it. */
export interface CredentialsChoice {
  /** The option `--credentials`. */
  readonly path: string | undefined;
  /** What options, variables and `reader.toml` say. */
  readonly profile: string | undefined;
}

/**
 * The settings of the profile, as `--s3-option` would have them; none when there is no such file.
 *
 * Warns on stderr when others may read the file.
 *
 * @throws {CliError} when the file cannot be read, has no such profile, or a setting is wrong. Values do not show.
 */
export async function loadProfile({ path, profile }: CredentialsChoice, io: CliIo): Promise<readonly string[]> {
  const place = { option: ["--credentials", path], variable: "SHARDY_CREDENTIALS", name: "credentials.toml" } as const;
  const file = await readConfigFile(place, io.env);
  const name = profile ?? "default";
  if (file === null) {
    if (profile === undefined) return [];
    throw new CliError(`Cannot use the profile '${name}' as there is no credentials.toml: give --credentials`);
  }
  const warning = await looseFileWarning(file.path);
  if (warning !== null) io.stderr(`Warning: ${warning}\n`);
  const settings = Object.hasOwn(file.content, name) ? file.content[name] : undefined;
  if (typeof settings !== "object" || settings === null || Array.isArray(settings)) {
    const known = Object.keys(file.content).map((other) => `'${other}'`).join(", ") || "none";
    throw new CliError(`Cannot find the profile '${name}' in '${file.path}': its profiles are ${known}`);
  }
  return Object.entries(settings).filter(([, value]) => value !== "").map(([key, value]) =>
    checkedPair(key, value, { path: file.path, name })
  );
}

function checkedPair(key: string, value: unknown, { path, name }: { path: string; name: string }): string {
  const place = `'${key}' of the profile '${name}' in '${path}'`;
  if (!["string", "number", "boolean"].includes(typeof value)) {
    throw new CliError(`Cannot use ${place} as it must be a string, a number, true or false`);
  }
  const pair = `${key}=${value}`;
  try {
    parseS3Options([pair]);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new CliError(`Cannot use ${place}: no such setting, or not a value that it can have`);
  }
  return pair;
}
