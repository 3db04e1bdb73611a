import { deepEqual, equal, match, ok, rejects, throws } from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import process from "node:process";
import { after, test } from "node:test";
import { inspect } from "node:util";
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { environmentCredentials } from "../../src/stores/credentials.ts";
import { parseS3Url, s3Store, type S3StoreOptions } from "../../src/stores/s3_store.ts";
import { storeContract } from "../contracts/store_contract.ts";
import { findMinio, type Minio, startMinio } from "../servers/minio.ts";

const PART_BYTES = 5 << 20;
const BUCKET = "contract";
const leaveOut = findMinio() === null ? "S3 against MinIO: there is no minio (see tests/README.md)" : null;
const keys = { accessKeyId: "access-key", secretAccessKey: "the-secret-access-key", sessionToken: "the-session-token" };
let minio: Promise<Minio> | undefined;
let storeCount = 0;

after(async () => await (await minio)?.[Symbol.asyncDispose]());

type MinioOptions = Omit<S3StoreOptions, "credentials"> & Pick<Minio, "endpoint" | "credentials">;

async function minioOptions(): Promise<MinioOptions> {
  const { endpoint, credentials } = await (minio ??= startMinio(BUCKET));
  return { url: `s3://${BUCKET}/stores/${storeCount++}`, endpoint, credentials, partBytes: PART_BYTES };
}

storeContract("s3Store()", async () => {
  return { store: s3Store(await minioOptions()), cleanUp: () => Promise.resolve() };
}, { partBytes: PART_BYTES, listCount: 1010, leaveOut });

function minioTest(name: string, use: (options: MinioOptions) => Promise<void>): void {
  test(`s3Store() ${name}`, { timeout: 60_000 }, async (t) => {
    if (leaveOut === null) return await use(await minioOptions());
    console.log(`LEFT OUT: ${leaveOut}`);
    t.skip(leaveOut);
  });
}

minioTest("leaves no multipart upload open, whenever it is given up", async (options) => {
  const { endpoint, credentials } = options;
  const judge = new S3Client({ endpoint, credentials, region: "us-east-1", forcePathStyle: true });
  async function openUploads(key: string): Promise<number> {
    const Prefix = `${parseS3Url(options.url).prefix}/${key}`;
    const listed = await judge.send(new ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix }));
    return (listed.Uploads ?? []).length;
  }
  const store = s3Store(options);
  const chunk = new Uint8Array(PART_BYTES + 1);
  const kept = await store.upload("kept", { headBytes: 0 });
  for (let count = 0; count < 3; count++) await kept.write(chunk);
  // So the judge sees them: this one is open, and its first part has had time to begin.
  while (await openUploads("kept") === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  await kept.abort();
  equal(await openUploads("kept"), 0);

  for (const delayMs of [0, 5, 30]) {
    const controller = new AbortController();
    const key = `aborted-${delayMs}`;
    const upload = await store.upload(key, { headBytes: 0, signal: controller.signal });
    for (let count = 0; count < 3; count++) await upload.write(chunk);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    controller.abort(new Error("enough"));
    await rejects(() => upload.finish(new Uint8Array()), /enough/);
    await upload[Symbol.asyncDispose]();
    equal(await openUploads(key), 0);
  }

  const refused = await store.upload("refused", { headBytes: 0, precondition: { ifMatch: '"other"' } });
  for (let count = 0; count < 2; count++) await refused.write(chunk);
  await rejects(() => refused.finish(new Uint8Array()), { code: "PRECONDITION_FAILED" });
  equal(await openUploads("refused"), 0);
  judge.destroy();
});

