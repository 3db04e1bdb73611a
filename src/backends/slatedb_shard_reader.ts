/**
 * Reads a SlateDB shard where it lies, by GET alone.
 * @module
 */
import { xxh3Hex } from "../bytes/xxh3.ts";
import { CorruptFileError, DbAdapterError, ObjectNotFoundError } from "../errors.ts";
import { SlateDatabase } from "../slatedb/database.ts";
import { manifestName } from "../slatedb/find_state.ts";
import type { DatabaseFolder } from "../slatedb/folder.ts";
import type { ReadableStore } from "../stores/store.ts";
import type { ObjectDigest, RemoteShard, ScanRange, ShardFile, ShardOpener, ShardReader } from "./backend.ts";

/** Manifests and files of the log are loaded whole. */
const LOADED_BYTES_MAX = 1 << 28;

/** What is recorded first of a shard that we wrote: its only manifest. */
export const SLATEDB_FILE: string = manifestName(1);

/**
 * What reads SlateDB shards, without what writes them: small enough for readers at the edge.
 *
 * Reads databases of SlateDB up to 0.17, and never writes to them: SlateDB's own readers do, and some versions damage
 * what newer ones wrote. Every block is checked against the checksum that SlateDB stores with it.
 *
 * @example
 * ```ts
 * import { slatedbReader } from "./slatedb_shard_reader.ts";
 *
 * if (slatedbReader().opens.join() !== "remote") throw new Error("unexpected kinds of files");
 * ```
 */
export function slatedbReader(): ShardOpener {
  return { fileName: SLATEDB_FILE, opens: ["remote"], openShard: openSlatedbShard };
}

/** Opens a shard; sends no request yet. @throws {DbAdapterError} for anything but a shard that stays in the store. */
// deno-lint-ignore require-await -- the interface is for openers that wait
export async function openSlatedbShard(file: ShardFile): Promise<ShardReader> {
  if (file.kind === "remote") return new SlatedbShard(file.shard);
  throw new DbAdapterError("Cannot open a SlateDB shard as one file as it is a folder of objects: read it over ranges");
}

class SlatedbShard implements ShardReader {
  readonly #database: SlateDatabase;

  constructor(shard: RemoteShard) {
    this.#database = new SlateDatabase(folderOf(shard));
  }

  get(key: Uint8Array, signal?: AbortSignal): Uint8Array | null | Promise<Uint8Array | null> {
    return this.#database.get(key, signal);
  }

  getMany(keys: readonly Uint8Array[], signal?: AbortSignal): Promise<(Uint8Array | null)[]> {
    return this.#database.getMany(keys, signal);
  }

  scan({ from, to, signal }: ScanRange = {}): AsyncIterable<[key: Uint8Array, value: Uint8Array][]> {
    return this.#database.scan({ from, to }, signal);
  }

  async warm(signal?: AbortSignal): Promise<void> {
    await this.#database.warm(signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#database.forget();
    return Promise.resolve();
  }
}

function folderOf(shard: RemoteShard): DatabaseFolder {
  const { url, key, store, objects, pages, tally, warn } = shard;
  const folderUrl = url.slice(0, -SLATEDB_FILE.length - 1);
  const folderKey = key.slice(0, -SLATEDB_FILE.length);
  const records = objects && new Map(objects.map((object) => [object.name, object]));
  return {
    url: folderUrl,
    names: records && [...records.keys()],
    blocks: pages,
    tally,
    load: (name, signal) =>
      loadObject({ store, key: folderKey + name, url: `${folderUrl}/${name}`, record: records?.get(name) }, signal),
    async read(name, range, signal) {
      const { parts, sizeBytes } = await store.getRanges(folderKey + name, [range], { signal });
      const recorded = records?.get(name)?.sizeBytes;
      if (recorded !== undefined && sizeBytes !== null) requireLength(`${folderUrl}/${name}`, sizeBytes, recorded);
      return parts[0]!;
    },
    gapBytesMax: () => shard.gapBytesMax(),
    warn,
  };
}

interface StoredPart {
  readonly store: ReadableStore;
  readonly key: string;
  readonly url: string;
  readonly record: ObjectDigest | undefined;
}

/** A whole object, which is what was recorded; null when there is none. */
async function loadObject(
  { store, key, url, record }: StoredPart,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | null> {
  try {
    const stored = await store.get(key, { signal });
    if (stored.sizeBytes > LOADED_BYTES_MAX || (record !== undefined && stored.sizeBytes !== record.sizeBytes)) {
      await stored.body.cancel();
      requireLength(url, stored.sizeBytes, record?.sizeBytes ?? LOADED_BYTES_MAX);
    }
    const bytes = await stored.bytes();
    if (record === undefined || xxh3Hex(bytes) === record.xxh3) return bytes;
    throw new CorruptFileError(`Cannot use "${url}" as its bytes do not have the recorded digest`, -1);
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return null;
    throw error;
  }
}

function requireLength(url: string, foundBytes: number, sizeBytes: number): void {
  if (foundBytes === sizeBytes) return;
  const message = `Cannot use "${url}" as it must be ${sizeBytes} bytes long: current value is ${foundBytes}`;
  throw new CorruptFileError(message, Math.min(foundBytes, sizeBytes));
}
