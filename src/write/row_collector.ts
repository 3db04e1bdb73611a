/**
 * Where rows wait until the source ends, and are built into shards: in this thread, or in others.
 * @module
 */
import type { ScratchSpace } from "../bytes/spool.ts";
import type { ShardBatch } from "../rows.ts";
import { type AttemptOutcome, type AttemptRequest, attemptShard, type AttemptTools } from "./shard_attempt.ts";
import { type MemoryLimits, ShardSinks, type SinkTools } from "./shard_sinks.ts";

/** The rows of one shard, wherever they are; disposing forgets them. */
export interface CollectedShard extends AsyncDisposable {
  readonly shardId: number;
  /** Repeated keys count. */
  readonly rowsOffered: number;
  /** Builds and uploads the shard. Can be called again. @throws as `attemptShard`. */
  attempt(request: AttemptRequest, tools: AttemptTools): Promise<AttemptOutcome>;
}

/** Takes the rows of a write; disposing forgets them all. */
export interface RowCollector extends AsyncDisposable {
  /** Takes batches over; close it when no row follows. */
  readonly sink: WritableStream<ShardBatch>;
  /**
   * The shards that were given rows, by the thread that holds them. Ask when the stream is closed.
   *
   * @param shardIdOf The shard of a batch's `shardId`, where these are provisional.
   */
  threads(shardIdOf: (batchShardId: number) => number): readonly (readonly CollectedShard[])[];
}

/** Collects rows in this thread; beyond the ceiling as sorted runs on disk. */
export function localCollector(
  limits: MemoryLimits,
  scratch: () => Promise<ScratchSpace>,
  tools: SinkTools,
): RowCollector {
  const sink = new ShardSinks(limits, scratch, tools);
  return {
    sink,
    threads: (shardIdOf) => [
      sink.shards().map((rows) => ({
        shardId: shardIdOf(rows.shardId),
        rowsOffered: rows.rowsOffered,
        attempt: (request, attemptTools) => attemptShard(rows, request, attemptTools),
        [Symbol.asyncDispose]: () => rows[Symbol.asyncDispose](),
      })),
    ],
    [Symbol.asyncDispose]: () => sink[Symbol.asyncDispose](),
  };
}
