// P1 and P7 where somebody overwrites what must never change. Judge: every value names the version that it is of.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { test } from "node:test";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { StoreError } from "../../src/errors.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { served, together, upTo } from "./served_series.ts";
import { text } from "./small_snapshots.ts";

const ROWS = 2000;

interface Version {
  readonly store: ObjectStore;
  readonly bytes: Uint8Array;
  readonly key: string;
}

/** One shard whose values all begin with the word; how long they are is up to the key. */
async function version(word: string, options: { guard: boolean; sidecar: boolean }): Promise<Version> {
  const store = memoryStore();
  await writeSnapshot(upTo(ROWS), {
    store,
    sharding: hashSharding({ shards: 1 }),
    key: (id) => id,
    // The same lengths in another order: files of one length, whose pages end at other keys.
    value: (id) => `${word} ${id}`.padEnd(word === "old" ? 40 + id % 200 : 40 + (ROWS - 1 - id) % 200),
    backend: sqliteBackend(options),
  });
  const key = (await Array.fromAsync(store.list("shards/"))).flat().find(({ key }) => key.endsWith(".db"))!.key;
  return { store, key, bytes: await (await store.get(key)).bytes() };
}

/** The bytes of another version, as long as those that they replace. */
function ofLength({ bytes }: Version, lengthBytes: number): Uint8Array {
  ok(bytes.length <= lengthBytes && lengthBytes - bytes.length < 65536, `${bytes.length} and ${lengthBytes} bytes`);
  const padded = new Uint8Array(lengthBytes);
  padded.set(bytes);
  return padded;
}

const replaced = (error: unknown) => error instanceof StoreError && error.status === 412 && error.retryable;

for (const [guard, sidecar] of [[true, true], [true, false], [false, true], [false, false]] as const) {
  const with_ = `${guard ? "with" : "without"} a guard, ${sidecar ? "with" : "without"} a sidecar`;

  test(`SnapshotReader.get() P1: a shard of the same bytes but another ETag is begun anew, ${with_}`, async () => {
    const { store, key, bytes } = await version("old", { guard, sidecar });
    await using http = await served(store);
    await using reader = await openSnapshot({ store: http.store, access: "range" });
    equal(text(await reader.get(5))!.trim(), "old 5");
    await store.put(key, bytes);
    await rejects(reader.get(1000), replaced);
    equal(text(await reader.get(1000))!.trim(), "old 1000");
    equal(text(await reader.get(5))!.trim(), "old 5");
    equal(text((await reader.getMany([1900])).get(1900))!.trim(), "old 1900");
    deepEqual(reader.info.warnings.map((warning) => /guards|sidecar/.exec(warning)?.[0]), [
      ...(guard ? [] : ["guards"]),
      ...(sidecar ? ["sidecar"] : []),
    ]);
  });

  test(`SnapshotReader P1, P7: a shard of other bytes is an error, then read or refused, ${with_}`, async () => {
    const { store, key, bytes } = await version("old", { guard, sidecar });
    const other = ofLength(await version("new", { guard, sidecar }), bytes.length);
    await using http = await served(store);
    await using reader = await openSnapshot({ store: http.store, access: "range" });
    equal(text(await reader.get(5))!.trim(), "old 5");
    await store.put(key, other);
    await rejects(reader.getMany([1000, 1500]), replaced);
    if (guard) {
      for (const id of [5, 1000, 1500]) await rejects(reader.get(id), { code: "CORRUPT_FILE" });
      await rejects(reader.getMany([5, 1000]), { code: "CORRUPT_FILE" });
    } else {
      for (const id of [5, 1000, 1500]) equal(text(await reader.get(id))!.trim(), `new ${id}`);
    }
    await store.put(key, bytes);
    await reader.getMany([700]).catch(() => {});
    equal(text(await reader.get(5))!.trim(), "old 5");
    equal(text(await reader.get(700))!.trim(), "old 700");
  });

  test(`SnapshotReader P1: lookups under way while a shard is replaced are of one version each, ${with_}`, async () => {
    const { store, key, bytes } = await version("old", { guard, sidecar });
    const other = ofLength(await version("new", { guard, sidecar }), bytes.length);
    await using http = await served(store);
    await using reader = await openSnapshot({ store: http.store, access: "range", concurrencyMax: 64 });
    equal(text(await reader.get(5))!.trim(), "old 5");
    const ids = upTo(10).map((index) => 100 + 190 * index);
    // From now on only leaves are missing.
    await reader.getMany(
      upTo(100).map((index) => 7 + 19 * index).filter((id) => !ids.some((x) => Math.abs(x - id) < 60)),
    );
    const hold = together(ids.length);
    let isReplaced = false;
    http.server.fault = async (request, index) => {
      await hold(request, index);
      if (!isReplaced) await store.put(key, other), isReplaced = true;
      return null;
    };
    const words = new Map<string, number>();
    for (let turn = 0; turn < 3; turn++) {
      const outcomes = await Promise.allSettled(ids.map((id) => reader.get(id)));
      for (const [index, outcome] of outcomes.entries()) {
        let word: string;
        if (outcome.status === "fulfilled") {
          const [version, id] = (text(outcome.value) ?? "lost").split(" ");
          equal(Number(id), ids[index], `key ${ids[index]} is ${version}`);
          word = version!;
        } else {
          word = replaced(outcome.reason) ? "replaced" : outcome.reason.code;
        }
        words.set(word, (words.get(word) ?? 0) + 1);
      }
    }
    const allowed = guard ? ["CORRUPT_FILE", "old", "replaced"] : ["new", "old", "replaced"];
    deepEqual([...words.keys()].filter((word) => !allowed.includes(word)), [], JSON.stringify([...words]));
    ok(words.has("replaced") && words.has(guard ? "CORRUPT_FILE" : "new"), JSON.stringify([...words]));
  });
}
