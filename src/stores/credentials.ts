/**
 * Where credentials of S3 stores come from.
 * @module
 */

/** Keys to an S3 store. Never part of an error, a log or a rendering of ours. */
export interface S3Credentials {
  /** Name of the key. */
  readonly accessKeyId: string;
  /** The key itself. */
  readonly secretAccessKey: string;
  /** Of temporary keys. */
  readonly sessionToken?: string | undefined;
  /** When they stop being valid; a provider is asked anew shortly before. */
  readonly expiration?: Date | undefined;
}

/** Gives credentials when they are first needed, and again when those have an `expiration` that is near. */
export type CredentialProvider = () => Promise<S3Credentials>;

/** A file in the format of the AWS command line, and the profile to take from it. */
export interface CredentialsFile {
  /** Where it is. @default {"~/.aws/credentials"} */
  readonly path?: string | undefined;
  /** Section of the file. @default {"default"} */
  readonly profile?: string | undefined;
}

/** Variables of the environment, in a form that every runtime has; none where there is no environment. */
export function environment(): Readonly<Record<string, string | undefined>> {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } };
  return process?.env ?? {};
}

/** The first variable that is set and not empty. */
export function firstOf(
  env: Readonly<Record<string, string | undefined>>,
  ...names: readonly string[]
): string | undefined {
  return names.map((name) => env[name]).find((value) => value !== undefined && value !== "");
}

/**
 * Credentials of the environment: `S3_ACCESS_KEY_ID` or `AWS_ACCESS_KEY_ID`, the same for `…_SECRET_ACCESS_KEY` and
 * `…_SESSION_TOKEN`; undefined when there are none.
 */
export function environmentCredentials(
  env: Readonly<Record<string, string | undefined>> = environment(),
): S3Credentials | undefined {
  const accessKeyId = firstOf(env, "S3_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID");
  const secretAccessKey = firstOf(env, "S3_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY");
  const sessionToken = firstOf(env, "S3_SESSION_TOKEN", "AWS_SESSION_TOKEN");
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}

/** Whether a value is one of the forms in which credentials can be given. */
export function isCredentials(value: unknown): boolean {
  if (typeof value === "function") return true;
  if (typeof value !== "object" || value === null) return false;
  const { accessKeyId, secretAccessKey, path, profile, ...rest } = value as Record<string, unknown>;
  const isOptionalText = (field: unknown) => field === undefined || typeof field === "string";
  if (accessKeyId === undefined && secretAccessKey === undefined) {
    return isOptionalText(path) && isOptionalText(profile) && Object.keys(rest).length === 0;
  }
  return typeof accessKeyId === "string" && typeof secretAccessKey === "string" && isOptionalText(rest["sessionToken"]);
}
