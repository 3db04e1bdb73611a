/**
 * Opens manifests of so many shards that nobody should have to read all of them for one: the head is read, and rows of
 * shards when they are asked for, over ranges of the manifest's object.
 *
 * Those of ours are checked row by row, by the digests that they carry (`manifest_digest.ts`). Those of the Python
 * package have none, and a shard without a row counts as empty.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { RecentResults } from "../recent_results.ts";
import { openDatabase } from "../sqlite/database_reader.ts";
import { parseFileHeader } from "../sqlite/file_header.ts";
import type { PageSource } from "../sqlite/page_source.ts";
import { type ReadableStore, replacedError, type RequestOptions, type StoredObject } from "../stores/store.ts";
import type { LazyManifest, Manifest, ShardEntry } from "./manifest.ts";
import { headOf, shardOf } from "./manifest_checks.ts";
import { checkManifestDigest, intactShard, ownFields, rowsRecordOf, WHOLE_SHARDS_MAX } from "./manifest_digest.ts";
import type { ManifestOptions } from "./manifest_store.ts";
import { manifestRow, publicHead, readManifest, readMeta, refusalOf, tablesError } from "./read_manifest.ts";

/** Smaller objects are read with the one request that tells how long they are. */
const WHOLE_BYTES_MAX = 1 << 21;
/** What is read at once: whole pages of any length. Interior pages stand together in our files, and heads are short. */
const BLOCK_BYTES = 1 << 16;
const BLOCKS_MAX = 32;

/** Key of a manifest in its store, and its URL for errors. */
type Place = readonly [key: string, ref: string];

/** Reads a manifest; only its head where that will do and it has very many shards. */
export async function openManifest(
  store: ReadableStore,
  [key, ref]: Place,
  { signal, lazily }: ManifestOptions,
): Promise<Manifest | LazyManifest> {
  const object = await store.get(key, { signal });
  if (!lazily || object.sizeBytes <= WHOLE_BYTES_MAX) return await readManifest(await object.bytes(), ref);
  await object.body.cancel();
  const blocks = blocksOf(store, [key, ref], object);
  const manifest = await orRefused(ref, openLazily(blocks, { sizeBytes: object.sizeBytes, ref, signal }));
  return manifest ?? await openManifest(store, [key, ref], { signal });
}

type Blocks = RecentResults<Uint8Array>;

/** The object in blocks. @throws {StoreError} from the block on that is of another version of the object. */
function blocksOf(store: ReadableStore, [key, url]: Place, { sizeBytes, etag }: StoredObject): Blocks {
  return new RecentResults({
    countMax: BLOCKS_MAX,
    async find(block, signal) {
      const offset = block * BLOCK_BYTES;
      const range = { offset, lengthBytes: Math.min(BLOCK_BYTES, sizeBytes - offset) };
      const stored = await store.getRanges(key, [range], { signal });
      if (stored.etag === etag && (stored.sizeBytes ?? sizeBytes) === sizeBytes) return stored.parts[0]!;
      throw replacedError(url);
    },
  });
}

function pagesOf(blocks: Blocks, pageSizeBytes: number, sizeBytes: number): PageSource {
  const blockOf = (pageNumber: number): number => Math.floor((pageNumber - 1) * pageSizeBytes / BLOCK_BYTES);
  const pageIn = (block: Uint8Array, pageNumber: number): Uint8Array => {
    const start = (pageNumber - 1) * pageSizeBytes % BLOCK_BYTES;
    return block.subarray(start, start + pageSizeBytes);
  };
  return {
    pageSizeBytes,
    pageCount: Math.floor(sizeBytes / pageSizeBytes),
    peek(pageNumber) {
      const block = blocks.peek(blockOf(pageNumber));
      return block && pageIn(block, pageNumber);
    },
    load: async (pageNumber, signal) => pageIn(await blocks.get(blockOf(pageNumber), signal), pageNumber),
  };
}

interface Opening extends RequestOptions {
  readonly sizeBytes: number;
  readonly ref: string;
}

/** Null when the manifest has to be read whole: it has few shards, or its rows cannot be found or checked singly. */
async function openLazily(blocks: Blocks, { sizeBytes, ref, signal }: Opening): Promise<LazyManifest | null> {
  const { pageSizeBytes } = parseFileHeader(await blocks.get(0, signal), sizeBytes);
  const database = await openDatabase(pagesOf(blocks, pageSizeBytes, sizeBytes), signal);
  const meta = await readMeta(database, signal);
  const table = database.rowidTable("shards");
  const refuse = refusalOf(ref);
  const head = headOf(meta, refuse);
  const record = rowsRecordOf(head);
  const isFound = table.rowidColumn === table.columnIndex("db_id");
  const isChecked = record !== null || ownFields(head.custom) === undefined;
  if (head.shardCount <= WHOLE_SHARDS_MAX || !isFound || !isChecked) return null;
  checkManifestDigest({ meta, shards: [] }, head, refuse);
  async function entry(shardId: number, signal?: AbortSignal): Promise<ShardEntry | null> {
    if (record?.isEmpty(shardId)) return null;
    const values = await table.getByRowid(shardId, signal);
    if (values === null) return record && refuse(`the row of shard ${shardId} is missing`, "shards");
    const row = manifestRow(table.columns, { values });
    return record === null ? shardOf(row, refuse) : intactShard(head.runId, row, refuse);
  }
  return {
    ...publicHead(head),
    shards: [],
    directory: {
      rowCount: record?.rowCount ?? null,
      sizeBytes: record?.dbBytes ?? null,
      entry: (shardId, signal) => orRefused(ref, entry(shardId, signal)),
    },
  };
}

/** Tells damage of the file as an error about the manifest. */
async function orRefused<T>(ref: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof CorruptFileError ? tablesError(ref, error) : error;
  }
}
