/**
 * Shards that stay in the store and are read in parts.
 * @module
 */
import type { ObjectDigest, RemotePart, RemoteShard, ShardOpener, ShardTally } from "../backends/backend.ts";
import { ObjectNotFoundError } from "../errors.ts";
import type { ByteRange, ReadableStore } from "../stores/store.ts";
import { PagePool } from "./page_pool.ts";
import type { Requests } from "./requests.ts";
import type { ShardAccess } from "./shard_access.ts";
import { checkBytes, lengthError, type ShardObject } from "./shard_objects.ts";
import type { ShardTallies } from "./shard_tallies.ts";

/** What a sidecar may take that is recorded nowhere, and whose length is not known before it comes. */
const UNRECORDED_BYTES_MAX = 1 << 26;

/** What reading ranges takes. */
export interface RangeMeans {
  readonly opener: ShardOpener;
  readonly requests: Requests;
  readonly tallies: ShardTallies;
  readonly cacheBytesMax: number;
  /** Takes what the user of the reader should know. */
  readonly warn: (message: string) => void;
}

/** Shards over ranges of their objects. Opening sends nothing. */
export function rangeAccess(means: RangeMeans): ShardAccess & { readonly pool: PagePool } {
  const pool = new PagePool(means.cacheBytesMax);
  return {
    mode: "range",
    isLazy: true,
    isOpenedLate: true,
    pool,
    open: (object) => means.opener.openShard({ kind: "remote", shard: new StoreShard(object, means, pool) }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** One shard in the store. */
class StoreShard implements RemoteShard {
  readonly url: string;
  readonly sizeBytes: number;
  readonly keyEncoding: ShardObject["keyEncoding"];
  readonly objects: readonly ObjectDigest[] | undefined;
  readonly pageSizeHint: number | undefined;
  readonly mayHaveSidecar: boolean;
  readonly pages: PagePool;
  readonly tally: ShardTally;
  readonly warn: (message: string) => void;
  readonly key: string;
  readonly store: ReadableStore;
  readonly #requests: Requests;

  constructor(object: ShardObject, { requests, tallies, warn }: RangeMeans, pool: PagePool) {
    const { url, sizeBytes, keyEncoding, objects, digest, sidecar, shardId, store } = object;
    this.url = url;
    this.sizeBytes = sizeBytes;
    this.keyEncoding = keyEncoding;
    this.objects = objects;
    this.pageSizeHint = digest?.rotatedBytes || sidecar?.pageSizeBytes;
    this.mayHaveSidecar = sidecar !== undefined;
    this.pages = pool;
    const tally = tallies.of(shardId);
    this.tally = tally;
    this.warn = warn;
    this.key = object.key;
    this.store = requests.store(store, { tally });
    this.#requests = requests;
  }

  gapBytesMax(): number {
    return this.#requests.gapBytesMax();
  }

  async read(range: ByteRange, signal?: AbortSignal): Promise<RemotePart> {
    const { parts, etag, sizeBytes } = await this.store.getRanges(this.key, [range], { signal });
    if (sizeBytes !== null && sizeBytes !== this.sizeBytes) throw lengthError(this, sizeBytes);
    return { bytes: parts[0]!, etag };
  }

  async load(name: string, signal?: AbortSignal): Promise<Uint8Array | null> {
    const { key, url } = this;
    const digest = this.objects?.find((object) => object.name === name);
    const place = { key: beside(key, name), url: beside(url, name) };
    try {
      const stored = await this.store.get(place.key, { signal });
      const isLength = digest === undefined
        ? stored.sizeBytes <= UNRECORDED_BYTES_MAX
        : stored.sizeBytes === digest.sizeBytes;
      if (!isLength) {
        await stored.body.cancel();
        throw lengthError({ url: place.url, sizeBytes: digest?.sizeBytes ?? UNRECORDED_BYTES_MAX }, stored.sizeBytes);
      }
      const bytes = await stored.bytes();
      if (digest !== undefined) checkBytes(bytes, { url: place.url, digest });
      return bytes;
    } catch (error) {
      if (error instanceof ObjectNotFoundError) return null;
      throw error;
    }
  }
}

/** The place of another object in the same folder. */
function beside(place: string, name: string): string {
  return place.slice(0, place.lastIndexOf("/") + 1) + name;
}
