import { deepEqual, equal, match, ok, rejects, throws } from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { StoreError } from "../../src/errors.ts";
import { httpStore } from "../../src/stores/http_store.ts";
import { readableStoreContract } from "../contracts/readable_store_contract.ts";
import { storeFaults } from "../contracts/store_faults.ts";
import { startCountingProxy } from "../servers/counting_proxy.ts";

readableStoreContract("httpStore()", async () => {
  const objects = new Map<string, Uint8Array>();
  const server = await startCountingProxy({ objects });
  return {
    store: httpStore(`${server.url}/folder/of=many/?signature=secret`),
    put: (key, bytes) => Promise.resolve(objects.set(`folder/of=many/${key}`, bytes.slice())),
    cleanUp: async () => await server[Symbol.asyncDispose](),
  };
});

storeFaults("httpStore()", (url) => ({ store: httpStore(`${url}/folder`), root: "folder/" }));

const url = "https://cdn.example.org/cities";
const encode = (text: string) => new TextEncoder().encode(text);
const range = (offset: number, lengthBytes: number) => ({ offset, lengthBytes });

/** A store whose requests are answered by hand. */
function answeredBy(
  answer: (url: string, headers: Headers) => Response | Promise<Response>,
  options: { attemptsMax?: number } = {},
) {
  const asked: string[] = [];
  const store = httpStore({
    url: `${url}/?signature=top-secret`,
    headers: { "x-from": "test" },
    ...options,
    fetch(url, init) {
      asked.push(url);
      return Promise.resolve(answer(url, new Headers(init.headers)));
    },
  });
  return { store, asked };
}

test("httpStore() takes a URL, and names itself without its query", () => {
  for (const place of [`${url}/`, new URL(url), { url: `${url}//?a=b` }, `${url}?a=b`]) {
    equal(httpStore(place).url, url);
  }
  equal(httpStore("http://127.0.0.1:9000/").url, "http://127.0.0.1:9000");
  for (const wrong of ["", "cdn.example.org", "ftp://a/b", "https://user:pass@a/b", "https://a/b#c", "s3://a/b"]) {
    throws(() => httpStore(wrong), { code: "CONFIG_VALIDATION", path: "httpStore.url" });
  }
});

test("httpStore() refuses wrong options without showing its query", () => {
  const right = { url: `${url}?signature=top-secret` };
  const wrong: [object, string][] = [
    [{ ...right, fetch: "fetch" }, "fetch"],
    [{ ...right, attemptsMax: 0 }, "attemptsMax"],
    [{ ...right, retries: 3 }, "retries"],
    [{}, "url"],
  ];
  for (const [options, name] of wrong) {
    throws(() => httpStore(options as { url: string }), (error: Error & { path: string }) => {
      equal(error.path, `httpStore.${name}`);
      return !inspect(error).includes("top-secret");
    });
  }
});

test("httpStore() appends the query to every object's URL, and encodes keys", async () => {
  const { store, asked } = answeredBy((_url, headers) => {
    equal(headers.get("accept-encoding"), "identity");
    equal(headers.get("x-from"), "test");
    return new Response("1", { headers: { "content-length": "1" } });
  });
  await store.get("run_id=1/a b+c?d#e%/é:@&");
  deepEqual(asked, [`${url}/run_id=1/a%20b%2Bc%3Fd%23e%25/%C3%A9%3A%40%26?signature=top-secret`]);
});

test("httpStore() shows no signature in errors", async () => {
  const failures = [
    () => new Response(null, { status: 403 }),
    () => Promise.reject(new TypeError(`failed: ${url}/a?signature=top-secret (refused)`)),
    () => Promise.reject(new TypeError("failed", { cause: new Error(`no way to ${url}/a?signature=top-secret`) })),
  ];
  for (const failure of failures) {
    const error = await answeredBy(failure).store.get("a").catch((error) => error);
    equal(error.code, "STORE");
    ok(!inspect(error, { depth: 10, showHidden: true }).includes("top-secret"), inspect(error));
  }
  const wrong = `ftp://${"x".repeat(20)}?signature=top-secret`;
  throws(() => httpStore(wrong), (error) => !inspect(error).includes("top-secret"));
});

