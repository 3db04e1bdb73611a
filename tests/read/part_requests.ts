/**
 * Snapshots for hydrating, and a store that tells the parts of downloads from what lookups read.
 * @module
 */
import { equal } from "node:assert/strict";
import { readdirSync } from "node:fs";
import type { SnapshotReader } from "../../src/read/snapshot_reader.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ByteRange, ObjectStore, RequestOptions, StoredRanges } from "../../src/stores/store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";
import { watchedStore } from "../snapshots/watched_store.ts";
import { text } from "./small_snapshots.ts";

export const SHARDS = 3;
export const ROWS = 3000;
/** No length of pages, so that no lookup asks for what a download asks for. */
export const PART_BYTES = 5000;

/** A request for a part of a file that is downloaded. */
export interface Part {
  readonly key: string;
  /** Shard's number. */
  readonly shardId: number;
  readonly offset: number;
  readonly lengthBytes: number;
  readonly signal: AbortSignal;
}

/** Answers a part's request, by sending it or otherwise. */
export type OnPart = (part: Part, send: () => Promise<StoredRanges>) => Promise<StoredRanges>;

/** A store and what was asked of it. */
export interface PartStore {
  readonly store: ObjectStore;
  readonly parts: Part[];
  /** Requests for parts that have no answer yet. */
  running(): number;
}

/** The store, with a word to say at each request for a part. */
export function partStore(inner: ObjectStore, onPart: OnPart = (_, send) => send()): PartStore {
  const parts: Part[] = [];
  let running = 0;
  return {
    parts,
    running: () => running,
    store: {
      ...watchedStore(inner),
      async getRanges(key: string, ranges: readonly ByteRange[], options: RequestOptions = {}) {
        const { offset, lengthBytes } = ranges[0]!;
        const isPart = lengthBytes === PART_BYTES || (offset > 0 && offset % PART_BYTES === 0);
        if (!isPart) return await inner.getRanges(key, ranges, options);
        const shardId = Number(/db=(\d+)/.exec(key)![1]);
        const part = { key, shardId, offset, lengthBytes, signal: options.signal! };
        parts.push(part);
        running++;
        try {
          return await onPart(part, () => inner.getRanges(key, ranges, options));
        } finally {
          running--;
        }
      },
    },
  };
}

/** Never answers, but ends when it is aborted. */
export function hang({ signal }: Part): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

export function valueOf(id: number, word = "one"): string {
  return `${word} ${id} `.repeat(20);
}

/** Publishes numbers from 0; a shard has some 20 parts. */
export async function publish(store: ObjectStore = memoryStore(), word = "one"): Promise<ObjectStore> {
  await writeSnapshot(Array.from({ length: ROWS }, (_, id) => id), {
    store,
    sharding: hashSharding({ shards: SHARDS }),
    key: (id) => id,
    value: (id) => valueOf(id, word),
  });
  return store;
}

/** Looks up 1,000 keys at the same time, of which every tenth is not there. */
export async function check(reader: SnapshotReader, { word = "one", from = 0 } = {}): Promise<void> {
  await Promise.all(Array.from({ length: 1000 }, async (_, index) => {
    const id = index % 10 === 9 ? ROWS + index : (from + index * 7) % ROWS;
    equal(text(await reader.get(id)), id < ROWS ? valueOf(id, word) : null);
  }));
}

/** Waits for all downloads, or for their failure. */
export async function settled(reader: SnapshotReader): Promise<void> {
  await reader.warm({ shards: Array.from({ length: SHARDS }, (_, shardId) => shardId) });
}

/** Parts that the files of a reader's snapshot have. */
export function partCountOf({ shards }: SnapshotReader): number {
  return shards.reduce((sum, { sizeBytes }) => sum + Math.ceil(sizeBytes / PART_BYTES), 0);
}

/** Names of all files below a folder, sorted. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map(
    (entry) => entry.name,
  ).sort();
}
