// Judge: the SDK of OpenTelemetry, its exporters of OTLP, names of WIRE_FORMATS 23.2, recorded events and requests.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { context } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { hashSharding, memoryStore, openSnapshot, singleShard, type Tracer, writeSnapshot } from "../../mod.ts";
import { otelMetrics, otelTracer } from "../../src/metrics/otel.ts";
import { watchedStore } from "../snapshots/watched_store.ts";
import { measured } from "./event_table.ts";
import { type OtlpScope, type OtlpSpan, startOtlpReceiver } from "./otlp_receiver.ts";
import { expectedOf } from "./whole_run.ts";

const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const rows = Array.from({ length: 200 }, (_, id) => ({ id }));
const key = (row: { id: number }) => row.id;
const value = (row: { id: number }) => `value ${row.id}`;

test("otelMetrics(): an export by OTLP shows the metrics of the table, and what the events say", async () => {
  await using receiver = await startOtlpReceiver();
  const exporter = new OTLPMetricExporter({ url: `${receiver.url}/v1/metrics` });
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
  const provider = new MeterProvider({ readers: [reader] });
  const expected = await expectedOf(otelMetrics({ meter: provider.getMeter("shardyfusion") }));
  await provider.forceFlush();
  equal(receiver.scopes.length, 1);
  const [{ scope, metrics = [] }] = receiver.scopes as [OtlpScope];
  equal(scope.name, "shardyfusion");
  deepEqual(metrics.map(({ name }) => name).sort(), measured.map(({ otel }) => `shardyfusion.${otel}`).sort());
  for (const { otel, observed } of measured) {
    const { count, sumSeconds } = expected.get(otel)!;
    const metric = metrics.find(({ name }) => name === `shardyfusion.${otel}`)!;
    const [point, ...others] = (metric.sum ?? metric.histogram)!.dataPoints;
    deepEqual([others.length, point!.attributes ?? []], [0, []], otel);
    ok(count > 0, otel);
    if (observed === undefined) {
      equal(metric.sum!.isMonotonic, true);
      equal(Number(point!.asInt ?? point!.asDouble), count, otel);
    } else {
      equal(metric.unit, "s");
      equal(Number(point!.count), count, otel);
      ok(Math.abs(point!.sum! - sumSeconds) < 1e-9, otel);
      deepEqual(point!.explicitBounds, BOUNDS);
      equal(point!.bucketCounts!.reduce<number>((sum, bucket) => sum + Number(bucket), 0), count);
    }
  }
  await provider.shutdown();
});

/** Runs `work` with a tracer and gives the spans that a collector receives of it, in the order of their end. */
async function spansOf(work: (tracer: Tracer) => Promise<void>): Promise<OtlpSpan[]> {
  await using receiver = await startOtlpReceiver();
  const exporter = new OTLPTraceExporter({ url: `${receiver.url}/v1/traces` });
  const provider = new TracerProvider({ spanProcessors: [new BatchSpanProcessor({ exporter })] });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  try {
    await work(otelTracer({ tracer: provider.getTracer("shardyfusion") }));
    await provider.forceFlush();
  } finally {
    context.disable();
    await provider.shutdown();
  }
  ok(receiver.scopes.every(({ scope }) => scope.name === "shardyfusion"));
  return receiver.scopes.flatMap(({ spans = [] }) => spans);
}

/** Attributes as an object: OTLP wraps each value by its type, integers as strings. */
function attributesOf({ attributes }: OtlpSpan): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => {
    const [[type, inner]] = Object.entries(value) as [[string, unknown]];
    return [key, type === "intValue" ? Number(inner) : inner];
  }));
}

function named(spans: readonly OtlpSpan[], name: string): OtlpSpan[] {
  return spans.filter((span) => span.name === `shardyfusion.${name}`);
}

