// Judge: hash-wasm for the hash, node:sqlite for what stands on a page, a counting store for GETs, the Python package's
// snapshots for shards and values.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import { test } from "node:test";
import { createXXHash3 } from "hash-wasm";
import { openSnapshot, writeSnapshot } from "../../mod.ts";
import { explorerHandler } from "../../src/explorer/explorer_handler.ts";
import type { Trace } from "../../src/explorer/trace.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { count, published } from "../read/small_snapshots.ts";
import { celSnapshots, runOf, seriesInMemory } from "../read/fixture_snapshots.ts";

const judge = await createXXHash3();

/** A function that looks keys up in an explorer of a store. */
async function tracer(
  store: ObjectStore,
  access: "auto" | "range" = "auto",
): Promise<(query: Record<string, string> | string) => Promise<Trace>> {
  const reader = await openSnapshot({ store, access });
  const handler = explorerHandler({ reader, store });
  return async (query) => {
    const search = typeof query === "string" ? query : new URLSearchParams(query);
    const answer = await handler(new Request(`http://localhost/ui/trace?${search}`));
    const text = await answer!.text();
    equal(answer!.status, 200, text);
    return JSON.parse(text);
  };
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

test("Tracer tells bytes, hash and shard of a key as hash-wasm does", async () => {
  const trace = await tracer(await published(count(500), { shards: 7 }));
  for (const key of [0, 5, 499, 2 ** 40]) {
    const { key: traced, routing } = await trace({ key: String(key) });
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(key), true);
    equal(traced.canonicalHex, hexOf(bytes));
    equal(traced.storedHex, hexOf(bytes.toReversed()));
    equal(routing.hashHex, judge.init().update(bytes).digest("hex"));
    equal(routing.shardId, Number(BigInt(`0x${routing.hashHex}`) % 7n));
  }
});

test("Tracer shows the pages of a search and its GETs, cold, warm, and for absent keys", async () => {
  const store = memoryStore();
  const keyOf = (row: number): string => `key/${String(row).padStart(6, "0")}/${"x".repeat(60)}`;
  await writeSnapshot(count(20_000), {
    store,
    sharding: hashSharding({ shards: 2 }),
    key: keyOf,
    value: (row) => `<${row}>`,
  });
  const trace = await tracer(store);
  const first = await trace({ key: keyOf(4321) });
  equal(first.value?.text, "<4321>");
  deepEqual([first.served.requests, first.served.isAlone, first.ranged.isCold], [0, true, true]);
  deepEqual(first.ranged.opening.map(({ what }) => what), ["manifest"]);
  deepEqual(first.ranged.requests.map(({ what }) => what).sort(), ["guard", "pages", "sidecar"]);
  const { steps, pageCount, pageSizeBytes } = first.ranged.way!;
  deepEqual(steps.map(({ kind }) => kind), ["interior", "interior", "leaf"]);
  deepEqual(steps.map(({ from }) => from), ["sidecar", "sidecar", "get"]);

  // The page at the end of the way is the one that has the row, and the only one that was fetched.
  const { dbUrl, sizeBytes } = (await openSnapshot({ store })).shards[first.routing.shardId!]!;
  const file = await (await store.get(`${dbUrl!.slice(store.url.length + 1)}/shard.db`)).bytes();
  equal(pageCount * pageSizeBytes, sizeBytes);
  const row = new TextEncoder().encode(`${keyOf(4321)}<4321>`);
  const leaf = steps.at(-1)!;
  const at = indexOf(file, row);
  equal(leaf.pageNumber, Math.floor(at / pageSizeBytes) + 1);
  const page = file.subarray((leaf.pageNumber - 1) * pageSizeBytes, leaf.pageNumber * pageSizeBytes);
  equal(leaf.cellCount, page[3]! * 256 + page[4]!);
  const pages = first.ranged.requests.find(({ what }) => what === "pages")!;
  deepEqual([pages.firstPage, pages.pageCount, pages.sizeBytes], [leaf.pageNumber, 1, pageSizeBytes]);

  const again = await trace({ key: keyOf(4321) });
  deepEqual([again.ranged.isCold, again.ranged.opening, again.ranged.requests], [false, [], []]);
  deepEqual(again.ranged.way!.steps.map(({ from }) => from), ["sidecar", "sidecar", "cache"]);
  const cold = await trace({ key: keyOf(4321), state: "cold" });
  equal(cold.ranged.opening.length + cold.ranged.requests.length, 4);

  const absent = await trace({ key: "key/nowhere" });
  deepEqual([absent.value, absent.ranged.isFiltered, absent.ranged.way], [null, true, null]);
  ok(absent.ranged.requests.every(({ what }) => what !== "pages"));
});

