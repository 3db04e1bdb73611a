// Judges: hash-wasm for the digests, the store for what was written, a walk through the file for the sidecar, and
// SQLite's dbstat for that walk (tests/sqlite/sidecar_test.ts).
import { deepEqual, equal, rejects } from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { xxhash3 } from "hash-wasm";
import type { Backend, BuiltShard } from "../../src/backends/backend.ts";
import { nativeSqliteBackend } from "../../src/backends/native_sqlite_backend.ts";
import { sqliteBackend } from "../../src/backends/sqlite_backend.ts";
import { systemClock } from "../../src/clock.ts";
import { memoryPages } from "../../src/sqlite/page_source.ts";
import { decodeSidecar } from "../../src/sqlite/sidecar.ts";
import { sidecarOf } from "../../src/sqlite/sidecar_walk.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { fileScratch } from "../../src/write/file_scratch.ts";
import { ShardRows } from "../../src/write/shard_rows.ts";
import { packed, type Row } from "../write/packed.ts";

const PREFIX = "shards/db=00000/attempt=00";
const ROWS = Array.from({ length: 2000 }, (_, i): Row => [`key ${i}`, "x".repeat(i % 50 === 0 ? 20_000 : 100)]);
const ENGINES = { sqliteBackend, nativeSqliteBackend };

async function build(backend: Backend, store: ObjectStore): Promise<BuiltShard> {
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  const scratch = await fileScratch(folder, "companions");
  const shard = new ShardRows(0);
  shard.add({ ...packed(ROWS), shardId: 0, isPaid: false });
  try {
    return await backend.buildShard(await shard.sorted(), {
      shardId: 0,
      store,
      prefix: PREFIX,
      keyEncoding: "raw",
      scratch: () => Promise.resolve(scratch),
      clock: systemClock(),
      signal: new AbortController().signal,
    });
  } finally {
    await scratch[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  }
}

async function keysOf(store: ObjectStore): Promise<string[]> {
  return (await Array.fromAsync(store.list(""))).flat().map(({ key }) => key);
}

/** A store with some methods replaced. */
function storeWith(methods: Partial<ObjectStore>): { store: ObjectStore; inner: ObjectStore } {
  const inner = memoryStore();
  const bound = Object.fromEntries(
    (["get", "getRanges", "put", "upload", "list", "listFolders", "delete", "deletePrefix"] as const)
      .map((name) => [name, (inner[name] as (...args: unknown[]) => unknown).bind(inner)]),
  );
  return { store: { ...bound, url: inner.url, ...methods } as ObjectStore, inner };
}

for (const [name, engine] of Object.entries(ENGINES)) {
  test(`${name} writes sidecar and guard beside the shard, with the digests of all three`, async () => {
    for (const pageSizeBytes of [4096, 65536, "auto"] as const) {
      const store = memoryStore();
      const { objects } = await build(engine({ pageSizeBytes }), store);
      deepEqual(objects.map((object) => object.name), ["shard.db", "shard.sidecar", "shard.guard"]);
      deepEqual((await keysOf(store)).sort(), objects.map((object) => `${PREFIX}/${object.name}`).sort());
      for (const object of objects) {
        const bytes = await (await store.get(`${PREFIX}/${object.name}`)).bytes();
        const { rotatedBytes } = object;
        const turned = Buffer.concat([bytes.subarray(rotatedBytes), bytes.subarray(0, rotatedBytes)]);
        deepEqual(object, { name: object.name, sizeBytes: bytes.length, xxh3: await xxhash3(turned), rotatedBytes });
        equal(rotatedBytes > 0, object.name === "shard.db");
      }
      const file = await store.get(`${PREFIX}/shard.db`);
      const sidecar = await (await store.get(`${PREFIX}/shard.sidecar`)).bytes();
      equal(decodeSidecar(sidecar).tag, file.etag);
      const walked = await (await sidecarOf(memoryPages(await file.bytes()))).encode(file.etag);
      equal(Buffer.compare(sidecar, walked!), 0);
    }
  });

  test(`${name} writes neither sidecar nor guard where they are turned off, and the manifest says so`, async () => {
    for (
      const [options, names] of [[{ sidecar: false }, ["shard.guard"]], [{ guard: false }, ["shard.sidecar"]]] as const
    ) {
      const store = memoryStore();
      const { objects } = await build(engine(options), store);
      deepEqual(objects.map((object) => object.name), ["shard.db", ...names]);
      equal((await keysOf(store)).length, 2);
    }
    equal(engine({ sidecar: false }).customFields, undefined);
    for (const pageSizeBytes of [8192, "auto"] as const) {
      deepEqual(engine({ pageSizeBytes }).customFields, {
        "sqlite_sidecar": { codec: "zstd", filename: "shard.sidecar", "format_version": 8, "page_size": pageSizeBytes },
      });
    }
  });

  test(`${name} leaves the sidecar unbound where the store tells no version`, async () => {
    const { store, inner } = storeWith({
      async upload(key, options) {
        const upload = await inner.upload(key, options);
        return {
          write: upload.write.bind(upload),
          abort: upload.abort.bind(upload),
          finish: async (head) => ({ ...await upload.finish(head), etag: null }),
          [Symbol.asyncDispose]: () => upload[Symbol.asyncDispose](),
        };
      },
    });
    await build(engine(), store);
    equal(decodeSidecar(await (await store.get(`${PREFIX}/shard.sidecar`)).bytes()).tag, null);
  });

  test(`${name} fails when sidecar or guard cannot be written, and leaves nothing in the store`, async () => {
    for (const failing of ["shard.sidecar", "shard.guard"]) {
      const { store, inner } = storeWith({
        put: async (key, bytes, options) => {
          if (key.endsWith(failing)) throw new Error("disk full");
          return await inner.put(key, bytes, options);
        },
      });
      await rejects(build(engine(), store), /disk full/);
      deepEqual(await keysOf(inner), []);
    }
  });

  test(`${name} replaces neither sidecar nor guard that are there already`, async () => {
    for (const existing of ["shard.sidecar", "shard.guard"]) {
      const store = memoryStore();
      await store.put(`${PREFIX}/${existing}`, Uint8Array.of(1));
      await rejects(build(engine(), store), { code: "PRECONDITION_FAILED" });
      deepEqual(await keysOf(store), [`${PREFIX}/${existing}`]);
      deepEqual(await (await store.get(`${PREFIX}/${existing}`)).bytes(), Uint8Array.of(1));
    }
  });
}
