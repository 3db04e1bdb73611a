/**
 * One shard of a snapshot that others distribute: what a task of an engine does with the rows it was given.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import type { Clock } from "../clock.ts";
import type { EventSink } from "../events.ts";
import type { Key, KeyEncoding } from "../routing/key.ts";
import type { PackedRows, ShardBatch } from "../rows.ts";
import type { Tracer } from "../spans.ts";
import type { ObjectStore } from "../stores/store.ts";
import type { VectorEntry } from "../vector/vector_cell.ts";
import { buildAttempts } from "./build_attempts.ts";
import type { ShardRetry } from "./build_shards.ts";
import { gather, type RowSource } from "./gather.ts";
import { PackStream } from "./pack_stream.ts";
import type { ShardAttempt } from "./winners.ts";

/** What writing one shard takes. */
export interface WriteShardOptions<T> {
  /** The place of the snapshot series. */
  readonly store: ObjectStore;
  /** The run that the shard is for; the same in all tasks. */
  readonly runId: string;
  /** The shard that all of the rows belong to, by the router of the run. */
  readonly shardId: number;
  /** The key of a row. */
  readonly key: (row: T) => Key;
  /** The value of a row. */
  readonly value?: ((row: T) => string | Uint8Array) | undefined;
  /** As for `writeSnapshot`. */
  readonly vector?: ((row: T) => VectorEntry | null) | undefined;
  /** How keys are stored; the same in all tasks. */
  readonly keyEncoding: KeyEncoding;
  /**
   * Number of this attempt; each has a folder of its own, and the lowest one that succeeds wins. With `"next"` it is
   * the lowest whose folder is free, for engines that do not number attempts: costs a LIST, and what was built when
   * another task takes the same one at the same moment.
   *
   * @default {0}
   */
  readonly attempt?: number | "next" | undefined;
  /** Number that the engine gave the task; of equal attempts the lowest wins. @default {null} */
  readonly taskAttemptId?: number | null | undefined;
  /** Default: `sqliteBackend()`. */
  readonly backend?: Backend | undefined;
  /** Rows in memory; beyond, sorted runs go to disk. @default {{ bytesMax: 256 MiB }} */
  readonly memory?: { readonly bytesMax?: number | undefined; readonly rowsMax?: number | undefined } | undefined;
  /** Tries again here, into the folders of the attempts that follow. Default: the first failure is thrown. */
  readonly retry?: ShardRetry | undefined;
  /** Folder of the shards, as for `writeSnapshot`. @default {"shards"} */
  readonly shardPrefix?: string | undefined;
  /** Folder of a shard below the run's, as for `writeSnapshot`. @default {"db={db_id:05d}"} */
  readonly dbPathTemplate?: string | undefined;
  /** Folder for temporary files. Default: `shardyfusion` in the system's folder for temporary files. */
  readonly localRoot?: string | undefined;
  /** Takes metric events. */
  readonly onEvent?: EventSink | undefined;
  /** Watches each attempt as a span. */
  readonly tracer?: Tracer | undefined;
  /** Aborts the attempt; what it uploaded is removed. */
  readonly signal?: AbortSignal | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

/**
 * Sorts the rows of one shard, builds its file and uploads it into the folder of the attempt; gives what
 * `publishAttempts` wants to know, which is plain data but for `bigint` keys. Nothing is left behind when it throws.
 * Memory as for `writeSnapshot`.
 *
 * @returns null when there are no rows: empty shards have no file.
 * @throws {ConfigValidationError} for wrong keys and values; the store's and the source's errors.
 *
 * @example Two tasks and a driver
 * ```ts
 * import { hashRouter } from "../routing/mod.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { publishAttempts } from "./publish_attempts.ts";
 * import { writeShard } from "./write_shard.ts";
 *
 * const run = { store: memoryStore(), runId: "example", keyEncoding: "u64be" as const };
 * const router = hashRouter(2);
 * const keys = [1, 2, 3, 4, 5, 6];
 * const attempts = await Promise.all([0, 1].map((shardId) =>
 *   writeShard(keys.filter((key) => router.route(key) === shardId), {
 *     ...run,
 *     shardId,
 *     key: (key) => key,
 *     value: (key) => `value ${key}`,
 *   })
 * ));
 * const { winners } = await publishAttempts(attempts.filter((attempt) => attempt !== null), { ...run, router });
 * if (winners.reduce((sum, { rowCount }) => sum + rowCount, 0) !== 6) throw new Error("rows are missing");
 * ```
 */
export async function writeShard<T>(rows: RowSource<T>, options: WriteShardOptions<T>): Promise<ShardAttempt | null> {
  const [attempt = null] = await buildAttempts(collectShard(rows, options), {
    ...options,
    isVectorOnly: options.value === undefined,
  });
  return attempt;
}

/** All rows as batches of the one shard. */
function collectShard<T>(rows: RowSource<T>, options: WriteShardOptions<T>): ReadableStream<ShardBatch> {
  const { shardId } = options;
  const pack = new PackStream<T>(options, () => {});
  return gather(rows, () => pack.rowsWanted).pipeThrough(pack).pipeThrough(
    new TransformStream<PackedRows, ShardBatch>({
      transform({ rowCount, bytes, starts, keyLengths }, controller) {
        if (rowCount > 0) controller.enqueue({ shardId, isPaid: true, rowCount, bytes, starts, keyLengths });
      },
    }),
  );
}
