// What every object store must do, judged by the bytes that were put in and by counting.
import { deepEqual, equal, match, notEqual, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { copyObject, type ObjectEntry, type ObjectStore, type UploadOptions } from "../../src/stores/store.ts";
import { BAD_KEYS, digest, KEYS, patterned, range, readableStoreContract } from "./readable_store_contract.ts";

/** An empty store, and how to get rid of it. */
export interface StoreUnderTest {
  readonly store: ObjectStore;
  readonly cleanUp: () => Promise<void>;
}

/** What differs between stores. */
export interface ContractOptions {
  /** Length of the pieces in which uploads travel: sizes around it are tried. */
  readonly partBytes?: number;
  /** How many objects are listed; more than one page where writing them is cheap. */
  readonly listCount?: number;
  /** Why the tests cannot run here; they say so. */
  readonly leaveOut?: string | null;
}

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
async function read(store: ObjectStore, key: string): Promise<Uint8Array> {
  return await (await store.get(key)).bytes();
}

async function listed(store: ObjectStore, prefix = ""): Promise<ObjectEntry[]> {
  const pages: ObjectEntry[][] = [];
  for await (const page of store.list(prefix)) pages.push(page);
  return pages.flat();
}

async function keys(store: ObjectStore, prefix = ""): Promise<string[]> {
  return (await listed(store, prefix)).map(({ key }) => key);
}

async function outcomes(calls: Promise<unknown>[]): Promise<string[]> {
  const settled = await Promise.allSettled(calls);
  return settled.map((result) => result.status === "fulfilled" ? "ok" : String(result.reason.code ?? result.reason));
}

/** Uploads in chunks through one buffer that is used again and again, as writers do. */
async function uploadWhole(store: ObjectStore, bytes: Uint8Array, options: UploadOptions & { key: string }) {
  await using upload = await store.upload(options.key, options);
  const chunk = new Uint8Array(300_000);
  for (let offset = options.headBytes; offset < bytes.byteLength; offset += chunk.byteLength) {
    const piece = bytes.subarray(offset, offset + chunk.byteLength);
    chunk.set(piece);
    await upload.write(chunk.subarray(0, piece.byteLength));
    chunk.fill(0xee);
  }
  return await upload.finish(bytes.subarray(0, options.headBytes));
}

/** Registers the tests; `label` is the symbol tested, such as `fsStore()`. */
export function storeContract(
  label: string,
  makeStore: () => Promise<StoreUnderTest>,
  { partBytes = 8 << 20, listCount = 1100, leaveOut = null }: ContractOptions = {},
): void {
  function storeTest(name: string, use: (store: ObjectStore) => Promise<void>): void {
    test(`${label} ${name}`, { timeout: 120_000 }, async (t) => {
      if (leaveOut !== null) {
        console.log(`LEFT OUT: ${leaveOut}`);
        return t.skip(leaveOut);
      }
      const { store, cleanUp } = await makeStore();
      try {
        await use(store);
      } finally {
        await cleanUp();
      }
    });
  }
  readableStoreContract(label, async () => {
    const { store, cleanUp } = await makeStore();
    return { store, put: (key, bytes) => store.put(key, bytes), cleanUp };
  }, { leaveOut });
  wholeObjects(storeTest);
  conditions(storeTest);
  uploads(storeTest, partBytes);
  copies(storeTest, partBytes);
  listings(storeTest, listCount);
  removals(storeTest);
  aborts(storeTest);
  names(storeTest);
}

type StoreTest = (name: string, use: (store: ObjectStore) => Promise<void>) => void;

function wholeObjects(storeTest: StoreTest): void {
  for (const sizeBytes of [0, 1, 70_000, 20 << 20]) {
    storeTest(`gives back ${sizeBytes} bytes, and tells their version`, async (store) => {
      const bytes = patterned(sizeBytes);
      const version = await store.put("folder/object", bytes, { contentType: "application/x-sqlite3" });
      equal(version.sizeBytes, sizeBytes);
      const object = await store.get("folder/object");
      deepEqual([object.sizeBytes, object.etag], [sizeBytes, version.etag]);
      equal(digest(await object.bytes()), digest(bytes));
    });
  }

  storeTest("keeps its bytes to itself", async (store) => {
    const bytes = encode("before");
    await store.put("object", bytes);
    bytes.fill(0);
    (await read(store, "object")).fill(0);
    for await (const chunk of (await store.get("object")).body) chunk.fill(0);
    (await store.getRanges("object", [range(0, 6)])).parts[0]!.fill(0);
    equal(decode(await read(store, "object")), "before");
  });

  storeTest("changes the ETag with the content", async (store) => {
    const first = await store.put("object", encode("1"));
    match(first.etag!, /^"[^"]+"$/);
    equal((await store.get("object")).etag, first.etag);
    equal((await listed(store))[0]!.etag, first.etag);
    const seen = new Set([first.etag]);
    for (let count = 2; count <= 30; count++) seen.add((await store.put("object", encode(String(count % 10)))).etag);
    const last = await store.put("object", encode("last"));
    ok(seen.size >= 10 && !seen.has(last.etag), "a version came twice");
  });
}

function conditions(storeTest: StoreTest): void {
  const absent = { precondition: { ifNoneMatch: "*" } } as const;
  const failed = { code: "PRECONDITION_FAILED", retryable: false };

  storeTest("creates only what is absent", async (store) => {
    const { etag } = await store.put("object", encode("1"), absent);
    await rejects(() => store.put("object", encode("2"), absent), { ...failed, url: `${store.url}/object` });
    deepEqual([decode(await read(store, "object")), (await store.get("object")).etag], ["1", etag]);
    await store.delete("object");
    await store.put("object", encode("3"), absent);
    equal(decode(await read(store, "object")), "3");
  });

  storeTest("replaces only the version that was named", async (store) => {
    const first = await store.put("object", encode("1"));
    const second = await store.put("object", encode("2"), { precondition: { ifMatch: first.etag! } });
    notEqual(second.etag, first.etag);
    await rejects(() => store.put("object", encode("3"), { precondition: { ifMatch: first.etag! } }), failed);
    await rejects(() => store.put("object", encode("3"), { precondition: { ifMatch: '"other"' } }), failed);
    equal(decode(await read(store, "object")), "2");
  });

  storeTest("replaces nothing where there is nothing", async (store) => {
    await rejects(() => store.put("object", encode("1"), { precondition: { ifMatch: '"other"' } }), failed);
    deepEqual(await keys(store), []);
  });

  storeTest("lets exactly one of 50 creators win", async (store) => {
    const results = await outcomes(
      Array.from({ length: 50 }, (_, index) => store.put("object", encode(`creator ${index}`), absent)),
    );
    deepEqual(results.filter((result) => result !== "PRECONDITION_FAILED"), ["ok"]);
    equal(decode(await read(store, "object")), `creator ${results.indexOf("ok")}`);
  });

  storeTest("loses none of 50 concurrent compare-and-set increments", async (store) => {
    await store.put("counter", encode("100"));
    async function increment(): Promise<void> {
      for (;;) {
        const object = await store.get("counter");
        const next = encode(String(Number(decode(await object.bytes())) + 1));
        const [result] = await outcomes([store.put("counter", next, { precondition: { ifMatch: object.etag! } })]);
        if (result === "ok") return;
        equal(result, "PRECONDITION_FAILED");
      }
    }
    await Promise.all(Array.from({ length: 50 }, increment));
    equal(decode(await read(store, "counter")), "150");
  });

  storeTest("never shows a half-written object while it is replaced", async (store) => {
    const contents = [patterned(200_000).fill(1), patterned(150_000).fill(2)];
    await store.put("object", contents[0]!);
    let isWriting = true;
    const writing = (async () => {
      for (let count = 0; count < 40; count++) await store.put("object", contents[count % 2]!);
      isWriting = false;
    })();
    while (isWriting) {
      const bytes = await read(store, "object");
      ok(contents.some((content) => Buffer.compare(content, bytes) === 0), "the object was torn");
    }
    await writing;
  });
}

function uploads(storeTest: StoreTest, partBytes: number): void {
  const headBytes = 100;
  const sizes = [headBytes, headBytes + 1, partBytes - 1, partBytes, partBytes + 1, 2 * partBytes, 2 * partBytes + 777];
  for (const sizeBytes of sizes) {
    storeTest(`uploads ${sizeBytes} bytes, the head last`, async (store) => {
      const bytes = patterned(sizeBytes);
      const version = await uploadWhole(store, bytes, { key: "folder/object", headBytes });
      equal(version.sizeBytes, sizeBytes);
      const object = await store.get("folder/object");
      equal(object.etag, version.etag);
      equal(digest(await object.bytes()), digest(bytes));
      deepEqual(await keys(store), ["folder/object"]);
    });
  }

  storeTest("uploads without a head, and without anything", async (store) => {
    await uploadWhole(store, encode("content"), { key: "object", headBytes: 0 });
    await uploadWhole(store, new Uint8Array(), { key: "empty", headBytes: 0 });
    deepEqual([decode(await read(store, "object")), (await read(store, "empty")).byteLength], ["content", 0]);
  });

  storeTest("shows an upload only when it is finished, and replaces as a whole", async (store) => {
    await store.put("object", encode("old"));
    await using upload = await store.upload("object", { headBytes: 3 });
    await using other = await store.upload("new", { headBytes: 3 });
    await upload.write(patterned(partBytes + 10));
    await other.write(encode("tail"));
    deepEqual([decode(await read(store, "object")), await keys(store)], ["old", ["object"]]);
    deepEqual(await store.listFolders(""), []);
    await upload.finish(encode("abc"));
    equal((await read(store, "object")).byteLength, partBytes + 13);
  });

  storeTest("leaves nothing of an upload that is given up or only disposed of", async (store) => {
    const upload = await store.upload("folder/given-up", { headBytes: 1 });
    await upload.write(patterned(2 * partBytes));
    await upload.abort();
    await upload.abort();
    await rejects(() => upload.write(encode("1")), { code: "STORE" });
    await rejects(() => upload.finish(encode("1")), { code: "STORE" });
    {
      await using disposed = await store.upload("folder/disposed", { headBytes: 1 });
      await disposed.write(patterned(partBytes + 1));
    }
    await (await store.upload("folder/empty", { headBytes: 1 })).abort();
    deepEqual([await keys(store), await store.listFolders("")], [[], []]);
  });

  storeTest("keeps a finished upload whatever comes after", async (store) => {
    const upload = await store.upload("object", { headBytes: 1 });
    await upload.finish(encode("1"));
    await upload.abort();
    await rejects(() => upload.write(encode("2")), { code: "STORE" });
    await rejects(() => upload.finish(encode("2")), { code: "STORE" });
    equal(decode(await read(store, "object")), "1");
  });

  storeTest("refuses a head of another length", async (store) => {
    await using upload = await store.upload("object", { headBytes: 4 });
    await rejects(() => upload.finish(encode("12345")), { code: "CONFIG_VALIDATION", path: "head" });
    await rejects(() => store.upload("object", { headBytes: -1 }), { code: "CONFIG_VALIDATION", path: "headBytes" });
    deepEqual(await keys(store), []);
  });

  for (const sizeBytes of [10, partBytes + 10]) {
    storeTest(`holds uploads of ${sizeBytes} bytes to their precondition`, async (store) => {
      const absent = { ifNoneMatch: "*" } as const;
      const failed = { code: "PRECONDITION_FAILED" };
      const bytes = patterned(sizeBytes);
      const options = { key: "object", headBytes: 1 };
      const { etag } = await uploadWhole(store, bytes, { ...options, precondition: absent });
      await rejects(() => uploadWhole(store, bytes, { ...options, precondition: absent }), failed);
      await rejects(() => uploadWhole(store, bytes, { ...options, precondition: { ifMatch: '"other"' } }), failed);
      await uploadWhole(store, bytes.map((byte) => byte ^ 1), { ...options, precondition: { ifMatch: etag! } });
      const missing = { ...options, key: "missing", precondition: { ifMatch: etag! } };
      await rejects(() => uploadWhole(store, bytes, missing), failed);
      equal(digest(await read(store, "object")), digest(bytes.map((byte) => byte ^ 1)));
      deepEqual(await keys(store), ["object"]);
    });
  }
}

function copies(storeTest: StoreTest, partBytes: number): void {
  const absent = { precondition: { ifNoneMatch: "*" } } as const;
  const failed = { code: "PRECONDITION_FAILED" };
  const keysOfCopy = { fromKey: "from/é x+1=2", toKey: "to/copy" };

  for (const sizeBytes of [0, 1, partBytes + 10]) {
    storeTest(`copies ${sizeBytes} bytes, and tells the copy's version`, async (store) => {
      const bytes = patterned(sizeBytes);
      const source = await store.put(keysOfCopy.fromKey, bytes);
      for (const options of [{}, { sourceEtag: source.etag! }, { ...absent, contentType: "text/plain" }]) {
        const version = await copyObject(store, keysOfCopy, options);
        const copy = await store.get(keysOfCopy.toKey);
        deepEqual([version.sizeBytes, version.etag], [sizeBytes, copy.etag]);
        equal(digest(await copy.bytes()), digest(bytes));
        await store.delete(keysOfCopy.toKey);
      }
      equal(digest(await read(store, keysOfCopy.fromKey)), digest(bytes));
      deepEqual(await keys(store), [keysOfCopy.fromKey]);
    });
  }

  storeTest("copies keep their bytes when the source is replaced or removed", async (store) => {
    await store.put("source", encode("1"));
    await copyObject(store, { fromKey: "source", toKey: "copy" });
    await store.put("source", encode("2"));
    equal(decode(await read(store, "copy")), "1");
    await copyObject(store, { fromKey: "source", toKey: "copy" });
    await store.delete("source");
    equal(decode(await read(store, "copy")), "2");
  });

  storeTest("copies only the version that was named, and only where it may", async (store) => {
    const { etag } = await store.put("source", encode("1"));
    await store.put("source", encode("22"));
    const place = { fromKey: "source", toKey: "copy" };
    await rejects(() => copyObject(store, place, { sourceEtag: etag! }), failed);
    await rejects(() => copyObject(store, place, { precondition: { ifMatch: '"other"' } }), failed);
    await rejects(() => copyObject(store, { ...place, fromKey: "none" }), { code: "OBJECT_NOT_FOUND" });
    deepEqual(await keys(store), ["source"]);
    await copyObject(store, place, absent);
    await rejects(() => copyObject(store, place, absent), failed);
    const reason = new Error("enough");
    const options = { signal: AbortSignal.abort(reason) };
    await rejects(() => copyObject(store, { ...place, toKey: "other" }, options), (error) => error === reason);
    deepEqual(await keys(store), ["copy", "source"]);
  });
}

function listings(storeTest: StoreTest, listCount: number): void {
  storeTest("lists by UTF-8 bytes, by any beginning of the key", async (store) => {
    const written = KEYS.filter((key) => key !== "a" && key !== "a/b");
    for (const key of written.toReversed()) await store.put(key, encode(key));
    // The judge is the byte order of the runtime's Buffer.
    const sorted = written.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    deepEqual(await keys(store), sorted);
    for (const prefix of ["a", "a/", "a/b", "a/b/", "a/b/c=1:2", "a/b/c=1:2x", "z/", "z/\uFFFD", "y", "y/y/", ".h"]) {
      deepEqual(await keys(store, prefix), sorted.filter((key) => key.startsWith(prefix)), prefix);
    }
    const [entry] = await listed(store, "a0");
    deepEqual(entry, { key: "a0", sizeBytes: 2, etag: (await store.get("a0")).etag });
  });

  storeTest(`lists ${listCount} objects, each once`, async (store) => {
    const written = Array.from({ length: listCount }, (_, index) => `many/${String(index).padStart(5, "0")}`);
    const queue = written.toReversed();
    const worker = async () => {
      for (let key = queue.pop(); key !== undefined; key = queue.pop()) await store.put(key, encode("1"));
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    const found: string[] = [];
    for await (const page of store.list("many/")) {
      ok(page.length > 0 && page.length <= 1000, `a page has ${page.length} entries`);
      found.push(...page.map(({ key }) => key));
    }
    deepEqual(found, written);
    equal(await store.deletePrefix("many"), listCount);
    deepEqual(await keys(store), []);
  });

  storeTest("lists the folders right below, sorted, and only those with objects", async (store) => {
    for (const key of ["x/b/1/2", "x/b/3", "x/a:=1/2", "x/é/1", "x/file", "xy/1", "top"]) {
      await store.put(key, encode(key));
    }
    deepEqual(await store.listFolders("x/"), ["a:=1", "b", "é"]);
    deepEqual(await store.listFolders(""), ["x", "xy"]);
    deepEqual(await store.listFolders("nothing/"), []);
    await store.delete("x/a:=1/2");
    deepEqual(await store.listFolders("x/"), ["b", "é"]);
  });

  storeTest("lists nothing in an empty store", async (store) => {
    deepEqual([await keys(store), await keys(store, "a/"), await store.listFolders("")], [[], [], []]);
  });
}

function removals(storeTest: StoreTest): void {
  storeTest("deletes, also what is not there", async (store) => {
    await store.put("a/b", encode("1"));
    await store.put("a/c", encode("2"));
    await store.delete("a/b");
    await store.delete("a/b");
    await store.delete("a");
    await store.delete("no/such/folder");
    deepEqual(await keys(store), ["a/c"]);
  });

  storeTest("writes an object where all objects below were deleted", async (store) => {
    await store.put("a/b", encode("1"));
    await store.delete("a/b");
    await store.put("a", encode("2"), { precondition: { ifNoneMatch: "*" } });
    equal(decode(await read(store, "a")), "2");
  });

  storeTest("deletes under a path segment and nowhere else", async (store) => {
    const kept = ["run_id=12/x", "run_id=1.5/x", "run_id=", "run_id=/x", "other/run_id=1/x"];
    const removed = ["run_id=1/x", "run_id=1/y/z", "run_id=1/y/a=1:2"];
    for (const key of [...kept.filter((key) => key !== "run_id="), ...removed]) await store.put(key, encode(key));
    equal(await store.deletePrefix("run_id=1"), 3);
    equal(await store.deletePrefix("run_id=1/"), 0);
    equal(await store.deletePrefix("no/such/folder"), 0);
    deepEqual((await keys(store)).toSorted(), kept.filter((key) => key !== "run_id=").toSorted());
  });

  storeTest("does not delete everything by mistake", async (store) => {
    await store.put("a", encode("1"));
    for (const prefix of ["", "/", ".."]) {
      await rejects(() => store.deletePrefix(prefix), { code: "CONFIG_VALIDATION", path: "prefix" });
    }
    deepEqual(await keys(store), ["a"]);
  });
}

function aborts(storeTest: StoreTest): void {
  storeTest("sends nothing when the signal is aborted already", async (store) => {
    await store.put("object", encode("1"));
    const reason = new Error("enough");
    const options = { signal: AbortSignal.abort(reason) };
    const isReason = (error: unknown) => error === reason;
    await rejects(() => store.get("object", options), isReason);
    await rejects(() => store.getRanges("object", [range(0, 1)], options), isReason);
    await rejects(() => store.put("object", encode("2"), options), isReason);
    await rejects(() => store.upload("object", { ...options, headBytes: 0 }), isReason);
    await rejects(() => store.list("", options)[Symbol.asyncIterator]().next(), isReason);
    await rejects(() => store.listFolders("", options), isReason);
    await rejects(() => store.delete("object", options), isReason);
    await rejects(() => store.deletePrefix("object", options), isReason);
    equal(decode(await read(store, "object")), "1");
  });

  storeTest("rejects with the reason, or succeeds, when aborted on the way", async (store) => {
    const reason = new Error("enough");
    await store.put("big", patterned(8 << 20));
    const calls: ((signal: AbortSignal) => Promise<unknown>)[] = [
      async (signal) => await (await store.get("big", { signal })).bytes(),
      (signal) => store.put("other", patterned(1 << 20), { signal }),
      (signal) => store.getRanges("big", [range(0, 1 << 20), range(5, 1 << 20)], { signal }),
      (signal) => uploadWhole(store, patterned(12 << 20), { key: "uploaded", headBytes: 1, signal }),
    ];
    for (const call of calls) {
      for (const delayMs of [0, 2, 10]) {
        const controller = new AbortController();
        const outcome = call(controller.signal).then(() => "ok", (error) => error);
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        controller.abort(reason);
        const result = await outcome;
        ok(result === "ok" || result === reason, `unexpected outcome ${result}`);
      }
    }
  });

  storeTest("ends an upload whose signal is aborted, and leaves nothing", async (store) => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const isReason = (error: unknown) => error === reason;
    const upload = await store.upload("object", { headBytes: 1, signal: controller.signal });
    await upload.write(encode("1"));
    controller.abort(reason);
    await rejects(() => upload.write(encode("2")), isReason);
    await rejects(() => upload.finish(encode("0")), isReason);
    await upload.abort();
    deepEqual(await keys(store), []);
  });
}

function names(storeTest: StoreTest): void {
  storeTest("takes colons, equals signs, spaces, percent signs and any script in keys", async (store) => {
    for (const key of KEYS.filter((key) => key !== "a" && key !== "a/b")) {
      const name = `manifests/2026-11-21T02:38:18.776369Z_run_id=é x%2F/${key}`;
      await store.put(name, encode(name));
      equal(decode(await read(store, name)), name);
      equal(decode((await store.getRanges(name, [range(0, 9)])).parts[0]!), "manifests");
      deepEqual(await keys(store, name), [name]);
      await store.delete(name);
      await rejects(() => store.get(name), { code: "OBJECT_NOT_FOUND" });
    }
  });

  storeTest("refuses keys that lead astray", async (store) => {
    for (const key of BAD_KEYS) {
      const expected = { code: "CONFIG_VALIDATION", path: "key" };
      await rejects(() => store.put(key, encode("1")), expected);
      await rejects(() => store.upload(key, { headBytes: 0 }), expected);
      await rejects(() => store.get(key), expected);
      await rejects(() => store.getRanges(key, [range(0, 1)]), expected);
      await rejects(() => store.delete(key), expected);
    }
    for (const prefix of ["/a", "a//", "../", "a/./b"]) {
      await rejects(() => keys(store, prefix), { code: "CONFIG_VALIDATION", path: "prefix" });
    }
    deepEqual(await keys(store), []);
  });
}