test("otelTracer(): a write is a span, with its shards and publishing as children", async () => {
  const spans = await spansOf(async (tracer) => {
    const sharding = hashSharding({ shards: 3 });
    await writeSnapshot(rows, { store: memoryStore(), sharding, key, value, tracer, runId: "run" });
  });
  const [write, ...otherWrites] = named(spans, "write");
  equal(otherWrites.length, 0);
  deepEqual(attributesOf(write!), { "run_id": "run" });
  ok(!write!.parentSpanId);
  const shards = named(spans, "shard").map(attributesOf);
  deepEqual(shards.map((shard) => shard["db_id"]).sort(), [0, 1, 2]);
  deepEqual(shards.map(({ attempt }) => attempt), [0, 0, 0]);
  equal(shards.reduce((sum, shard) => sum + Number(shard["row_count"]), 0), rows.length);
  deepEqual(named(spans, "publish").map(attributesOf), [{ "run_id": "run", "num_shards": 3 }]);
  equal(spans.length, 5);
  for (const span of spans) {
    if (span !== write) deepEqual([span.traceId, span.parentSpanId], [write!.traceId, write!.spanId], span.name);
    ok(span.status?.code !== 2);
  }
});

test("otelTracer(): requests for ranges are spans below the lookup that sends them, one for each request", async () => {
  const store = memoryStore();
  await writeSnapshot(rows, { store, sharding: singleShard(), key, value });
  const requests: string[] = [];
  const watched = watchedStore(store, {
    onRequest({ method, key }, send) {
      requests.push(`${method} ${store.url}/${key}`);
      return send();
    },
  });
  const spans = await spansOf(async (tracer) => {
    await using reader = await openSnapshot({ store: watched, access: "range", tracer });
    ok(await reader.get(7));
    equal(await reader.get(1_000_000), null);
    equal((await reader.getMany([1, 2, 3])).size, 3);
  });
  deepEqual(named(spans, "get").map(attributesOf), [{ found: true }, { found: false }]);
  deepEqual(named(spans, "get_many").map(attributesOf), [{ "num_keys": 3 }]);
  const seen = spans.filter(({ name }) => name.startsWith("shardyfusion.store."));
  equal(seen.length, requests.length);
  deepEqual(seen.map((span) => attributesOf(span)["url"]).sort(), requests.map((line) => line.split(" ")[1]).sort());
  const ranges = named(spans, "store.get_ranges");
  ok(ranges.length > 0);
  const [lookUp] = named(spans, "get");
  ok(ranges.some(({ parentSpanId }) => parentSpanId === lookUp!.spanId));
  for (const span of ranges) {
    const { "range_count": rangeCount, "size_bytes": sizeBytes } = attributesOf(span);
    ok(Number(rangeCount) >= 1 && Number(sizeBytes) >= 100);
  }
});

test("otelTracer(): a failure is the span's, with its class and code and without what is secret in it", async () => {
  const spans = await spansOf(async (tracer) => {
    const failing = watchedStore(memoryStore(), {
      onRequest: () => Promise.reject(new Error("GET https://me:hunter2@host/x?X-Amz-Signature=00ff failed")),
    });
    await rejects(writeSnapshot(rows, { store: failing, sharding: singleShard(), key, value, tracer }), /hunter2/);
    const store = memoryStore();
    await writeSnapshot(rows, { store, sharding: singleShard(), key, value });
    await using reader = await openSnapshot({ store, tracer });
    await rejects(reader.get("a string"), { code: "CONFIG_VALIDATION" });
  });
  const [write] = named(spans, "write");
  equal(write!.status!.code, 2);
  equal(write!.status!.message, "GET https://***@host/x?X-Amz-Signature=*** failed");
  const [get] = named(spans, "get");
  equal(get!.status!.code, 2);
  ok(get!.events!.some(({ name }) => name === "exception"));
  ok(JSON.stringify(get).includes("ConfigValidationError") || JSON.stringify(get).includes("CONFIG_VALIDATION"));
  ok(!JSON.stringify(spans).includes("hunter2"));
});

test("otelMetrics() and otelTracer() without an SDK do nothing", async () => {
  const onEvent = otelMetrics();
  onEvent({ name: "reader.get", payload: { "duration_ms": 1, found: true } });
  equal(await otelTracer()({ name: "shardyfusion.get", attributes: {} }, () => Promise.resolve(1)), 1);
});
