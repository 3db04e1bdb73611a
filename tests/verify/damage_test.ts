// Judge: what was changed in a snapshot, by hand, by SQLite, or in its manifest.
import { deepEqual, equal, match, ok } from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import fc from "fast-check";
import { createXXHash3 } from "hash-wasm";
import { type ProblemKind, type ShardEntry, singleShard, sqliteBackend, verifySnapshot } from "../../mod.ts";
import type { JsonObject } from "../../src/bytes/python_json.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { seriesInMemory } from "../read/fixture_snapshots.ts";
import {
  bytesOf,
  change,
  editManifest,
  editShardFile,
  editShards,
  flippedAt,
  keysLike,
  kindsOf,
  published,
} from "./damaged_series.ts";

test("verifySnapshot() P7: a flipped byte anywhere in a shard's file has the wrong digest and a wrong page", async () => {
  const good = await published();
  const [key] = await keysLike(good, "shard.db");
  const bytes = await bytesOf(good, key!);
  for (let index = 7; index < bytes.length; index += 997) {
    const store = await published();
    const changed = await change(store, "shard.db", flippedAt(index));
    const report = await verifySnapshot(store);
    const kinds = kindsOf(report);
    ok(kinds.includes("digest") && kinds.includes("page"), `byte ${index}: ${kinds}`);
    ok(report.problems.every(({ object, shardId }) => object.endsWith(changed) && shardId === 0));
    const page = report.problems.find(({ kind }) => kind === "page");
    equal(page!.byteOffset, index - index % 4096);
  }
});

test("verifySnapshot() P7: a flipped byte in a guard or a sidecar is found", async () => {
  for (const part of ["shard.guard", "shard.sidecar"]) {
    for (const index of [0, 5, 30, 100, -20, -1]) {
      const store = await published();
      const key = await change(store, part, flippedAt(index));
      const report = await verifySnapshot(store);
      ok(kindsOf(report).includes("digest"), `${part}, byte ${index}`);
      ok(report.problems.every(({ object }) => object.endsWith(key)));
    }
  }
});

test("verifySnapshot() finds a flipped byte in the sidecar of a snapshot without digests", async () => {
  const store = await seriesInMemory("sidecar_overflow_4k");
  await change(store, "shard.sidecar", flippedAt(-5));
  ok(kindsOf(await verifySnapshot(store)).includes("sidecar"));
});

test("verifySnapshot() finds guards and sidecars that belong to another shard", async () => {
  for (const [part, kind] of [["shard.guard", "guard"], ["shard.sidecar", "sidecar"]] as const) {
    const store = await published(4000, { value: (row) => "v".repeat(row % 300) });
    const [first, second] = await keysLike(store, part);
    const bytes = await bytesOf(store, second!);
    await store.put(first!, bytes);
    const digest = (await createXXHash3()).init().update(bytes).digest("hex");
    await editShards(store, (shard) => {
      const own = shard.writerInfo["shardyfusion"] as { objects: { name: string }[] };
      const objects = own.objects.map((object) =>
        object.name === part ? { ...object, size_bytes: bytes.length, xxh3_64: digest } : object
      );
      const isFirst = first!.startsWith(`shards/${shard.dbUrl!.split("/shards/")[1]}`);
      return isFirst
        ? { ...shard, writerInfo: { ...shard.writerInfo, shardyfusion: { ...own, objects } as JsonObject } }
        : shard;
    });
    deepEqual(kindsOf(await verifySnapshot(store)), [kind]);
  }
});

test("verifySnapshot() finds what is missing and what is cut short", async () => {
  for (const part of ["shard.db", "shard.guard", "shard.sidecar"]) {
    const store = await published();
    const [key] = await keysLike(store, part);
    await store.delete(key!);
    const report = await verifySnapshot(store);
    deepEqual(kindsOf(report), ["missing"]);
    ok(report.problems[0]!.object.endsWith(key!));
    const short = await published();
    await change(short, part, (bytes) => bytes.subarray(0, bytes.length - 1));
    ok(kindsOf(await verifySnapshot(short)).includes("size"));
  }
});

