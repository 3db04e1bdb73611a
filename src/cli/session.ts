/**
 * What the commands share: the place, and the snapshot in it that is being asked for.
 * @module
 */
import { systemClock } from "../clock.ts";
import { loadCurrentManifest } from "../read/current_manifest.ts";
import type { LoadedManifest } from "../read/load_manifest.ts";
import { openSnapshot } from "../read/open_snapshot.ts";
import { loadPinnedManifest } from "../read/pinned_manifest.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import { history } from "../snapshots/history.ts";
import { objectManifestReader } from "../snapshots/object_manifest_reader.ts";
import { CliError, messageOf, UsageError } from "./cli_errors.ts";
import type { CliIo, CommandContext } from "./command.ts";
import { type Location, openLocation, requireObjectStore } from "./location.ts";
import { choiceOption, integerOption, listOption, type OptionTexts, textOption } from "./option_values.ts";
import { OUTPUT_FORMATS, renderResult } from "./result.ts";
import { parseS3Options, type S3Settings } from "./s3_options.ts";

/** How many older manifests are tried when the current one cannot be parsed: what readers do too. */
const FALLBACK_ATTEMPTS = 3;

/**
 * Checks the options that all commands share; opens nothing yet.
 *
 * @throws {UsageError} when one is wrong.
 */
export function beginCommand(io: CliIo, args: readonly string[], options: OptionTexts): CommandContext {
  const format = choiceOption(options, "--output-format", OUTPUT_FORMATS) ?? "jsonl";
  const s3 = parseS3Options(listOption(options, "--s3-option"));
  const currentUrl = textOption(options, "--current-url") ?? io.env["SHARDY_CURRENT"];
  const signal = io.signal ?? new AbortController().signal;
  const clock = io.clock ?? systemClock();
  const locate = () => openCurrent(currentUrl, s3);
  return {
    io,
    clock,
    signal,
    args,
    options,
    format,
    location: locate,
    print: (result) => io.stdout(renderResult(result, format)),
    openReader: () => openReader({ locate, options, signal }),
    loadManifest: () => loadManifest({ locate, options, signal }),
  };
}

/**
 * The ref of a place in the history.
 *
 * @throws {CliError} when the history is shorter.
 */
export async function refAtOffset(location: Location, offset: number, signal: AbortSignal): Promise<string> {
  const { pointerKey } = location;
  const manifests = await history(requireObjectStore(location), { limit: offset + 1, pointerKey, signal });
  const found = manifests[offset];
  if (found !== undefined) return found.ref;
  throw new CliError(`Offset ${offset} out of range (only ${manifests.length} manifests available)`);
}

async function openCurrent(currentUrl: string | undefined, s3: S3Settings): Promise<Location> {
  if (currentUrl !== undefined && currentUrl !== "") return await openLocation(currentUrl, s3);
  throw new CliError(
    "CURRENT URL is required. Give --current-url, or set SHARDY_CURRENT, " +
      "for example s3://bucket/prefix/_CURRENT or ./data/cities/_CURRENT",
  );
}

/** A snapshot that is to be opened: the place, and the options that choose among its snapshots. */
interface Wanted {
  readonly locate: () => Promise<Location>;
  readonly options: OptionTexts;
  readonly signal: AbortSignal;
}

async function openReader(wanted: Wanted): Promise<SnapshotReader> {
  const { signal } = wanted;
  return await initialise(wanted, ({ store, pointerKey }, pin) => openSnapshot({ store, pointerKey, signal, pin }));
}

async function loadManifest(wanted: Wanted): Promise<LoadedManifest> {
  const { signal } = wanted;
  return await initialise(wanted, ({ store, pointerKey }, pin) => {
    const manifests = objectManifestReader(store, { pointerKey });
    return pin === undefined
      ? loadCurrentManifest(manifests, FALLBACK_ATTEMPTS, { signal })
      : loadPinnedManifest(manifests, pin, { signal });
  });
}

async function initialise<T>(
  { locate, options, signal }: Wanted,
  open: (location: Location, pin: string | undefined) => Promise<T>,
): Promise<T> {
  const ref = textOption(options, "--ref");
  const offset = integerOption(options, "--offset", 0);
  if (ref !== undefined && offset !== undefined) throw new UsageError("--ref and --offset are mutually exclusive");
  const location = await locate();
  try {
    const pin = offset === undefined ? ref : await refAtOffset(location, offset, signal);
    return await open(location, pin);
  } catch (error) {
    if (signal.aborted || error instanceof CliError) throw error;
    throw new CliError(`Failed to initialise reader: ${messageOf(error)}`, { cause: error });
  }
}
