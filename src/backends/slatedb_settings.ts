/**
 * SlateDB's settings, as its own bindings and the Python package take them: which of them mean something here.
 * @module
 */
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";

/** What a setting says about an option of the backend. */
export interface SettingValue {
  readonly setting: string;
  readonly value: JsonValue;
}

/** Settings by the options that they stand for. */
const HONOURED: Readonly<Record<string, string>> = {
  "l0_sst_size_bytes": "tableSizeBytes",
  "filter_bits_per_key": "filterBitsPerKey",
  "min_filter_keys": "filterKeysMin",
  "compression_codec": "compression",
};

/** They tune a database at work: its log, its merging, its clean-ups. A shard is finished when it is there. */
const WITHOUT_EFFECT: readonly string[] = [
  "flush_interval",
  "wal_enabled",
  "manifest_poll_interval",
  "manifest_update_timeout",
  "max_wal_flushes_before_l0_flush",
  "l0_max_ssts",
  "l0_max_ssts_per_key",
  "l0_flush_parallelism",
  "max_unflushed_bytes",
  "compactor_options",
  "object_store_cache_options",
  "garbage_collector_options",
  "metric_level",
  "object_store_max_retries",
];

/** By the names of SlateDB up to 0.13, of 0.17, and of the Python package. */
const TIMES_TO_LIVE: readonly string[] = ["default_ttl", "default_ttl_millis", "default_ttl_ms"];

const CODECS: Readonly<Record<string, string>> = { Snappy: "snappy", Zlib: "zlib", Lz4: "lz4", Zstd: "zstd" };

/**
 * The options that settings stand for, by their names. Names of nested settings may have dots, as in the Python
 * package.
 *
 * @throws {ConfigValidationError} for what SlateDB does not know, or a snapshot cannot have.
 */
export function optionsOfSettings(settings: JsonObject | string): Record<string, SettingValue> {
  const options: Record<string, SettingValue> = {};
  for (const [setting, value] of Object.entries(typeof settings === "string" ? parsed(settings) : settings)) {
    const [name] = setting.split(".");
    if (TIMES_TO_LIVE.includes(setting)) {
      if (value !== null) throw refused(setting, "rows of a snapshot do not end: leave old rows out of the next one");
    } else if (Object.hasOwn(HONOURED, setting)) {
      options[HONOURED[setting]!] = { setting, value: setting === "compression_codec" ? codecOf(value) : value };
    } else if (!WITHOUT_EFFECT.includes(name!)) {
      throw refused(setting, "SlateDB has no such setting");
    }
  }
  return options;
}

function parsed(text: string): JsonObject {
  let settings: unknown;
  try {
    settings = JSON.parse(text);
  } catch (cause) {
    throw new ConfigValidationError("Cannot read SlateDB's settings as they must be JSON", "settings", { cause });
  }
  if (typeof settings === "object" && settings !== null && !Array.isArray(settings)) return settings as JsonObject;
  const message = `Cannot take SlateDB's settings as they must be an object: current value is ${shown(settings)}`;
  throw new ConfigValidationError(message, "settings");
}

function codecOf(value: JsonValue): string {
  if (value === null) return "none";
  const codec = typeof value === "string" && Object.hasOwn(CODECS, value) ? CODECS[value] : undefined;
  if (codec !== undefined) return codec;
  const names = Object.keys(CODECS).join(", ");
  throw new ConfigValidationError(
    `Cannot take the setting compression_codec as it must be null or one of ${names}: current value is ${shown(value)}`,
    "settings.compression_codec",
  );
}

function refused(setting: string, reason: string): ConfigValidationError {
  return new ConfigValidationError(`Cannot take the setting ${shown(setting)} as ${reason}`, `settings.${setting}`);
}
