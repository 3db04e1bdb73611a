import { equal, rejects, throws } from "node:assert/strict";
import { after, test } from "node:test";
import { type R2BucketBinding, r2Store, type R2StoreOptions } from "../../src/stores/r2_store.ts";
import { storeContract } from "../contracts/store_contract.ts";
import { type MiniflareBucket, startMiniflareBucket } from "../servers/miniflare.ts";

let started: Promise<MiniflareBucket> | undefined;
let storeCount = 0;

after(async () => await (await started)?.[Symbol.asyncDispose]());

storeContract("r2Store()", async () => {
  const { bucket } = await (started ??= startMiniflareBucket());
  return {
    store: r2Store(bucket, { prefix: `stores/é ${storeCount++}` }),
    cleanUp: () => Promise.resolve(),
  };
}, { listCount: 1010 });

/** A bucket whose every method answers the same. */
function bucketThat(answer: () => Promise<unknown>): R2BucketBinding {
  const names = ["get", "head", "put", "delete", "list", "createMultipartUpload"];
  return Object.fromEntries(names.map((name) => [name, answer])) as unknown as R2BucketBinding;
}

test("r2Store() calls itself what it was told, and refuses wrong options", () => {
  const bucket = bucketThat(() => Promise.resolve(null));
  equal(r2Store(bucket).url, "r2://bucket");
  equal(r2Store(bucket, { prefix: "a/b" }).url, "r2://bucket/a/b");
  equal(r2Store(bucket, { prefix: "a/b", url: "s3://cities/a/b/" }).url, "s3://cities/a/b");
  const wrong = { code: "CONFIG_VALIDATION" };
  throws(() => r2Store(undefined as unknown as R2BucketBinding), { ...wrong, path: "r2Store.bucket" });
  throws(() => r2Store(bucket, { url: "" }), { ...wrong, path: "r2Store.url" });
  throws(() => r2Store(bucket, { prefix: "/a" }), { ...wrong, path: "r2Store.prefix" });
  throws(() => r2Store(bucket, { root: "a" } as unknown as R2StoreOptions), { ...wrong, path: "r2Store.root" });
});

test("r2Store() tells which failures pass", async () => {
  const failures: [message: string, expected: object][] = [
    ["get: We encountered an internal error. Please try again. (10001)", { retryable: true }],
    ["put: Reduce your concurrent request rate for the same object. (10058)", { retryable: true }],
    ["get: The specified bucket does not exist (10006)", { retryable: false, message: /10006/ }],
    ["Network connection lost.", { retryable: true }],
    ["Too many API requests by single worker invocation.", { retryable: false, message: /fewer keys/ }],
    ["Too many subrequests.", { retryable: false, message: /fewer keys/ }],
  ];
  for (const [message, expected] of failures) {
    const store = r2Store(bucketThat(() => Promise.reject(new Error(message))));
    const failed = { code: "STORE", ...expected };
    await rejects(() => store.get("a"), failed);
    await rejects(() => store.getIfChanged!("a", '"1"'), failed);
    await rejects(() => store.getRanges("a", [{ offset: 0, lengthBytes: 1 }]), failed);
    await rejects(() => store.put("a", new Uint8Array(1)), failed);
    await rejects(() => store.delete("a"), failed);
    await rejects(() => store.listFolders(""), failed);
  }
});

test("r2Store() waits no longer than the signal", async () => {
  const store = r2Store(bucketThat(() => new Promise(() => {})));
  const reason = new Error("enough");
  const calls: ((signal: AbortSignal) => Promise<unknown>)[] = [
    (signal) => store.get("a", { signal }),
    (signal) => store.getIfChanged!("a", '"1"', { signal }),
    (signal) => store.getRanges("a", [{ offset: 0, lengthBytes: 1 }], { signal }),
    (signal) => store.put("a", new Uint8Array(1), { signal }),
    (signal) => store.delete("a", { signal }),
    (signal) => store.listFolders("", { signal }),
  ];
  for (const call of calls) {
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 10);
    await rejects(() => call(controller.signal), (error) => error === reason);
  }
});

test("r2Store() P7: takes no body that is longer or shorter than R2 says, or from between two versions", async () => {
  const object = (sizeBytes: number, httpEtag = '"1"') => ({
    key: "a",
    size: 10,
    httpEtag,
    body: new Response(new Uint8Array(sizeBytes)).body,
  });
  for (const sizeBytes of [9, 11]) {
    const store = r2Store(bucketThat(() => Promise.resolve(object(sizeBytes))));
    await rejects(async () => await (await store.get("a")).bytes(), { code: "STORE", retryable: true });
    await rejects(() => store.getRanges("a", [{ offset: 0, lengthBytes: 10 }]), { code: "STORE", retryable: true });
  }
  let version = 0;
  const store = r2Store(bucketThat(() => Promise.resolve(object(1, `"${version++}"`))));
  const ranges = [{ offset: 0, lengthBytes: 1 }, { offset: 5, lengthBytes: 1 }];
  await rejects(() => store.getRanges("a", ranges), { code: "STORE", retryable: true, message: /replaced/ });
});
