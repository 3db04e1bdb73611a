// P7 in all access modes: whatever byte of whatever object is wrong, each key gives its value or an error. Judge: the
// rows that were written.
import { deepEqual, equal, ok } from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { ShardyfusionError } from "../../src/errors.ts";
import { openSnapshot as openAtEdge } from "../../src/edge/edge_snapshot.ts";
import type { KeyReader } from "../../src/read/key_reader.ts";
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { AccessMode, OpenSnapshotOptions } from "../../src/read/read_options.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { upTo } from "./served_series.ts";
import { steadyCopy, type SteadyStore } from "./steady_store.ts";

const isSoak = process.env["SHARDYFUSION_SOAK"] === "1";
const OBJECTS = ["_CURRENT", "manifest", "shard.db", "shard.sidecar", "shard.guard"] as const;
const ROWS = 30;

/** Five rows fill a page; every tenth row needs pages of its own. */
function valueOf(id: number): Uint8Array {
  return new Uint8Array(id % 10 === 0 ? 3000 + 2500 * (id / 10) : id === 7 ? 0 : 700).map((_, at) => at * id + 3 * id);
}

/** Two shards of the same length, with interior pages and overflow chains. */
async function published(): Promise<SteadyStore> {
  for (let start = 0; start < 1000 * ROWS; start += ROWS) {
    const store = memoryStore();
    const { manifestRef } = await writeSnapshot(upTo(ROWS), {
      store,
      sharding: hashSharding({ shards: 2 }),
      key: (id) => `key ${start} ${id}`,
      value: valueOf,
    });
    await using reader = await openSnapshot({ store, access: "memory", pin: manifestRef });
    const [one, other] = reader.shards;
    if (one!.sizeBytes !== other!.sizeBytes) continue;
    keyPrefix = `key ${start}`;
    return await steadyCopy(store);
  }
  throw new Error("no start gives shards of the same length");
}

let keyPrefix = "";
let series: Promise<SteadyStore> | undefined;

/** What a reader made of a spoilt snapshot. */
interface Outcome {
  /** Keys that gave their value. */
  right: number;
  /** Codes of the errors. */
  readonly codes: Set<string>;
}

function note(outcome: Outcome, error: unknown): void {
  if (!(error instanceof ShardyfusionError)) throw error;
  outcome.codes.add(error.code);
}

/** Looks up everything in turn, so that an error of one key hides no other, and then together. */
async function outcomeOf(open: () => Promise<KeyReader>): Promise<Outcome> {
  const outcome: Outcome = { right: 0, codes: new Set() };
  try {
    await using reader = await open();
    for (let id = -2; id < ROWS + 2; id++) {
      try {
        checkValue(id, await reader.get(`${keyPrefix} ${id}`));
        outcome.right++;
      } catch (error) {
        note(outcome, error);
      }
    }
    const ids = upTo(ROWS);
    const values = await reader.getMany(ids.map((id) => `${keyPrefix} ${id}`));
    for (const id of ids) checkValue(id, values.get(`${keyPrefix} ${id}`));
  } catch (error) {
    note(outcome, error);
  }
  return outcome;
}

function checkValue(id: number, value: Uint8Array | null | undefined): void {
  deepEqual(value, id >= 0 && id < ROWS ? valueOf(id) : null);
}

const ALL_RIGHT = ROWS + 4;

type Open = (store: SteadyStore) => Promise<KeyReader>;

function opener(access: AccessMode): Open {
  return (store) => openSnapshot({ store, access } as OpenSnapshotOptions);
}

/** How shards are read: in parts, whole, or the one first and then the other. */
type Reading = "parts" | "whole" | "both";

const openSmall: Open = (store) => openAtEdge({ store, access: "range" });

const doors: readonly [name: string, open: Open, reading: Reading][] = [
  ["range", opener("range"), "parts"],
  ["range at the edge", openSmall, "parts"],
  ["memory", opener("memory"), "whole"],
  ["download", opener("download"), "whole"],
  ["hydrate", opener("hydrate"), "both"],
];

/** Bytes to spoil: of small objects all, of large ones those where structure is, and some others; in a soak more. */
function places(bytes: Uint8Array, isThorough: boolean): number[] {
  const all = [...bytes.keys()];
  if (!isThorough) return all.filter((at) => at % (isSoak ? 31 : 797) === 3 || at % 4096 === 1);
  if (isSoak || bytes.length <= 4096) return all;
  return all.filter((at) => at % 4096 < 24 || at % 47 === 7 || (at < 120 && at % 3 === 0));
}

function keyOfOne(store: SteadyStore, name: string): string {
  if (name.startsWith("shard.")) return store.keyOf("db=00001", name);
  return store.keyOf(name === "manifest" ? "manifests/" : name);
}

