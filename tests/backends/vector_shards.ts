/**
 * Shards with vectors in all the ways in which they can be at hand, and the searches that the Python package noted.
 * @module
 */
import { deepEqual, ok } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ObjectDigest, RemoteShard, SearchHit, ShardFile } from "../../src/backends/backend.ts";
import type { JsonValue } from "../../src/bytes/python_json.ts";
import { CorruptFileError } from "../../src/errors.ts";
import { PagePool } from "../../src/read/page_pool.ts";
import type { KeyEncoding } from "../../src/routing/key.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { VectorId } from "../../src/vector/vector_cell.ts";
import { fromHex, type NotedKey, seriesPath } from "../read/fixture_snapshots.ts";
import { filesUnder, fixtureBytes, fixtureJson } from "../snapshots/fixture_manifests.ts";

/** The snapshots whose shards are of sqlite-vec. */
export const vectorSnapshots: readonly string[] = [
  "vec_only_cel",
  "vec_only_cel_bytes",
  "vec_only_cel_direct",
  "vec_only_cluster",
  "vec_only_cluster_given",
  "vec_only_explicit",
  "vec_only_lsh",
  "vec_unified_cel",
  "vec_unified_cosine",
  "vec_unified_l2",
];

/** What a shard consists of, and what was asked of it. */
export interface Folder {
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** As a writer recorded them; undefined where it recorded nothing. */
  readonly objects: readonly ObjectDigest[] | undefined;
  readonly keyEncoding?: KeyEncoding;
  /** Version of the file. Default: any. */
  readonly etag?: string;
}

/** What a shard that stays in the store was asked for. */
export interface RemoteLog {
  readonly shard: RemoteShard;
  /** Bytes of each range that was read. */
  readonly ranges: number[];
  readonly loads: string[];
  readonly warnings: string[];
  readonly pool: PagePool;
  /** Changes what is answered. */
  etag: string | null;
  spoil: (bytes: Uint8Array, offset: number) => void;
}

/** The shard over ranges of its file. */
export function remoteShard({ files, objects, keyEncoding = "u64be" }: Folder, cacheBytesMax = 1 << 26): RemoteLog {
  const whole = files.get("shard.db")!;
  const pool = new PagePool(cacheBytesMax);
  const log = {
    pool,
    ranges: [] as number[],
    loads: [] as string[],
    warnings: [] as string[],
    etag: '"1"' as string | null,
    spoil: (_bytes: Uint8Array, _offset: number): void => {},
  };
  const shard: RemoteShard = {
    url: "memory:///series/shard.db",
    // Only folders are read by these.
    store: memoryStore(),
    key: "shard.db",
    sizeBytes: whole.length,
    keyEncoding,
    objects,
    pageSizeHint: undefined,
    mayHaveSidecar: objects === undefined,
    pages: pool,
    tally: { cacheHits: 0, filterHits: 0 },
    read({ offset, lengthBytes }, signal) {
      signal?.throwIfAborted();
      log.ranges.push(lengthBytes);
      const bytes = whole.slice(offset, offset + lengthBytes);
      log.spoil(bytes, offset);
      if (bytes.length < lengthBytes) throw new CorruptFileError("Cannot read behind the end", offset);
      return Promise.resolve({ bytes, etag: log.etag });
    },
    load(name) {
      log.loads.push(name);
      return Promise.resolve(files.get(name) ?? null);
    },
    gapBytesMax: () => 1 << 14,
    warn: (message) => log.warnings.push(message),
  };
  return Object.assign(log, { shard });
}

/** The ways in which a shard can be at hand. */
export const fileKinds = ["memory", "file", "remote", "remote without sidecar"] as const;

/** The shard's file in one of these ways; `directory` is for temporary files. */
export function shardFile(
  folder: Folder,
  kind: typeof fileKinds[number],
  directory: string,
): { readonly file: ShardFile; readonly log: RemoteLog | null } {
  const bytes = folder.files.get("shard.db")!;
  if (kind === "memory") return { file: { kind, bytes }, log: null };
  if (kind === "file") {
    const path = join(directory, `${filesWritten++}.db`);
    writeFileSync(path, bytes);
    return { file: { kind, path, sizeBytes: bytes.length }, log: null };
  }
  const files = new Map(folder.files);
  if (kind !== "remote") files.delete("shard.sidecar");
  const log = remoteShard({ ...folder, files });
  if (folder.etag !== undefined) log.etag = folder.etag;
  return { file: { kind: "remote", shard: log.shard }, log };
}

