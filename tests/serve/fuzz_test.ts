// Whatever is asked: 2xx or 4xx, no stack, no place of the store, no crash. By a server, bytes that no client would send.
import { deepEqual, doesNotMatch, equal, ok } from "node:assert/strict";
import { Buffer } from "node:buffer";
import { connect } from "node:net";
import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { type SnapshotHandler, snapshotHandler } from "../../src/serve/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { startHttpServer } from "../../src/cli/http_server.ts";
import type { Key } from "../../src/routing/key.ts";
import { count, published } from "../read/small_snapshots.ts";
import { ask, posted, regional } from "./served_snapshots.ts";

const RUNS = process.env["SHARDYFUSION_SOAK"] ? 20_000 : 400;
const TOKEN = "right-token";

async function handlerOf(keys: readonly Key[]): Promise<SnapshotHandler> {
  const store = await published(keys, { store: memoryStore("secret-place") });
  return snapshotHandler(await openSnapshot({ store }), { limits: { bodyBytesMax: 10_000 } });
}

const handlers = [
  await handlerOf(count(100)),
  await handlerOf(["a", "b/c", "ä"]),
  await handlerOf([Uint8Array.of(0xff), Uint8Array.of(0, 1)]),
  snapshotHandler(await regional()),
];

/** Text that is likely to be understood wrongly, and any other. */
const oddText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.constantFrom(
    ...["..", ".", "", "/", "\\", "%", "%00", "%ff", "%c0%ae", "%2e%2e%2f", "%u0041", "\0", "NaN", "-0", "1e3", "0x10"],
    ...["__proto__", "constructor", "18446744073709551616", "9".repeat(300), "\ud800", "null", "true", "[1]", "{}"],
  ),
);
const path = fc.tuple(
  fc.constantFrom(
    "/v1/get/",
    "/v1/route/",
    "/v1/scan",
    "/v1/shards",
    "/v1/info",
    "/v1/",
    "//",
    "/v1/get/../",
    "/metrics",
  ),
  oddText,
  fc.array(
    fc.tuple(
      fc.oneof(fc.constantFrom("columns", "encoding", "shard", "from", "to", "prefix", "limit"), oddText),
      oddText,
    ),
    { maxLength: 3 },
  ),
  fc.boolean(),
).map(([start, rest, query, isEncoded]) => {
  const part = (text: string) => isEncoded ? encodeURIComponent(text.toWellFormed()) : text;
  return start + part(rest) + (query.length === 0 ? "" : `?${query.map((pair) => pair.map(part).join("=")).join("&")}`);
});
const json = fc.oneof(
  fc.record({
    keys: fc.oneof(fc.array(fc.oneof(oddText, fc.maxSafeNat(), fc.jsonValue())), fc.jsonValue()),
    columns: fc.jsonValue(),
    encoding: fc.oneof(fc.constantFrom("text", "hex", "base64url"), fc.jsonValue()),
  }, { requiredKeys: [] }),
  fc.record({
    vector: fc.oneof(fc.array(fc.double()), fc.jsonValue()),
    topK: fc.jsonValue(),
    shards: fc.jsonValue(),
    probes: fc.jsonValue(),
    columns: fc.jsonValue(),
  }, { requiredKeys: [] }),
  fc.record({ shard: fc.jsonValue(), from: fc.jsonValue(), prefix: fc.jsonValue(), limit: fc.jsonValue() }, {
    requiredKeys: [],
  }),
  fc.jsonValue(),
).map((value) => JSON.stringify(value));
const body = fc.oneof(json, oddText, fc.uint8Array(), fc.constant("[".repeat(9000)), fc.constant('{"keys":['));

function checkAnswer({ status, text }: { status: number; text: string }, asked: string): void {
  ok(status >= 200 && status < 500, `${status} for ${asked}: ${text}`);
  doesNotMatch(text, /secret-place|\n\s+at |src\/serve|node_modules/, asked);
  if (status >= 400 && text !== "") equal(JSON.parse(text).status, status);
}

test("snapshotHandler() answers any path and method by 2xx or 4xx", async () => {
  const methods = fc.constantFrom("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS");
  await fc.assert(
    fc.asyncProperty(fc.nat(3), methods, path, async (index, method, path) => {
      checkAnswer(await ask(handlers[index]!, path, { method }), `${method} ${path}`);
    }),
    { numRuns: RUNS },
  );
});

test("snapshotHandler() answers any body by 2xx or 4xx", async () => {
  const paths = fc.constantFrom("/v1/multiget", "/v1/search", "/v1/scan");
  await fc.assert(
    fc.asyncProperty(fc.nat(3), paths, body, async (index, path, body) => {
      const init = { ...posted(""), body: body as BodyInit };
      checkAnswer(await ask(handlers[index]!, path, init), `${path} ${body}`);
    }),
    { numRuns: RUNS },
  );
});

