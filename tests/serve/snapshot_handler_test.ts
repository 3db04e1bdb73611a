// What a service answers, asked as a function; other tests put servers in between.
import { deepEqual, doesNotMatch, equal, match, notEqual, ok, throws } from "node:assert/strict";
import { test } from "node:test";
import { ConfigValidationError, StoreError } from "../../src/errors.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { openSnapshot as openAtEdge } from "../../src/edge/mod.ts";
import { type SnapshotHandler, snapshotHandler } from "../../src/serve/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { count, opened, published } from "../read/small_snapshots.ts";
import { ask, base64, numbered, posted, regional, rowsOf } from "./served_snapshots.ts";

test("snapshotHandler() gives a value's bytes, and a problem for a key that is not there", async () => {
  const { handler } = await numbered({ contentType: "text/plain" });
  const found = await ask(handler, "/v1/get/500");
  deepEqual([found.status, found.text, found.headers.get("content-type")], [200, "<500>", "text/plain"]);
  match(found.headers.get("etag")!, /^"[0-9a-f]{16}"$/);
  const missing = await ask(handler, "/v1/get/1000");
  deepEqual([missing.status, missing.headers.get("content-type")], [404, "application/problem+json"]);
  equal(JSON.parse(missing.text).status, 404);
  for (const path of ["/v1/get/x", "/v1/get/-1", "/v1/get/1.5", "/v1/get/", "/v1/get/18446744073709551616"]) {
    equal((await ask(handler, path)).status, 400, path);
  }
  const head = await ask(handler, "/v1/get/500", { method: "HEAD" });
  deepEqual([head.status, head.text, head.headers.get("content-length")], [200, "", "5"]);
});

test("snapshotHandler() reads keys as the snapshot has them: text of any script, bytes in hex and base64url", async () => {
  const texts = ["a", "a/b", "ä😀", "50%", "a b", "a+b", "..", "?"];
  const byText = snapshotHandler(await opened(texts));
  for (const key of texts.filter((text) => text !== "..")) {
    equal((await ask(byText, `/v1/get/${encodeURIComponent(key)}`)).text, `<${key}>`);
  }
  // Dots are gone before a request is made.
  deepEqual(rowsOf(await ask(byText, "/v1/multiget", posted({ keys: [".."] })))[0].value, base64("<..>"));
  equal((await ask(byText, "/v1/get/a/b")).status, 404);
  equal((await ask(byText, "/v1/get/%FF")).status, 400);
  equal((await ask(byText, "/v1/get/61?encoding=hex")).text, "<a>");

  const bytes = [Uint8Array.of(0xff, 0), Uint8Array.of(0x61)];
  const byBytes = snapshotHandler(await opened(bytes));
  equal((await ask(byBytes, "/v1/get/ff00?encoding=hex")).text, "<255,0>");
  equal((await ask(byBytes, "/v1/get/_wA?encoding=base64url")).text, "<255,0>");
  equal((await ask(byBytes, "/v1/get/a")).text, "<97>");
  for (
    const query of ["?encoding=hex", "?encoding=base64url", "?encoding=rot13", "?a=b", "?encoding=hex&encoding=hex"]
  ) {
    equal((await ask(byBytes, `/v1/get/!${query}`)).status, 400, query);
  }
  const rows = rowsOf(await ask(byBytes, "/v1/scan"));
  deepEqual(rows.map(({ key, keyBase64url }) => [key, keyBase64url]).sort(), [[null, "_wA"], ["a", undefined]]);
  const hex = rowsOf(await ask(byBytes, "/v1/scan?encoding=hex"));
  deepEqual(hex.map(({ key }) => key).sort(), ["61", "ff00"]);
});

