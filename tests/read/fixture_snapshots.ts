/**
 * Snapshots that the Python package wrote, with what it read back from them: the judge of our reader.
 * @module
 */
import { deepEqual, equal, ok, throws } from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Key, KeyEncoding } from "../../src/routing/key.ts";
import type { SnapshotReader } from "../../src/read/snapshot_reader.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { filesUnder, fixtureBytes, fixtureJson } from "../snapshots/fixture_manifests.ts";

/** A key as fixtures note it. */
export interface NotedKey {
  readonly type: "int" | "string" | "bytes" | "double" | "bool" | "null";
  readonly value: string | boolean | null;
}

/** A row and where it lies. */
export interface Entry {
  readonly key: NotedKey;
  readonly "value_hex"?: string;
  readonly "value_len"?: number;
  readonly "value_sha256"?: string;
  readonly shard: number;
  readonly "encoded_key_hex"?: string;
  readonly "routing_context"?: Readonly<Record<string, NotedKey>>;
}

/** A key that is not there, and where it would be. */
export interface Absent {
  readonly key: NotedKey;
  readonly shard: number | null | { readonly error: string };
  readonly "routing_context"?: Readonly<Record<string, NotedKey>>;
}

/** One published run. */
export interface Run {
  readonly "run_id": string;
  readonly "manifest_ref": string;
  readonly manifest: {
    readonly "build_meta": {
      readonly "num_dbs": number;
      readonly "key_encoding": KeyEncoding;
      /** JSON. */
      readonly custom: string;
    };
    readonly shards: readonly {
      readonly "db_id": number;
      readonly "db_url": string;
      readonly "row_count": number;
      readonly "db_bytes": number;
      readonly "min_key": string | null;
      readonly "max_key": string | null;
    }[];
  };
  readonly entries: readonly Entry[];
  readonly absent?: readonly Absent[];
}

/** All snapshots that use hash sharding and SQLite shards, but for `history`, which has several runs. */
export const hashSnapshots: readonly string[] = [
  "custom_layout",
  "duplicates",
  "empty_shards",
  "empty_snapshot",
  "hash_max_keys",
  "hash_raw",
  "hash_u32",
  "hash_u64",
  "hash_utf8",
  "parallel_writer",
  "sidecar_deep_4k",
  "sidecar_overflow_4k",
  "sidecar_page_64k",
  "sidecar_page_8k",
];

/** All snapshots that use CEL sharding and SQLite shards. */
export const celSnapshots: readonly string[] = [
  "cel_by_columns",
  "cel_by_columns_inferred",
  "cel_categorical",
  "cel_direct_int",
  "cel_direct_mod",
  "cel_direct_string",
  "cel_inferred_int",
  "cel_inferred_string",
  "cel_key_categorical",
  "sidecar_auto",
];

/** Requests that it takes to find out the engine: Python's manifests without sidecars and vectors do not tell. */
export function looksOf({ manifest: { "build_meta": { custom }, shards } }: Run): number {
  const names = Object.keys(JSON.parse(custom));
  return shards.length === 0 || names.includes("sqlite_sidecar") || names.includes("vector") ? 0 : 1;
}

export function runOf(name: string): Run {
  return fixtureJson(`snapshots/${name}/expected.json`);
}

/** Folder of the series in the fixtures. */
export function seriesPath(name: string): string {
  return `snapshots/${name}/store/shardy-fixtures/${name}`;
}

/** The series in memory; its refs go on naming the bucket that it was written to. */
export async function seriesInMemory(name: string): Promise<ObjectStore> {
  const store = memoryStore(`copy-of-${name}`);
  await copySeries(name, store);
  return store;
}

/** Puts all objects of a series into a store. */
export async function copySeries(name: string, store: ObjectStore): Promise<void> {
  const path = seriesPath(name);
  for (const key of filesUnder(path, "")) await store.put(key, fixtureBytes(`${path}/${key}`));
}

export function keyOf({ type, value }: NotedKey): Key {
  if (type === "int") return BigInt(value as string);
  if (type === "bytes") return fromHex(value as string);
  if (type === "double") return Number(value);
  return value as Key;
}

export function fromHex(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
}

/** Whether the value is the one that was written. */
export function checkValue(value: Uint8Array | null | undefined, entry: Entry): void {
  const about = `key ${JSON.stringify(entry.key)}`;
  ok(value instanceof Uint8Array, `${about} is missing`);
  if (entry.value_hex !== undefined) {
    equal(toHex(value), entry.value_hex, about);
  } else {
    equal(value.byteLength, entry.value_len, about);
    equal(createHash("sha256").update(value).digest("hex"), entry.value_sha256, about);
  }
}