function indexOf(bytes: Uint8Array, wanted: Uint8Array): number {
  const at = bytes.findIndex((_, start) => wanted.every((byte, index) => bytes[start + index] === byte));
  ok(at >= 0);
  return at;
}

test("Tracer counts the GETs of the serving reader", async () => {
  const trace = await tracer(await published(count(1000), { shards: 1 }), "range");
  const first = await trace({ key: "77" });
  deepEqual([first.served.access, first.served.requests, first.served.isAlone], ["range", 3, true]);
  equal((await trace({ key: "77" })).served.requests, 0);
});

test("Tracer gives keys at the same time their own GETs", async () => {
  const store = await published(count(3000), { shards: 4 });
  const trace = await tracer(store);
  const keys = [1, 500, 1000, 1500, 2000].map(String);
  const traces = await Promise.all(keys.map((key) => trace({ key, state: "cold" })));
  for (const [index, { value, ranged }] of traces.entries()) {
    equal(value!.text, `<${keys[index]}>`);
    equal(ranged.opening.length, 1);
    equal(ranged.requests.filter(({ what }) => what === "pages").length, 1);
  }
});

test("Tracer shows values as JSON, text or bytes, long ones cut", async () => {
  const values = new Map<string, Uint8Array | string>([
    ["json", '{"a":[1,2]}'],
    ["precise", '{"a":12345678901234567890}'],
    ["text", "plain <b>text</b>"],
    ["bytes", Uint8Array.of(0, 255, 16)],
    ["long", "é".repeat(6000)],
    ["empty", ""],
  ]);
  const store = memoryStore();
  await writeSnapshot(values.keys(), {
    store,
    sharding: hashSharding({ shards: 2 }),
    key: (key) => key,
    value: (key) => values.get(key)!,
  });
  const trace = await tracer(store);
  const shown = async (key: string): Promise<unknown> => {
    const { kind, text, sizeBytes, isCut } = (await trace({ key })).value!;
    return [kind, text, sizeBytes, isCut];
  };
  deepEqual(await shown("json"), ["json", '{\n  "a": [\n    1,\n    2\n  ]\n}', 11, false]);
  deepEqual(await shown("precise"), ["text", '{"a":12345678901234567890}', 26, false]);
  deepEqual(await shown("text"), ["text", "plain <b>text</b>", 17, false]);
  deepEqual(await shown("bytes"), ["bytes", "00 ff 10", 3, false]);
  deepEqual(await shown("long"), ["text", "é".repeat(4096), 12_000, true]);
  deepEqual(await shown("empty"), ["text", "", 0, false]);
});

test("Tracer takes keys of bytes as text or in hex", async () => {
  const trace = await tracer(await published([Uint8Array.of(0x61, 0x62), Uint8Array.of(0xff, 0)]));
  equal((await trace({ key: "ab" })).value?.text, "<97,98>");
  equal((await trace({ key: "FF 00", form: "hex" })).value?.text, "<255,0>");
  equal((await trace({ key: "0xff00", form: "hex" })).key.storedHex, "ff00");
});

test("Tracer finds shards and values of the Python package's snapshots, whatever their engine and sharding", async () => {
  const names = ["hash_utf8", "hash_u32", "sidecar_deep_4k", "sidecar_overflow_4k", "slatedb_local", ...celSnapshots];
  let drawn = 0;
  for (const name of names) {
    const trace = await tracer(await seriesInMemory(name));
    for (const entry of runOf(name).entries.slice(0, 12)) {
      const query = new URLSearchParams({ key: String(entry.key.value) });
      if (entry.key.type === "bytes") query.set("form", "hex");
      for (const [column, { value }] of Object.entries(entry.routing_context ?? {})) {
        query.append("column", `${column}=${value}`);
      }
      const { routing, value, ranged } = await trace(query.toString());
      equal(routing.shardId, entry.shard, `${name}: ${query}`);
      if (entry.value_len !== undefined) equal(value?.sizeBytes, entry.value_len);
      if (entry.value_hex !== undefined) equal(value?.sizeBytes, entry.value_hex.length / 2);
      equal(ranged.error, null);
      if (ranged.way?.steps.at(-1)?.kind === "leaf") drawn++;
    }
  }
  ok(drawn > 40, `${drawn} ways were drawn`);
});

test("Tracer says why a token has no shard", async () => {
  const name = "cel_categorical";
  const [entry] = runOf(name).entries;
  const columns = Object.keys(entry!.routing_context ?? {}).map((column) => `column=${column}=nowhere`).join("&");
  const trace = await tracer(await seriesInMemory(name));
  const { routing, value, shard } = await trace(`key=${entry!.key.value}&${columns}`);
  deepEqual([routing.shardId, value, shard], [null, null, null]);
  match(routing.note!, /nowhere/);
});
