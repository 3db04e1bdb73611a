/**
 * What is measured of the events, for every system of metrics alike (WIRE_FORMATS 23.2).
 * @module
 */
import type { EventMap, ShardyfusionEvent } from "../events.ts";

/** A counter of events of one name, or a histogram of seconds. */
export interface Instrument {
  /** Without prefix, unit and kind: `writes_started`. */
  readonly name: string;
  readonly help: string;
  readonly event: keyof EventMap;
  /** Seconds to observe; undefined: the events are counted. */
  readonly secondsOf?: (event: ShardyfusionEvent) => number;
  /** What tells its events apart; absent: nothing. */
  readonly labels?: readonly Label[];
  /** What conventions of OpenTelemetry call it; absent: as the others. */
  readonly otelName?: string;
}

/** A label of Prometheus, or an attribute of OpenTelemetry. */
export interface Label {
  /** Absent: there is an attribute only. */
  readonly name?: string;
  readonly attribute: string;
  /** Where the payload has it. */
  readonly field: string;
}

/** Values of labels by their field. */
export interface LabelFields {
  readonly [field: string]: string | number;
}

/** In the order in which the Python package lists them, and what it does not know. */
export const instruments: readonly Instrument[] = [
  { name: "writes_started", event: "write.started", help: "Writes begun" },
  { name: "writes_completed", event: "write.completed", help: "Writes published" },
  { name: "write_duration", event: "write.completed", help: "Time of a write", secondsOf: msOf("elapsed_ms") },
  { name: "shard_writes_completed", event: "write.shard.completed", help: "Shards built and uploaded" },
  {
    name: "shard_write_duration",
    event: "write.shard.completed",
    help: "Time of building and uploading a shard",
    secondsOf: msOf("duration_ms"),
  },
  { name: "batches_written", event: "write.batch_written", help: "Batches of rows given to their shards" },
  { name: "reader_gets", event: "reader.get", help: "Lookups of one key" },
  { name: "reader_get_duration", event: "reader.get", help: "Time of a lookup", secondsOf: msOf("duration_ms") },
  { name: "reader_multi_gets", event: "reader.multi_get", help: "Lookups of many keys" },
  {
    name: "reader_multi_get_duration",
    event: "reader.multi_get",
    help: "Time of a lookup of many keys",
    secondsOf: msOf("duration_ms"),
  },
  { name: "s3_retries", event: "s3.retry", help: "Requests to a store that were sent again" },
  { name: "s3_retries_exhausted", event: "s3.retry_exhausted", help: "Requests given up after all retries" },
  { name: "rate_limiter_throttled", event: "rate_limiter.throttled", help: "Waits for a rate limit" },
  {
    name: "rate_limiter_wait",
    event: "rate_limiter.throttled",
    help: "Length of waits for a rate limit",
    secondsOf: ({ payload }) => (payload as EventMap["rate_limiter.throttled"]).wait_seconds,
  },
  { name: "rate_limiter_denied", event: "rate_limiter.denied", help: "Batches that a rate limit kept from leaving" },
  {
    name: "http_request_duration",
    otelName: "http.server.request.duration",
    event: "serve.request",
    help: "Time until the answer to a request begins",
    secondsOf: ({ payload }) => (payload as EventMap["serve.request"]).duration_s,
    labels: [
      { name: "method", attribute: "http.request.method", field: "method" },
      { name: "route", attribute: "http.route", field: "route" },
      { name: "code", attribute: "http.response.status_code", field: "status" },
      { attribute: "url.scheme", field: "scheme" },
    ],
  },
];

/** Upper bounds of the histograms' buckets in seconds: the defaults of the Python client of Prometheus. */
export const bucketSeconds: readonly number[] = [
  ...[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75],
  ...[1, 2.5, 5, 7.5, 10],
];

/** What is done with an instrument when one of its events comes: once for a counter, with seconds for a histogram. */
export type Record = (seconds: number, payload: LabelFields) => void;

/**
 * Sorts the instruments by event, so that an event that is not measured costs one look-up.
 *
 * @param recorderOf Makes the instrument in some system of metrics.
 */
export function recordersByEvent(recorderOf: (instrument: Instrument) => Record): (event: ShardyfusionEvent) => void {
  const byEvent = new Map<string, ((event: ShardyfusionEvent) => void)[]>();
  for (const instrument of instruments) {
    const record = recorderOf(instrument);
    const { event: name, secondsOf = () => 1 } = instrument;
    byEvent.set(name, [
      ...byEvent.get(name) ?? [],
      (event) => record(secondsOf(event), event.payload as unknown as LabelFields),
    ]);
  }
  return (event) => {
    for (const record of byEvent.get(event.name) ?? []) record(event);
  };
}

function msOf(field: "elapsed_ms" | "duration_ms"): (event: ShardyfusionEvent) => number {
  return ({ payload }) => (payload as { readonly [Field in typeof field]: number })[field] / 1000;
}
