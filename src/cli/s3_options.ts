/**
 * The repeatable option `--s3-option KEY=VALUE`.
 * @module
 */
import type { S3Credentials } from "../stores/credentials.ts";
import type { S3Connection } from "../stores/s3_connection.ts";
import { UsageError } from "./cli_errors.ts";
import { splitPair } from "./key_text.ts";

/** How to talk to S3, by the names and in the units of `s3Store`; what is left out comes from the environment. */
export type S3Settings =
  & S3Connection
  & Partial<Pick<S3Credentials, "accessKeyId" | "secretAccessKey" | "sessionToken">>;

type Reader = (text: string, name: string) => string | number | boolean;

const SETTINGS: Readonly<Record<string, readonly [property: keyof S3Settings, read: Reader]>> = {
  "endpoint_url": ["endpoint", asText],
  "region": ["region", asText],
  "region_name": ["region", asText],
  "addressing_style": ["addressingStyle", oneOf("path", "virtual", "auto")],
  "access_key_id": ["accessKeyId", asText],
  "secret_access_key": ["secretAccessKey", asText],
  "session_token": ["sessionToken", asText],
  "verify_ssl": ["verifyTls", asBoolean],
  "signature_version": ["signatureVersion", oneOf("s3v4", "v4")],
  "connect_timeout": ["connectTimeoutMs", asSeconds],
  "read_timeout": ["readTimeoutMs", asSeconds],
  "max_attempts": ["attemptsMax", asInteger],
};

/**
 * Reads all of them; of repeated names the last one counts.
 *
 * @throws {UsageError} for pairs without `=`, unknown names and values of the wrong type.
 */
export function parseS3Options(pairs: readonly string[]): S3Settings {
  const settings: Record<string, unknown> = {};
  for (const pair of pairs) {
    const [name, text] = splitPair(pair, "--s3-option");
    const setting = Object.hasOwn(SETTINGS, name) ? SETTINGS[name] : undefined;
    if (setting === undefined) {
      throw new UsageError(`Unknown --s3-option '${name}': known are ${Object.keys(SETTINGS).join(", ")}`);
    }
    const [property, read] = setting;
    settings[property] = read(text, name);
  }
  return settings;
}

function asText(text: string): string {
  return text;
}

function oneOf(...words: readonly string[]): Reader {
  return (text, name) => {
    if (words.includes(text)) return text;
    const known = words.map((word) => `'${word}'`).join(", ");
    throw new UsageError(`Invalid value for option '${name}': '${text}' is not one of ${known}`);
  };
}

function asBoolean(text: string, name: string): boolean {
  if (["true", "1", "yes"].includes(text.toLowerCase())) return true;
  if (["false", "0", "no"].includes(text.toLowerCase())) return false;
  throw new UsageError(`Cannot coerce '${text}' to bool for option '${name}'`);
}

function asSeconds(text: string, name: string): number {
  return asInteger(text, name) * 1000;
}

function asInteger(text: string, name: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new UsageError(`Cannot coerce '${text}' to int for option '${name}'`);
}