test("snapshotHandler() routes by the columns of the query or of the body", async () => {
  const handler = snapshotHandler(await regional());
  const columns = (value: unknown) => `?columns=${encodeURIComponent(JSON.stringify(value))}`;
  equal((await ask(handler, `/v1/get/3${columns({ region: "us", tier: 2 })}`)).text, "3 in us");
  equal((await ask(handler, `/v1/get/3${columns({ region: "us", tier: "2" })}`)).text, "3 in us");
  equal((await ask(handler, `/v1/get/3${columns({ region: "us", tier: 1 })}`)).status, 404);
  equal((await ask(handler, `/v1/get/3${columns({ region: "moon", tier: 1 })}`)).status, 404);
  equal((await ask(handler, `/v1/route/3${columns({ region: "moon", tier: 1 })}`)).status, 404);
  deepEqual(JSON.parse((await ask(handler, `/v1/route/3${columns({ region: "eu", tier: 2 })}`)).text), {
    key: "3",
    shard: 0,
  });
  const bad = [
    "",
    columns([1]),
    columns("x"),
    "?columns=",
    "?columns={",
    columns({ region: "us" }),
    columns({ tier: 1.5 }),
  ];
  for (const query of bad) equal((await ask(handler, `/v1/get/3${query}`)).status, 400, query);
  const many = await ask(handler, "/v1/multiget", posted({ keys: [1, 3], columns: { region: "us", tier: 1 } }));
  deepEqual(rowsOf(many), [{ key: 1, found: true, value: base64("1 in us") }, { key: 3, found: false }]);
  equal((await ask(handler, "/v1/multiget", posted({ keys: [1] }))).status, 400);
});

test("snapshotHandler() answers many keys in their order, as lines or as one document", async () => {
  const { handler } = await numbered({ limits: { keysMax: 500, bodyBytesMax: 4096 } });
  const keys = [7, "7", 5000, 0, 7, "999"];
  const expected = keys.map((key) =>
    key === 5000 ? { key, found: false } : { key, found: true, value: base64(`<${key}>`) }
  );
  const lines = await ask(handler, "/v1/multiget", posted({ keys }));
  deepEqual([lines.status, lines.headers.get("content-type")], [200, "application/x-ndjson"]);
  deepEqual(rowsOf(lines), expected);
  const whole = await ask(handler, "/v1/multiget", posted({ keys }, { accept: "application/json" }));
  deepEqual(JSON.parse(whole.text), { results: expected });
  notEqual(whole.headers.get("etag"), lines.headers.get("etag"));
  equal((await ask(handler, "/v1/multiget", posted({ keys: [] }))).text, "");
  equal(
    (await ask(handler, "/v1/multiget", posted({ keys: [] }, { accept: "application/json" }))).text,
    '{"results":[]}',
  );
  const big = "9223372036854775807";
  deepEqual((await ask(handler, "/v1/multiget", posted(`{"keys":[${big}]}`))).text, `{"key":${big},"found":false}\n`);
  const refused: [unknown, number][] = [
    [{ keys: count(501) }, 400],
    [{ keys: ["0".repeat(5000)] }, 413],
    [{ keys: [1.5] }, 400],
    [{ keys: [null] }, 400],
    [{ keys: 1 }, 400],
    [{}, 400],
    [[], 400],
    ["", 400],
    ["{", 400],
    ["[".repeat(4000), 400],
    [{ keys: [1], more: 1 }, 400],
    [{ keys: [1], columns: 1 }, 400],
    [{ keys: ["x"] }, 400],
  ];
  for (const [body, status] of refused) {
    const { status: given, text } = await ask(handler, "/v1/multiget", posted(body));
    equal(given, status, JSON.stringify(body).slice(0, 100));
    equal(JSON.parse(text).status, status);
  }
  for (const type of ["text/plain", "application/x-www-form-urlencoded"]) {
    equal((await ask(handler, "/v1/multiget", posted({ keys: [1] }, { "content-type": type }))).status, 415);
  }
  equal((await ask(handler, "/v1/multiget", posted({ keys: [1] }, { "content-encoding": "gzip" }))).status, 415);
  const latin = { ...posted(""), body: Uint8Array.of(0x22, 0xe4, 0x22) };
  equal((await ask(handler, "/v1/multiget", latin)).status, 400);
});

