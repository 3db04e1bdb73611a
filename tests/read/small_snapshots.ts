/**
 * Snapshots of a few keys.
 * @module
 */
import { openSnapshot } from "../../src/read/open_snapshot.ts";
import type { OpenSnapshotOptions } from "../../src/read/read_options.ts";
import type { SnapshotReader } from "../../src/read/snapshot_reader.ts";
import type { Key, KeyEncoding } from "../../src/routing/key.ts";
import { hashSharding } from "../../src/routing/mod.ts";
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore } from "../../src/stores/store.ts";
import { writeSnapshot } from "../../src/write/write_snapshot.ts";

/** Publishes keys whose values are the keys in angle brackets. */
export async function published(
  keys: Iterable<Key>,
  { shards = 3, keyEncoding, store = memoryStore() }: {
    shards?: number;
    keyEncoding?: KeyEncoding;
    store?: ObjectStore;
  } = {},
): Promise<ObjectStore> {
  await writeSnapshot([...keys], {
    store,
    sharding: hashSharding({ shards }),
    key: (key) => key,
    value: (key) => typeof key === "string" ? `<${key}>` : `<${[key].join()}>`,
    ...(keyEncoding === undefined ? {} : { keyEncoding }),
  });
  return store;
}

/** Publishes into a new store and opens it. */
export async function opened(
  keys: Iterable<Key>,
  options: Partial<OpenSnapshotOptions> & { shards?: number; keyEncoding?: KeyEncoding } = {},
): Promise<SnapshotReader> {
  const { shards, keyEncoding, ...others } = options;
  const store = await published(keys, {
    ...(shards === undefined ? {} : { shards }),
    ...(keyEncoding === undefined ? {} : { keyEncoding }),
  });
  return await openSnapshot({ store, ...others });
}

export function text(value: Uint8Array | null | undefined): string | null {
  return value === null || value === undefined ? null : new TextDecoder().decode(value);
}

export function count(length: number): number[] {
  return Array.from({ length }, (_, index) => index);
}
