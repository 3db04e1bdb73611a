// deno-lint-ignore-file camelcase -- payload names are those of the Python package
/**
 * What can be measured: names and payloads of the events that writers and readers emit.
 * @module
 */

/** Payload by event name. Durations are whole milliseconds, `…_s` seconds; names are those of the Python package. */
export interface EventMap {
  "write.started": { readonly elapsed_ms: number };
  /** All rows have been given to their shards. */
  "write.sharding_completed": { readonly elapsed_ms: number; readonly duration_ms: number };
  "write.shard.started": { readonly elapsed_ms: number };
  "write.shard.completed": { readonly elapsed_ms: number; readonly duration_ms: number; readonly row_count: number };
  "write.shards_completed": {
    readonly elapsed_ms: number;
    readonly duration_ms: number;
    readonly rows_written: number;
  };
  /** The manifest is stored; without `write.current_published` after it the pointer was not moved to it. */
  "write.manifest_published": { readonly elapsed_ms: number };
  "write.current_published": { readonly elapsed_ms: number };
  "write.completed": { readonly elapsed_ms: number; readonly rows_written: number };
  "write.shard.retried": {
    readonly elapsed_ms: number;
    readonly db_id: number;
    readonly attempt: number;
    readonly backoff_s: number;
  };
  "write.shard.retry_exhausted": { readonly elapsed_ms: number; readonly db_id: number; readonly attempts: number };
  /** Ours: the run record could not be written; the write goes on. */
  "write.run_record_failed": { readonly elapsed_ms: number; readonly error: string };
  /** Ours: the store does not honour preconditions; the write goes on without, as it was told to. */
  "write.unfenced": { readonly elapsed_ms: number; readonly warning: string };
  /** A batch of one shard's rows has gone to where they wait for being built. */
  "write.batch_written": { readonly elapsed_ms: number; readonly batch_size: number };
  "reader.initialized": Readonly<Record<never, never>>;
  "reader.get": { readonly duration_ms: number; readonly found: boolean };
  "reader.multi_get": { readonly duration_ms: number; readonly num_keys: number };
  "reader.refreshed": { readonly changed: boolean };
  "reader.closed": { readonly num_handles: number };
  "vector.write.started": { readonly run_id: string };
  "vector.write.shard.completed": { readonly db_id: number; readonly row_count: number };
  "vector.write.completed": {
    readonly run_id: string;
    readonly total_vectors: number;
    readonly num_shards: number;
    readonly elapsed_ms: number;
  };
  "vector.reader.initialized": { readonly s3_prefix: string; readonly num_shards: number };
  "vector.reader.refreshed": { readonly manifest_ref: string };
  "vector.reader.closed": Readonly<Record<never, never>>;
  "vector.reader.search": {
    readonly top_k: number;
    readonly num_shards_queried: number;
    readonly num_results: number;
    readonly elapsed_ms: number;
  };
  "vector.reader.shard_search": {
    readonly shard_id: number;
    readonly top_k: number;
    readonly num_results: number;
    readonly elapsed_ms: number;
  };
  /**
   * Ours: a service has begun to answer a request. `route` is the path with `{key}` for keys, `other` for paths that it
   * does not know; unknown methods are `_OTHER`.
   */
  "serve.request": {
    readonly method: string;
    readonly route: string;
    readonly scheme: string;
    readonly status: number;
    readonly duration_s: number;
  };
  /** A request to a store of any kind failed for a moment and is sent again after the wait. */
  "s3.retry": { readonly attempt: number; readonly backoff_s: number };
  /** A request has failed for a moment as often as it may. */
  "s3.retry_exhausted": { readonly attempts: number };
  "rate_limiter.throttled": { readonly wait_seconds: number; readonly limiter_type: "ops" | "bytes" };
  "rate_limiter.denied": { readonly deficit_seconds: number; readonly limiter_type: "ops" | "bytes" };
}

/** One event. Receivers must ignore names that they do not know. */
export type ShardyfusionEvent = {
  [Name in keyof EventMap]: { readonly name: Name; readonly payload: EventMap[Name] };
}[keyof EventMap];

/**
 * Takes events; called synchronously, so it should return at once. What it throws is ignored, and so is what the
 * promise of an asynchronous one rejects with.
 */
export type EventSink = (event: ShardyfusionEvent) => void;

/** A sink that cannot disturb the work that it measures. */
export function guardedEventSink(sink: EventSink | undefined): EventSink {
  if (sink === undefined) return () => {};
  return async (event) => {
    try {
      await sink(event);
    } catch {
      // Measuring must not fail what is measured.
    }
  };
}
