// Judge: the file's bytes, and a list of what was asked for.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import type { RemoteShard } from "../../src/backends/backend.ts";
import type { Guard } from "../../src/backends/guard.ts";
import { SidecarDeclined, StorePages } from "../../src/backends/store_pages.ts";
import { PagePool } from "../../src/read/page_pool.ts";
import type { Sidecar } from "../../src/sqlite/sidecar.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ByteRange } from "../../src/stores/store.ts";

const PAGE_BYTES = 512;

/** What differs from a file of 100 pages, read without gaps, in a cache of plenty. */
interface Setup {
  pageSizeBytes?: number;
  pageCount?: number;
  gapPagesMax?: number;
  cacheBytesMax?: number;
  sidecar?: Sidecar | null;
  guard?: Guard | null;
  etag?: string | null;
}

/** Each page is full of its own number. */
function pageOf(pageNumber: number, pageSizeBytes = PAGE_BYTES): Uint8Array {
  const page = new Uint8Array(pageSizeBytes);
  new DataView(page.buffer).setUint32(0, pageNumber);
  return page.fill(pageNumber, 4);
}

function setUp(setup: Setup = {}) {
  const { pageSizeBytes = PAGE_BYTES, pageCount = 100, gapPagesMax = 0, cacheBytesMax = 1 << 20 } = setup;
  const asked: string[] = [];
  const signals: AbortSignal[] = [];
  const steering = {
    etag: '"1"' as string | null,
    /** Called before an answer. */
    before: (() => Promise.resolve()) as (pages: string) => Promise<void>,
    spoil: (_bytes: Uint8Array): void => {},
  };
  const tally = { cacheHits: 0, filterHits: 0 };
  const pool = new PagePool(cacheBytesMax);
  const shard: RemoteShard = {
    url: "memory:///store/shard.db",
    key: "shard.db",
    store: memoryStore(),
    sizeBytes: pageCount * pageSizeBytes,
    keyEncoding: "u64be",
    objects: undefined,
    pageSizeHint: undefined,
    mayHaveSidecar: false,
    pages: pool,
    tally,
    async read({ offset, lengthBytes }: ByteRange, signal?: AbortSignal) {
      const first = offset / pageSizeBytes + 1;
      const last = first + lengthBytes / pageSizeBytes - 1;
      const name = first === last ? `${first}` : `${first}-${last}`;
      asked.push(name);
      signals.push(signal!);
      const { etag } = steering;
      await steering.before(name);
      signal?.throwIfAborted();
      const bytes = new Uint8Array(lengthBytes);
      for (let page = first; page <= last; page++) {
        bytes.set(pageOf(page, pageSizeBytes), (page - first) * pageSizeBytes);
      }
      steering.spoil(bytes);
      return { bytes, etag };
    },
    load: () => Promise.resolve(null),
    gapBytesMax: () => gapPagesMax * pageSizeBytes,
    warn: () => {},
  };
  const { sidecar = null, guard = null, etag } = setup;
  const pages = new StorePages(shard, { pageSizeBytes, slot: pool.newSlot(), sidecar, guard, etag });
  return { pages, asked, signals, steering, tally, pool, shard };
}

/** A store that answers when it is told to. */
function held(steering: ReturnType<typeof setUp>["steering"]): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  steering.before = () => promise;
  return resolve;
}

test("StorePages.load() asks once for a page that a hundred want", async () => {
  const { pages, asked, steering, tally } = setUp();
  const answer = held(steering);
  const loads = Array.from({ length: 100 }, () => pages.load(7));
  answer();
  for (const page of await Promise.all(loads)) deepEqual(page, pageOf(7));
  deepEqual(asked, ["7"]);
  equal(tally.cacheHits, 0);
  deepEqual(await pages.load(7), pageOf(7));
  deepEqual(pages.peek(7), pageOf(7));
  deepEqual(asked, ["7"]);
  equal(tally.cacheHits, 2);
});

test("StorePages.load() of one who leaves disturbs nobody; when all have left the request ends", async () => {
  const { pages, asked, signals, steering } = setUp();
  const answer = held(steering);
  const [one, other] = [new AbortController(), new AbortController()];
  const left = pages.load(7, one.signal);
  const kept = pages.load(7, other.signal);
  one.abort(new Error("one"));
  await rejects(left, /one/);
  ok(!signals[0]!.aborted);
  answer();
  deepEqual(await kept, pageOf(7));

  const answerNext = held(steering);
  const next = new AbortController();
  const given = pages.loadMany([8, 9], next.signal);
  next.abort(new Error("next"));
  await rejects(given, /next/);
  ok(signals[1]!.aborted);
  const anew = pages.load(8);
  answerNext();
  deepEqual(await anew, pageOf(8));
  deepEqual(asked, ["7", "8-9", "8"]);
});

test("StorePages.loadMany() takes near pages together, and waits for those under way", async () => {
  for (
    const [gapPagesMax, expected] of [
      [0, ["2-3", "6", "10-12"]],
      [1, ["2-3", "6", "10-12"]],
      [2, ["2-6", "10-12"]],
      [3, ["2-12"]],
    ] as const
  ) {
    const { pages, asked } = setUp({ gapPagesMax });
    const wanted = [10, 3, 12, 6, 2, 11];
    deepEqual(await pages.loadMany(wanted), wanted.map((number) => pageOf(number)));
    deepEqual(asked, expected);
    // What lay between was read in vain, and is not kept.
    equal(pages.peek(4), undefined);
  }
  const { pages, asked, steering } = setUp({ gapPagesMax: 5 });
  const answer = held(steering);
  const first = pages.loadMany([20, 21]);
  const second = pages.loadMany([19, 20, 21, 22]);
  answer();
  deepEqual(await first, [pageOf(20), pageOf(21)]);
  deepEqual(await second, [19, 20, 21, 22].map((number) => pageOf(number)));
  deepEqual(asked, ["20-21", "19-22"]);
});

