/**
 * Events as metrics of OpenTelemetry, and work as spans, through the package `@opentelemetry/api`, which has to be
 * installed beside this one. What becomes of them is up to the SDK that the program has registered; without one they
 * go nowhere.
 *
 * Metrics of the meter `shardyfusion`, as the Python package names them: counters `shardyfusion.writes_started`,
 * `.writes_completed`, `.shard_writes_completed`, `.batches_written`, `.reader_gets`, `.reader_multi_gets`,
 * `.s3_retries`, `.s3_retries_exhausted`, `.rate_limiter_throttled`, `.rate_limiter_denied`; histograms of seconds
 * `shardyfusion.write_duration`, `.shard_write_duration`, `.reader_get_duration`, `.reader_multi_get_duration`,
 * `.rate_limiter_wait`. Requests that a service answers are `http.server.request.duration` of the semantic conventions.
 *
 * Spans, which the Python package does not have:
 *
 * | span | attributes |
 * | --- | --- |
 * | `shardyfusion.write` | `run_id` |
 * | `shardyfusion.shard` | `db_id`, `attempt`, `row_count` |
 * | `shardyfusion.publish` | `run_id`, `num_shards` |
 * | `shardyfusion.get` | `found` |
 * | `shardyfusion.get_many` | `num_keys` |
 * | `shardyfusion.search` | `num_shards_queried`, `num_results` |
 * | `shardyfusion.store.get` | `url`, `size_bytes`, `is_changed` |
 * | `shardyfusion.store.get_ranges` | `url`, `range_count`, `size_bytes` |
 * @module
 */
import { type Meter, metrics, type Span, SpanStatusCode, trace, type Tracer as OtelTracer } from "@opentelemetry/api";
import type { EventSink } from "../events.ts";
import { redacted } from "../redact.ts";
import type { SpanStart, SpanWork, Tracer } from "../spans.ts";
import { bucketSeconds, type Instrument, type Record, recordersByEvent } from "./instruments.ts";

/** What {@linkcode otelMetrics} can be told. */
export interface OtelMetricsOptions {
  /** Makes the instruments. Default: the meter `shardyfusion` of the provider that is registered by then. */
  readonly meter?: Meter | undefined;
}

/** What {@linkcode otelTracer} can be told. */
export interface OtelTracerOptions {
  /** Begins the spans. Default: the tracer `shardyfusion` of the provider that is registered when they begin. */
  readonly tracer?: OtelTracer | undefined;
}

/**
 * Metrics for the option `onEvent` of writers, readers, stores and services.
 *
 * @example
 * ```ts
 * import { otelMetrics } from "./otel.ts";
 *
 * const onEvent = otelMetrics();
 * onEvent({ name: "reader.get", payload: { duration_ms: 3, found: true } });
 * ```
 */
export function otelMetrics({ meter = metrics.getMeter("shardyfusion") }: OtelMetricsOptions = {}): EventSink {
  return recordersByEvent((instrument) => recorderOf(instrument, meter));
}

/**
 * Spans for the option `tracer` of writers and readers. Those of the requests that a lookup sends are its children
 * where the program has registered a context manager. Errors are recorded, without what is secret in them.
 *
 * @example
 * ```ts
 * import { otelTracer } from "./otel.ts";
 *
 * const tracer = otelTracer();
 * const span = { name: "shardyfusion.get", attributes: {} } as const;
 * const value = await tracer(span, () => Promise.resolve(42));
 * if (value !== 42) throw new Error("a span changed what was done");
 * ```
 */
export function otelTracer({ tracer = trace.getTracer("shardyfusion") }: OtelTracerOptions = {}): Tracer {
  return <T>({ name, attributes }: SpanStart, work: SpanWork<T>): Promise<T> =>
    tracer.startActiveSpan(name, { attributes }, async (span) => {
      try {
        return await work((more) => span.setAttributes(more));
      } catch (error) {
        recordError(span, error);
        throw error;
      } finally {
        span.end();
      }
    });
}

function recordError(span: Span, error: unknown): void {
  const { name = "Error", message = String(error), code } = Object(error) as Error & { readonly code?: string };
  const text = redacted(String(message));
  span.recordException({ name, message: text, ...(typeof code === "string" ? { code } : {}) });
  span.setStatus({ code: SpanStatusCode.ERROR, message: text });
}

function recorderOf({ name, help: description, secondsOf, labels, otelName }: Instrument, meter: Meter): Record {
  const full = otelName ?? `shardyfusion.${name}`;
  if (secondsOf === undefined) {
    const counter = meter.createCounter(full, { description });
    return () => counter.add(1);
  }
  const advice = { explicitBucketBoundaries: [...bucketSeconds] };
  const histogram = meter.createHistogram(full, { description, unit: "s", advice });
  if (labels === undefined) return (seconds) => histogram.record(seconds);
  return (seconds, payload) =>
    histogram.record(seconds, Object.fromEntries(labels.map(({ attribute, field }) => [attribute, payload[field]!])));
}
