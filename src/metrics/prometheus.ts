/**
 * Events as metrics of Prometheus, through the package `prom-client`, which has to be installed beside this one.
 *
 * Names, units and buckets are those of the Python package, so that one dashboard shows both:
 *
 * ```text
 * shardyfusion_writes_started_total             shardyfusion_reader_gets_total
 * shardyfusion_writes_completed_total           shardyfusion_reader_get_duration_seconds
 * shardyfusion_write_duration_seconds           shardyfusion_reader_multi_gets_total
 * shardyfusion_shard_writes_completed_total     shardyfusion_reader_multi_get_duration_seconds
 * shardyfusion_shard_write_duration_seconds     shardyfusion_rate_limiter_throttled_total
 * shardyfusion_batches_written_total            shardyfusion_rate_limiter_wait_seconds
 * shardyfusion_s3_retries_total                 shardyfusion_rate_limiter_denied_total
 * shardyfusion_s3_retries_exhausted_total
 * ```
 * @module
 */
import { Counter, Histogram, type Metric, register, type Registry } from "prom-client";
import type { EventSink } from "../events.ts";
import { bucketSeconds, type Instrument, type Record, recordersByEvent } from "./instruments.ts";

/** What {@linkcode prometheusMetrics} can be told. */
export interface PrometheusOptions {
  /** Where the metrics are registered, and scraped. Default: the global registry of `prom-client`. */
  readonly registry?: Registry | undefined;
  /** What all names begin with. @default {"shardyfusion_"} */
  readonly prefix?: string | undefined;
}

/**
 * Metrics for the option `onEvent` of writers, readers, stores and services. All that have the same registry and prefix
 * count together. There are labels for requests of HTTP only: `method`, `route` and `code`.
 *
 * @throws what `prom-client` throws, for a prefix that is no name.
 *
 * @example
 * ```ts
 * import { Registry } from "prom-client";
 * import { prometheusMetrics } from "./prometheus.ts";
 *
 * const registry = new Registry();
 * const onEvent = prometheusMetrics({ registry });
 * onEvent({ name: "write.started", payload: { elapsed_ms: 0 } });
 * const page = await registry.metrics();
 * if (!page.includes("shardyfusion_writes_started_total 1")) throw new Error("not counted");
 * ```
 */
export function prometheusMetrics(
  { registry = register, prefix = "shardyfusion_" }: PrometheusOptions = {},
): EventSink {
  return recordersByEvent((instrument) => recorderOf(instrument, { registry, prefix }));
}

function recorderOf(
  { name, help, secondsOf, labels = [] }: Instrument,
  { registry, prefix }: { readonly registry: Registry; readonly prefix: string },
): Record {
  const registers = [registry];
  if (secondsOf === undefined) {
    const full = `${prefix}${name}_total`;
    const counter = known<Counter>(registry, full) ?? new Counter({ name: full, help, registers });
    return () => counter.inc();
  }
  const full = `${prefix}${name}_seconds`;
  const named = labels.flatMap(({ name: label, field }) => label === undefined ? [] : [[label, field] as const]);
  const labelNames = named.map(([label]) => label);
  const histogram = known<Histogram>(registry, full) ??
    new Histogram({ name: full, help, labelNames, buckets: [...bucketSeconds], registers });
  if (named.length === 0) return (seconds) => histogram.observe(seconds);
  return (seconds, payload) =>
    histogram.observe(Object.fromEntries(named.map(([label, field]) => [label, payload[field]!])), seconds);
}

/** Each reader and writer may have made its own sink. */
function known<M extends Metric>(registry: Registry, name: string): M | undefined {
  return registry.getSingleMetric(name) as M | undefined;
}
