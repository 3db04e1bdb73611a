// The contract of shard engines, kept by all of them; and broken by engines that are wrong on purpose.
import { equal, rejects } from "node:assert/strict";
import { test } from "node:test";
import type { Backend, BuiltShard, ObjectDigest, ShardReader, ShardTarget } from "../../src/backends/backend.ts";
import { compositeBackend } from "../../src/backends/composite_backend.ts";
import { lancedbBackend } from "../../src/backends/lancedb_backend.ts";
import { nativeSqliteBackend } from "../../src/backends/native_sqlite_backend.ts";
import { slatedbBackend } from "../../src/backends/slatedb_backend.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { sqliteVecBackend } from "../../src/backends/sqlite_vec_backend.ts";
import { xxh3Hex } from "../../src/bytes/xxh3.ts";
import { type BackendCheck, backendContract } from "../../src/testing/mod.ts";
import { lanceTest } from "./lance_shards.ts";

const space = { dim: 6, metric: "l2" } as const;
const cosine = { dim: 6, metric: "cosine" } as const;

type Engine = readonly [label: string, make: () => Backend];

const engines: readonly Engine[] = [
  ["sqliteBackend", () => sqliteBackend()],
  ["sqliteBackend with automatic page size", () => sqliteBackend({ pageSizeBytes: "auto" })],
  ["sqliteBackend with 64 KiB pages", () => sqliteBackend({ pageSizeBytes: 65536, sidecar: false })],
  ["nativeSqliteBackend", () => nativeSqliteBackend()],
  ["slatedbBackend", () => slatedbBackend({ blockSizeBytes: 1024, tableSizeBytes: 1 << 16 })],
  ["sqliteVecBackend by l2", () => sqliteVecBackend(space)],
  ["sqliteVecBackend by cosine", () => sqliteVecBackend({ ...cosine, pageSizeBytes: "auto" })],
  ["compositeBackend of SQLite and sqlite-vec", () => compositeBackend(nativeSqliteBackend(), sqliteVecBackend(space))],
  ["compositeBackend of SlateDB and sqlite-vec", () => compositeBackend(slatedbBackend(), sqliteVecBackend(cosine))],
];

const lanceEngines: readonly Engine[] = [
  ["lancedbBackend by l2", () => lancedbBackend(space)],
  ["lancedbBackend by dot product", () => lancedbBackend({ dim: 6, metric: "dot_product" })],
  ["compositeBackend of SQLite and LanceDB", () => compositeBackend(sqliteBackend(), lancedbBackend(cosine))],
  ["compositeBackend of SlateDB and LanceDB", () => compositeBackend(slatedbBackend(), lancedbBackend(space))],
];

for (const [label, make] of engines) {
  for (const { name, run } of backendContract(make)) test(`${label} ${name}`, { timeout: 60_000 }, run);
}

for (const [label, make] of lanceEngines) {
  for (const { name, run } of backendContract(make)) lanceTest(`${label} ${name}`, run);
}

/** Changes what a reader answers. */
function misread(change: (reader: ShardReader) => Partial<ShardReader>): Backend {
  const backend = sqliteVecBackend(space);
  return {
    ...backend,
    async openShard(file) {
      const reader = await backend.openShard(file);
      const own: ShardReader = {
        get: (key, signal) => reader.get(key, signal),
        getMany: (keys, signal) => reader.getMany(keys, signal),
        scan: (range) => reader.scan(range),
        search: (query, options) => reader.search!(query, options),
        [Symbol.asyncDispose]: () => reader[Symbol.asyncDispose](),
      };
      return { ...own, ...change(reader) };
    },
  };
}

/** Changes what is built. */
function misbuilt(
  buildShard: (build: () => Promise<BuiltShard>, target: ShardTarget) => Promise<BuiltShard>,
): Backend {
  const { module: _, copyShard: __, ...backend } = sqliteBackend();
  return {
    ...backend,
    buildShard: (rows, target) => buildShard(() => backend.buildShard(rows, target), target),
  };
}

async function putBeside({ store, prefix }: ShardTarget, bytes: Uint8Array): Promise<ObjectDigest> {
  await store.put(`${prefix}/notes`, bytes);
  return { name: "notes", sizeBytes: bytes.length, xxh3: xxh3Hex(bytes), rotatedBytes: 0 };
}

