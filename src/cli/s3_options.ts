/**
 * The repeatable option `--s3-option KEY=VALUE`.
 * @module
 */
import { UsageError } from "./cli_errors.ts";
import { splitPair } from "./key_text.ts";

/** How to talk to S3; what is left out comes from the environment. */
export interface S3Settings {
  readonly endpoint?: string;
  readonly region?: string;
  readonly addressingStyle?: "path" | "virtual" | "auto";
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  readonly sessionToken?: string;
  readonly verifySsl?: boolean;
  readonly signatureVersion?: string;
  readonly connectTimeoutSeconds?: number;
  readonly readTimeoutSeconds?: number;
  readonly attemptsMax?: number;
}

type Reader = (text: string, name: string) => string | number | boolean;

const SETTINGS: Readonly<Record<string, readonly [property: keyof S3Settings, read: Reader]>> = {
  "endpoint_url": ["endpoint", asText],
  "region": ["region", asText],
  "region_name": ["region", asText],
  "addressing_style": ["addressingStyle", asAddressingStyle],
  "access_key_id": ["accessKeyId", asText],
  "secret_access_key": ["secretAccessKey", asText],
  "session_token": ["sessionToken", asText],
  "verify_ssl": ["verifySsl", asBoolean],
  "signature_version": ["signatureVersion", asText],
  "connect_timeout": ["connectTimeoutSeconds", asInteger],
  "read_timeout": ["readTimeoutSeconds", asInteger],
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

function asAddressingStyle(text: string, name: string): string {
  if (text === "path" || text === "virtual" || text === "auto") return text;
  throw new UsageError(`Invalid value for option '${name}': '${text}' is not one of 'path', 'virtual', 'auto'`);
}

function asBoolean(text: string, name: string): boolean {
  if (["true", "1", "yes"].includes(text.toLowerCase())) return true;
  if (["false", "0", "no"].includes(text.toLowerCase())) return false;
  throw new UsageError(`Cannot coerce '${text}' to bool for option '${name}'`);
}

function asInteger(text: string, name: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new UsageError(`Cannot coerce '${text}' to int for option '${name}'`);
}
