import { deepEqual, equal, match, ok, rejects, throws } from "node:assert/strict";
import { after, test } from "node:test";
import { inspect } from "node:util";
import { s3FetchStore, type S3FetchStoreOptions } from "../../src/stores/s3_fetch_store.ts";
import { s3Store } from "../../src/stores/s3_store.ts";
import { readableStoreContract } from "../contracts/readable_store_contract.ts";
import { storeFaults } from "../contracts/store_faults.ts";
import { startCountingProxy } from "../servers/counting_proxy.ts";
import { findMinio, type Minio, startMinio } from "../servers/minio.ts";

const BUCKET = "contract";
const leaveOut = findMinio() === null ? "s3FetchStore() against MinIO: there is no minio (see tests/README.md)" : null;
const keys = { accessKeyId: "access-key", secretAccessKey: "the-secret-access-key", sessionToken: "the-session-token" };
let minio: Promise<Minio> | undefined;
let storeCount = 0;

after(async () => await (await minio)?.[Symbol.asyncDispose]());

async function minioOptions() {
  const { endpoint, credentials } = await (minio ??= startMinio(BUCKET));
  return { url: `s3://${BUCKET}/stores ${storeCount++}/é=+&`, endpoint, credentials };
}

// The writing side is the SDK's, so that two clients have to agree on every key.
readableStoreContract("s3FetchStore()", async () => {
  const options = await minioOptions();
  const writer = s3Store(options);
  return {
    store: s3FetchStore(options),
    put: (key, bytes) => writer.put(key, bytes),
    cleanUp: () => Promise.resolve(),
  };
}, { leaveOut });

storeFaults("s3FetchStore()", (url) => ({
  store: s3FetchStore({ url: "s3://bucket/prefix", endpoint: url, credentials: keys }),
  root: "bucket/prefix/",
}));

function minioTest(name: string, use: (options: S3FetchStoreOptions) => Promise<void>): void {
  test(`s3FetchStore() ${name}`, { timeout: 60_000 }, async (t) => {
    if (leaveOut === null) return await use(await minioOptions());
    console.log(`LEFT OUT: ${leaveOut}`);
    t.skip(leaveOut);
  });
}

minioTest("tells wrong credentials, and a missing bucket from a missing object", async (options) => {
  const credentials = { accessKeyId: "minio-tests", secretAccessKey: "a-wrong-secret-that-nobody-may-see" };
  const store = s3FetchStore({ ...options, credentials });
  const error = await store.get("object").catch((error) => error);
  deepEqual([error.code, error.status, error.retryable], ["STORE", 403, false]);
  match(error.message, /SignatureDoesNotMatch/);
  for (const value of [error, store]) {
    ok(!inspect(value, { depth: 20, showHidden: true }).includes(credentials.secretAccessKey), "the secret shows");
  }
  const elsewhere = s3FetchStore({ ...options, url: "s3://no-such-bucket/prefix" });
  await rejects(() => elsewhere.get("object"), { code: "STORE", status: 404, message: /NoSuchBucket/ });
});

minioTest("reads through a proxy that counts, as the SDK's client does", async (options) => {
  const proxy = await startCountingProxy({ upstream: options.endpoint! });
  try {
    const { credentials } = options as typeof options & Minio;
    const through = { url: options.url, endpoint: proxy.url, credentials };
    await s3Store(through).put("object", new Uint8Array(10_000).fill(7));
    for (const store of [s3FetchStore(through), s3Store(through)]) {
      proxy.take();
      const { parts } = await store.getRanges("object", [{ offset: 5, lengthBytes: 10 }]);
      deepEqual([...parts[0]!], new Array(10).fill(7));
      const [request, ...more] = proxy.take();
      deepEqual([request!.method, request!.range, request!.status, request!.bytes], ["GET", "bytes=5-14", 206, 10]);
      equal(more.length, 0);
    }
  } finally {
    await proxy[Symbol.asyncDispose]();
  }
});

/** Where a request for the object `a=1/b c` goes, and its headers. */
async function sentBy(options: Partial<S3FetchStoreOptions>, count = 1) {
  const requests: { url: string; headers: Headers }[] = [];
  const store = s3FetchStore({
    url: "s3://bucket/a prefix",
    credentials: keys,
    ...options,
    fetch(url, init) {
      requests.push({ url, headers: new Headers(init.headers) });
      return Promise.resolve(new Response("1", { headers: { "content-length": "1" } }));
    },
  });
  for (let index = 0; index < count; index++) await store.get("a=1/b c");
  return requests;
}

