// Judge: a scrape over HTTP, read by the rules of the exposition format; names of WIRE_FORMATS 23.2; recorded events.
import { deepEqual, equal, ok } from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { register, Registry } from "prom-client";
import { prometheusMetrics } from "../../src/metrics/prometheus.ts";
import { measured } from "./event_table.ts";
import { expectedOf } from "./whole_run.ts";

const BUCKETS = ["0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "7.5", "10"];

interface Scrape {
  /** Kind by name of the family. */
  readonly types: Map<string, string>;
  /** Value by sample, with its labels. */
  readonly samples: ReadonlyMap<string, number>;
}

/** The text format, version 0.0.4: comment lines, and lines of a name, labels and a value. */
function parsed(page: string): Scrape {
  ok(page.endsWith("\n"));
  const types = new Map<string, string>();
  const samples = new Map<string, number>();
  for (const line of page.split("\n").filter((line) => line !== "")) {
    const type = /^# TYPE ([a-z0-9_]+) (counter|histogram)$/.exec(line);
    if (type) types.set(type[1]!, type[2]!);
    else if (!/^# HELP [a-z0-9_]+ \S.*$/.test(line)) {
      const [, sample, value] = /^([a-z0-9_]+(?:\{le="[^"]+"\})?) (\S+)$/.exec(line) ?? [];
      ok(sample !== undefined && Number.isFinite(Number(value)) && !samples.has(sample), line);
      samples.set(sample, Number(value));
    }
  }
  return { types, samples };
}

/** What a server of metrics does, and what Prometheus does to it. */
async function scrape(registry: Registry): Promise<{ page: string; contentType: string | null }> {
  const server = createServer(async (_request, response) => {
    response.writeHead(200, { "content-type": registry.contentType });
    response.end(await registry.metrics());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`);
    return { page: await answer.text(), contentType: answer.headers.get("content-type") };
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("prometheusMetrics(): a scrape shows the metrics of the table, and what the events say", async () => {
  const registry = new Registry();
  const expected = await expectedOf(prometheusMetrics({ registry }));
  const { page, contentType } = await scrape(registry);
  equal(contentType, "text/plain; version=0.0.4; charset=utf-8");
  const { types, samples } = parsed(page);
  // Nothing of it until a service is asked.
  ok(types.delete("shardyfusion_http_request_duration_seconds"));
  deepEqual([...types.keys()].sort(), measured.map(({ prometheus }) => `shardyfusion_${prometheus}`).sort());
  let sampleCount = 0;
  for (const { prometheus, otel, observed } of measured) {
    const name = `shardyfusion_${prometheus}`;
    const { count, sumSeconds } = expected.get(otel)!;
    ok(count > 0, name);
    if (observed === undefined) {
      equal(types.get(name), "counter");
      equal(samples.get(name), count, name);
      sampleCount++;
      continue;
    }
    equal(types.get(name), "histogram");
    equal(samples.get(`${name}_count`), count, name);
    ok(Math.abs(samples.get(`${name}_sum`)! - sumSeconds) < 1e-9, name);
    const bounds = [...samples.keys()].flatMap((key) => key.startsWith(`${name}_bucket`) ? [key.split('"')[1]!] : []);
    deepEqual(bounds, [...BUCKETS, "+Inf"]);
    equal(samples.get(`${name}_bucket{le="+Inf"}`), count);
    sampleCount += bounds.length + 2;
  }
  equal(samples.size, sampleCount);
});

test("prometheusMetrics(): sinks of one registry count together, other prefixes apart", async () => {
  const registry = new Registry();
  const payload = { "elapsed_ms": 0 };
  for (let sinks = 0; sinks < 3; sinks++) prometheusMetrics({ registry })({ name: "write.started", payload });
  prometheusMetrics({ registry, prefix: "cities_" })({ name: "write.started", payload });
  const { samples } = parsed(await registry.metrics());
  equal(samples.get("shardyfusion_writes_started_total"), 3);
  equal(samples.get("cities_writes_started_total"), 1);
});

test("prometheusMetrics() uses the global registry of prom-client by default, and not before it is called", async () => {
  equal(await register.metrics(), "\n");
  try {
    prometheusMetrics()({ name: "reader.get", payload: { "duration_ms": 30, found: true } });
    const { samples } = parsed(await register.metrics());
    equal(samples.get('shardyfusion_reader_get_duration_seconds_bucket{le="0.025"}'), 0);
    equal(samples.get('shardyfusion_reader_get_duration_seconds_bucket{le="0.05"}'), 1);
  } finally {
    register.clear();
  }
});

test("prometheusMetrics() ignores events that are not measured", async () => {
  const registry = new Registry();
  const onEvent = prometheusMetrics({ registry });
  const before = await registry.metrics();
  onEvent({ name: "reader.closed", payload: { "num_handles": 0 } });
  onEvent({ name: "some.future.event" as "reader.closed", payload: { "num_handles": 0 } });
  equal(await registry.metrics(), before);
});