test("snapshotHandler() scans shards, ranges and prefixes, at most to the limit", async () => {
  const { handler, reader } = await numbered({ limits: { rowsMax: 600 } });
  const all: string[] = [];
  for (const { shardId } of reader.shards) {
    const rows = rowsOf(await ask(handler, `/v1/scan?shard=${shardId}`));
    for (const { key, value } of rows) equal(value, base64(`<${key}>`));
    deepEqual(rows.map(({ key }) => Number(key)), rows.map(({ key }) => Number(key)).sort((a, b) => a - b));
    all.push(...rows.map(({ key }) => key));
  }
  deepEqual(all.map(Number).sort((a, b) => a - b), count(1000));
  equal(rowsOf(await ask(handler, "/v1/scan")).length, 600);
  const keysOf = (rows: { key: string }[]) => rows.map(({ key }) => Number(key)).sort((a, b) => a - b);
  deepEqual(keysOf(rowsOf(await ask(handler, "/v1/scan?from=10&to=13"))), [10, 11, 12]);
  deepEqual(keysOf(rowsOf(await ask(handler, "/v1/scan", posted({ from: 10, to: "13" })))), [10, 11, 12]);
  equal(rowsOf(await ask(handler, "/v1/scan?limit=5", { method: "POST" })).length, 5);
  equal(rowsOf(await ask(handler, "/v1/scan?limit=0")).length, 0);
  for (const query of ["limit=601", "limit=-1", "limit=x", "shard=3", "shard=x", "from=x", "prefix=1", "lim=1"]) {
    equal((await ask(handler, `/v1/scan?${query}`)).status, 400, query);
  }
  const byText = snapshotHandler(await opened(["aa", "ab", "b"]));
  deepEqual(rowsOf(await ask(byText, "/v1/scan?prefix=a")).map(({ key }) => key).sort(), ["aa", "ab"]);
});