for (const name of OBJECTS) {
  for (const [door, open, reading] of doors) {
    test(`openSnapshot() P7: a flipped bit in ${name} is an error or nothing wrong, access "${door}"`, async () => {
      const store = await (series ??= published());
      const key = keyOfOne(store, name);
      const good = store.objects.get(key)!.bytes;
      const codes = new Set<string>();
      let hidden = 0;
      for (const at of places(good, door === "range")) {
        for (const bit of isSoak ? upTo(8) : [at % 8]) {
          const bad = good.slice();
          bad[at]! ^= 1 << bit;
          const restore = store.spoil(key, bad);
          const outcome = await outcomeOf(() => open(store));
          restore();
          for (const code of outcome.codes) codes.add(code);
          if (outcome.codes.size === 0) hidden++;
        }
      }
      checkCodes(name, codes, { reading, hidden, hasFallback: open !== openSmall });
      deepEqual(await outcomeOf(() => open(store)), { right: ALL_RIGHT, codes: new Set() });
    });
  }
}

function checkCodes(
  name: string,
  codes: Set<string>,
  seen: { reading: Reading; hidden: number; hasFallback: boolean },
): void {
  // Where older snapshots are tried, the one manifest there is is the last.
  const manifest = [seen.hasFallback ? "READER_STATE" : "MANIFEST_PARSE"];
  const expected = { "_CURRENT": ["MANIFEST_PARSE"], manifest }[name as "manifest"];
  const told = [...codes].sort();
  if (expected !== undefined) return ok(expected.every((code) => codes.has(code)), told.join());
  if (seen.reading === "both") return ok(told.length === 0 || told.join() === "CORRUPT_FILE", told.join());
  deepEqual(told, isNeeded(name, seen.reading) ? ["CORRUPT_FILE"] : []);
  if (name === "shard.db" && seen.reading === "whole") equal(seen.hidden, 0);
}

/** A sidecar only saves requests, and whole files have a digest of their own. */
function isNeeded(name: string, reading: Reading): boolean {
  return name === "shard.guard" ? reading === "parts" : name !== "shard.sidecar";
}

test("openSnapshot() P7: objects that are cut, extended or empty give errors or nothing wrong", async () => {
  const store = await (series ??= published());
  for (const name of OBJECTS) {
    const key = keyOfOne(store, name);
    const good = store.objects.get(key)!.bytes;
    const lengths = [0, 1, 16, 31, 32, 99, 100, 4095, 4096, 8192, good.length - 4096, good.length - 4, good.length - 1];
    const others = [
      ...lengths.filter((length) => length >= 0 && length < good.length).map((length) => good.slice(0, length)),
      ...[1, 8, 4096, 1 << 20].map((more) => new Uint8Array([...good, ...new Uint8Array(more)])),
      new Uint8Array(good.length),
      good.slice().reverse(),
    ];
    for (const [door, open, reading] of doors) {
      for (const bad of others) {
        const restore = store.spoil(key, bad);
        const { right, codes } = await outcomeOf(() => open(store));
        restore();
        ok(codes.size > 0 || right === ALL_RIGHT);
        if (reading !== "both" && !isNeeded(name, reading)) deepEqual([...codes], [], `${name} ${bad.length} ${door}`);
      }
    }
  }
});

test("openSnapshot() P7: objects of another shard give errors or nothing wrong", async () => {
  const store = await (series ??= published());
  for (const name of OBJECTS.filter((name) => name.startsWith("shard."))) {
    const keys = ["db=00000", "db=00001"].map((shard) => store.keyOf(shard, name));
    for (const swapped of [[0], [1], [0, 1]]) {
      for (const withTags of [false, true]) {
        for (const [door, open, reading] of doors) {
          const good = keys.map((key) => store.objects.get(key)!);
          for (const at of swapped) {
            const other = good[1 - at]!;
            const etag = withTags ? other.etag : good[at]!.etag;
            store.objects.set(keys[at]!, { bytes: other.bytes, etag });
          }
          const { right, codes } = await outcomeOf(() => open(store));
          keys.forEach((key, at) => store.objects.set(key, good[at]!));
          const about = `${name} of ${swapped.join()} ${withTags} ${door}`;
          if (reading === "both" && codes.size > 0) deepEqual([...codes], ["CORRUPT_FILE"], about);
          else if (reading !== "both" && isNeeded(name, reading)) deepEqual([...codes], ["CORRUPT_FILE"], about);
          else deepEqual({ right, codes: [...codes] }, { right: ALL_RIGHT, codes: [] }, about);
        }
      }
    }
  }
});

test("openSnapshot() P7: missing objects give errors, or nothing wrong", async () => {
  const store = await (series ??= published());
  for (const name of OBJECTS) {
    const key = keyOfOne(store, name);
    for (const [door, open] of doors) {
      const good = store.objects.get(key)!;
      store.objects.delete(key);
      const { right, codes } = await outcomeOf(() => open(store));
      store.objects.set(key, good);
      const isHarmless = name === "shard.sidecar" || name === "shard.guard";
      ok(isHarmless ? codes.size === 0 && right === ALL_RIGHT : codes.size > 0, `${name} ${door}`);
    }
  }
});
