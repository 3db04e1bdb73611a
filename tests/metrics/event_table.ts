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

/** A metric of Prometheus without `shardyfusion_`, the same of OpenTelemetry without `shardyfusion.`, and its event. */
export interface Measured {
  readonly prometheus: string;
  readonly otel: string;
  readonly event: string;
  /** The field of the payload that is observed, and how many of its unit make a second; absent: events are counted. */
  readonly observed?: readonly [field: string, perSecond: number];
}

/** All metrics of the same section. */
export const measured: readonly Measured[] = [
  counted("writes_started", "write.started"),
  counted("writes_completed", "write.completed"),
  timed("write_duration", "write.completed", ["elapsed_ms", 1000]),
  counted("shard_writes_completed", "write.shard.completed"),
  timed("shard_write_duration", "write.shard.completed", ["duration_ms", 1000]),
  counted("batches_written", "write.batch_written"),
  counted("reader_gets", "reader.get"),
  timed("reader_get_duration", "reader.get", ["duration_ms", 1000]),
  counted("reader_multi_gets", "reader.multi_get"),
  timed("reader_multi_get_duration", "reader.multi_get", ["duration_ms", 1000]),
  counted("s3_retries", "s3.retry"),
  counted("s3_retries_exhausted", "s3.retry_exhausted"),
  counted("rate_limiter_throttled", "rate_limiter.throttled"),
  timed("rate_limiter_wait", "rate_limiter.throttled", ["wait_seconds", 1]),
  counted("rate_limiter_denied", "rate_limiter.denied"),
];

function counted(otel: string, event: string): Measured {
  return { prometheus: `${otel}_total`, otel, event };
}

function timed(otel: string, event: string, observed: readonly [string, number]): Measured {
  return { prometheus: `${otel}_seconds`, otel, event, observed };
}