test("s3FetchStore() finds its bucket in the host's name or in the path", async () => {
  const path = "a%20prefix/a=1/b%20c";
  const places: [Partial<S3FetchStoreOptions>, string][] = [
    [{}, `https://bucket.s3.us-east-1.amazonaws.com/${path}`],
    [{ region: "eu-west-3" }, `https://bucket.s3.eu-west-3.amazonaws.com/${path}`],
    [{ addressingStyle: "path" }, `https://s3.us-east-1.amazonaws.com/bucket/${path}`],
    [{ url: "s3://my.bucket/a prefix/" }, `https://s3.us-east-1.amazonaws.com/my.bucket/${path}`],
    [{ endpoint: "http://127.0.0.1:9000/" }, `http://127.0.0.1:9000/bucket/${path}`],
    [{ endpoint: "https://example.org/s3/" }, `https://example.org/s3/bucket/${path}`],
    [{ endpoint: "https://example.org", addressingStyle: "virtual" }, `https://bucket.example.org/${path}`],
  ];
  for (const [options, url] of places) equal((await sentBy(options))[0]!.url, url);
});

test("s3FetchStore() signs what matters and nothing that is changed on the way", async () => {
  const [request] = await sentBy({ region: "mars-1" });
  const { headers } = request!;
  match(
    headers.get("authorization")!,
    /Credential=access-key\/\d+\/mars-1\/s3\/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token,/,
  );
  equal(headers.get("x-amz-security-token"), keys.sessionToken);
  equal(headers.get("accept-encoding"), "identity");
});

test("s3FetchStore() asks for credentials once, again before they end, and again after a failure", async () => {
  let askedCount = 0;
  const lasting = () => Promise.resolve((askedCount++, keys));
  await sentBy({ credentials: lasting }, 3);
  equal(askedCount, 1);
  const ending = () => Promise.resolve((askedCount++, { ...keys, expiration: new Date(Date.now() + 1000) }));
  await sentBy({ credentials: ending }, 3);
  equal(askedCount, 4);
  const store = s3FetchStore({
    url: "s3://bucket/prefix",
    attemptsMax: 1,
    credentials: () => askedCount++ === 4 ? Promise.reject(new Error("out of order")) : Promise.resolve(keys),
    fetch: () => Promise.resolve(new Response("1")),
  });
  await rejects(() => store.get("a"), { code: "STORE", message: /out of order/ });
  equal((await store.get("a")).sizeBytes, 1);
});

test("s3FetchStore() asks again, each time signed anew, as often as attemptsMax says", async () => {
  for (const attemptsMax of [undefined, 1, 2]) {
    const signatures: (string | null)[] = [];
    const store = s3FetchStore({
      url: "s3://bucket/prefix",
      credentials: keys,
      attemptsMax,
      fetch(_url, init) {
        signatures.push(new Headers(init.headers).get("authorization"));
        return Promise.resolve(new Response("<Error><Code>SlowDown</Code></Error>", { status: 503 }));
      },
    });
    await rejects(() => store.get("a"), { code: "STORE", retryable: true, status: 503, message: /SlowDown/ });
    equal(signatures.length, attemptsMax ?? 3);
    ok(signatures.every((signature) => signature?.startsWith("AWS4-HMAC-SHA256 ")));
  }
});

test("s3FetchStore() refuses wrong options without showing keys", () => {
  const right = { url: "s3://bucket/prefix", credentials: keys };
  const wrong: [object, string][] = [
    [{ ...right, url: "https://bucket/prefix" }, "url"],
    [{ ...right, url: "s3://bucket" }, "url"],
    [{ ...right, credentials: undefined }, "credentials"],
    [{ ...right, credentials: "access:the-secret-access-key" }, "credentials"],
    [{ ...right, credentials: { secretAccessKey: "the-secret-access-key" } }, "credentials"],
    [{ ...right, endpoint: "127.0.0.1:9000" }, "endpoint"],
    [{ ...right, region: 1 }, "region"],
    [{ ...right, addressingStyle: "host" }, "addressingStyle"],
    [{ ...right, fetch: "fetch" }, "fetch"],
    [{ ...right, attemptsMax: 0 }, "attemptsMax"],
    [{ ...right, retries: 3 }, "retries"],
  ];
  for (const [options, name] of wrong) {
    throws(() => s3FetchStore(options as S3FetchStoreOptions), (error: Error & { path: string }) => {
      equal(error.path, `s3FetchStore.${name}`);
      return !inspect(error).includes("the-secret-access-key");
    });
  }
});
