/**
 * Reads shards with vectors: rows as of any SQLite shard, and searches beside them.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import type { PageSource } from "../sqlite/page_source.ts";
import type { RemoteShard, SearchHit, SearchOptions, ShardFile, ShardReader } from "./backend.ts";
import type { OpenShard } from "./remote_sqlite_shard.ts";
import { openWholeShard, ScannableRemoteShard } from "./sqlite_shard_reader.ts";
import { openVectorIndex, type VectorIndex } from "./vector_search.ts";

/** Opens a shard's file. @throws {CorruptFileError} when it is no shard. */
export async function openVectorShard(file: ShardFile): Promise<ShardReader> {
  if (file.kind === "remote") return new SearchableRemoteShard(file.shard);
  const { reader, pages } = await openWholeShard(file);
  let index: Promise<VectorIndex> | undefined;
  return Object.assign(reader, {
    async search(query: Float32Array, options: SearchOptions): Promise<SearchHit[]> {
      options.signal?.throwIfAborted();
      return await (await (index ??= openVectorIndex(pages))).search(query, options);
    },
  });
}

/** A search makes the same first requests as a lookup, and then some large ones. */
class SearchableRemoteShard extends ScannableRemoteShard {
  readonly #shard: RemoteShard;
  /** The shard as it was opened last, and its vectors. */
  #last: { readonly open: OpenShard; readonly index: VectorIndex } | undefined;

  constructor(shard: RemoteShard) {
    super(shard);
    this.#shard = shard;
  }

  search(query: Float32Array, options: SearchOptions): Promise<SearchHit[]> {
    return this.use(async (open) => {
      if (this.#last?.open !== open) {
        this.#last = { open, index: await openVectorIndex(withRuns(this.#shard, open), options.signal) };
      }
      return await this.#last.index.search(query, options);
    }, options.signal);
  }
}

/** The shard's pages, and long pieces of it, which are checked like pages and kept nowhere. */
function withRuns(shard: RemoteShard, { pages, guard }: OpenShard): PageSource {
  const { pageSizeBytes, pageCount } = pages;
  return {
    pageSizeBytes,
    pageCount,
    peek: (pageNumber) => pages.peek(pageNumber),
    load: (pageNumber, signal) => pages.load(pageNumber, signal),
    loadMany: (pageNumbers, signal) => pages.loadMany(pageNumbers, signal),
    chain: (firstPage, count) => pages.chain(firstPage, count),
    async loadRun(firstPage, count, { signal }) {
      const offset = (firstPage - 1) * pageSizeBytes;
      const { bytes, etag } = await shard.read({ offset, lengthBytes: count * pageSizeBytes }, signal);
      pages.accept(etag);
      for (let i = 0; i < count && guard !== null; i++) {
        if (guard.isSound(firstPage + i, bytes.subarray(i * pageSizeBytes, (i + 1) * pageSizeBytes))) continue;
        throw new CorruptFileError(
          `Cannot use page ${firstPage + i} of "${shard.url}" as its bytes do not have the recorded checksum`,
          offset + i * pageSizeBytes,
        );
      }
      return bytes;
    },
  };
}
