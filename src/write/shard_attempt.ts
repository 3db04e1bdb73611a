/**
 * One attempt to build one shard: what runs beside the rows, in whichever thread these are.
 * @module
 */
import type { Backend, BuiltShard, ObjectDigest, ShardTarget } from "../backends/backend.ts";
import { ShardCoverageError } from "../errors.ts";
import { type KeyEncoding, logicalKey } from "../routing/key.ts";
import type { SortedRows } from "../rows.ts";
import { discardingStore } from "./discarding_store.ts";
import type { ShardRows } from "./shard_rows.ts";

/** What an attempt is told: plain data, as it may cross to another thread. */
export interface AttemptRequest {
  /** The shard's number; that of the rows may be a provisional one. */
  readonly shardId: number;
  /** Folder of the attempt in the store, without trailing slash. */
  readonly prefix: string;
  readonly keyEncoding: KeyEncoding;
  /** The shard as it was: when it would come out the same again, nothing is uploaded. */
  readonly known?: KnownShard | undefined;
}

/** What a shard of an earlier snapshot was, by its manifest: plain data. */
export interface KnownShard {
  /** Distinct rows. */
  readonly rowCount: number;
  /** The shard's file first. */
  readonly objects: readonly ObjectDigest[];
  /** As {@linkcode logicalKey} gives it. */
  readonly minKey: bigint | string | null;
  /** As {@linkcode logicalKey} gives it. */
  readonly maxKey: bigint | string | null;
}

/** What came of an attempt: plain data. */
export interface AttemptOutcome {
  readonly built: BuiltShard;
  /** Whether the shard's file would be the known one. Then nothing was uploaded. */
  readonly isUnchanged: boolean;
  /** Encoded; undefined without rows. */
  readonly minKey: Uint8Array | undefined;
  /** Encoded; undefined without rows. */
  readonly maxKey: Uint8Array | undefined;
}

/** What an attempt works with. */
export type AttemptTools = Pick<ShardTarget, "store" | "scratch" | "clock" | "signal"> & { readonly backend: Backend };

/**
 * Sorts the rows, builds the shard and uploads it. Can be called again: the rows stay as they were collected.
 *
 * With `known` the shard is first built to nowhere, unless its number of rows or its keys tell that it has changed: a
 * changed shard costs one more pass over its sorted rows, an unchanged one no upload.
 *
 * @throws {ShardCoverageError} when rows got lost on the way; the backend's and the store's errors.
 */
export async function attemptShard(
  rows: ShardRows,
  { shardId, prefix, keyEncoding, known }: AttemptRequest,
  { backend, store, scratch, clock, signal }: AttemptTools,
): Promise<AttemptOutcome> {
  signal.throwIfAborted();
  const { rowsOffered } = rows;
  const sorted = await rows.sorted();
  const { minKey, maxKey } = rows;
  async function build(into: ShardTarget["store"]): Promise<BuiltShard> {
    const target = { shardId, store: into, prefix, keyEncoding, scratch, clock, signal };
    const built = await backend.buildShard(sorted, target);
    if (built.rowCount <= sorted.rowCountMax && (built.rowCount === 0) === (rowsOffered === 0)) return built;
    throw new ShardCoverageError(
      `Cannot publish shard ${shardId} as its ${rowsOffered} rows became ${built.rowCount}`,
      [shardId],
    );
  }
  if (known !== undefined && mayBe(known, { rows, sorted, keyEncoding })) {
    const built = await build(discardingStore(store.url));
    if (isSame(built, known)) return { built, isUnchanged: true, minKey, maxKey };
  }
  return { built: await build(store), isUnchanged: false, minKey, maxKey };
}

/** What can be told without building. */
function mayBe(
  { rowCount, minKey, maxKey }: KnownShard,
  { rows, sorted, keyEncoding }: { rows: ShardRows; sorted: SortedRows; keyEncoding: KeyEncoding },
): boolean {
  return rows.minKey !== undefined && rows.maxKey !== undefined && rowCount <= sorted.rowCountMax &&
    isOrMayBe(minKey, logicalKey(keyEncoding, rows.minKey)) && isOrMayBe(maxKey, logicalKey(keyEncoding, rows.maxKey));
}

/** Only the file decides: of what lies beside it, it matters that it is there. */
function isSame(built: BuiltShard, known: KnownShard): boolean {
  const [file, ...companions] = known.objects;
  const own = built.objects.find(({ name }) => name === file!.name);
  return own !== undefined && built.rowCount === known.rowCount && own.sizeBytes === file!.sizeBytes &&
    own.xxh3 === file!.xxh3 && own.rotatedBytes === file!.rotatedBytes &&
    built.objects.length === known.objects.length &&
    companions.every(({ name }) => built.objects.some((object) => object.name === name));
}

/** A key that is not recorded may be any. */
function isOrMayBe(recorded: bigint | string | null, key: bigint | string | null): boolean {
  return recorded === null || recorded === key;
}
