/**
 * Writing: the whole pipe, and its stages for those who build their own.
 *
 * @example The stages one by one
 * ```ts
 * import { gather, PackStream, RouteStream, ShardBatchStream } from "./mod.ts";
 * import { hashRouter } from "../routing/mod.ts";
 *
 * const batches = gather([1, 2, 3])
 *   .pipeThrough(new PackStream<number>({ key: (row) => row, value: () => "" }, () => {}))
 *   .pipeThrough(new RouteStream(hashRouter(1), () => "u64be"))
 *   .pipeThrough(new ShardBatchStream({ rowsMax: 2 }));
 * const sizes = await Array.fromAsync(batches, (batch) => batch.rowCount);
 * if (sizes.join() !== "2,1") throw new Error("unexpected batches");
 * ```
 * @module
 */
export type { PackedRows, RoutedRows, ShardBatch } from "../rows.ts";
export { type Acquisition, type RateLimit, RateLimiter, TokenBucket } from "../token_bucket.ts";
export { fullVerify, type FullVerifyOptions } from "./full_verify.ts";
export { gather, type RowSource } from "./gather.ts";
export { PackStream, type RowReader } from "./pack_stream.ts";
export type { ShardRetry } from "./build_shards.ts";
export { ShardRows } from "./shard_rows.ts";
export { RateLimitStream } from "./rate_limit_stream.ts";
export { RouteStream } from "./route_stream.ts";
export { type BatchLimits, ShardBatchStream } from "./shard_batch_stream.ts";
export type { RequestRetry } from "./limited_store.ts";
export { fencedStore, type FenceOptions, type PreconditionPolicy } from "../snapshots/preconditions.ts";
export { type MemoryLimits, ShardSinks } from "./shard_sinks.ts";
export { type SnapshotSink, snapshotSink } from "./snapshot_sink.ts";
export {
  publishAttempts,
  type PublishAttemptsOptions,
  type PublishedAttempts,
  requireCoverage,
  type RunFacts,
} from "./publish_attempts.ts";
export { RunRegistry, type RunRegistryOptions } from "./run_registry.ts";
export { rowCountDrift, type RowCountDriftOptions, sampleRows, type SnapshotValidator } from "./validators.ts";
export { bytesValue, jsonValue } from "./values.ts";
export { pickWinners, type ShardAttempt } from "./winners.ts";
export type { WriteProgress, WriteSnapshotOptions } from "./write_options.ts";
export { writeShard, type WriteShardOptions } from "./write_shard.ts";
export { type WriteResult, writeSnapshot, type WriteStats } from "./write_snapshot.ts";