test("verifySnapshot() finds a missing or damaged pointer or manifest", async () => {
  const empty = await verifySnapshot(memoryStore());
  deepEqual(kindsOf(empty), ["missing"]);
  deepEqual([empty.manifestRef, empty.runId, empty.shardCount], [null, null, 0]);
  const broken = await published();
  await broken.put("_CURRENT", new TextEncoder().encode("{}"));
  deepEqual(kindsOf(await verifySnapshot(broken)), ["pointer"]);
  const lost = await published();
  await lost.delete((await keysLike(lost, "manifests/"))[0]!);
  deepEqual(kindsOf(await verifySnapshot(lost)), ["missing"]);
  const damaged = await published();
  await change(damaged, "manifests/", flippedAt(-60));
  deepEqual(kindsOf(await verifySnapshot(damaged)), ["manifest"]);
  const renamed = await published();
  const text = new TextDecoder().decode(await bytesOf(renamed, "_CURRENT"));
  await renamed.put("_CURRENT", new TextEncoder().encode(text.replace(/"run_id":"[^"]*"/, '"run_id":"other"')));
  deepEqual(kindsOf(await verifySnapshot(renamed)), ["pointer"]);
});

test("verifySnapshot() finds a row in another shard by its key alone", async () => {
  const store = await published();
  const [first, second] = await keysLike(store, "shard.db");
  let row: Record<string, unknown> = {};
  await editShardFile(store, second!, (database) => {
    row = database.prepare("SELECT k, v FROM kv LIMIT 1").get()!;
    database.prepare("DELETE FROM kv WHERE k = ?").run(row["k"] as Uint8Array);
  });
  await editShardFile(store, first!, (database) => {
    database.prepare("INSERT INTO kv (k, v) VALUES (?, ?)").run(row["k"] as Uint8Array, row["v"] as Uint8Array);
  });
  const report = await verifySnapshot(store);
  deepEqual(kindsOf(report), ["route"]);
  deepEqual([report.problemCount, report.problems[0]!.shardId, report.rowCount], [1, 0, 300]);
  match(report.problems[0]!.message, /belongs into shard 1/);
});

test("verifySnapshot() finds keys of a wrong length", async () => {
  const store = await published();
  const [key] = await keysLike(store, "shard.db");
  await editShardFile(store, key!, (database) => {
    database.prepare("INSERT INTO kv (k, v) VALUES (?, ?)").run(Uint8Array.of(1, 2, 3), Uint8Array.of());
    database.prepare("INSERT INTO kv (k, v) VALUES (?, ?)").run(new Uint8Array(8).fill(0xff), Uint8Array.of());
  });
  const report = await verifySnapshot(store);
  deepEqual([kindsOf(report), report.problemCount], [["key"], 2]);
});

test("verifySnapshot() finds keys out of order, and reads on behind them", async () => {
  const store = await published(30, {
    sharding: singleShard(),
    backend: sqliteBackend({ guard: false, sidecar: false }),
  });
  const key = await change(store, "shard.db", (bytes) => {
    // The last leaf is page 2: the pointers to its first two cells change places.
    const [a, b, c, d] = bytes.subarray(4096 + 8, 4096 + 12);
    bytes.set([c!, d!, a!, b!], 4096 + 8);
    return bytes;
  });
  await editShardFile(store, key, () => {});
  const report = await verifySnapshot(store);
  deepEqual([kindsOf(report), report.rowCount], [["order"], 30]);
  ok(report.problems[0]!.byteOffset! >= 4096);
});

test("verifySnapshot() finds counts, lengths and keys that the manifest states wrongly", async () => {
  const cases: [edit: (shard: ShardEntry) => ShardEntry, kind: ProblemKind][] = [
    [(shard) => ({ ...shard, rowCount: shard.rowCount - 1 }), "count"],
    [(shard) => ({ ...shard, dbBytes: shard.dbBytes + 4096 }), "size"],
    [(shard) => ({ ...shard, minKey: (shard.minKey as bigint) - 1n }), "minKey"],
    [(shard) => ({ ...shard, maxKey: (shard.maxKey as bigint) + 1n }), "maxKey"],
    [(shard) => ({ ...shard, dbUrl: shard.dbUrl!.replace("memory:", "s3:") }), "manifest"],
    [(shard) => ({ ...shard, writerInfo: { shardyfusion: { objects: [] } } }), "manifest"],
    [(shard) => {
      const own = shard.writerInfo["shardyfusion"] as JsonObject;
      return { ...shard, writerInfo: { ...shard.writerInfo, shardyfusion: { ...own, "distinct_rows": 1 } } };
    }, "count"],
  ];
  for (const [edit, kind] of cases) {
    const store = await published();
    await editShards(store, edit);
    const report = await verifySnapshot(store);
    deepEqual([kindsOf(report), report.problemCount], [[kind], 3]);
  }
});

test("verifySnapshot() notices pages that belong to nothing, and follows the free list", async () => {
  const store = await published(3000, { sharding: singleShard() });
  const [key] = await keysLike(store, "shard.db");
  await editShardFile(store, key!, (database) => database.exec("DELETE FROM kv WHERE k < x'0000000000000800'"));
  const freed = await verifySnapshot(store);
  deepEqual([freed.problems, freed.unchecked], [[], []]);
  // The free list's head and its count are forgotten.
  await change(store, "shard.db", (bytes) => bytes.fill(0, 32, 40));
  await editShardFile(store, key!, () => {});
  match((await verifySnapshot(store)).unchecked.join(), /in no table and not free/);
});

test("verifySnapshot() tells 1,000 problems and counts the others", async () => {
  const store = await published(4000, { sharding: singleShard() });
  await editManifest(store, (manifest) => ({ ...manifest, shardCount: 5 }));
  const report = await verifySnapshot(store);
  equal(report.problems.length, 1000);
  ok(report.problemCount > 3000 && report.problemCount < 3400, String(report.problemCount));
});

test("verifySnapshot() reports any damage of a snapshot without digests, and never throws for it", async () => {
  const numRuns = process.env["SHARDYFUSION_SOAK"] === "1" ? 5000 : 150;
  for (const name of ["sidecar_overflow_4k", "hash_utf8", "hash_u64"]) {
    const store = await seriesInMemory(name);
    const keys = (await keysLike(store, "")).filter((key) => !key.startsWith("runs/"));
    const place = fc.tuple(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.boolean(), fc.nat(255));
    const damage = fc.tuple(fc.constantFrom(...keys), fc.array(place, { minLength: 1, maxLength: 4 }));
    await fc.assert(
      fc.asyncProperty(damage, async ([key, places]) => {
        const good = await bytesOf(store, key);
        const bad = good.slice();
        // Half of the places are where headers are.
        for (const [at, isNear, byte] of places) {
          bad[Math.floor(at * (isNear ? Math.min(200, bad.length) : bad.length))] = byte;
        }
        await store.put(key, bad);
        try {
          const report = await verifySnapshot(store);
          equal(report.isSound, report.problemCount === 0);
        } finally {
          await store.put(key, good);
        }
      }),
      { numRuns },
    );
  }
});

test("verifySnapshot() reports a number of shards that cannot be", async () => {
  const store = await seriesInMemory("hash_u64");
  await editManifest(store, (manifest) => ({ ...manifest, shardCount: 2 ** 40 }));
  deepEqual(kindsOf(await verifySnapshot(store)), ["manifest"]);
});