minioTest("finds uploads of others that are not finished, and gives them up", async (options) => {
  const { endpoint, credentials } = options;
  const judge = new S3Client({ endpoint, credentials, region: "us-east-1", forcePathStyle: true });
  const { prefix } = parseS3Url(options.url);
  const other = { Bucket: BUCKET, Key: `${prefix}x/object` };
  const { UploadId } = await judge.send(new CreateMultipartUploadCommand(other));
  const store = s3Store(options);
  deepEqual(await store.listUploads!(""), []);
  const chunk = new Uint8Array(2 * PART_BYTES + 1);
  const uploads = [];
  for (const key of ["a/1", "a/2", "b/1"]) {
    const upload = await s3Store(options).upload(key, { headBytes: 0 });
    await upload.write(chunk);
    uploads.push(upload);
  }
  while ((await store.listUploads!("")).length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
  const found = await store.listUploads!("");
  deepEqual(found.map(({ key }) => key).sort(), ["a/1", "a/2", "b/1"]);
  ok(found.every(({ changedAtMicros }) => Math.abs(changedAtMicros / 1000 - Date.now()) < 60_000));
  deepEqual((await store.listUploads!("a/")).map(({ key }) => key).sort(), ["a/1", "a/2"]);
  for (const upload of found) {
    await store.abortUpload!(upload);
    await store.abortUpload!(upload);
  }
  for (const upload of uploads) await rejects(() => upload.finish(new Uint8Array()), { code: "STORE" });
  const left = await judge.send(new ListMultipartUploadsCommand({ Bucket: BUCKET }));
  deepEqual(left.Uploads?.map(({ Key }) => Key), [other.Key]);
  await judge.send(new AbortMultipartUploadCommand({ ...other, UploadId }));
  judge.destroy();
});

minioTest("tells wrong credentials, once and without repeating them", async (options) => {
  const secretAccessKey = "a-wrong-secret-that-nobody-may-see";
  const store = s3Store({ ...options, credentials: { ...options.credentials, secretAccessKey } });
  const error = await store.get("object").then(() => null, (error) => error);
  deepEqual([error.code, error.status, error.retryable], ["STORE", 403, false]);
  match(error.message, /credentials/);
  for (const value of [error, store]) {
    const shown = `${inspect(value, { depth: 20, showHidden: true })} ${JSON.stringify(value)} ${value.stack}`;
    ok(!shown.includes(secretAccessKey), "the secret shows");
  }
});

minioTest("tells a missing bucket from a missing object", async (options) => {
  const store = s3Store({ ...options, url: "s3://no-such-bucket/prefix" });
  const expected = { code: "STORE", status: 404, retryable: false, message: /bucket/ };
  await rejects(() => store.get("object"), expected);
  await rejects(() => store.put("object", new Uint8Array(1), { precondition: { ifMatch: '"1"' } }), expected);
});

minioTest("takes credentials from a function, and a client as it is", async (options) => {
  let askedCount = 0;
  const provider = () => Promise.resolve((askedCount++, options.credentials));
  const store = s3Store({ ...options, credentials: provider });
  await Promise.all(["a", "b", "c"].map((key) => store.put(key, new Uint8Array(1))));
  equal(askedCount, 1);
  const { endpoint, credentials } = options;
  const client = new S3Client({ endpoint, credentials, region: "us-east-1", forcePathStyle: true });
  equal((await s3Store({ url: options.url, client }).get("a")).sizeBytes, 1);
});

/** Answers requests by hand, for what a real server does only when it is in trouble. */
async function withServer(
  answer: (request: IncomingMessage, response: ServerResponse, count: number) => void,
  use: (options: S3StoreOptions, requests: IncomingMessage[]) => Promise<void>,
): Promise<void> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    request.resume();
    request.on("end", () => answer(request, response, requests.push(request)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  try {
    const endpoint = `http://127.0.0.1:${port}`;
    await use({ url: "s3://bucket/prefix", endpoint, credentials: keys, attemptsMax: 3 }, requests);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

function refuse(response: ServerResponse, status: number, code: string, more = ""): void {
  response.writeHead(status, { "content-type": "application/xml" });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>as it is</Message>${more}</Error>`);
}

const transient = { code: "STORE", retryable: true };

test("s3Store() tries anew when the store is busy, as often as it was told", { timeout: 60_000 }, async () => {
  await withServer((_request, response, count) => {
    if (count < 3) return refuse(response, 503, "SlowDown");
    response.writeHead(200, { etag: '"1"', "content-length": "2" });
    response.end("ok");
  }, async (options, requests) => {
    equal(new TextDecoder().decode(await (await s3Store(options).get("object")).bytes()), "ok");
    equal(requests.length, 3);
    requests.length = 0;
    await rejects(() => s3Store({ ...options, attemptsMax: 2 }).get("object"), { ...transient, status: 503 });
    equal(requests.length, 2);
  });
});

test("s3Store() tries a conditional write anew when another one is at work (409)", { timeout: 60_000 }, async () => {
  await withServer((_request, response, count) => {
    if (count % 8 < 3) return refuse(response, 409, "ConditionalRequestConflict");
    response.writeHead(200, { etag: '"1"' });
    response.end();
  }, async (options, requests) => {
    const store = s3Store(options);
    const absent = { precondition: { ifNoneMatch: "*" } } as const;
    equal((await store.put("object", new Uint8Array(1), absent)).etag, '"1"');
    deepEqual(requests.map(({ headers }) => headers["if-none-match"]), ["*", "*", "*"]);
  });
  await withServer((_request, response) => refuse(response, 409, "ConditionalRequestConflict"), async (options) => {
    const absent = { precondition: { ifNoneMatch: "*" } } as const;
    await rejects(() => s3Store(options).put("object", new Uint8Array(1), absent), { ...transient, status: 409 });
  });
});

test("s3Store() calls it retryable when nobody answers", { timeout: 60_000 }, async () => {
  let endpoint = "";
  await withServer(() => {}, (options) => Promise.resolve(void (endpoint = options.endpoint!)));
  const options = { url: "s3://bucket/prefix", endpoint, credentials: keys, attemptsMax: 2 };
  await rejects(() => s3Store(options).get("object"), { ...transient, status: undefined });
  await rejects(() => s3Store(options).put("object", new Uint8Array(1)), transient);
});

test("s3Store() ends silent connections after readTimeoutMs", { timeout: 60_000 }, async () => {
  await withServer(() => {}, async (options, requests) => {
    await rejects(() => s3Store({ ...options, readTimeoutMs: 200, attemptsMax: 2 }).get("object"), transient);
    equal(requests.length, 2);
  });
  await withServer((_request, response) => {
    response.writeHead(200, { etag: '"1"', "content-length": "1000" });
    response.write("beginning");
  }, async (options) => {
    const object = await s3Store({ ...options, readTimeoutMs: 200 }).get("object");
    await rejects(() => object.bytes(), transient);
  });
});

test("s3Store() ends at once when aborted while nobody answers", { timeout: 60_000 }, async () => {
  const reason = new Error("enough");
  const isReason = (error: unknown) => error === reason;
  await withServer(() => {}, async (options) => {
    const signal = abortedAfter(100, reason);
    await rejects(() => s3Store(options).get("object", { signal }), isReason);
    await rejects(
      () => s3Store(options).put("object", new Uint8Array(1), { signal: abortedAfter(100, reason) }),
      isReason,
    );
  });
  await withServer((_request, response) => {
    response.writeHead(200, { etag: '"1"', "content-length": "1000" });
    response.write("beginning");
  }, async (options) => {
    const object = await s3Store(options).get("object", { signal: abortedAfter(200, reason) });
    await rejects(() => object.bytes(), isReason);
    const streamed = await s3Store(options).get("object", { signal: abortedAfter(200, reason) });
    await rejects(async () => {
      for await (const _chunk of streamed.body);
    }, isReason);
  });
});

function abortedAfter(delayMs: number, reason: Error): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), delayMs);
  return controller.signal;
}

test("s3Store() P7: tells when a body breaks off, whole and streamed", { timeout: 60_000 }, async () => {
  await withServer((_request, response) => {
    response.writeHead(200, { etag: '"1"', "content-length": "1000" });
    response.write("beginning", () => response.destroy());
  }, async (options) => {
    const store = s3Store({ ...options, attemptsMax: 1 });
    await rejects(async () => await (await store.get("object")).bytes(), transient);
    await rejects(async () => {
      for await (const _chunk of (await store.get("object")).body);
    }, transient);
  });
});

test("s3Store() P1: tells when an object changes between two ranges", { timeout: 60_000 }, async () => {
  const ranges = [{ offset: 0, lengthBytes: 4 }, { offset: 10, lengthBytes: 4 }];
  await withServer((request, response, count) => {
    if (request.headers["if-match"] === '"1"') return refuse(response, 412, "PreconditionFailed");
    response.writeHead(206, { etag: `"${count}"`, "content-length": "4", "content-range": "bytes 0-3/100" });
    response.end("1234");
  }, async (options, requests) => {
    await rejects(() => s3Store(options).getRanges("object", ranges), { ...transient, message: /replaced/ });
    deepEqual(requests.map(({ headers }) => [headers.range, headers["if-match"]]), [
      ["bytes=0-3", undefined],
      ["bytes=10-13", '"1"'],
    ]);
  });
});

test("s3Store() P7: refuses the whole object, or other bytes, for a range", { timeout: 60_000 }, async () => {
  const wrongAnswers = [
    { status: 200, headers: { etag: '"1"', "content-length": "4" } },
    { status: 206, headers: { etag: '"1"', "content-length": "4", "content-range": "bytes 1-4/100" } },
    { status: 206, headers: { etag: '"1"', "content-length": "4" } },
  ];
  for (const { status, headers } of wrongAnswers) {
    await withServer((_request, response) => {
      response.writeHead(status, headers);
      response.end("1234");
    }, async (options) => {
      await rejects(() => s3Store(options).getRanges("object", [{ offset: 0, lengthBytes: 4 }]), { code: "STORE" });
    });
  }
});

test("s3Store() gives no ETag that is weak", { timeout: 60_000 }, async () => {
  await withServer((_request, response) => {
    response.writeHead(200, { etag: 'W/"1"', "content-length": "0" });
    response.end();
  }, async (options) => {
    equal((await s3Store(options).get("object")).etag, null);
  });
});

test("s3Store() repeats nothing of what a store says about a wrong signature", { timeout: 60_000 }, async () => {
  const signed = `<CanonicalRequest>x-amz-security-token:${keys.sessionToken}</CanonicalRequest>`;
  await withServer((_request, response) => refuse(response, 403, "SignatureDoesNotMatch", signed), async (options) => {
    const error = await s3Store(options).get("object").then(() => null, (error) => error);
    deepEqual([error.status, error.retryable], [403, false]);
    match(error.message, /SignatureDoesNotMatch/);
    const shown = `${inspect(error, { depth: 20, showHidden: true })} ${JSON.stringify(error)}`;
    ok(!shown.includes(keys.sessionToken) && !shown.includes(keys.secretAccessKey), "a secret shows");
  });
});

test("s3Store() takes s3://bucket/prefix, and refuses what the Python package would cut short", () => {
  deepEqual(parseS3Url("s3://bucket/a/b c/"), { bucket: "bucket", prefix: "a/b c" });
  equal(s3Store({ url: "s3://bucket//a/" }).url, "s3://bucket/a");
  for (
    const url of ["s3://bucket", "s3://bucket/", "s3:///a", "https://bucket/a", "s3://bucket/a?b", "s3://bucket/a#b"]
  ) {
    throws(() => s3Store({ url }), { code: "CONFIG_VALIDATION", path: "s3Store.url" });
  }
  const url = "s3://bucket/prefix";
  throws(() => s3Store({ url, partBytes: 1 << 20 }), { code: "CONFIG_VALIDATION", path: "s3Store.partBytes" });
  throws(() => s3Store({ url, attemptsMax: 0 }), { code: "CONFIG_VALIDATION", path: "s3Store.attemptsMax" });
});

test("s3Store() says that its certificates cannot be read", async () => {
  const store = s3Store({ url: "s3://bucket/prefix", verifyTls: "no/such/file.pem" });
  await rejects(() => store.get("object"), { code: "CONFIG_VALIDATION", path: "s3Store.verifyTls" });
});

test("environmentCredentials() prefers S3_… to AWS_…, each by itself, and what is not empty", () => {
  const aws = { AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", AWS_SESSION_TOKEN: "c" };
  deepEqual(environmentCredentials(aws), { accessKeyId: "a", secretAccessKey: "b", sessionToken: "c" });
  const mixed = { ...aws, S3_ACCESS_KEY_ID: "1", S3_SECRET_ACCESS_KEY: "", AWS_SESSION_TOKEN: "" };
  deepEqual(environmentCredentials(mixed), { accessKeyId: "1", secretAccessKey: "b" });
  equal(environmentCredentials({ AWS_ACCESS_KEY_ID: "a" }), undefined);
});

test("s3Store() finds endpoint, region and keys in the environment", { timeout: 60_000 }, async () => {
  const names = ["SLATEDB_S3_ENDPOINT_URL", "S3_REGION", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"] as const;
  const before = names.map((name) => process.env[name]);
  await withServer((_request, response) => {
    response.writeHead(200, { etag: '"1"', "content-length": "0" });
    response.end();
  }, async ({ url, endpoint }, requests) => {
    const values = [endpoint!, "mars-1", "from-the-environment", "secret"];
    for (const [index, name] of names.entries()) process.env[name] = values[index];
    try {
      await s3Store({ url }).get("object");
    } finally {
      for (const [index, name] of names.entries()) {
        if (before[index] === undefined) delete process.env[name];
        else process.env[name] = before[index];
      }
    }
    equal(requests[0]!.url?.split("?")[0], "/bucket/prefix/object");
    match(requests[0]!.headers.authorization!, /Credential=from-the-environment\/\d+\/mars-1\/s3\//);
  });
});
