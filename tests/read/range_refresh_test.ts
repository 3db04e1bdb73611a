// P1 while a thousand lookups are under way. Judge: every value names the snapshot that it belongs to.
import { deepEqual, equal, ok } from "node:assert/strict";
import { test } from "node:test";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { SnapshotReader } from "../../src/read/snapshot_reader.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { rollBack } from "../../src/snapshots/history.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { served, upTo } from "./served_series.ts";

const ROWS = 5000;

async function publish(store: ObjectStore, word: string): Promise<string> {
  const { manifestRef } = await writeSnapshot(upTo(ROWS), {
    store,
    sharding: hashSharding({ shards: 3 }),
    key: (id) => id,
    value: (id) => `${word} ${id}`.padEnd(100),
  });
  return manifestRef;
}

/** The snapshot that a value is of. */
function wordOf(value: Uint8Array | null | undefined, id: number): string {
  ok(value instanceof Uint8Array, `key ${id} is missing`);
  const [word, key] = new TextDecoder().decode(value).split(" ");
  equal(Number(key), id);
  return word!;
}

async function wordOfMany(reader: SnapshotReader, ids: readonly number[]): Promise<string> {
  const values = await reader.getMany(ids);
  const words = new Set(ids.map((id) => wordOf(values.get(id), id)));
  equal(words.size, 1, [...words].join());
  return [...words][0]!;
}

for (const access of ["range", "hydrate"] as const) {
  test(`SnapshotReader.refresh() P1: lookups under way end on one snapshot each, with access "${access}"`, async () => {
    const store = memoryStore();
    const refs = [await publish(store, "1")];
    await using http = await served(store);
    http.server.delayMs = 3;
    await using reader = await openSnapshot({ store: http.store, access, concurrencyMax: 32 });
    const seen = new Map<string, number>();
    for (const next of ["2", "3", "1"]) {
      if (next === "1") await rollBack(store, { ref: refs[0]! });
      else refs.push(await publish(store, next));
      const before = reader.info.manifestRef;
      const lookups = [
        ...upTo(1000).map(async (index) => {
          const id = (index * 37) % ROWS;
          return wordOf(await reader.get(id), id);
        }),
        ...upTo(20).map((index) => wordOfMany(reader, upTo(50).map((at) => (at * 97 + index * 13) % ROWS))),
      ];
      const refreshed = reader.refresh();
      // Some begin on the new snapshot while the old one is still being read.
      await refreshed;
      lookups.push(...upTo(100).map(async (index) => wordOf(await reader.get(index * 7), index * 7)));
      lookups.push(wordOfMany(reader, upTo(50)));
      equal(await refreshed, true);
      ok(reader.info.manifestRef !== before);
      const words = await Promise.all(lookups);
      for (const word of words) seen.set(word, (seen.get(word) ?? 0) + 1);
      deepEqual([...new Set(words.slice(-101))], [next]);
      const last = next === "1" ? "3" : `${Number(next) - 1}`;
      deepEqual([...new Set(words.slice(0, 1020))], [last]);
    }
    deepEqual([...seen.keys()].sort(), ["1", "2", "3"]);
    deepEqual(reader.info.warnings, []);
    http.asked();
  });
}

test("SnapshotReader.scan() P1: over ranges a scan stays with its snapshot while others are read", async () => {
  const store = memoryStore();
  await publish(store, "1");
  await using http = await served(store);
  await using reader = await openSnapshot({ store: http.store, access: "range" });
  const rows = reader.scan();
  const words = new Set<string>();
  let count = 0;
  for await (const [, value] of rows) {
    words.add(new TextDecoder().decode(value).split(" ")[0]!);
    if (count++ !== 10) continue;
    await publish(store, "2");
    equal(await reader.refresh(), true);
    equal(wordOf(await reader.get(7), 7), "2");
  }
  deepEqual([count, [...words]], [ROWS, ["1"]]);
});

test("SnapshotReader.close() over ranges lets a thousand lookups that are under way end", async () => {
  const store = memoryStore();
  await publish(store, "1");
  await using http = await served(store);
  http.server.delayMs = 2;
  const reader = await openSnapshot({ store: http.store, access: "range", concurrencyMax: 32 });
  equal(wordOf(await reader.get(5), 5), "1");
  const lookups = upTo(1000).map((id) => reader.get(id * 3));
  await reader.close();
  const outcomes = await Promise.allSettled(lookups);
  for (const [id, outcome] of outcomes.entries()) {
    if (outcome.status === "fulfilled") equal(wordOf(outcome.value, id * 3), "1");
    else equal(outcome.reason.code, "READER_STATE");
  }
  ok(outcomes.some(({ status }) => status === "fulfilled"));
});
