// What every shard engine must do, judged by a Map of the rows.
import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Backend, ShardFile, ShardReader } from "../../src/backends/backend.ts";
import { systemClock } from "../../src/clock.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import { fileScratch } from "../../src/write/file_scratch.ts";
import { ShardRows } from "../../src/write/shard_rows.ts";
import { packed, type Row } from "../write/packed.ts";

const latin1 = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));
const text = (bytes: Uint8Array | null) => bytes === null ? null : Buffer.from(bytes).toString("latin1");

async function build(backend: Backend, rows: readonly Row[], folder: string, signal = new AbortController().signal) {
  const store = memoryStore();
  const shard = new ShardRows(0);
  for (let at = 0; at < rows.length; at += 1000) {
    shard.add({ ...packed(rows.slice(at, at + 1000)), shardId: 0, isPaid: false });
  }
  const scratch = await fileScratch(folder, "contract");
  const target = {
    shardId: 0,
    store,
    prefix: "shards/db=00000/attempt=00",
    keyEncoding: "raw" as const,
    scratch: () => Promise.resolve(scratch),
    clock: systemClock(),
    signal,
  };
  try {
    const built = await backend.buildShard(await shard.sorted(), target);
    const object = await store.get(`${target.prefix}/${backend.fileName}`);
    return { built, bytes: await object.bytes(), store };
  } catch (error) {
    for await (const entries of store.list("")) deepEqual(entries, [], "nothing is left in the store");
    throw error;
  } finally {
    await scratch[Symbol.asyncDispose]();
  }
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "shardyfusion-test-"));
  try {
    await use(folder);
    deepEqual((await readdir(folder)).filter((name) => name.startsWith("run_id=")), [], "nothing is left on disk");
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function eachAccess(
  backend: Backend,
  { bytes, folder }: { bytes: Uint8Array; folder: string },
  use: (reader: ShardReader, kind: ShardFile["kind"]) => Promise<void>,
): Promise<void> {
  const path = join(folder, backend.fileName);
  await writeFile(path, bytes);
  const files: ShardFile[] = [{ kind: "memory", bytes }, { kind: "file", path, sizeBytes: bytes.length }];
  for (const file of files) {
    await using reader = await backend.openShard(file);
    await use(reader, file.kind);
  }
}

const SAMPLE: Row[] = [["", "empty key"], ["\0", "nul"], ["a", ""], ["a\0", "longer"], ["b", "x".repeat(20_000)]];
for (let i = 0; i < 3000; i++) SAMPLE.push([`key ${(i * 7919) % 3001}`, `value ${i}`]);
SAMPLE.push(["key 5", "the last write wins"], ["\xff\xff", "high"], ["k".repeat(6000), "long key"]);
const DISTINCT = new Map(SAMPLE);
const ORDERED = [...DISTINCT.entries()].sort(([left], [right]) => left < right ? -1 : 1);

/** Registers the tests of an engine. */
export function backendContract(label: string, makeBackend: () => Backend): void {
  test(`${label} gives every row back, absent keys as null, from memory and from a file`, async () => {
    await withFolder(async (folder) => {
      const { built, bytes } = await build(makeBackend(), SAMPLE, folder);
      equal(built.rowCount, DISTINCT.size);
      equal(built.dbBytes, bytes.length);
      equal(built.objects[0]?.sizeBytes, bytes.length);
      await eachAccess(makeBackend(), { bytes, folder }, async (reader, kind) => {
        for (const [key, value] of DISTINCT) equal(text(await reader.get(latin1(key))), value, kind);
        for (const key of ["absent", "a\0\0", "\xff", "key ", "key 50000"]) equal(await reader.get(latin1(key)), null);
        const keys = ["b", "absent", "a", "b"];
        deepEqual((await reader.getMany(keys.map(latin1))).map(text), keys.map((key) => DISTINCT.get(key) ?? null));
      });
    });
  });

  test(`${label} scans in order, within bounds`, async () => {
    await withFolder(async (folder) => {
      const { bytes } = await build(makeBackend(), SAMPLE, folder);
      await eachAccess(makeBackend(), { bytes, folder }, async (reader) => {
        for (
          const [from, to] of [[undefined, undefined], ["key 1", "key 2"], [undefined, "b"], ["x", undefined], [
            "c",
            "a",
          ]]
        ) {
          const range = { ...(from && { from: latin1(from) }), ...(to && { to: latin1(to) }) };
          const rows = (await Array.fromAsync(reader.scan(range))).flat();
          const expected = ORDERED.filter(([key]) => key >= (from ?? "") && (to === undefined || key < to));
          deepEqual(rows.map(([key, value]) => [text(key), text(value)]), expected);
        }
      });
    });
  });

  test(`${label} hands out values that the caller may change`, async () => {
    await withFolder(async (folder) => {
      const { bytes } = await build(makeBackend(), [["a", "value"]], folder);
      await eachAccess(makeBackend(), { bytes, folder }, async (reader) => {
        (await reader.get(latin1("a")))!.fill(0);
        equal(text(await reader.get(latin1("a"))), "value");
      });
    });
  });

  test(`${label} writes the same content whatever the order of arrival`, async () => {
    await withFolder(async (folder) => {
      const rows = ORDERED.slice();
      const { bytes } = await build(makeBackend(), rows, folder);
      const { bytes: shuffled } = await build(makeBackend(), rows.reverse(), folder);
      equal(Buffer.compare(bytes, shuffled), 0);
    });
  });

  test(`${label} stops when it is aborted and leaves nothing behind`, async () => {
    await withFolder(async (folder) => {
      const many = Array.from({ length: 30_000 }, (_, index): Row => [`key ${index}`, "x".repeat(100)]);
      await rejects(build(makeBackend(), many, folder, AbortSignal.abort(new Error("stop"))), /stop/);
    });
  });

  test(`${label} refuses files that are no shards`, async () => {
    await withFolder(async (folder) => {
      const { bytes } = await build(makeBackend(), [["a", "value"]], folder);
      const wrong = [new Uint8Array(0), new Uint8Array(4096), latin1("garbage"), bytes.slice(0, 1000)];
      for (const file of wrong) {
        await rejects(async () => {
          await using reader = await makeBackend().openShard({ kind: "memory", bytes: file });
          await reader.get(latin1("a"));
        }, (error: { code?: string }) => ok(["CORRUPT_FILE", "DB_ADAPTER"].includes(error.code ?? "")) ?? true);
      }
    });
  });
}
