// What a store that reads by HTTP must make of a server that fails: the right bytes or a typed error, never a hang.
import { deepEqual, equal, match, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { ShardyfusionError } from "../../src/errors.ts";
import type { ReadableStore } from "../../src/stores/store.ts";
import { type CountingProxy, type Fault, startCountingProxy } from "../servers/counting_proxy.ts";
import { digest, patterned, range } from "./readable_store_contract.ts";

/** A store, and the path of its first key on the server, without slash in front. */
export interface FaultySetup {
  readonly store: ReadableStore;
  readonly root: string;
}

const small = patterned(300_000);
const large = patterned(6 << 20);
// Wide apart, so that no store reads two of them at once.
const RANGES = [range(10, 4000), range(150_000, 1), range(250_000, 50_000)];

type Read = (store: ReadableStore, signal?: AbortSignal) => Promise<string>;

function rightRanges(bytes: Uint8Array): string {
  return RANGES.map(({ offset, lengthBytes }) => digest(bytes.subarray(offset, offset + lengthBytes))).join();
}

async function readRanges(store: ReadableStore, key: string, signal?: AbortSignal): Promise<string> {
  const { parts } = await store.getRanges(key, RANGES, { ...(signal && { signal }) });
  return parts.map(digest).join();
}

const reads: Record<string, { read: Read; right: string }> = {
  "get().bytes()": {
    read: async (store, signal) => digest(await (await store.get("small", { ...(signal && { signal }) })).bytes()),
    right: digest(small),
  },
  "get().body": {
    async read(store, signal) {
      const chunks: Uint8Array[] = [];
      for await (const chunk of (await store.get("small", { ...(signal && { signal }) })).body) chunks.push(chunk);
      return digest(Buffer.concat(chunks));
    },
    right: digest(small),
  },
  "getIfChanged()": {
    async read(store, signal) {
      const object = await store.getIfChanged!("small", '"other"', { ...(signal && { signal }) });
      return digest(await object!.bytes());
    },
    right: digest(small),
  },
  "getRanges()": { read: (store, signal) => readRanges(store, "small", signal), right: rightRanges(small) },
};

const transient = { code: "STORE", retryable: true };
const final = { code: "STORE", retryable: false };

/** What comes of each fault; `right` stands for the right bytes or a typed error. */
const outcomes: readonly [fault: Fault, whole: object | "right", ranges: object | "right"][] = [
  ["cut", transient, transient],
  ["badLength", transient, transient],
  ["wrongRange", "right", transient],
  ["wholeFor206", "right", "right"],
  ["gzip", "right", "right"],
  [{ slowFirstByteMs: 30 }, "right", "right"],
  [{ status: 404 }, { code: "OBJECT_NOT_FOUND" }, { code: "OBJECT_NOT_FOUND" }],
  [{ status: 410 }, { code: "OBJECT_NOT_FOUND" }, { code: "OBJECT_NOT_FOUND" }],
  [{ status: 403 }, { ...final, status: 403, message: /no such object/ }, { ...final, status: 403 }],
  [{ status: 400 }, { ...final, status: 400, message: /Planned400/ }, { ...final, status: 400 }],
  [{ status: 429 }, { ...transient, status: 429 }, { ...transient, status: 429 }],
  [{ status: 500 }, { ...transient, status: 500 }, { ...transient, status: 500 }],
  [{ status: 503 }, { ...transient, status: 503 }, { ...transient, status: 503 }],
];

/**
 * Registers the tests.
 *
 * @param label The symbol tested.
 * @param setUp Makes the store over a server whose objects are `small` and `large` below `root`.
 * @param readsPieces Whether the store reads more than it is asked for, and may mend what it has read.
 */
export function storeFaults(
  label: string,
  setUp: (serverUrl: string) => FaultySetup,
  { readsPieces = false }: { readonly readsPieces?: boolean } = {},
): void {
  async function served(use: (store: ReadableStore, server: CountingProxy) => Promise<void>): Promise<void> {
    const objects = new Map<string, Uint8Array>();
    const server = await startCountingProxy({ objects });
    try {
      const { store, root } = setUp(server.url);
      objects.set(`${root}small`, small).set(`${root}large`, large);
      await use(store, server);
    } finally {
      await server[Symbol.asyncDispose]();
    }
  }

  for (const [fault, whole, ranges] of outcomes) {
    test(`${label} P7: right bytes or a typed error when the server does ${JSON.stringify(fault)}`, async () => {
      await served(async (store, server) => {
        server.fault = () => fault;
        for (const [name, { read, right }] of Object.entries(reads)) {
          // Who reads more than was asked for may get by, or see another failure first.
          const expected = name !== "getRanges()" ? whole : readsPieces && ranges === transient ? "right" : ranges;
          if (expected !== "right") {
            await rejects(() => read(store), expected, name);
            continue;
          }
          const result = await read(store).catch((error) => error);
          ok(result === right || result instanceof ShardyfusionError, `${name}: ${result}`);
        }
      });
    });
  }

  for (const fault of ["cut", "badLength", { status: 408 }, { status: 429 }, { status: 503 }] as const) {
    test(`${label} P7: asks again when the server does ${JSON.stringify(fault)} twice`, async () => {
      await served(async (store, server) => {
        for (const [name, { read, right }] of Object.entries(reads)) {
          let faultsLeft = 2;
          server.fault = () => faultsLeft-- > 0 ? fault : null;
          server.take();
          // The beginning of a stream was given away, and so was a wrong length.
          const isTold = name === "get().body"
            ? typeof fault === "string"
            : name !== "getRanges()" && fault === "badLength";
          if (isTold) await rejects(() => read(store), transient, name);
          else equal(await read(store), right, name);
          deepEqual(server.take().filter(({ method }) => method !== "GET"), []);
        }
      });
    });
  }

  test(`${label} ends with the reason when the server stalls`, { timeout: 20_000 }, async () => {
    await served(async (store, server) => {
      for (const fault of ["stall", { slowFirstByteMs: 3000 }] as const) {
        server.fault = () => fault;
        for (const [name, { read }] of Object.entries(reads)) {
          const controller = new AbortController();
          const reason = new Error("enough");
          const timer = setTimeout(() => controller.abort(reason), 100);
          const startMs = Date.now();
          await rejects(() => read(store, controller.signal), (error) => error === reason, name);
          ok(Date.now() - startMs < 1500, `${name} took ${Date.now() - startMs} ms`);
          clearTimeout(timer);
        }
      }
    });
  });

  test(`${label} tells that nobody listens`, async () => {
    let url = "";
    await served((_store, server) => Promise.resolve(void (url = server.url)));
    const { store } = setUp(url);
    for (const { read } of Object.values(reads)) await rejects(() => read(store), transient);
  });

  test(`${label} sends one request for an object that has not changed, and no body comes`, async () => {
    await served(async (store, server) => {
      const { etag } = await store.get("small").then(async (object) => (await object.bytes(), object));
      server.take();
      equal(await store.getIfChanged!("small", etag!), null);
      deepEqual(server.take().map(({ method, status, bytes }) => [method, status, bytes]), [["GET", 304, 0]]);
      match(etag!, /^"/);
    });
  });

  if (readsPieces) return;

  test(`${label} P1: tells when an object changes between two ranges`, async () => {
    await served(async (store, server) => {
      server.fault = (_request, index) => index === 1 ? "etag" : null;
      await rejects(() => readRanges(store, "small"), { ...transient, message: /replaced/ });
    });
  });

  test(`${label} asks for no more than the ranges, and reads whole small objects where there are none`, async () => {
    await served(async (store, server) => {
      await readRanges(store, "large");
      ok(server.log.every(({ status }) => status === 206));
      const asked = server.take().reduce((sum, { bytes }) => sum + bytes, 0);
      ok(asked <= 54_001 + 2 * RANGES.length * (1 << 20), `${asked} bytes were read`);
      server.fault = () => "wholeFor206";
      equal(await readRanges(store, "small"), rightRanges(small));
      await rejects(() => readRanges(store, "large"), { ...final, message: /access "download"/ });
    });
  });
}
