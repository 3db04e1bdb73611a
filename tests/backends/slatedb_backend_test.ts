// Judges: SlateDB from PyPI reads what we wrote; our own reader was judged by what SlateDB wrote.
import { deepEqual, equal, notDeepEqual, ok, rejects, throws } from "node:assert/strict";
import { cpSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import {
  hashSharding,
  memoryStore,
  type ObjectStore,
  openSnapshot,
  singleShard,
  verifySnapshot,
  writeSnapshot,
} from "../../mod.ts";
import { slatedbBackend, type SlatedbBackendOptions } from "../../src/backends/slatedb_backend.ts";
import { fsStore } from "../../src/stores/fs_store.ts";
import { type Fault, faultStore } from "../../src/testing/fault_store.ts";
import { temporaryFolder } from "../read/fixture_snapshots.ts";
import { judged, slatedbMissing } from "../slatedb/slatedb_python.ts";

const SMALL: SlatedbBackendOptions = { blockSizeBytes: 1024, tableSizeBytes: 1 << 16 };
const CODECS = ["lz4", "snappy", "zlib", "zstd"] as const;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

interface Written {
  readonly rows: readonly number[];
  readonly store: ObjectStore;
  readonly shards?: number;
  readonly layout?: SlatedbBackendOptions;
  readonly workers?: number;
  readonly reuse?: "copy" | "reference";
  readonly value?: (row: number) => string;
  readonly retry?: { retriesMax: number; initialBackoffMs: number; multiplier: number };
}

async function write({ rows, store, shards = 2, layout = SMALL, value = valueOf, ...options }: Written) {
  return await writeSnapshot(rows, {
    store,
    sharding: hashSharding({ shards }),
    key: (row) => row,
    value,
    backend: slatedbBackend(layout),
    ...options,
  });
}

/** Of very different lengths; some are longer than a block. */
function valueOf(row: number): string {
  return `value ${row} `.padEnd(row % 400 === 7 ? 3000 : 8 + row % 90, "x");
}

async function objectsOf(store: ObjectStore): Promise<Map<string, Uint8Array>> {
  const objects = new Map<string, Uint8Array>();
  for await (const entries of store.list("shards/")) {
    for (const { key } of entries) {
      const name = key.replace(/^shards\/run_id=[^/]+\//, "");
      objects.set(name, await (await store.get(key)).bytes());
    }
  }
  return objects;
}

test("slatedbBackend() writes what is read and found sound again, absent keys for nothing", async () => {
  const store = memoryStore();
  const rows = numbers(5000).map((i) => 2 * i);
  const { winners } = await write({ rows, store });
  equal(winners.length, 2);
  await using reader = await openSnapshot({ store });
  const values = await reader.getMany(rows);
  for (const row of rows) equal(new TextDecoder().decode(values.get(row)!), valueOf(row));
  for (const row of rows.slice(0, 500)) equal(new TextDecoder().decode((await reader.get(row))!), valueOf(row));
  const { requests } = reader.stats();
  for (const row of rows.slice(0, 500)) equal(await reader.get(row + 1), null);
  ok(reader.stats().requests - requests < 25, "the filter lets one of a hundred through");
  equal((await Array.fromAsync(reader.scan())).flat().length, 2 * rows.length);
  deepEqual(reader.info.warnings, []);
  const report = await verifySnapshot(store);
  deepEqual([report.problems, report.unchecked, report.rowCount], [[], [], rows.length]);
  equal(report.bytesRead, winners.reduce((sum, { dbBytes }) => sum + dbBytes, 0));
});

test("slatedbBackend() writes what SlateDB itself reads right, and does not damage", { timeout: 90_000 }, async (t) => {
  if (slatedbMissing !== null) {
    console.log(`LEFT OUT: ${slatedbMissing}`);
    return t.skip(slatedbMissing);
  }
  using folder = temporaryFolder();
  const rows = numbers(2200).map((i) => 3 * i);
  const layouts: Record<string, SlatedbBackendOptions> = {
    small: SMALL,
    usual: {},
    plain: { filterBitsPerKey: 0 },
    ...Object.fromEntries(CODECS.map((compression) => [compression, { ...SMALL, compression }])),
  };
  for (const [name, layout] of Object.entries(layouts)) {
    const place = join(folder.path, name);
    await write({ rows, store: fsStore(place), layout });
    const copy = join(folder.path, `${name}-copy`);
    cpSync(place, copy, { recursive: true });
    const databases = readdirSync(copy, { recursive: true, encoding: "utf8" })
      .filter((path) => /attempt=\d+$/.test(path)).map((path) => join(copy, path));
    equal(databases.length, 2);
    // Once more, as SlateDB writes a manifest of its own when it reads.
    for (const _ of name === "usual" ? [1, 2] : [1]) {
      const found = judged(databases);
      deepEqual(found.map(({ lost, invented }) => [lost, invented]), [[[], []], [[], []]]);
      const values = new Map(found.flatMap((database) => database.rows));
      equal(values.size, rows.length);
      for (const row of rows) {
        equal(Buffer.from(values.get(row.toString(16).padStart(16, "0"))!, "hex").toString(), valueOf(row));
      }
    }
    // We keep to what was published.
    await using reader = await openSnapshot({ store: fsStore(copy, { url: fsStore(place).url }) });
    equal((await reader.getMany(rows)).size, rows.length);
    deepEqual((await verifySnapshot(fsStore(copy, { url: fsStore(place).url }))).problems, []);
  }
});

test("slatedbBackend() writes the same bytes in any order of rows, with workers or without (P9)", async () => {
  const rows = numbers(3000);
  const stores = [memoryStore(), memoryStore(), memoryStore()] as const;
  await write({ rows, store: stores[0] });
  await write({ rows: [...rows].reverse(), store: stores[1] });
  await write({ rows, store: stores[2], workers: 2 });
  const [first, ...others] = await Promise.all(stores.map(objectsOf));
  ok(first!.size > 4);
  for (const other of others) deepEqual(other, first);
  const changed = memoryStore();
  await write({ rows, store: changed, value: (row) => row === 2999 ? "other value" : valueOf(row) });
  notDeepEqual([...(await objectsOf(changed)).keys()], [...first!.keys()]);
});

test("slatedbBackend() takes unchanged shards over, and builds those of which any row is another one", async () => {
  for (const reuse of ["copy", "reference"] as const) {
    const store = memoryStore();
    await write({ rows: numbers(2000), store, shards: 4 });
    // The same length, in the middle of a block.
    const value = (row: number): string => row === 1000 ? valueOf(row).replace("value", "eulav") : valueOf(row);
    const { winners } = await write({ rows: numbers(2000), store, shards: 4, reuse, value });
    const reused = winners.filter(({ writerInfo }) => JSON.stringify(writerInfo).includes('"reused"'));
    equal(reused.length, 3);
    await using reader = await openSnapshot({ store });
    for (const row of [0, 999, 1000, 1999]) equal(new TextDecoder().decode((await reader.get(row))!), value(row));
    deepEqual((await verifySnapshot(store)).problems, []);
  }
});

/** A store in which one write of an object of shard 1 fails. */
function failing(inner: ObjectStore, part: string, fault: Fault): ObjectStore {
  let left = 1;
  return faultStore(inner, {
    fault: ({ kind, key }) =>
      kind === "PUT" && key.includes("db=00001") && key.includes(part) && left-- > 0 ? fault : null,
  });
}

for (const part of ["/compacted/", "/manifest/0"]) {
  test(`slatedbBackend() leaves nothing behind when ${part} cannot be written, and no loser when it tries again`, async () => {
    const rows = numbers(1000);
    const inner = memoryStore();
    await rejects(write({ rows, store: failing(inner, part, { moment: "before", retryable: false }) }), {
      code: "STORE",
    });
    deepEqual(await objectsOf(inner), new Map());
    // The reply is lost, and the object is there.
    await write({ rows, store: failing(inner, part, { moment: "after" }) });
    deepEqual((await verifySnapshot(inner)).problems, []);
    const retried = memoryStore();
    const retry = { retriesMax: 2, initialBackoffMs: 1, multiplier: 1 };
    await write({ rows, store: failing(retried, part, { moment: "before" }), retry });
    deepEqual((await verifySnapshot(retried)).problems, []);
    const attempts = new Set(
      [...(await objectsOf(retried)).keys()].map((name) => name.split("/").slice(0, 2).join("/")),
    );
    deepEqual([...attempts].sort(), ["db=00000/attempt=00", "db=00001/attempt=01"]);
  });
}

test("slatedbBackend() reads back any rows (property)", async () => {
  const key = fc.uint8Array({ minLength: 1, maxLength: 40 });
  const rows = fc.uniqueArray(fc.tuple(key, fc.uint8Array({ maxLength: 400 })), {
    maxLength: 300,
    selector: ([key]) => key.join(),
  });
  await fc.assert(
    fc.asyncProperty(
      rows,
      fc.constantFrom(1024, 4096, 65536),
      fc.integer({ min: 0, max: 20 }),
      async (rows, block, bits) => {
        const store = memoryStore();
        await writeSnapshot(rows, {
          store,
          sharding: singleShard(),
          key: ([key]) => key,
          value: ([, value]) => value,
          keyEncoding: "raw",
          backend: slatedbBackend({ blockSizeBytes: block, filterBitsPerKey: bits, tableSizeBytes: 1 << 16 }),
        });
        await using reader = await openSnapshot({ store });
        for (const [key, value] of rows) deepEqual(await reader.get(key), value);
        const scanned = (await Array.fromAsync(reader.scan())).map(([key]) => Buffer.from(key));
        deepEqual(scanned, rows.map(([key]) => Buffer.from(key)).sort(Buffer.compare));
      },
    ),
    { numRuns: 25 },
  );
});

test("slatedbBackend() refuses empty keys, keys of 64 KiB and options out of range", async () => {
  for (const [key, message] of [["", /0 bytes/], ["x".repeat(65_536), /65536 bytes/]] as const) {
    const store = memoryStore();
    const options = {
      store,
      sharding: singleShard(),
      key: (row: string) => row,
      value: () => "",
      backend: slatedbBackend(),
    };
    await rejects(writeSnapshot([key], options), { code: "CONFIG_VALIDATION", path: "key", message });
    deepEqual(await objectsOf(store), new Map());
  }
  const wrong = [
    { blockSizeBytes: 100 },
    { tableSizeBytes: 1 },
    { filterBitsPerKey: -1 },
    { filterKeysMin: 0.5 },
    { compression: "Lz4" },
    { other: 1 },
  ];
  for (const options of wrong) {
    throws(() => slatedbBackend(options as SlatedbBackendOptions), { code: "CONFIG_VALIDATION" });
  }
});

test("slatedbBackend() takes SlateDB's settings: what it can do, what has no effect, and what it refuses", () => {
  // What SlateDB 0.13.1 prints for its defaults, shortened.
  const defaults = {
    "flush_interval": "100ms",
    "wal_enabled": true,
    "min_filter_keys": 1000,
    "l0_sst_size_bytes": 67108864,
    "max_unflushed_bytes": 1073741824,
    "compactor_options": { "poll_interval": "5s", "scheduler_options": {} },
    "compression_codec": null,
    "object_store_cache_options": { "root_folder": null },
    "garbage_collector_options": { "wal_options": { interval: "60s" } },
    "default_ttl": null,
  };
  const meant = {
    blockSizeBytes: 4096,
    tableSizeBytes: 67108864,
    filterBitsPerKey: 10,
    filterKeysMin: 1000,
    compression: "none",
  };
  for (const settings of [defaults, JSON.stringify(defaults)]) {
    deepEqual(slatedbBackend({ settings }).spec, { name: "slatedb", options: meant });
  }
  const dotted = { "compactor_options.poll_interval": "1s", "compression_codec": "Zstd", "filter_bits_per_key": 12 };
  const { options } = slatedbBackend({ blockSizeBytes: 8192, settings: dotted }).spec;
  deepEqual([options["blockSizeBytes"], options["compression"], options["filterBitsPerKey"]], [8192, "zstd", 12]);
  const refused: [SlatedbBackendOptions["settings"], path: string, message: RegExp][] = [
    [{ "default_ttl": 5000 }, "settings.default_ttl", /rows of a snapshot do not end/],
    [{ "default_ttl_ms": 1 }, "settings.default_ttl_ms", /rows of a snapshot do not end/],
    [{ "compression_codec": "gzip" }, "settings.compression_codec", /Snappy, Zlib, Lz4, Zstd/],
    [{ "l0_sst_size": 1 }, "settings.l0_sst_size", /no such setting/],
    [{ "l0_sst_size_bytes": 4096 }, "settings.l0_sst_size_bytes", /from 65536 to/],
    ["{", "settings", /JSON/],
    ["[]", "settings", /object/],
  ];
  for (const [settings, path, message] of refused) {
    throws(() => slatedbBackend({ settings }), { code: "CONFIG_VALIDATION", path, message }, JSON.stringify(settings));
  }
  throws(() => slatedbBackend({ compression: "lz4", settings: { "compression_codec": "Lz4" } }), {
    code: "CONFIG_VALIDATION",
    message: /give one of them/,
  });
});

test("slatedbBackend() compresses rows that repeat, and reads any rows back from every codec (property)", async () => {
  const sizes = new Map<string, number>();
  for (const compression of ["none", ...CODECS] as const) {
    const store = memoryStore();
    const { winners } = await write({ rows: numbers(2000), store, shards: 1, layout: { compression } });
    sizes.set(compression, winners[0]!.dbBytes);
    deepEqual((await verifySnapshot(store)).problems, []);
  }
  for (const codec of CODECS) ok(sizes.get(codec)! < 0.6 * sizes.get("none")!, `${codec}: ${sizes.get(codec)} bytes`);
  const word = fc.constantFrom(
    "",
    "a",
    "ab",
    "abcd",
    "abcdefgh".repeat(9),
    "\0".repeat(300),
    "0123456789".repeat(2000),
  );
  const values = fc.array(fc.array(fc.oneof(word, fc.string()), { maxLength: 8 }), { minLength: 1, maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(values, fc.constantFrom(...CODECS), async (parts, compression) => {
      const store = memoryStore();
      const value = (row: number): string => parts[row]!.join("");
      await write({ rows: numbers(parts.length), store, shards: 1, layout: { compression }, value });
      await using reader = await openSnapshot({ store });
      const found = await reader.getMany(numbers(parts.length));
      for (const [row, bytes] of found) deepEqual(bytes, new TextEncoder().encode(value(row as number)));
    }),
    { numRuns: 60 },
  );
});

test("SnapshotReader.get() of our SlateDB shards never gives a wrong value when a byte is another one (P7)", async () => {
  const inner = memoryStore();
  await write({ rows: numbers(300), store: inner, shards: 1, layout: { blockSizeBytes: 1024 } });
  const keys: string[] = [];
  for await (const entries of inner.list("shards/")) keys.push(...entries.map(({ key }) => key));
  let failures = 0;
  for (const key of keys) {
    const bytes = await (await inner.get(key)).bytes();
    for (let at = 0; at < bytes.length; at += Math.max(1, Math.floor(bytes.length / 150))) {
      const changed = bytes.slice();
      changed[at]! ^= 1 << at % 8;
      await inner.put(key, changed);
      await using reader = await openSnapshot({ store: inner });
      try {
        for (const [row, value] of await reader.getMany(numbers(310))) {
          equal(value && new TextDecoder().decode(value), row < 300 ? valueOf(row as number) : null);
        }
      } catch (error) {
        equal((error as { code?: string }).code, "CORRUPT_FILE", String(error));
        failures++;
      }
      ok(!(await verifySnapshot(inner)).isSound, `byte ${at} of ${key}`);
    }
    await inner.put(key, bytes);
  }
  ok(failures > 200);
});
