// Judges: the text that Prometheus scrapes, what OpenTelemetry's SDK exports, a clock that counts who looks at it.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { Registry } from "prom-client";
import type { Clock, ShardyfusionEvent } from "../../mod.ts";
import { otelMetrics } from "../../src/metrics/otel.ts";
import { prometheusMetrics } from "../../src/metrics/prometheus.ts";
import { type SnapshotHandler, snapshotHandler } from "../../src/serve/mod.ts";
import { ManualClock } from "../../src/testing/mod.ts";
import { opened } from "../read/small_snapshots.ts";

const REQUESTS: readonly [method: string, path: string, route: string, status: number][] = [
  ["GET", "/v1/get/1", "/v1/get/{key}", 200],
  ["GET", "/v1/get/2", "/v1/get/{key}", 200],
  ["GET", "/v1/get/99", "/v1/get/{key}", 404],
  ["HEAD", "/v1/info?x=1", "/v1/info", 200],
  ["DELETE", "/v1/info", "/v1/info", 405],
  ["PROPFIND", "/v1/get/a/b", "other", 404],
  ["GET", "/ui/", "other", 418],
];

async function ask(handler: SnapshotHandler): Promise<void> {
  for (const [method, path, , status] of REQUESTS) {
    equal((await handler(new Request(`https://host${path}`, { method }))).status, status, path);
  }
}

const routes = (request: Request) =>
  Promise.resolve(request.url.endsWith("/ui/") ? new Response(null, { status: 418 }) : null);

test("snapshotHandler() tells each request as an event, and looks at no clock where nobody listens", async () => {
  const reader = await opened([1, 2]);
  const manual = new ManualClock();
  let looks = 0;
  const clock: Clock = {
    nowMicros: () => manual.nowMicros(),
    monotonicMs: () => (looks++, manual.advance(3), manual.monotonicMs()),
    sleep: (ms, signal) => manual.sleep(ms, signal),
  };
  const events: ShardyfusionEvent[] = [];
  await ask(snapshotHandler(reader, { clock, routes }));
  equal(looks, 0);
  await ask(snapshotHandler(reader, { clock, routes, onEvent: (event) => events.push(event) }));
  equal(looks, 2 * REQUESTS.length);
  const expected = REQUESTS.map(([method, , route, status]) => ({
    name: "serve.request",
    payload: {
      method: method === "PROPFIND" ? "_OTHER" : method,
      route,
      scheme: "https",
      status,
      "duration_s": 0.003,
    },
  }));
  deepEqual(events, expected);
});

test("snapshotHandler(): what listens cannot disturb an answer", async () => {
  const onEvent = () => {
    throw new Error("no more room");
  };
  await ask(snapshotHandler(await opened([1, 2]), { routes, onEvent }));
});

test("prometheusMetrics() counts and times requests by method, route and code", async () => {
  const registry = new Registry();
  for (let sinks = 0; sinks < 2; sinks++) {
    await ask(snapshotHandler(await opened([1, 2]), { routes, onEvent: prometheusMetrics({ registry }) }));
  }
  const page = await registry.metrics();
  const counts = page.split("\n").flatMap((line) =>
    /^shardyfusion_http_request_duration_seconds_count(.*)/.exec(line)?.[1] ?? []
  );
  deepEqual(counts, [
    '{method="GET",route="/v1/get/{key}",code="200"} 4',
    '{method="GET",route="/v1/get/{key}",code="404"} 2',
    '{method="HEAD",route="/v1/info",code="200"} 2',
    '{method="DELETE",route="/v1/info",code="405"} 2',
    '{method="_OTHER",route="other",code="404"} 2',
    '{method="GET",route="other",code="418"} 2',
  ]);
  match(page, /_bucket\{le="\+Inf",method="GET",route="\/v1\/get\/\{key\}",code="200"\} 4\n/);
});

test("otelMetrics() has requests as the semantic conventions name them", async () => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000 });
  const provider = new MeterProvider({ readers: [reader] });
  const onEvent = otelMetrics({ meter: provider.getMeter("shardyfusion") });
  await ask(snapshotHandler(await opened([1, 2]), { routes, onEvent }));
  await provider.forceFlush();
  const [{ descriptor, dataPoints }] = exporter.getMetrics()[0]!.scopeMetrics[0]!.metrics as unknown as [
    { descriptor: { name: string; unit: string }; dataPoints: { attributes: unknown; value: { count: number } }[] },
  ];
  deepEqual([descriptor.name, descriptor.unit], ["http.server.request.duration", "s"]);
  deepEqual(dataPoints[0]!.attributes, {
    "http.request.method": "GET",
    "http.route": "/v1/get/{key}",
    "http.response.status_code": 200,
    "url.scheme": "https",
  });
  equal(dataPoints[0]!.value.count, 2);
  ok(dataPoints.length === 6);
  await provider.shutdown();
});
