/**
 * What a collector does at its door: takes exports of OTLP by HTTP in JSON, at `/v1/metrics` and `/v1/traces`.
 * @module
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** The part of an exported metric that the tests look at; integers of 64 bits are strings in OTLP's JSON. */
export interface OtlpMetric {
  readonly name: string;
  readonly unit?: string;
  readonly sum?: { readonly isMonotonic: boolean; readonly dataPoints: readonly OtlpPoint[] };
  readonly histogram?: { readonly dataPoints: readonly OtlpPoint[] };
}

/** A point of a sum or of a histogram. */
export interface OtlpPoint {
  readonly asInt?: string | number;
  readonly asDouble?: number;
  readonly count?: string | number;
  readonly sum?: number;
  readonly explicitBounds?: readonly number[];
  readonly bucketCounts?: readonly (string | number)[];
  readonly attributes?: readonly unknown[];
}

/** An exported span. */
export interface OtlpSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly status?: { readonly code?: number; readonly message?: string };
  readonly events?: readonly { readonly name: string }[];
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
}

/** A scope within an export: the meter's or tracer's name, and what is its. */
export interface OtlpScope {
  readonly scope: { readonly name: string };
  readonly metrics?: readonly OtlpMetric[];
  readonly spans?: readonly OtlpSpan[];
}

/** A running receiver; dispose it. */
export interface OtlpReceiver extends AsyncDisposable {
  readonly url: string;
  /** All that has come, in order. */
  readonly scopes: OtlpScope[];
  /** What was sent, as text. */
  readonly bodies: string[];
}

type Exported = { readonly scopeMetrics?: readonly OtlpScope[]; readonly scopeSpans?: readonly OtlpScope[] };

/** Starts one on a free port of the loopback interface. */
export async function startOtlpReceiver(): Promise<OtlpReceiver> {
  const scopes: OtlpScope[] = [];
  const bodies: string[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk as Uint8Array);
    const field = { "/v1/metrics": "resourceMetrics", "/v1/traces": "resourceSpans" }[request.url ?? ""];
    const isJson = request.headers["content-type"] === "application/json" && request.method === "POST";
    if (field === undefined || !isJson) return void response.writeHead(400).end();
    const text = new TextDecoder().decode(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    bodies.push(text);
    const exported: Record<string, Exported[]> = JSON.parse(text);
    for (const { scopeMetrics, scopeSpans } of exported[field]!) scopes.push(...scopeMetrics ?? scopeSpans ?? []);
    response.writeHead(200, { "content-type": "application/json" });
    response.end("{}");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    scopes,
    bodies,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