test("httpStore() gives no ETag that is weak or missing, and no object twice", async () => {
  for (const headers of [{ etag: 'W/"1"' }, {}]) {
    const { store } = answeredBy(() => new Response("1", { headers: { ...headers } }));
    equal((await store.get("a")).etag, null);
    equal((await store.getIfChanged!("a", '"1"'))!.etag, null);
  }
  const { store, asked } = answeredBy(() => new Response("1", { headers: { etag: '"1"' } }));
  equal(await store.getIfChanged!("a", '"1"'), null);
  equal(asked.length, 1);
});

test("httpStore() knows the size of a body whose length nobody told", async () => {
  const lengths = [{}, { "content-encoding": "gzip", "content-length": "3" }];
  for (const headers of lengths) {
    const { store } = answeredBy(() => new Response("12345", { headers: { ...headers } }));
    const object = await store.get("a");
    deepEqual([object.sizeBytes, new TextDecoder().decode(await object.bytes())], [5, "12345"]);
  }
});

function partOf(bytes: Uint8Array<ArrayBuffer>, headers: Headers): Response {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.get("range")!)!;
  const body = bytes.slice(Number(first), Number(last) + 1);
  return new Response(body, {
    status: 206,
    headers: { etag: '"1"', "content-range": `bytes ${first}-${last}/${bytes.byteLength}` },
  });
}

test("httpStore() has at most six ranges under way", async () => {
  let underWay = 0;
  let most = 0;
  const bytes = encode("0123456789".repeat(10));
  const { store, asked } = answeredBy(async (_url, headers) => {
    most = Math.max(most, ++underWay);
    await new Promise((resolve) => setTimeout(resolve, 2));
    underWay--;
    return partOf(bytes, headers);
  });
  const ranges = Array.from({ length: 40 }, (_, index) => range(index * 2, 2));
  const { parts } = await store.getRanges("a", ranges);
  equal(parts.map((part) => new TextDecoder().decode(part)).join(""), "0123456789".repeat(8));
  deepEqual([most, asked.length], [6, 40]);
});

test("httpStore() refuses compressed ranges, and ranges that do not say which they are", async () => {
  const wrongHeaders = [
    [{ "content-encoding": "gzip", "content-range": "bytes 0-3/100" }, /compresses/],
    [{ "content-range": "bytes 0-3" }, /CORS/],
    [{}, /CORS/],
  ] as const;
  for (const [headers, message] of wrongHeaders) {
    const { store } = answeredBy(() => new Response("1234", { status: 206, headers: { ...headers } }));
    await rejects(() => store.getRanges("a", [range(0, 4)]), { code: "STORE", retryable: false, message });
  }
  const { store } = answeredBy(() => new Response(null, { status: 204 }));
  await rejects(() => store.getRanges("a", [range(0, 4)]), { code: "STORE", status: 204 });
});

test("httpStore() P1: refuses parts of objects of different sizes, where there are no ETags", async () => {
  const { store } = answeredBy((_url, headers) => {
    const isFirst = headers.get("range") === "bytes=0-3";
    const contentRange = isFirst ? "bytes 0-3/100" : "bytes 4-7/101";
    return new Response("1234", { status: 206, headers: { "content-range": contentRange } });
  });
  await rejects(() => store.getRanges("a", [range(0, 4), range(4, 4)]), { code: "STORE", message: /replaced/ });
});

test("httpStore() says what to do when a Worker has no requests left", async () => {
  const { store } = answeredBy(() => Promise.reject(new Error("Too many subrequests.")));
  const expected = { code: "STORE", retryable: false, message: /fewer keys/ };
  await rejects(() => store.get("a"), expected);
  await rejects(() => store.getRanges("a", [range(0, 4)]), expected);
});

test("httpStore() tells a bucket that is missing from a missing object", async () => {
  const { store } = answeredBy(() => new Response("<Error><Code>NoSuchBucket</Code></Error>", { status: 404 }));
  const error = await store.get("a").catch((error) => error);
  deepEqual([error.code, error.status], ["STORE", 404]);
  match(error.message, /NoSuchBucket/);
});

test("httpStore() shows no signature in errors of real connections", async () => {
  const { url } = await startCountingProxy({ objects: new Map() }).then(async (server) => {
    await server[Symbol.asyncDispose]();
    return server;
  });
  await using cutting = await startCountingProxy({ objects: new Map([["a", new Uint8Array(10_000)]]) });
  cutting.fault = () => "cut";
  for (const base of [url, cutting.url]) {
    const store = httpStore(`${base}/?signature=top-secret`);
    const reads = [
      () => store.get("a").then((object) => object.bytes()),
      () => store.getRanges("a", [range(0, 1000)]),
    ];
    for (const read of reads) {
      const error: unknown = await read().catch((error) => error);
      ok(error instanceof StoreError);
      const shown = `${inspect(error, { depth: 10, showHidden: true })} ${JSON.stringify(error)}`;
      ok(!shown.includes("top-secret"), shown);
    }
  }
});