function encodedKeyHex({ key, encoded_key_hex: hex }: Entry): string {
  if (hex !== undefined) return hex;
  if (key.type === "int") return BigInt(key.value as string).toString(16).padStart(16, "0");
  return key.type === "string" ? Buffer.from(key.value as string).toString("hex") : key.value as string;
}

/** The rows of a shard in the order of its b-tree: as hex, bytes sort as they do. */
export function entriesOfShard({ entries }: Run, shardId: number): [encodedKeyHex: string, entry: Entry][] {
  return entries.filter(({ shard }) => shard === shardId)
    .map((entry): [string, Entry] => [encodedKeyHex(entry), entry])
    .sort(([one], [other]) => one < other ? -1 : 1);
}

/** Rows of a shard as given, against those that were written. */
export function checkRows(rows: readonly [Uint8Array, Uint8Array][], run: Run, shardId: number): void {
  const expected = entriesOfShard(run, shardId);
  deepEqual(rows.map(([key]) => toHex(key)), expected.map(([hex]) => hex));
  expected.forEach(([, entry], index) => checkValue(rows[index]![1], entry));
}

/** The routing context as lookups take it. */
export function contextOf(
  { routing_context: context }: Pick<Absent, "routing_context">,
): { readonly columns?: Readonly<Record<string, Key | boolean>> } {
  if (context === undefined) return {};
  const columns = Object.entries(context).map(([name, value]) => [name, keyOf(value) as Key | boolean]);
  return { columns: Object.fromEntries(columns) };
}

/** Everything that the Python package knows of a run: keys, absent keys, routes, shards, rows in order. */
export async function checkRun(reader: SnapshotReader, run: Run): Promise<void> {
  const { build_meta: meta, shards } = run.manifest;
  const { info } = reader;
  equal(info.runId, run.run_id);
  equal(info.manifestRef, run.manifest_ref);
  equal(info.shardCount, meta.num_dbs);
  equal(info.keyEncoding, meta.key_encoding);
  equal(info.rowCount, shards.reduce((sum, { row_count: rowCount }) => sum + rowCount, 0));
  deepEqual(reader.shards, shardInfos(run));

  const keys = run.entries.map(({ key }) => keyOf(key));
  const contexts = run.entries.map(contextOf);
  const columns = new Map(keys.map((key, index) => [key, contexts[index]!.columns!]));
  const many = await reader.getMany(keys, contexts[0]?.columns && { columns });
  deepEqual([...many.keys()], keys);
  for (const [index, entry] of run.entries.entries()) {
    equal(reader.route(keys[index]!, contexts[index]), entry.shard);
    checkValue(await reader.get(keys[index]!, contexts[index]), entry);
    checkValue(many.get(keys[index]!), entry);
  }
  for (const absent of run.absent ?? []) {
    const key = keyOf(absent.key);
    const context = contextOf(absent);
    if (typeof absent.shard === "number") equal(reader.route(key, context), absent.shard);
    else throws(() => reader.route(key, context), { name: absent.shard!.error });
    equal(await reader.get(key, context), null);
    deepEqual([...(await reader.getMany([key], context)).values()], [null]);
  }
  for (let shardId = 0; shardId < meta.num_dbs; shardId++) {
    checkRows(await Array.fromAsync(reader.scan({ shard: shardId })), run, shardId);
  }
}

function shardInfos({ manifest }: Run): unknown[] {
  return Array.from({ length: manifest.build_meta.num_dbs }, (_, shardId) => {
    const row = manifest.shards.find(({ db_id: id }) => id === shardId);
    return {
      shardId,
      rowCount: row?.row_count ?? 0,
      sizeBytes: row?.db_bytes ?? 0,
      minKey: jsonKey(row?.min_key),
      maxKey: jsonKey(row?.max_key),
      dbUrl: row?.db_url ?? null,
      // The Python package records neither.
      guardBytes: null,
      sidecarBytes: null,
    };
  });
}

function jsonKey(text: string | null | undefined): bigint | string | null {
  if (text === null || text === undefined) return null;
  return text.startsWith('"') ? JSON.parse(text) : BigInt(text);
}

/** A folder that goes with the test. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "shardyfusion-test-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
