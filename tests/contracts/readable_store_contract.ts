// What every store must do that can be read, judged by the bytes that were put in.
import { deepEqual, equal, match, notEqual, ok, rejects } from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import type { ByteRange, ReadableStore } from "../../src/stores/store.ts";

/** A store over nothing yet, a way to put objects there, and how to get rid of it. */
export interface ReadableStoreUnderTest {
  readonly store: ReadableStore;
  /** Creates or replaces. */
  readonly put: (key: string, bytes: Uint8Array) => Promise<unknown>;
  readonly cleanUp: () => Promise<void>;
}

/** Keys of objects that can lie beside each other in one store, `a` and `a/b` left out of account. */
export const KEYS: readonly string[] = [
  "a",
  "a-b",
  "a.b",
  "a/b",
  "a/b/c=1:2",
  "a/ü ñ%41+&?#",
  "a0",
  "z/😀",
  "z/\uFFFD",
  "z/日本",
];

/** Keys that no store takes. */
export const BAD_KEYS: readonly string[] = [
  "",
  "/a",
  "a/",
  "a//b",
  ".",
  "..",
  "a/../b",
  "./a",
  "a\0b",
  "\ud800",
];

/** Bytes that no other offset repeats nearby, so that a part in the wrong place shows. */
export function patterned(sizeBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sizeBytes);
  for (let index = 0; index < sizeBytes; index++) bytes[index] = Math.imul(index, 0x9e3779b1) >>> 24;
  return bytes;
}

/** Length and SHA-256. */
export function digest(bytes: Uint8Array): string {
  return `${bytes.byteLength} ${createHash("sha256").update(bytes).digest("hex")}`;
}

/** A range in one breath. */
export function range(offset: number, lengthBytes: number): ByteRange {
  return { offset, lengthBytes };
}

/** A version that no object has. */
const OTHER_ETAG = '"0123456789abcdef0123456789abcdef"';
const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

type Use = (store: ReadableStore, put: ReadableStoreUnderTest["put"]) => Promise<void>;
type StoreTest = (name: string, use: Use) => void;

/**
 * Registers the tests.
 *
 * @param label The symbol tested, such as `httpStore()`.
 * @param leaveOut Why the tests cannot run here; they say so.
 */
export function readableStoreContract(
  label: string,
  makeStore: () => Promise<ReadableStoreUnderTest>,
  { leaveOut = null }: { readonly leaveOut?: string | null } = {},
): void {
  function storeTest(name: string, use: Use): void {
    test(`${label} ${name}`, { timeout: 120_000 }, async (t) => {
      if (leaveOut !== null) {
        console.log(`LEFT OUT: ${leaveOut}`);
        return t.skip(leaveOut);
      }
      const { store, put, cleanUp } = await makeStore();
      try {
        await use(store, put);
      } finally {
        await cleanUp();
      }
    });
  }
  wholeObjects(storeTest);
  changes(storeTest);
  ranges(storeTest);
  aborts(storeTest);
  names(storeTest);
}

function wholeObjects(storeTest: StoreTest): void {
  storeTest("has a url without slash at its end", (store) => {
    match(store.url, /^[a-z0-9]+:\/\/.*[^/]$/);
    return Promise.resolve();
  });

  for (const sizeBytes of [0, 1, 70_000, 20 << 20]) {
    storeTest(`reads ${sizeBytes} bytes, whole and as a stream`, async (store, put) => {
      const bytes = patterned(sizeBytes);
      await put("folder/object", bytes);
      const object = await store.get("folder/object");
      equal(object.sizeBytes, sizeBytes);
      match(object.etag!, /^"[^"]+"$/);
      equal(digest(await object.bytes()), digest(bytes));
      const hash = createHash("sha256");
      let streamedBytes = 0;
      for await (const chunk of (await store.get("folder/object")).body) {
        hash.update(chunk);
        streamedBytes += chunk.byteLength;
      }
      equal(`${streamedBytes} ${hash.digest("hex")}`, digest(bytes));
    });
  }

  storeTest("gives away bytes that are the caller's own", async (store, put) => {
    await put("object", encode("before"));
    (await (await store.get("object")).bytes()).fill(0);
    for await (const chunk of (await store.get("object")).body) chunk.fill(0);
    (await store.getRanges("object", [range(0, 6)])).parts[0]!.fill(0);
    equal(decode(await (await store.get("object")).bytes()), "before");
    equal(decode((await store.getRanges("object", [range(0, 6)])).parts[0]!), "before");
  });

  storeTest("lets a body be given up", async (store, put) => {
    await put("object", patterned(3 << 20));
    await (await store.get("object")).body.cancel();
    const reader = (await store.get("object")).body.getReader();
    ok(!(await reader.read()).done);
    await reader.cancel();
  });

  storeTest("tells that an object is missing", async (store, put) => {
    await put("folder/object", encode("1"));
    for (const key of ["nothing", "folder", "folder/object/below", "nowhere/at/all"]) {
      const expected = { code: "OBJECT_NOT_FOUND", url: `${store.url}/${key}`, retryable: false };
      await rejects(() => store.get(key), expected);
      await rejects(() => store.getRanges(key, [range(0, 1)]), expected);
      await rejects(async () => await store.getIfChanged!(key, '"1"'), expected);
    }
  });
}