test("snapshotHandler() describes snapshot, shards and itself, and names no place of the store", async () => {
  const store = await published(count(1000), { store: memoryStore("secret-place") });
  const reader = await openSnapshot({ store });
  const handler = snapshotHandler(reader, { metrics: () => Promise.resolve("up 1\n") });
  const told: string[] = [];
  async function json(path: string) {
    const { status, text } = await ask(handler, path);
    equal(status, 200, text);
    told.push(text);
    return JSON.parse(text);
  }
  const info = await json("/v1/info");
  deepEqual([info.runId, info.rowCount, info.shardCount, info.keyEncoding], [reader.info.runId, 1000, 3, "u64be"]);
  const { shards } = await json("/v1/shards");
  deepEqual(shards.map(({ rows }: { rows: number }) => rows), reader.shards.map(({ rowCount }) => rowCount));
  ok(
    shards.every((shard: { guardBytes: number; sidecarBytes: number }) =>
      shard.guardBytes > 0 && shard.sidecarBytes > 0
    ),
  );
  deepEqual((await json("/v1/shards?shard=1")).shards, [shards[1]]);
  equal((await ask(handler, "/v1/shards?shard=3")).status, 404);
  equal((await ask(handler, "/v1/shards?shard=x")).status, 400);
  deepEqual(await json("/v1/route/5"), { key: "5", shard: reader.route(5) });
  equal((await json("/v1/health")).status, "healthy");
  const api = await json("/v1/openapi.json");
  for (const path of Object.keys(api.paths)) notEqual((await ask(handler, path.replace("{key}", "5"))).status, 404);
  const metrics = await ask(handler, "/metrics");
  deepEqual([metrics.status, metrics.text], [200, "up 1\n"]);
  doesNotMatch(told.join(), /secret-place|memory:|_CURRENT|manifests\//);
});

test("snapshotHandler() says by ETag what is still right, and P4: another one after a refresh", async () => {
  const store = await published([1, 2]);
  const reader = await openSnapshot({ store });
  const handler = snapshotHandler(reader);
  const paths = ["/v1/get/1", "/v1/get/9", "/v1/route/1", "/v1/info", "/v1/shards", "/v1/scan", "/v1/openapi.json"];
  const first = new Map<string, string>();
  for (const path of paths) {
    const { headers } = await ask(handler, path);
    const etag = headers.get("etag")!;
    first.set(path, etag);
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`]) {
      for (const method of ["GET", "HEAD"]) {
        const again = await ask(handler, path, { method, headers: { "if-none-match": known } });
        deepEqual([again.status, again.text, again.headers.get("etag")], [304, "", etag], path);
      }
    }
    notEqual((await ask(handler, path, { headers: { "if-none-match": '"x"' } })).status, 304);
  }
  equal((await ask(handler, "/v1/get/1", { headers: { "if-none-match": "*" } })).status, 304);
  equal((await ask(handler, "/v1/get/9", { headers: { "if-none-match": "*" } })).status, 404);
  equal((await ask(handler, "/v1/get/x", { headers: { "if-none-match": first.get("/v1/get/1")! } })).status, 400);
  await published([1, 9], { store });
  ok(await reader.refresh());
  for (const path of paths.filter((path) => !path.endsWith("openapi.json"))) {
    const { status, headers } = await ask(handler, path, { headers: { "if-none-match": first.get(path)! } });
    equal(status, 200);
    notEqual(headers.get("etag"), first.get(path));
  }
});

test("snapshotHandler() redoes what was read while the snapshot changed, so that P1: tag and value are of one", async () => {
  const store = await published([1]);
  const inner = await openSnapshot({ store });
  let changes = 1;
  const reader = Object.create(inner, {
    manifestRef: { get: () => inner.manifestRef },
    get: {
      value: async (key: number) => {
        const value = await inner.get(key);
        if (changes-- > 0) {
          await published([1], { store });
          await inner.refresh();
        }
        return value;
      },
    },
    info: { get: () => inner.info },
  }) as typeof inner;
  const handler = snapshotHandler(reader);
  const answer = await ask(handler, "/v1/get/1");
  equal(answer.headers.get("etag"), (await ask(handler, "/v1/get/1")).headers.get("etag"));
  changes = 3;
  const untagged = await ask(handler, "/v1/get/1");
  deepEqual([untagged.status, untagged.headers.get("etag"), untagged.headers.get("cache-control")], [
    200,
    null,
    "no-store",
  ]);
});

test("snapshotHandler() refuses other methods, tells which there are, and lets pages ask where it was told to", async () => {
  const { handler } = await numbered();
  for (
    const [path, allow] of [["/v1/get/1", "GET, HEAD, OPTIONS"], ["/v1/scan", "GET, HEAD, POST, OPTIONS"]] as const
  ) {
    for (const method of ["PUT", "DELETE", "PATCH"]) {
      const { status, headers } = await ask(handler, path, { method });
      deepEqual([status, headers.get("allow")], [405, allow]);
    }
    const { status, headers } = await ask(handler, path, { method: "OPTIONS" });
    deepEqual([status, headers.get("allow"), headers.get("access-control-allow-origin")], [204, allow, null]);
  }
  equal((await ask(handler, "/v1/get/1", { method: "POST" })).status, 405);
  equal((await ask(handler, "/v1/multiget")).headers.get("allow"), "POST, OPTIONS");
  equal((await ask(handler, "/v1/nothing", { method: "OPTIONS" })).status, 404);

  const origin = "https://app.example.org";
  const { handler: open } = await numbered({ cors: { origins: [origin] }, token: "t" });
  const preflight = { "access-control-request-method": "GET", origin };
  const asked = await ask(open, "/v1/get/1", { method: "OPTIONS", headers: preflight });
  deepEqual([asked.status, asked.headers.get("access-control-allow-origin")], [204, origin]);
  match(asked.headers.get("access-control-allow-headers")!, /Authorization/);
  const refused = await ask(open, "/v1/get/1", { headers: { origin } });
  deepEqual([refused.status, refused.headers.get("access-control-allow-origin")], [401, origin]);
  const other = await ask(open, "/v1/get/1", { headers: { origin: "https://evil.example.org" } });
  deepEqual([other.headers.get("access-control-allow-origin"), other.headers.get("vary")], [null, "Origin"]);
});

test("snapshotHandler() wants the token, for all or for some paths, however a path is written", async () => {
  const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  const { handler } = await numbered({ token: ["secret", "other"] });
  for (const path of ["/v1/get/1", "/v1/health", "/v1/openapi.json", "/nothing"]) {
    const { status, headers } = await ask(handler, path);
    deepEqual([status, headers.get("www-authenticate")], [401, 'Bearer realm="snapshot"']);
  }
  for (const token of ["secret", "other"]) equal((await ask(handler, "/v1/get/1", bearer(token))).status, 200);
  match((await ask(handler, "/v1/get/1", bearer("secret"))).headers.get("cache-control")!, /private/);
  const wrong = ["secre", "secrets", "Secret", "", "secretsecret", "ä", "a b"].map((token) =>
    `Bearer ${encodeURI(token)}`
  );
  for (const authorization of [...wrong, "Basic secret", "secret", "Bearer"]) {
    equal((await ask(handler, "/v1/get/1", { headers: { authorization } })).status, 401, authorization);
  }
  const { handler: some } = await numbered({ token: "secret", tokenPaths: ["/v1/scan", "/v1/get/"] });
  equal((await ask(some, "/v1/route/1")).status, 200);
  for (const path of ["/v1/scan", "/v1/scan?shard=1", "/v1/get/1"]) equal((await ask(some, path)).status, 401, path);
  for (const path of ["//v1/scan", "/v1//scan", "/v1/%73can", "/v1/scan/", "/V1/scan", "/v1/route/..%2fscan"]) {
    ok([400, 401, 404].includes((await ask(some, path)).status), path);
  }
});

test("snapshotHandler() asks the option routes first, and tells onError what clients are not told", async () => {
  const errors: unknown[] = [];
  const failing = { retryable: true, url: "s3://bucket/secret" };
  const { reader } = await numbered();
  const broken = Object.create(reader, {
    manifestRef: { value: reader.manifestRef },
    info: { value: reader.info },
    get: {
      value: (key: number) =>
        Promise.reject(key === 1 ? new StoreError("no s3://bucket/secret", failing) : new TypeError("secret")),
    },
  });
  const handler = snapshotHandler(broken, {
    onError: (error) => errors.push(error),
    routes: (request) => Promise.resolve(request.url.endsWith("/ui") ? new Response("page") : null),
    token: "t",
  });
  deepEqual([(await ask(handler, "/ui")).text, (await ask(handler, "/other")).status], ["page", 401]);
  const authorization = { headers: { authorization: "Bearer t" } };
  for (const [path, status] of [["/v1/get/1", 503], ["/v1/get/2", 500]] as const) {
    const answer = await ask(handler, path, authorization);
    equal(answer.status, status);
    doesNotMatch(answer.text, /secret|s3:/);
  }
  deepEqual(errors.map((error) => (error as Error).name), ["StoreError", "TypeError"]);
});

test("snapshotHandler() serves what a reader of ./reader can do", async () => {
  const reader = await openAtEdge({ store: await published(count(10)), access: "range" });
  const handler = snapshotHandler(reader);
  equal((await ask(handler, "/v1/get/5")).text, "<5>");
  equal(rowsOf(await ask(handler, "/v1/multiget", posted({ keys: [1, 2] }))).length, 2);
  for (const path of ["/v1/scan", "/v1/shards"]) equal((await ask(handler, path)).status, 404);
  equal(JSON.parse((await ask(handler, "/v1/health")).text).status, "healthy");
  const { paths } = JSON.parse((await ask(handler, "/v1/openapi.json")).text);
  ok(!("/v1/scan" in paths) && "/v1/get/{key}" in paths);
});

test("snapshotHandler() tells 503 when the snapshot is old or the reader closed", async () => {
  const { handler, reader } = await numbered({ staleAfterMs: 0.001 });
  deepEqual(JSON.parse((await ask(handler, "/v1/health")).text).status, "degraded");
  await reader.close();
  const health = await ask(handler, "/v1/health");
  deepEqual([health.status, JSON.parse(health.text).status], [503, "unhealthy"]);
  equal((await ask(handler, "/v1/get/1")).status, 503);
});

test("SnapshotHandler.close() waits for answers that are under way, and refuses others", async () => {
  const { handler } = await numbered({ limits: { requestsMax: 2 } });
  const open = await handler(new Request("http://localhost/v1/scan"));
  equal(handler.underWay, 1);
  const second = await handler(new Request("http://localhost/v1/scan"));
  equal((await ask(handler, "/v1/get/1")).status, 503);
  await second.body!.cancel();
  equal(handler.underWay, 1);
  const early = await Promise.race([
    handler.close({ timeoutMs: 60_000 }),
    new Promise((done) => setTimeout(done, 20, 0)),
  ]);
  equal(early, 0);
  deepEqual([(await ask(handler, "/v1/get/1")).status, (await ask(handler, "/v1/health")).status], [503, 503]);
  equal((await open.text()).split("\n").length, 1001);
  equal(await handler.close(), true);
  equal(handler.underWay, 0);

  const { handler: late } = await numbered();
  const kept = await late(new Request("http://localhost/v1/scan"));
  equal(await late.close({ timeoutMs: 10 }), false);
  await kept.body!.cancel();
});

test("snapshotHandler() refreshes about as often as it is told, and goes on after failures", async () => {
  const store = await published([1]);
  const reader = await openSnapshot({ store });
  const pauses: number[] = [];
  const errors: unknown[] = [];
  let wake = (): void => {};
  const clock = {
    nowMicros: () => 0,
    monotonicMs: () => 0,
    sleep: (delayMs: number, signal?: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        pauses.push(delayMs);
        wake = resolve;
        signal?.addEventListener("abort", () => reject(signal.reason));
      }),
  };
  const handler = snapshotHandler(reader, { refreshEvery: 1000, clock, onError: (error) => errors.push(error) });
  const tagOf = async () => (await ask(handler, "/v1/get/1")).headers.get("etag");
  const first = await tagOf();
  await published([1], { store });
  equal(await tagOf(), first);
  async function next(): Promise<void> {
    const before = pauses.length;
    wake();
    while (pauses.length === before) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await next();
  notEqual(await tagOf(), first);
  await store.delete("_CURRENT");
  await next();
  equal(errors.length, 1);
  equal(JSON.parse((await ask(handler, "/v1/health")).text).refreshFailures, 1);
  ok(pauses.slice(0, 2).every((pause) => pause >= 800 && pause <= 1200), `${pauses}`);
  ok(pauses[2]! >= 1600 && pauses[2]! <= 2400, `${pauses}`);
  await handler.close();
});

test("snapshotHandler() refreshes with requests where these come with a context", async () => {
  const store = await published([1]);
  const reader = await openSnapshot({ store });
  let nowMs = 0;
  const clock = { nowMicros: () => 0, monotonicMs: () => nowMs, sleep: () => Promise.reject(new Error("no timers")) };
  const handler: SnapshotHandler = snapshotHandler(reader, { refreshEvery: 1000, clock });
  const waiting: Promise<unknown>[] = [];
  const context = { waitUntil: (promise: Promise<unknown>) => void waiting.push(promise) };
  const tagOf = async () => (await handler(new Request("http://localhost/v1/get/1"), context)).headers.get("etag");
  const first = await tagOf();
  await published([1], { store });
  nowMs = 700;
  equal(await tagOf(), first);
  nowMs = 1300;
  await tagOf();
  equal(waiting.length, 4, "three answers and a refresh");
  await Promise.all(waiting);
  notEqual(await tagOf(), first);
});

test("snapshotHandler() refuses wrong options, and shows no token in doing so", async () => {
  const { reader } = await numbered();
  const wrong: Record<string, unknown>[] = [
    { token: "" },
    { token: "se cret" },
    { token: [] },
    { tokenPaths: ["v1"] },
    { cors: {} },
    { cors: { origins: ["example.org"] } },
    { limits: { keysMax: 0 } },
    { limits: { more: 1 } },
    { contentType: "a\nb" },
    { refreshEvery: 0 },
    { metrics: 1 },
    { more: 1 },
  ];
  for (const options of wrong) {
    throws(
      () => snapshotHandler(reader, options),
      (error) => error instanceof ConfigValidationError && !error.message.includes("se cret"),
      JSON.stringify(options),
    );
  }
});