test("StorePages.loadMany() asks for 32 MiB at once, no more", async () => {
  const { pages, asked } = setUp({ pageSizeBytes: 65536, pageCount: 2000, gapPagesMax: 4, cacheBytesMax: 1 << 26 });
  const wanted = Array.from({ length: 600 }, (_, index) => 2 + index);
  const loaded = await pages.loadMany(wanted);
  equal(loaded.length, 600);
  ok(loaded.every((page, index) => new DataView(page.buffer, page.byteOffset).getUint32(0) === wanted[index]));
  deepEqual(asked, ["2-513", "514-601"]);
});

test("StorePages.loadMany() tells a failure when all requests have ended, and asks again next time", async () => {
  const { pages, asked, steering } = setUp();
  let isOver = false;
  steering.before = async (name) => {
    if (name === "2") throw new Error("no");
    await new Promise((resolve) => setTimeout(resolve, 10));
    isOver = true;
  };
  await rejects(pages.loadMany([2, 50]), /no/);
  ok(isOver);
  steering.before = () => Promise.resolve();
  deepEqual(await pages.loadMany([2, 50]), [pageOf(2), pageOf(50)]);
  deepEqual(asked, ["2", "50", "2"]);
});

const guard: Guard = {
  pageSizeBytes: PAGE_BYTES,
  pageCount: 100,
  shardXxh3: "",
  sizeBytes: 0,
  mayContain: () => true,
  isSound: (pageNumber, page) => Buffer.compare(page, pageOf(pageNumber)) === 0,
};

test("StorePages P7: a page without its checksum is CorruptFileError where it lies, and is not kept", async () => {
  const { pages, asked, steering, pool } = setUp({ guard, gapPagesMax: 1 });
  steering.spoil = (bytes) => bytes[bytes.length - 1]! ^= 1;
  await rejects(pages.load(7), { code: "CORRUPT_FILE", byteOffset: 6 * PAGE_BYTES });
  await rejects(pages.loadMany([8, 9]), { code: "CORRUPT_FILE", byteOffset: 8 * PAGE_BYTES });
  equal(pages.peek(7), undefined);
  equal(pages.peek(9), undefined);
  steering.spoil = () => {};
  deepEqual(await pages.loadMany([7, 9]), [pageOf(7), pageOf(9)]);
  // What lies between two pages is nobody's: page 21.
  steering.spoil = (bytes) => bytes[PAGE_BYTES]! ^= 1;
  deepEqual(await pages.loadMany([20, 22]), [pageOf(20), pageOf(22)]);
  deepEqual(asked, ["7", "8-9", "7-9", "20-22"]);
  equal(pool.sizeBytes, 5 * PAGE_BYTES);
});

test("StorePages P1: all pages are of one version, also those under way when it changes", async () => {
  for (const etag of [undefined, '"1"', null]) {
    const { pages, steering } = setUp(etag === undefined ? {} : { etag });
    steering.etag = etag === null ? null : '"1"';
    await pages.load(2);
    const answer = held(steering);
    steering.etag = '"2"';
    const loads = [3, 4, 5].map((number) => pages.load(number));
    answer();
    for (const load of loads) await rejects(load, { code: "STORE", status: 412, retryable: true });
    await rejects(pages.load(6), { status: 412 });
    deepEqual(await pages.load(2), pageOf(2));
  }
});

function sidecarOf(tag: string): Sidecar {
  const own = new Map([1, 5].map((number) => [number, pageOf(number)]));
  return {
    tag,
    pageSizeBytes: PAGE_BYTES,
    pageCount: 2,
    sizeBytes: 2 * PAGE_BYTES,
    page: (pageNumber) => own.get(pageNumber),
    chain: (head) => head === 30 ? Uint32Array.of(30, 33, 31) : undefined,
  };
}

test("StorePages asks for no page of its sidecar, and believes it when the first answer has its tag", async () => {
  const { pages, asked, steering } = setUp({ sidecar: sidecarOf("1") });
  deepEqual(await pages.loadMany([1, 5, 7]), [pageOf(1), pageOf(5), pageOf(7)]);
  deepEqual(asked, ["7"]);
  await pages.bind();
  deepEqual(asked, ["7"]);
  steering.etag = '"2"';
  await rejects(pages.load(8), { status: 412 });
});

test("StorePages declines a sidecar of another version, or none told, whoever asks first", async () => {
  for (const etag of ['"2"', null]) {
    const { pages, asked, steering } = setUp({ sidecar: sidecarOf('"1"') });
    steering.etag = etag;
    await rejects(pages.load(7), SidecarDeclined);
    await rejects(pages.load(7), SidecarDeclined);
    await rejects(pages.bind(), SidecarDeclined);
    deepEqual(asked, ["7", "7", "1"]);
    equal(pages.peek(7), undefined);
  }
});

test("StorePages.chain() follows the sidecar, else takes the pages that follow, and none beyond the file", () => {
  const { pages } = setUp({ sidecar: sidecarOf('"1"') });
  deepEqual(pages.chain(30, 3), [30, 33, 31]);
  deepEqual(pages.chain(30, 2), [30, 33]);
  deepEqual(pages.chain(40, 3), [40, 41, 42]);
  deepEqual(pages.chain(99, 1000), [99, 100]);
});
