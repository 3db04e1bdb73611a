/**
 * Objects that can be spoilt without their ETags telling.
 * @module
 */
import { memoryStore } from "../../src/stores/memory_store.ts";
import type { ObjectStore, ReadableStore, StoredObject, StoredRanges } from "../../src/stores/store.ts";

/** An object of a steady store. */
export interface SteadyObject {
  readonly bytes: Uint8Array;
  readonly etag: string | null;
}

/** A store of objects that are replaced by setting the map's entries. */
export interface SteadyStore extends ReadableStore {
  readonly objects: Map<string, SteadyObject>;
  /** Puts other bytes there, under the same ETag, until the result is called. */
  spoil(key: string, bytes: Uint8Array): () => void;
  /** The one key that contains all parts. */
  keyOf(...parts: string[]): string;
}

/** Copies a series with its ETags. */
export async function steadyCopy(series: ObjectStore): Promise<SteadyStore> {
  const objects = new Map<string, SteadyObject>();
  for (const { key } of (await Array.fromAsync(series.list(""))).flat()) {
    const stored = await series.get(key);
    objects.set(key, { etag: stored.etag, bytes: await stored.bytes() });
  }
  return {
    url: series.url,
    objects,
    get: (key, options) => answer(objects, key, (store, etag) => withTag(store.get(key, options), etag)),
    getRanges: (key, ranges, options) =>
      answer(objects, key, async (store, etag): Promise<StoredRanges> => ({
        ...await store.getRanges(key, ranges, options),
        etag,
      })),
    spoil(key, bytes) {
      const good = objects.get(key)!;
      objects.set(key, { ...good, bytes });
      return () => void objects.set(key, good);
    },
    keyOf(...parts) {
      const [key, ...others] = [...objects.keys()].filter((key) => parts.every((part) => key.includes(part)));
      if (key === undefined || others.length > 0) throw new Error(`not one key has ${parts.join()}`);
      return key;
    },
  };
}

/** What a store in memory says about the one object, as the tests of that store have judged it. */
async function answer<R>(
  objects: ReadonlyMap<string, SteadyObject>,
  key: string,
  read: (store: ReadableStore, etag: string | null) => Promise<R>,
): Promise<R> {
  const object = objects.get(key);
  if (object === undefined) return await read(memoryStore(), null);
  let store = copies.get(object);
  if (store === undefined) {
    copies.set(object, store = memoryStore());
    await store.put(key, object.bytes);
  }
  return await read(store, object.etag);
}

const copies = new WeakMap<SteadyObject, ObjectStore>();

async function withTag(object: Promise<StoredObject>, etag: string | null): Promise<StoredObject> {
  const stored = await object;
  return { etag, sizeBytes: stored.sizeBytes, body: stored.body, bytes: () => stored.bytes() };
}
