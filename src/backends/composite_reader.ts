/**
 * Reads a shard of two engines as one.
 * @module
 */
import { rotatedDigest } from "../bytes/fast_digest.ts";
import { CorruptFileError, ObjectNotFoundError } from "../errors.ts";
import type { ObjectDigest, RemoteShard, ShardFile, ShardReader } from "./backend.ts";
import { type Halves, VECTOR_FOLDER } from "./composite_build.ts";

/** Opens both halves. Costs a GET only where the rows' file has to be taken whole. */
export async function openCompositeShard(shard: RemoteShard, { keyValue, vector }: Halves): Promise<ShardReader> {
  const rows = await keyValue.openShard(await rowsFile(shard, keyValue));
  try {
    return new CompositeReader(
      rows,
      await vector.openShard({ kind: "remote", shard: vectorShard(shard, { keyValue, vector }) }),
    );
  } catch (error) {
    await rows[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * The rows' file, over ranges if it can be.
 *
 * The Python package records no length of it, only that of both halves together, by which ranges of one file cannot be
 * read.
 */
async function rowsFile(shard: RemoteShard, { opens, fileName }: Halves["keyValue"]): Promise<ShardFile> {
  const isFolder = !opens.includes("memory");
  if (opens.includes("remote") && (isFolder || shard.objects !== undefined)) return { kind: "remote", shard };
  const digest = shard.objects?.find(({ name }) => name === fileName);
  const bytes = await loadObject(shard, { digest });
  if (bytes !== null) return { kind: "memory", bytes };
  throw new CorruptFileError(`Cannot find "${shard.url}", which is part of the shard`, -1);
}

/** A whole object; null when there is none. @throws {CorruptFileError} when it is not what was recorded. */
async function loadObject(
  { store, key, url }: Pick<RemoteShard, "store" | "key" | "url">,
  { digest, signal }: { readonly digest: ObjectDigest | undefined; readonly signal?: AbortSignal | undefined },
): Promise<Uint8Array | null> {
  let bytes: Uint8Array;
  try {
    bytes = await (await store.get(key, { signal })).bytes();
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return null;
    throw error;
  }
  if (digest === undefined) return bytes;
  const { sizeBytes, rotatedBytes, xxh3 } = digest;
  if (bytes.length !== sizeBytes) throw lengthError(url, { found: bytes.length, expected: sizeBytes });
  if (await rotatedDigest(bytes, rotatedBytes) === xxh3) return bytes;
  throw new CorruptFileError(`Cannot use "${url}" as its bytes do not have the recorded digest`, -1);
}

/** The folder of the vectors, as a shard of its own. */
function vectorShard(shard: RemoteShard, { keyValue, vector }: Halves): RemoteShard {
  const { store, objects, keyEncoding, pages, tally } = shard;
  const start = `${VECTOR_FOLDER}/`;
  const inFolder = (place: string, name: string): string => place.slice(0, -keyValue.fileName.length) + start + name;
  const own = objects?.filter(({ name }) => name.startsWith(start))
    .map((object) => ({ ...object, name: object.name.slice(start.length) }));
  const sizeOf = (name: string): number | undefined => own?.find((object) => object.name === name)?.sizeBytes;
  const url = inFolder(shard.url, vector.fileName);
  const sizeBytes = sizeOf(vector.fileName) ?? 0;
  return {
    ...{ store, url, sizeBytes, keyEncoding, objects: own, pages, tally },
    key: inFolder(shard.key, vector.fileName),
    pageSizeHint: own?.find(({ name }) => name === vector.fileName)?.rotatedBytes || undefined,
    mayHaveSidecar: shard.mayHaveSidecar,
    async read(range, signal) {
      const { parts, etag, sizeBytes: found } = await store.getRanges(inFolder(shard.key, vector.fileName), [range], {
        signal,
      });
      if (found === null || found === sizeBytes) return { bytes: parts[0]!, etag };
      throw lengthError(url, { found, expected: sizeBytes });
    },
    load: (name, signal) =>
      loadObject({ store, key: inFolder(shard.key, name), url: inFolder(shard.url, name) }, {
        digest: own?.find((object) => object.name === name),
        signal,
      }),
    gapBytesMax: () => shard.gapBytesMax(),
    warn: (message) => shard.warn(message),
  };
}

function lengthError(url: string, { found, expected }: { found: number; expected: number }): CorruptFileError {
  return new CorruptFileError(
    `Cannot use "${url}" as it must be ${expected} bytes long: current value is ${found}`,
    Math.min(found, expected),
  );
}

class CompositeReader implements ShardReader {
  readonly #rows: ShardReader;
  readonly #vectors: ShardReader;
  readonly search: NonNullable<ShardReader["search"]>;
  readonly warm?: NonNullable<ShardReader["warm"]>;

  constructor(rows: ShardReader, vectors: ShardReader) {
    this.#rows = rows;
    this.#vectors = vectors;
    this.search = (query, options) => vectors.search!(query, options);
    if (rows.warm !== undefined) this.warm = (signal) => rows.warm!(signal);
  }

  get(key: Uint8Array, signal?: AbortSignal): ReturnType<ShardReader["get"]> {
    return this.#rows.get(key, signal);
  }

  getMany(keys: readonly Uint8Array[], signal?: AbortSignal): ReturnType<ShardReader["getMany"]> {
    return this.#rows.getMany(keys, signal);
  }

  scan(range?: Parameters<ShardReader["scan"]>[0]): ReturnType<ShardReader["scan"]> {
    return this.#rows.scan(range);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const outcomes = await Promise.allSettled([this.#rows, this.#vectors].map((half) => half[Symbol.asyncDispose]()));
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }
}
