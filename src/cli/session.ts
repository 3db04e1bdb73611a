/**
 * What the commands share: configuration, the place, and the snapshot in it that is being asked for.
 * @module
 */
import { systemClock } from "../clock.ts";
import type { EventSink } from "../events.ts";
import { CliError, UsageError } from "./cli_errors.ts";
import type { CliIo, CommandContext } from "./command.ts";
import { loadProfile } from "./credentials_file.ts";
import { VALUE_ENCODINGS } from "./key_text.ts";
import { type Location, openLocation } from "./location.ts";
import { openManifestStore } from "./manifest_store_option.ts";
import { choiceOption, integerOption, listOption, type OptionTexts, textOption } from "./option_values.ts";
import { loadReaderConfig, type ReaderConfig, SQLITE_MODES } from "./reader_config.ts";
import { OUTPUT_FORMATS, renderResult } from "./result.ts";
import { parseS3Options } from "./s3_options.ts";
import { type AccessChoice, type ChosenSnapshot, SnapshotSession } from "./snapshot_session.ts";

export { refAtOffset } from "./snapshot_session.ts";

/**
 * Reads the configuration and checks the options that all commands share; opens nothing yet. Dispose it.
 *
 * @throws {UsageError} when an option is wrong.
 * @throws {CliError} when the configuration is.
 */
export async function beginCommand(io: CliIo, args: readonly string[], options: OptionTexts): Promise<CommandContext> {
  // Before any file is read: what was typed wrong is said first.
  const chosen = chosenSnapshot(options);
  const typedFormat = choiceOption(options, "--output-format", OUTPUT_FORMATS);
  parseS3Options(listOption(options, "--s3-option"));
  const { config, warnings } = await loadReaderConfig(textOption(options, "--config"), io.env);
  for (const warning of warnings) io.stderr(`Warning: ${warning}\n`);
  const access = accessOf(options, config);
  const format = typedFormat ?? config.format ?? "jsonl";
  const signal = io.signal ?? new AbortController().signal;
  const locate = (): Promise<Location> => locationOf({ io, options, config });
  const session = new SnapshotSession({ locate, access, signal }, chosen);
  return {
    ...{ io, args, options, signal, format, session },
    clock: io.clock ?? systemClock(),
    valueEncoding: choiceOption(options, "--value-encoding", VALUE_ENCODINGS) ?? config.valueEncoding,
    nullText: config.nullText,
    print: (result) => io.stdout(renderResult(result, format)),
    location: () => session.location(),
    locationAt: (currentUrl, onEvent) => locationOf({ io, options: { ...options, currentUrl }, config, onEvent }),
    openReader: () => session.openReader(),
    loadManifest: () => session.loadManifest(),
  };
}

/** The options `--ref` and `--offset`. @throws {UsageError} when both are given. */
export function chosenSnapshot(options: OptionTexts): ChosenSnapshot {
  const ref = textOption(options, "--ref");
  const offset = integerOption(options, "--offset", 0);
  if (ref !== undefined && offset !== undefined) throw new UsageError("--ref and --offset are mutually exclusive");
  if (ref !== undefined) return { ref };
  return offset === undefined ? undefined : { offset };
}

function accessOf(options: OptionTexts, config: ReaderConfig): AccessChoice {
  return {
    mode: choiceOption(options, "--sqlite-mode", SQLITE_MODES) ?? config.sqliteMode,
    perShardBytes: sqliteLimit(options, "--sqlite-auto-per-shard-bytes") ?? config.perShardBytes,
    totalBytes: sqliteLimit(options, "--sqlite-auto-total-bytes") ?? config.totalBytes,
    cacheDir: config.localRoot,
    concurrencyMax: config.workersMax,
  };
}

function sqliteLimit(options: OptionTexts, flag: string): number | undefined {
  const value = integerOption(options, flag, Number.MIN_SAFE_INTEGER);
  if (value === undefined || value >= 0) return value;
  throw new UsageError(`Invalid SQLite override(s): ${flag} must be >= 0, got: ${value}`);
}

async function locationOf(
  { io, options, config, onEvent }: {
    io: CliIo;
    options: OptionTexts;
    config: ReaderConfig;
    onEvent?: EventSink | undefined;
  },
): Promise<Location> {
  const manifests = await openManifestStore(textOption(options, "--manifest-store"), config.manifestStore, io.env);
  const typedUrl = textOption(options, "--current-url") || io.env["SHARDY_CURRENT"] || config.currentUrl;
  // A database has the pointer itself, so that a prefix is enough.
  const named = typedUrl ??
    (manifests !== undefined && config.s3Prefix !== undefined ? `${config.s3Prefix}/_CURRENT` : undefined);
  if (named === undefined) {
    throw new CliError(
      "CURRENT URL is required. Give --current-url, or set SHARDY_CURRENT, " +
        "for example s3://bucket/prefix/_CURRENT or ./data/cities/_CURRENT",
    );
  }
  const url = config.s3Prefix === undefined || config.currentUrl !== named
    ? named
    : `${config.s3Prefix.replace(/\/+$/, "")}/${named.split("/").at(-1)}`;
  const s3 = async () => {
    const profile = textOption(options, "--profile") ?? (io.env["SHARDY_PROFILE"] || config.credentialsProfile);
    const settings = await loadProfile({ path: textOption(options, "--credentials"), profile }, io);
    return { ...settings, ...parseS3Options(listOption(options, "--s3-option")) };
  };
  const location = await openLocation(url, s3, onEvent);
  if (manifests === undefined) return location;
  return {
    ...location,
    manifestStore: manifests,
    [Symbol.asyncDispose]: () => manifests.close(),
  };
}
