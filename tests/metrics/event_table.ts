/**
 * The table of WIRE_FORMATS 23.2, copied by hand: names of events and the keys of their payloads.
 * @module
 */

/** Python writes the last two of `s3.…` down and never emits them, without saying what is in them; ours is beside. */
export const eventTable: Readonly<Record<string, readonly string[]>> = {
  "write.started": ["elapsed_ms"],
  "write.sharding_completed": ["elapsed_ms", "duration_ms"],
  "write.shard.started": ["elapsed_ms"],
  "write.shard.completed": ["elapsed_ms", "duration_ms", "row_count"],
  "write.shards_completed": ["elapsed_ms", "duration_ms", "rows_written"],
  "write.manifest_published": ["elapsed_ms"],
  "write.current_published": ["elapsed_ms"],
  "write.completed": ["elapsed_ms", "rows_written"],
  "write.batch_written": ["elapsed_ms", "batch_size"],
  "write.shard.retried": ["elapsed_ms", "db_id", "attempt", "backoff_s"],
  "write.shard.retry_exhausted": ["elapsed_ms", "db_id", "attempts"],
  "reader.initialized": [],
  "reader.get": ["duration_ms", "found"],
  "reader.multi_get": ["duration_ms", "num_keys"],
  "reader.refreshed": ["changed"],
  "reader.closed": ["num_handles"],
  "s3.retry": ["attempt", "backoff_s"],
  "s3.retry_exhausted": ["attempts"],
  "rate_limiter.throttled": ["wait_seconds", "limiter_type"],
  "rate_limiter.denied": ["deficit_seconds", "limiter_type"],
  "vector.write.started": ["run_id"],
  "vector.write.shard.completed": ["db_id", "row_count"],
  "vector.write.completed": ["run_id", "total_vectors", "num_shards", "elapsed_ms"],
  "vector.reader.initialized": ["s3_prefix", "num_shards"],
  "vector.reader.search": ["top_k", "num_shards_queried", "num_results", "elapsed_ms"],
  "vector.reader.shard_search": ["shard_id", "top_k", "num_results", "elapsed_ms"],
  "vector.reader.refreshed": ["manifest_ref"],
  "vector.reader.closed": [],
};

/** The metrics of Prometheus in the same section, without prefix; the kinds go by the end of the name. */
export const prometheusNames: readonly string[] = [
  ...["writes_started_total", "writes_completed_total", "write_duration_seconds"],
  ...["shard_writes_completed_total", "shard_write_duration_seconds", "batches_written_total"],
  ...["reader_gets_total", "reader_get_duration_seconds"],
  ...["reader_multi_gets_total", "reader_multi_get_duration_seconds"],
  ...["s3_retries_total", "s3_retries_exhausted_total"],
  ...["rate_limiter_throttled_total", "rate_limiter_wait_seconds", "rate_limiter_denied_total"],
];

/** Those of OpenTelemetry, without `shardyfusion.`. */
export const otelNames: readonly string[] = [
  ...["writes_started", "writes_completed", "write_duration", "shard_writes_completed", "shard_write_duration"],
  ...["batches_written", "reader_gets", "reader_get_duration", "reader_multi_gets", "reader_multi_get_duration"],
  ...["s3_retries", "s3_retries_exhausted", "rate_limiter_throttled", "rate_limiter_wait", "rate_limiter_denied"],
];