const broken: readonly (readonly [label: string, check: RegExp, make: () => Backend])[] = [
  [
    "loses a row",
    /^gives every row/,
    () => misread((reader) => ({ getMany: async (keys) => (await reader.getMany(keys)).with(-1, null) })),
  ],
  [
    "finds what is not there",
    /^gives every row/,
    () => misread((reader) => ({ get: async (key) => await reader.get(key) ?? new Uint8Array(0) })),
  ],
  [
    "scans beyond the bound",
    /^scans rows/,
    () => misread((reader) => ({ scan: ({ to: _, ...range } = {}) => reader.scan(range) })),
  ],
  ["hands out the same bytes twice", /^hands out/, () => {
    const kept = new Map<string, Uint8Array | null>();
    return misread((reader) => ({
      async get(key) {
        const name = key.join();
        if (!kept.has(name)) kept.set(name, await reader.get(key));
        return kept.get(name)!;
      },
    }));
  }],
  [
    "finds one vector less",
    /^finds the nearest/,
    () => misread((reader) => ({ search: async (query, options) => (await reader.search!(query, options)).slice(1) })),
  ],
  ["loses payloads", /^finds the nearest/, () =>
    misread((reader) => ({
      search: async (query, options) =>
        (await reader.search!(query, options)).map((hit) => ({ ...hit, payload: null })),
    }))],
  ["fails without vectors", /^takes the vectors/, () =>
    misread((reader) => ({
      async search(query, options) {
        const hits = await reader.search!(query, options);
        if (hits.length === 0) throw new Error("no vectors");
        return hits;
      },
    }))],
  [
    "takes damage for absence",
    /^answers damaged/,
    () => misread((reader) => ({ getMany: (keys) => reader.getMany(keys).catch(() => keys.map(() => null)) })),
  ],
  [
    "takes missing objects for absence",
    /^answers missing/,
    () => misread((reader) => ({ getMany: (keys) => reader.getMany(keys).catch(() => keys.map(() => null)) })),
  ],
  ["throws what nobody knows", /^answers missing/, () =>
    misread((reader) => ({
      getMany: (keys) =>
        reader.getMany(keys).catch(() => {
          throw new TypeError("undefined is not a shard");
        }),
    }))],
  ["counts wrongly", /^records every/, () => misbuilt(async (build) => ({ ...await build(), rowCount: 1 }))],
  ["forgets to record an object", /^records every/, () =>
    misbuilt(async (build, target) => {
      await putBeside(target, new Uint8Array(1));
      return await build();
    })],
  ["records a wrong digest", /^records every/, () =>
    misbuilt(async (build) => {
      const built = await build();
      return { ...built, objects: built.objects.map((object) => ({ ...object, xxh3: "0".repeat(16) })) };
    })],
  ["writes a random byte", /^writes the same bytes/, () =>
    misbuilt(async (build, target) => {
      const built = await build();
      const notes = await putBeside(target, crypto.getRandomValues(new Uint8Array(8)));
      return { ...built, objects: [...built.objects, notes] };
    })],
  ["leaves an object when it fails", /^leaves nothing behind when a request/, () =>
    misbuilt(async (build, target) => {
      const notes = await putBeside(target, new Uint8Array(1));
      const built = await build();
      return { ...built, objects: [...built.objects, notes] };
    })],
  ["hides why it failed", /^leaves nothing behind when a request/, () =>
    misbuilt((build) =>
      build().catch(() => {
        throw new Error("something failed");
      })
    )],
  ["does not look at the signal", /^leaves nothing behind when it is aborted/, () => {
    const backend = sqliteBackend();
    const { signal } = new AbortController();
    return { ...backend, buildShard: (rows, target) => backend.buildShard(rows, { ...target, signal }) };
  }],
  ["names a module that makes another engine", /^is built in worker/, () => ({
    ...sqliteVecBackend(space),
    module: sqliteBackend().module!,
  })],
];

for (const [label, check, make] of broken) {
  test(`backendContract() finds out an engine that ${label}`, { timeout: 60_000 }, async () => {
    const [{ run }, ...others] = backendContract(make).filter(({ name }) => check.test(name)) as [BackendCheck];
    equal(others.length, 0);
    await rejects(run());
  });
}