test("snapshotHandler() lets nobody in with a wrong token", async () => {
  const reader = await openSnapshot({ store: await published(count(3)) });
  const handler = snapshotHandler(reader, { token: TOKEN });
  const visible = fc.string({ unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)) });
  const tokens = fc.oneof(
    visible,
    fc.nat(TOKEN.length).map((length) => TOKEN.slice(0, length)),
    visible.map((t) => TOKEN + t),
  );
  await fc.assert(
    fc.asyncProperty(tokens, fc.constantFrom("Bearer ", "bearer  ", "Basic ", ""), async (token, scheme) => {
      const { status } = await ask(handler, "/v1/get/1", { headers: { authorization: scheme + token } });
      equal(
        status,
        token === TOKEN && scheme.startsWith("B") && !scheme.startsWith("Basic") ||
          token === TOKEN && scheme.startsWith("b")
          ? 200
          : 401,
      );
    }),
    { numRuns: RUNS },
  );
});

/** Sends bytes as they are; what came back until the server, or a second, ended it. */
function raw(url: string, bytes: string | Uint8Array): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    let text = "";
    const timer = setTimeout(() => socket.destroy(), 1000);
    socket.on("data", (chunk) => text += chunk.toString("latin1"));
    // A connection that is cut is an answer as well.
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(text);
    });
    socket.write(bytes);
  });
}

test("a server with snapshotHandler() survives requests that no client sends", async () => {
  const server = await startHttpServer(handlers[0]!, { host: "127.0.0.1", port: 0 });
  const host = "Host: localhost\r\nConnection: close\r\n";
  const get = (target: string, more = "") => `GET ${target} HTTP/1.1\r\n${host}${more}\r\n`;
  const latin = (text: string) => Buffer.from(text, "latin1");
  const post = (headers: string, body: string) => `POST /v1/multiget HTTP/1.1\r\n${host}${headers}\r\n${body}`;
  const requests: (string | Uint8Array)[] = [
    ...["/v1/get/../../../etc/passwd", "/v1/get/..%2f..%2fetc", "//v1/get/1", "/v1/get/1#x", "/v1/get/%00", "/%"].map((
      t,
    ) => get(t)),
    ...["http://evil.example.org/v1/get/1", "*", "v1/get/1", "/v1/get/1?%", `/v1/get/${"9".repeat(9000)}`].map((t) =>
      get(t)
    ),
    latin(get("/v1/get/\xff\xfe")),
    latin(get("/v1/get/1", "If-None-Match: \xff\xfe\r\nAuthorization: Bearer \xe4\r\n")),
    "GET /v1/get/1 HTTP/1.1\r\nHost: a b/c?d\r\nConnection: close\r\n\r\n",
    "GET /v1/get/1 HTTP/1.1\r\nConnection: close\r\n\r\n",
    "GET /v1/get/1 HTTP/1.0\r\n\r\n",
    `TRACE /v1/get/1 HTTP/1.1\r\n${host}\r\n`,
    `CONNECT localhost:1 HTTP/1.1\r\n${host}\r\n`,
    `FOO /v1/get/1 HTTP/1.1\r\n${host}\r\n`,
    get("/v1/get/1", `X: ${"x".repeat(100_000)}\r\n`),
    "\0\0\0\0\r\n\r\n",
    post("Content-Length: 1000000000\r\nContent-Type: application/json\r\n", "{"),
    post("Content-Length: 20000\r\nContent-Type: application/json\r\n", " ".repeat(20_000)),
    post("Transfer-Encoding: chunked\r\n", `${(60_000).toString(16)}\r\n${" ".repeat(60_000)}\r\n0\r\n\r\n`),
    post("Transfer-Encoding: chunked\r\n", "zz\r\n"),
    post("Content-Length: 12\r\n", '{"keys":[1]}'),
  ];
  try {
    const statuses: string[] = [];
    for (const request of requests) {
      const answer = await raw(server.url, request);
      const status = /^HTTP\/1\.[01] (\d{3})/.exec(answer)?.[1] ?? "cut";
      statuses.push(status);
      ok(status === "cut" || /^[234]/.test(status) || status === "505", `${status} for ${request.slice(0, 80)}`);
      doesNotMatch(answer, /secret-place|\n\s+at |src\/serve|root:/);
    }
    // The last one is right but for its order of arrival.
    equal(statuses.at(-1), "200");
    equal(await (await fetch(`${server.url}/v1/get/1`)).text(), "<1>");
    const huge = await fetch(`${server.url}/v1/multiget`, posted(`{"keys":["${"1".repeat(5_000_000)}"]}`)).then(
      async (answer) => [answer.status, (await answer.json()).title],
      () => null, // Servers may cut off who goes on sending.
    );
    ok(huge === null || huge[0] === 413, `${huge}`);
    deepEqual(handlers[0]!.underWay, 0);
  } finally {
    await server.close(1000);
  }
});