let filesWritten = 0;

/** A search that the Python package made. */
export interface NotedSearch {
  readonly query: { readonly "f32_le_hex": string };
  readonly "top_k": number;
  readonly results?: readonly { readonly id: NotedKey; readonly score: number; readonly payload: JsonValue }[];
  readonly error?: unknown;
  readonly "shard_ids"?: readonly number[];
  readonly "routed_shards"?: readonly number[];
  readonly "routing_context"?: Readonly<Record<string, NotedKey>>;
}

/** A vector that the Python package wrote. */
export interface NotedVector {
  readonly id: NotedKey;
  readonly vector: string;
  readonly payload: JsonValue;
  readonly shard: number;
  readonly context: Readonly<Record<string, NotedKey>> | undefined;
}

/** A fixture: its shards by number, its vectors and searches. */
export interface VectorFixture {
  readonly shards: ReadonlyMap<number, Folder>;
  readonly vectors: readonly NotedVector[];
  readonly searches: readonly NotedSearch[];
}

export function vectorFixture(name: string): VectorFixture {
  const expected = fixtureJson(`snapshots/${name}/expected.json`);
  const prefix = `s3://shardy-fixtures/${name}/`;
  const etags = new Map(expected.objects.map(({ key, etag }: { key: string; etag: string }) => [key, etag]));
  const shards = new Map<number, Folder>();
  for (const { db_id: shardId, db_url: url } of expected.manifest.shards) {
    const path = `${seriesPath(name)}/${url.slice(prefix.length)}`;
    const files = new Map(filesUnder(path, "").map((key) => [key, fixtureBytes(`${path}/${key}`)]));
    const etag = etags.get(`${url.slice("s3://shardy-fixtures/".length)}/shard.db`) as string;
    shards.set(shardId, { files, objects: undefined, keyEncoding: expected.manifest.build_meta.key_encoding, etag });
  }
  // deno-lint-ignore no-explicit-any -- as the fixture has it
  const vectors = (expected.entries ?? expected.vectors).map((entry: any) => ({
    id: entry.vector_id ?? entry.id,
    vector: entry.vector,
    payload: entry.payload,
    shard: entry.shard,
    context: entry.routing_context,
  }));
  return { shards, vectors, searches: expected.searches };
}

/** The shards that a search asked. */
export function shardsAsked({ shards, vectors }: VectorFixture, search: NotedSearch): number[] {
  const { shard_ids: chosen, routed_shards: routed, routing_context: context } = search;
  const isSame = (other: NotedVector): boolean => JSON.stringify(other.context) === JSON.stringify(context);
  const asked = chosen ?? routed ?? (context ? [vectors.find(isSame)!.shard] : [...shards.keys()]);
  return asked.filter((shardId) => shards.has(shardId));
}

export function floatsOf(hex: string): Float32Array<ArrayBuffer> {
  return new Float32Array(new Uint8Array(fromHex(hex)).buffer);
}

export function idOf({ type, value }: NotedKey): VectorId {
  if (type !== "int") return value as string;
  const exact = BigInt(value as string);
  return Number.isSafeInteger(Number(exact)) ? Number(exact) : exact;
}

/** Merges hits of shards: nearest first. */
export function mergedHits(hits: readonly SearchHit[], topK: number): SearchHit[] {
  return hits.toSorted((one, other) => one.score - other.score).slice(0, topK);
}

/** Compares hits in order; those whose scores are as good as equal may stand in any. */
export function checkHits(found: readonly SearchHit[], expected: readonly SearchHit[], what: string): void {
  const isClose = (one: number, other: number): boolean =>
    Math.abs(one - other) <= 1e-5 * Math.max(1, Math.abs(one), Math.abs(other));
  deepEqual(found.length, expected.length, what);
  const foundOf = new Map(found.map((hit) => [hit.id, hit]));
  expected.forEach((hit, place) => {
    const { score } = found[place]!;
    ok(isClose(score, hit.score), `${what}: score ${score} instead of ${hit.score} at place ${place}`);
    const same = foundOf.get(hit.id);
    // Of several equally near ones behind the last place others may have been taken.
    if (same === undefined && isClose(hit.score, expected.at(-1)!.score)) return;
    ok(same !== undefined && isClose(same.score, hit.score), `${what}: ${hit.id} is missing`);
    deepEqual(same.payload, hit.payload, what);
  });
}