/** Answers in turn; the last one again and again. */
function inTurn(...answers: readonly (() => Response | Promise<Response>)[]) {
  let next = 0;
  return () => answers[Math.min(next++, answers.length - 1)]!();
}

const cut = (etag = '"1"') => new Response("12", { headers: { etag, "content-length": "5" } });
const whole = (etag = '"1"') => new Response("12345", { headers: { etag, "content-length": "5" } });
const unavailable = (headers: Record<string, string> = {}) => new Response(null, { status: 503, headers });
const lost = () => Promise.reject(new TypeError("connection lost"));

async function textOf(object: Promise<{ bytes(): Promise<Uint8Array> }>): Promise<string> {
  return new TextDecoder().decode(await (await object).bytes());
}

test("httpStore() asks as often as attemptsMax says, with delays that double", async () => {
  for (const [attemptsMax, count, leastMs] of [[undefined, 3, 150], [1, 1, 0], [2, 2, 50], [4, 4, 350]] as const) {
    const { store, asked } = answeredBy(lost, attemptsMax === undefined ? {} : { attemptsMax });
    const startedMs = performance.now();
    await rejects(() => store.get("a"), { code: "STORE", retryable: true, message: /connection lost/ });
    const tookMs = performance.now() - startedMs;
    equal(asked.length, count);
    // Timers are let off a millisecond early at times.
    ok(tookMs > leastMs - 5 && tookMs < leastMs + 2000, `took ${tookMs} ms`);
  }
});

test("httpStore() does not ask again what was answered for good", async () => {
  for (const status of [400, 403, 404, 410, 412, 204]) {
    const { store, asked } = answeredBy(() => new Response(null, { status }));
    await rejects(() => store.get("a"), { retryable: false });
    equal(asked.length, 1, `status ${status}`);
  }
});

test("httpStore() reads a body anew that breaks off, if it still is the same object", async () => {
  const again = answeredBy(inTurn(cut, unavailable, whole));
  equal(await textOf(again.store.get("a")), "12345");
  equal(again.asked.length, 3);
  const changed = answeredBy(inTurn(cut, () => whole('"2"')));
  await rejects(() => textOf(changed.store.get("a")), { code: "STORE", retryable: true, message: /replaced/ });
  const gone = answeredBy(inTurn(cut, () => new Response(null, { status: 404 })));
  await rejects(() => textOf(gone.store.get("a")), { code: "OBJECT_NOT_FOUND" });
  // The first answer was to a condition, the second is not.
  const conditions: (string | null)[] = [];
  const next = inTurn(cut, whole);
  const conditional = answeredBy((_url, headers) => {
    conditions.push(headers.get("if-none-match"));
    return next();
  });
  equal(await textOf(conditional.store.getIfChanged!("a", '"0"').then((object) => object!)), "12345");
  deepEqual(conditions, ['"0"', null]);
});

test("httpStore() waits as long as Retry-After says, up to two seconds", async () => {
  const waits: [retryAfter: string, leastMs: number][] = [["1", 1000], ["3600", 2000], [new Date().toUTCString(), 50]];
  await Promise.all(waits.map(async ([retryAfter, leastMs]) => {
    const { store } = answeredBy(inTurn(() => unavailable({ "retry-after": retryAfter }), whole));
    const startedMs = performance.now();
    equal(await textOf(store.get("a")), "12345");
    const tookMs = performance.now() - startedMs;
    ok(tookMs > leastMs - 5 && tookMs < leastMs + 900, `took ${tookMs} ms for ${retryAfter}`);
  }));
});

test("httpStore() ends with the reason at once while it waits for the next try", async () => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const { store, asked } = answeredBy(() => {
    setTimeout(() => controller.abort(reason), 10);
    return unavailable({ "retry-after": "2" });
  });
  const startedMs = performance.now();
  await rejects(() => store.get("a", { signal: controller.signal }), (error) => error === reason);
  ok(performance.now() - startedMs < 1000);
  equal(asked.length, 1);
});