function changes(storeTest: StoreTest): void {
  storeTest("reads an object only if it has changed", async (store, put) => {
    await put("object", encode("first"));
    const { etag } = await store.get("object");
    equal(await store.getIfChanged!("object", etag!), null);
    equal(await store.getIfChanged!("object", etag!), null);
    const other = await store.getIfChanged!("object", OTHER_ETAG);
    deepEqual([other!.etag, other!.sizeBytes, decode(await other!.bytes())], [etag, 5, "first"]);
    await put("object", encode("second"));
    const second = await store.getIfChanged!("object", etag!);
    notEqual(second!.etag, etag);
    equal(decode(await second!.bytes()), "second");
    equal(await store.getIfChanged!("object", second!.etag!), null);
  });
}

function ranges(storeTest: StoreTest): void {
  storeTest("reads ranges: first byte, last byte, all, many, in any order", async (store, put) => {
    const bytes = patterned(100_000);
    await put("object", bytes);
    const { etag } = await store.get("object");
    const wanted = [range(0, 1), range(99_999, 1), range(0, 100_000), range(5, 4096), range(5, 4096)];
    for (let count = 0; count < 40; count++) wanted.push(range(99_000 - count * 2_000, count + 1));
    const result = await store.getRanges("object", wanted);
    deepEqual([result.etag, result.sizeBytes], [etag, 100_000]);
    for (const [index, { offset, lengthBytes }] of wanted.entries()) {
      equal(digest(result.parts[index]!), digest(bytes.subarray(offset, offset + lengthBytes)));
    }
    equal(result.parts.length, wanted.length);
  });

  storeTest("reads no ranges", async (store, put) => {
    await put("object", encode("1"));
    deepEqual((await store.getRanges("object", [])).parts, []);
  });

  storeTest("refuses ranges past the end, and ranges that are none", async (store, put) => {
    await put("object", patterned(100));
    await put("empty", new Uint8Array());
    for (const wrong of [range(100, 1), range(99, 2), range(0, 101), range(5000, 10)]) {
      await rejects(() => store.getRanges("object", [range(0, 1), wrong]), { code: "STORE", retryable: false });
      await rejects(() => store.getRanges("object", [wrong]), { code: "STORE", retryable: false });
    }
    await rejects(() => store.getRanges("empty", [range(0, 1)]), { code: "STORE", retryable: false });
    for (const wrong of [range(0, 0), range(-1, 5), range(0.5, 1), range(0, NaN)]) {
      await rejects(() => store.getRanges("object", [wrong]), { code: "CONFIG_VALIDATION", path: "ranges" });
    }
  });
}

function aborts(storeTest: StoreTest): void {
  storeTest("reads nothing when the signal is aborted already", async (store, put) => {
    await put("object", encode("1"));
    const reason = new Error("enough");
    const options = { signal: AbortSignal.abort(reason) };
    const isReason = (error: unknown) => error === reason;
    await rejects(() => store.get("object", options), isReason);
    await rejects(() => store.getRanges("object", [range(0, 1)], options), isReason);
    await rejects(async () => await store.getIfChanged!("object", '"1"', options), isReason);
  });

  storeTest("rejects with the reason, or gives the bytes, when aborted while reading", async (store, put) => {
    const reason = new Error("enough");
    const bytes = patterned(8 << 20);
    await put("big", bytes);
    const calls: ((signal: AbortSignal) => Promise<Uint8Array>)[] = [
      async (signal) => await (await store.get("big", { signal })).bytes(),
      async (signal) => await (await store.getIfChanged!("big", OTHER_ETAG, { signal }))!.bytes(),
      async (signal) => {
        const ranges = [range(0, 4 << 20), range(4 << 20, 4 << 20)];
        return Buffer.concat((await store.getRanges("big", ranges, { signal })).parts);
      },
    ];
    const expected = digest(bytes);
    for (const call of calls) {
      for (const delayMs of [0, 2, 10]) {
        const controller = new AbortController();
        const outcome = call(controller.signal).then(digest, (error) => error);
        await new Promise((resolve) => setTimeout(resolve, delayMs));
        controller.abort(reason);
        const result = await outcome;
        ok(result === expected || result === reason, `unexpected outcome ${result}`);
      }
    }
  });
}

function names(storeTest: StoreTest): void {
  storeTest("reads keys with colons, equals signs, spaces, percent signs and any script", async (store, put) => {
    for (const key of KEYS.filter((key) => key !== "a" && key !== "a/b")) {
      const name = `manifests/2026-11-21T02:38:18.776369Z_run_id=é x%2F(1)'!*/${key}`;
      await put(name, encode(name));
      equal(decode(await (await store.get(name)).bytes()), name);
      equal(decode((await store.getRanges(name, [range(0, 9)])).parts[0]!), "manifests");
    }
  });

  storeTest("reads no keys that lead astray", async (store) => {
    for (const key of BAD_KEYS) {
      const expected = { code: "CONFIG_VALIDATION", path: "key" };
      await rejects(() => store.get(key), expected);
      await rejects(() => store.getRanges(key, [range(0, 1)]), expected);
      await rejects(async () => await store.getIfChanged!(key, '"1"'), expected);
    }
  });
}
