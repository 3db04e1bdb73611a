/**
 * The snapshot that commands ask: opened once, when the first of them needs it, and closed at the end.
 * @module
 */
import { loadCurrentManifest } from "../read/current_manifest.ts";
import type { LoadedManifest } from "../read/load_manifest.ts";
import { openSnapshot } from "../read/open_snapshot.ts";
import { loadPinnedManifest } from "../read/pinned_manifest.ts";
import type { AccessMode } from "../read/read_options.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import { history } from "../snapshots/history.ts";
import type { ManifestReader } from "../snapshots/manifest_store.ts";
import { objectManifestReader } from "../snapshots/object_manifest_reader.ts";
import { CliError, messageOf } from "./cli_errors.ts";
import { historyPlace, type Location } from "./location.ts";

/** Which snapshot of the place; undefined: the current one. */
export type ChosenSnapshot = { readonly ref: string } | { readonly offset: number } | undefined;

/** How shards are read; what `reader.toml` and the options `--sqlite-…` say. */
export interface AccessChoice {
  readonly mode: "download" | "range" | "auto";
  /** From this size of one shard on ranges are read. Undefined: what the library takes. */
  readonly perShardBytes: number | undefined;
  /** From this size of all shards on. */
  readonly totalBytes: number | undefined;
  /** Folder for downloads that are kept. */
  readonly cacheDir: string | undefined;
  readonly concurrencyMax: number | undefined;
}

/** How many older manifests are tried when the current one cannot be parsed: what readers do too. */
const FALLBACK_ATTEMPTS = 3;
/** What the Python package takes. */
const PER_SHARD_BYTES = 16 * 2 ** 20;
const TOTAL_BYTES = 2 * 2 ** 30;

/** One place, and one snapshot of it at a time. */
export class SnapshotSession implements AsyncDisposable {
  readonly #locate: () => Promise<Location>;
  readonly #access: AccessChoice;
  readonly #signal: AbortSignal;
  #chosen: ChosenSnapshot;
  #location: Promise<Location> | undefined;
  #reader: Promise<SnapshotReader> | undefined;
  #manifest: LoadedManifest | undefined;

  constructor(
    { locate, access, signal }: { locate: () => Promise<Location>; access: AccessChoice; signal: AbortSignal },
    chosen: ChosenSnapshot,
  ) {
    this.#locate = locate;
    this.#access = access;
    this.#signal = signal;
    this.#chosen = chosen;
  }

  /** The place. @throws {CliError} when there is none. */
  location(): Promise<Location> {
    return this.#location ??= this.#locate();
  }

  /** The snapshot with all its shards, the same one at each call. Closed with this session. @throws {CliError} */
  openReader(): Promise<SnapshotReader> {
    return this.#reader ??= this.#initialise(async ({ store, manifestStore, pointerKey }, pin) => {
      const { cacheDir, concurrencyMax } = this.#access;
      const access = await this.#modeOf(pin);
      const downloads = access === "download" || access === "auto" ? { cacheDir } : {};
      const signal = this.#signal;
      return await openSnapshot({
        store,
        manifestStore,
        pointerKey,
        signal,
        pin,
        access,
        concurrencyMax,
        ...downloads,
      });
    });
  }

  /** The manifest of the same snapshot, without touching a shard. @throws {CliError} */
  async loadManifest(): Promise<LoadedManifest> {
    const openRef = this.#reader === undefined ? undefined : (await this.#reader).info.manifestRef;
    if (this.#manifest !== undefined && (openRef === undefined || openRef === this.#manifest.ref)) {
      return this.#manifest;
    }
    const signal = this.#signal;
    return this.#manifest = await this.#initialise((location, pin) => manifestOf(location, openRef ?? pin, signal));
  }

  /** Turns to another snapshot of the place; the one before is closed. If that fails the one before stays. */
  async use(chosen: ChosenSnapshot): Promise<void> {
    const before = { chosen: this.#chosen, reader: this.#reader, manifest: this.#manifest };
    [this.#chosen, this.#reader, this.#manifest] = [chosen, undefined, undefined];
    try {
      await this.openReader();
    } catch (error) {
      [this.#chosen, this.#reader, this.#manifest] = [before.chosen, before.reader, before.manifest];
      throw error;
    }
    await closed(before.reader);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await closed(this.#reader);
    const location = await this.#location?.catch(() => undefined);
    await location?.[Symbol.asyncDispose]?.();
  }

  async #modeOf(pin: string | undefined): Promise<AccessMode> {
    const { mode, perShardBytes, totalBytes } = this.#access;
    if (mode !== "auto") return mode;
    if (perShardBytes === undefined && totalBytes === undefined) return "auto";
    const { manifest } = await manifestOf(await this.location(), pin, this.#signal);
    const sizes = manifest.shards.map(({ dbBytes }) => dbBytes);
    const isLarge = sizes.some((size) => size >= (perShardBytes ?? PER_SHARD_BYTES)) ||
      sizes.reduce((sum, size) => sum + size, 0) >= (totalBytes ?? TOTAL_BYTES);
    return isLarge ? "range" : "download";
  }

  async #initialise<T>(open: (location: Location, pin: string | undefined) => Promise<T>): Promise<T> {
    const location = await this.location();
    const chosen = this.#chosen;
    try {
      const isOffset = chosen !== undefined && "offset" in chosen;
      const pin = isOffset ? await refAtOffset(location, chosen.offset, this.#signal) : chosen?.ref;
      return await open(location, pin);
    } catch (error) {
      if (this.#signal.aborted || error instanceof CliError) throw error;
      throw new CliError(`Failed to initialise reader: ${messageOf(error)}`, { cause: error });
    }
  }
}

async function manifestOf(location: Location, pin: string | undefined, signal: AbortSignal): Promise<LoadedManifest> {
  const manifests = manifestsAt(location);
  if (pin !== undefined) return await loadPinnedManifest(manifests, pin, { signal });
  return await loadCurrentManifest(manifests, FALLBACK_ATTEMPTS, { signal });
}

/** Where the manifests of a place are read from. */
export function manifestsAt({ store, manifestStore, pointerKey }: Location): ManifestReader {
  return manifestStore ?? objectManifestReader(store, { pointerKey });
}

/**
 * The ref of a place in the history.
 *
 * @throws {CliError} when the history is shorter.
 */
export async function refAtOffset(location: Location, offset: number, signal: AbortSignal): Promise<string> {
  const { store, ...place } = historyPlace(location);
  const manifests = await history(store, { ...place, limit: offset + 1, signal });
  const found = manifests[offset];
  if (found !== undefined) return found.ref;
  throw new CliError(`Offset ${offset} out of range (only ${manifests.length} manifests available)`);
}

async function closed(reader: Promise<SnapshotReader> | undefined): Promise<void> {
  const open = await reader?.catch(() => undefined);
  await open?.close();
}
