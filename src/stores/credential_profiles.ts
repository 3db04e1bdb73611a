/**
 * Files with profiles, such as `credentials.toml` of the command line: what a profile says about a connection to S3.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import type { S3Credentials } from "./credentials.ts";
import { type S3Connection, type S3ConnectionOptions, s3ConnectionOptions } from "./s3_connection.ts";

/** A file with profiles, and the profile to take from it. */
export interface ProfilePlace {
  /** A file of TOML, or of JSON, which begins with `{`: an object of profiles. */
  readonly path: string | URL;
  /** Section of the file. @default {"default"} */
  readonly profile?: string | undefined;
}

/** What a profile says, by the names and in the units of `s3Store`. */
export interface S3Profile extends S3Connection {
  /** Absent when the profile has no keys. */
  readonly credentials?: S3Credentials;
}

/** Fields of a profile, with the names of the Python package. */
type Fields = Readonly<Record<string, unknown>>;

const KEYS = ["access_key_id", "secret_access_key", "session_token"];
/** What the command line of the Python package takes where a profile says nothing. */
const DEFAULTS: S3ConnectionOptions = { "connect_timeout": 10, "read_timeout": 30, "max_attempts": 3 };

/**
 * Options for `s3Store` from one profile of a file: `endpoint_url`, `region`, `access_key_id`, `secret_access_key`,
 * `session_token`, `addressing_style`, `signature_version`, `verify_ssl`, `connect_timeout` (10, in seconds),
 * `read_timeout` (30) and `max_attempts` (3). Empty texts count as left out. Values of the file do not show in errors.
 *
 * @throws {ConfigValidationError} when the file cannot be read or parsed, has no such profile, or this one has a wrong
 * setting, an unknown one, or one of the two keys without the other.
 *
 * @example
 * ```ts
 * import { mkdtemp, rm, writeFile } from "node:fs/promises";
 * import { tmpdir } from "node:os";
 * import { s3OptionsFromFile } from "./credential_profiles.ts";
 * import { s3Store } from "./s3_store.ts";
 *
 * const folder = await mkdtemp(`${tmpdir()}/example-`);
 * const path = `${folder}/credentials.toml`;
 * const keys = `access_key_id = "me"\nsecret_access_key = "…"`;
 * await writeFile(path, `[staging]\n${keys}\nendpoint_url = "https://minio.example.org"\n`, { mode: 0o600 });
 *
 * const options = await s3OptionsFromFile({ path, profile: "staging" });
 * const store = s3Store({ url: "s3://bucket/cities", ...options }); // Nothing is sent yet.
 * if (options.endpoint !== "https://minio.example.org") throw new Error("unexpected endpoint");
 * await rm(folder, { recursive: true });
 * ```
 */
export async function s3OptionsFromFile(place: ProfilePlace): Promise<S3Profile> {
  const fields = await readProfile(place);
  const credentials = keysOf(fields, place);
  const settings = Object.fromEntries(Object.entries(fields).filter(([name]) => !KEYS.includes(name)));
  const connection = connectionOf(settings, place);
  return credentials === undefined ? connection : { ...connection, credentials };
}

function connectionOf(
  { region, ...others }: Record<string, unknown>,
  { path, profile = "default" }: ProfilePlace,
): S3Connection {
  try {
    return s3ConnectionOptions({
      ...DEFAULTS,
      ...others,
      ...(region === undefined ? {} : { "region_name": region as string }),
    });
  } catch (error) {
    if (!(error instanceof ConfigValidationError)) throw error;
    // Without the error itself, which shows the value: secrets are typed into the wrong place at times.
    const name = error.path.split(".").at(-1);
    throw refusal(
      `Cannot use "${name}" of profile "${profile}" in "${shownPath(path)}": there is no such setting, or it cannot ` +
        "have this value",
    );
  }
}

/**
 * Says, in a sentence for the user, when others than its owner may read or write a file with secrets; null when not,
 * when there is no such file, and on systems whose files have no such bits.
 */
export async function looseFileWarning(path: string | URL): Promise<string | null> {
  const { stat } = await import("node:fs/promises");
  const { platform } = (globalThis as { process?: { platform?: string } }).process ?? {};
  const mode = platform === "win32" ? 0 : await stat(path).then(({ mode }) => mode, () => 0);
  if ((mode & 0o077) === 0) return null;
  const bits = (mode & 0o777).toString(8).padStart(4, "0");
  return `Others may use the credentials in "${shownPath(path)}" as its mode is ${bits}: run chmod 600 on it`;
}

/** The fields of a profile, unchecked. @throws {ConfigValidationError} as above. */
export async function readProfile({ path, profile = "default" }: ProfilePlace): Promise<Fields> {
  const profiles = await readProfiles(path);
  const known = Object.entries(isObject(profiles) ? profiles : {}).filter(([, fields]) => isObject(fields));
  const fields = known.find(([name]) => name === profile)?.[1];
  if (isObject(fields)) return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""));
  const names = known.map(([name]) => `"${name}"`).join(", ");
  throw refusal(
    `Cannot read credentials from "${shownPath(path)}" as it must have a profile "${profile}": it has ${
      names || "none"
    }`,
  );
}

/** The keys of a profile; undefined when it has none. @throws {ConfigValidationError} when they are not whole. */
export function keysOf(fields: Fields, { path, profile = "default" }: ProfilePlace): S3Credentials | undefined {
  const [accessKeyId, secretAccessKey, sessionToken] = KEYS.map((name) => fields[name]);
  if (accessKeyId === undefined && secretAccessKey === undefined && sessionToken === undefined) return undefined;
  if (isText(accessKeyId) && isText(secretAccessKey)) {
    if (sessionToken === undefined) return { accessKeyId, secretAccessKey };
    if (isText(sessionToken)) return { accessKeyId, secretAccessKey, sessionToken };
  }
  throw refusal(
    `Cannot read credentials from "${shownPath(path)}" as profile "${profile}" must have strings "access_key_id" and ` +
      `"secret_access_key", and none or a string as "session_token"`,
  );
}

async function readProfiles(path: string | URL): Promise<unknown> {
  const { readFile } = await import("node:fs/promises");
  const shown = shownPath(path);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw refusal(`Cannot read credentials from "${shown}": it must be a file that can be read`, cause);
  }
  // No TOML begins so.
  const isToml = !/^\s*\{/.test(text);
  const parse = isToml ? (await import("@std/toml")).parse : JSON.parse;
  try {
    return parse(text);
  } catch {
    // Without the parser's error, which repeats a part of the text.
    throw refusal(`Cannot read credentials from "${shown}" as it must be ${isToml ? "TOML" : "JSON"}`);
  }
}

function shownPath(path: string | URL): string {
  return String(path);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function refusal(message: string, cause?: unknown): ConfigValidationError {
  return new ConfigValidationError(message, "credentials", cause === undefined ? {} : { cause });
}
