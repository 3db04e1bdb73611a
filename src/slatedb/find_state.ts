/**
 * Finds the manifest of a database by GET alone: manifests are numbered, and the highest number counts.
 * @module
 */
import { DbAdapterError } from "../errors.ts";
import { type DatabaseState, readDatabaseState } from "./database_state.ts";
import type { DatabaseFolder } from "./folder.ts";

/** What is asked for first: small databases that were written and closed end with number 5. */
const FIRST_GUESSES = [1, 5, 6, 16];
const STEPS = 3;
/** How far, and how many at once, is looked for manifests of a database whose first ones have been removed. */
const THOROUGH_MAX = 1024;
const THOROUGH_STEP = 32;
/** Where some were removed, so many have to be missing in a row. */
const GAP_MAX = 64;
const MANIFEST = /^manifest\/\d{20}\.manifest$/;

/** Name of a manifest in the folder of its database. */
export function manifestName(id: number): string {
  return `manifest/${String(id).padStart(20, "0")}.manifest`;
}

/**
 * Reads the newest manifest: with one request where its name is recorded, else with four or a few more. A writer that
 * was at work for more than some minutes removes its old manifests: then numbers are tried one by one.
 *
 * @throws {DbAdapterError} when there is none, or it cannot be read safely.
 */
export async function findState(folder: DatabaseFolder, signal?: AbortSignal): Promise<DatabaseState> {
  const recorded = folder.names?.filter((name) => MANIFEST.test(name)).sort().at(-1);
  if (recorded !== undefined) {
    const bytes = await folder.load(recorded, signal);
    if (bytes !== null) return readDatabaseState(bytes, `${folder.url}/${recorded}`);
    throw missing(`${folder.url}/${recorded}`);
  }
  const newest = await new ManifestSearch(folder, signal).newest();
  if (newest === null) throw missing(`${folder.url}/${manifestName(1)}`);
  return readDatabaseState(newest.bytes, `${folder.url}/${manifestName(newest.id)}`);
}

function missing(url: string): DbAdapterError {
  return new DbAdapterError(
    `Cannot find the SlateDB manifest "${url}" nor a later one: the shard may have been removed`,
  );
}

interface FoundManifest {
  readonly id: number;
  readonly bytes: Uint8Array;
}

/** Finds the highest number. As long as the first manifest is there, none has been removed. */
class ManifestSearch {
  readonly #folder: DatabaseFolder;
  readonly #signal: AbortSignal | undefined;
  #found: FoundManifest | null = null;
  #absent = Infinity;

  constructor(folder: DatabaseFolder, signal: AbortSignal | undefined) {
    this.#folder = folder;
    this.#signal = signal;
  }

  async newest(): Promise<FoundManifest | null> {
    const [isFirstThere] = await this.#ask(FIRST_GUESSES);
    if (!isFirstThere) return await this.#tryAll();
    while (this.#found!.id + 1 < this.#absent) await this.#ask(this.#between(this.#found!.id));
    return this.#found;
  }

  async #tryAll(): Promise<FoundManifest | null> {
    for (let from = 1; from <= THOROUGH_MAX; from += THOROUGH_STEP) {
      if (this.#found !== null && from > this.#found.id + GAP_MAX) break;
      await this.#ask(Array.from({ length: THOROUGH_STEP }, (_, i) => from + i));
    }
    return this.#found;
  }

  /** Numbers between the highest that is known to be there and the lowest above it that is not. */
  #between(low: number): number[] {
    const high = this.#absent;
    if (high === Infinity) return [low + 1, low * 4, low * 16];
    const step = Math.max(1, Math.ceil((high - low) / (STEPS + 1)));
    return Array.from({ length: STEPS }, (_, i) => low + (i + 1) * step).filter((id) => id < high);
  }

  /** Tells which are there. */
  async #ask(ids: readonly number[]): Promise<boolean[]> {
    const answers = await Promise.all(ids.map((id) => this.#folder.load(manifestName(id), this.#signal)));
    for (const [i, bytes] of answers.entries()) {
      const id = ids[i]!;
      if (bytes === null) this.#absent = Math.min(this.#absent, id);
      else if (id > (this.#found?.id ?? 0)) this.#found = { id, bytes };
    }
    return answers.map((bytes) => bytes !== null);
  }
}
