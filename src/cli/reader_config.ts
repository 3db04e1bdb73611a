/**
 * `reader.toml`, the configuration that the command line shares with the Python package (WIRE_FORMATS 23.4).
 * @module
 */
import { CliError } from "./cli_errors.ts";
import type { CliIo } from "./command.ts";
import { readConfigFile, type TomlTable } from "./config_file.ts";
import { VALUE_ENCODINGS, type ValueEncoding } from "./key_text.ts";
import { OUTPUT_FORMATS, type OutputFormat } from "./result.ts";

/** How shards are made available, as the Python package calls it. */
export const SQLITE_MODES = Object.freeze(["download", "range", "auto"] as const);

/** What the file says. What it leaves out has its default, or is undefined where options and variables come first. */
export interface ReaderConfig {
  readonly currentUrl: string | undefined;
  /** Where the snapshots are, if not in the folder of the pointer. */
  readonly s3Prefix: string | undefined;
  /** Folder for downloaded shards. */
  readonly localRoot: string | undefined;
  readonly credentialsProfile: string | undefined;
  /** How many shards and requests at a time. */
  readonly workersMax: number | undefined;
  readonly sqliteMode: typeof SQLITE_MODES[number];
  readonly perShardBytes: number | undefined;
  readonly totalBytes: number | undefined;
  readonly manifestStore: ManifestStoreConfig | null;
  readonly format: OutputFormat | undefined;
  readonly valueEncoding: ValueEncoding;
  /** What is printed for a key that does not exist. */
  readonly nullText: string;
}

/** Manifests in PostgreSQL. */
export interface ManifestStoreConfig {
  /** Undefined: the variable `SHARDY_MANIFEST_DSN` has it. */
  readonly dsn: string | undefined;
  readonly tableName: string | undefined;
  readonly pointerTableName: string | undefined;
  readonly ensureTable: boolean | undefined;
}

/** What `reader.toml` says, with what is strange about it. */
export interface LoadedConfig {
  readonly config: ReaderConfig;
  readonly warnings: readonly string[];
}

/** Known to the Python package; here manifests tell, or there is nothing to choose. */
const WITHOUT_EFFECT = ["thread_safety", "pool_checkout_timeout", "slate_env_file", "reader_backend"];

/**
 * Reads the configuration; without a file all is as it is by default.
 *
 * @param path The option `--config`.
 * @throws {CliError} when the file cannot be read, or a value is wrong.
 */
export async function loadReaderConfig(path: string | undefined, env: CliIo["env"]): Promise<LoadedConfig> {
  const place = { option: ["--config", path], variable: "SHARDY_CONFIG", name: "reader.toml" } as const;
  const file = await readConfigFile(place, env);
  const warnings: string[] = [];
  return { config: configOf(file?.content ?? {}, file?.path ?? "reader.toml", warnings), warnings };
}

function configOf(content: TomlTable, path: string, warnings: string[]): ReaderConfig {
  const top = new ConfigTable(content, { path, name: "" }, warnings);
  const reader = top.table("reader");
  const manifests = top.table("manifest_store");
  const output = top.table("output");
  const isPostgres = manifests.choice("backend", ["s3", "postgres"]) === "postgres";
  const store = {
    dsn: manifests.text("dsn"),
    tableName: manifests.text("table_name"),
    pointerTableName: manifests.text("pointer_table_name"),
    ensureTable: manifests.boolean("ensure_table"),
  };
  reader.skip(WITHOUT_EFFECT);
  const config = {
    currentUrl: reader.text("current_url"),
    s3Prefix: reader.text("s3_prefix"),
    localRoot: reader.text("local_root"),
    credentialsProfile: reader.text("credentials_profile"),
    workersMax: reader.integer("max_workers", 1),
    sqliteMode: reader.choice("sqlite_mode", SQLITE_MODES) ?? "auto",
    perShardBytes: reader.integer("sqlite_auto_per_shard_threshold_bytes", 0),
    totalBytes: reader.integer("sqlite_auto_total_budget_bytes", 0),
    manifestStore: isPostgres ? store : null,
    format: output.choice("format", OUTPUT_FORMATS),
    valueEncoding: output.choice("value_encoding", VALUE_ENCODINGS) ?? "base64",
    nullText: output.text("null_repr") ?? "null",
  };
  for (const table of [top, reader, manifests, output]) table.warnOfOthers();
  return config;
}

/** Values of one table, each checked when it is asked for. */
class ConfigTable {
  readonly #values: TomlTable;
  readonly #path: string;
  readonly #name: string;
  readonly #warnings: string[];
  readonly #known = new Set<string>();

  constructor(values: TomlTable, { path, name }: { path: string; name: string }, warnings: string[]) {
    this.#values = values;
    this.#path = path;
    this.#name = name;
    this.#warnings = warnings;
  }

  table(name: string): ConfigTable {
    const value = this.#value(name) ?? {};
    if (typeof value !== "object" || Array.isArray(value)) throw this.#wrong(name, "a table");
    return new ConfigTable(value as TomlTable, { path: this.#path, name: `${name}.` }, this.#warnings);
  }

  /** An empty text counts as none. */
  text(name: string): string | undefined {
    const value = this.#value(name);
    if (value === undefined || value === "") return undefined;
    if (typeof value !== "string") throw this.#wrong(name, "a string");
    return value;
  }

  integer(name: string, min: number): number | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    if (!Number.isSafeInteger(value) || value as number < min) throw this.#wrong(name, `a whole number from ${min} up`);
    return value as number;
  }

  boolean(name: string): boolean | undefined {
    const value = this.#value(name);
    if (value !== undefined && typeof value !== "boolean") throw this.#wrong(name, "true or false");
    return value;
  }

  choice<C extends string>(name: string, choices: readonly C[]): C | undefined {
    const value = this.#value(name);
    if (value === undefined) return undefined;
    const choice = choices.find((candidate) => candidate === value);
    if (choice === undefined) throw this.#wrong(name, choices.map((word) => `"${word}"`).join(" or "));
    return choice;
  }

  /** These names are known, and their values of no interest. */
  skip(names: readonly string[]): void {
    for (const name of names) this.#known.add(name);
  }

  /** A misspelt name would otherwise have no effect without a word. */
  warnOfOthers(): void {
    for (const name of Object.keys(this.#values)) {
      if (!this.#known.has(name)) this.#warnings.push(`${this.#path}: unknown setting '${this.#name}${name}'`);
    }
  }

  #value(name: string): unknown {
    this.#known.add(name);
    return Object.hasOwn(this.#values, name) ? this.#values[name] : undefined;
  }

  #wrong(name: string, expected: string): CliError {
    return new CliError(`Cannot use '${this.#path}' as '${this.#name}${name}' must be ${expected}`);
  }
}
