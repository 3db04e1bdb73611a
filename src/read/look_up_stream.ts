/**
 * Lookups as a stage of a pipe.
 * @module
 */
import type { Key } from "../routing/key.ts";
import type { LookUpOptions } from "./read_options.ts";
import type { SnapshotReader } from "./snapshot_reader.ts";

/** Keys that are looked up together. */
const KEYS_MAX = 512;

/**
 * Turns keys into `[key, value]`, in the order of the keys; the value is null where there is none. Chunks are keys;
 * they are looked up as they come, at most 512 at a time.
 *
 * @example
 * ```ts
 * import { hashSharding } from "../routing/mod.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { writeSnapshot } from "../write/write_snapshot.ts";
 * import { lookUpStream } from "./look_up_stream.ts";
 * import { openSnapshot } from "./open_snapshot.ts";
 *
 * const store = memoryStore();
 * const sharding = hashSharding({ shards: 1 });
 * await writeSnapshot([1, 2], { store, sharding, key: (row) => row, value: (row) => `${row}` });
 * await using reader = await openSnapshot({ store });
 * const found = await Array.fromAsync(ReadableStream.from([2, 3]).pipeThrough(lookUpStream(reader)));
 * if (found.length !== 2 || found[0]![1] === null || found[1]![1] !== null) throw new Error("unexpected rows");
 * ```
 */
export function lookUpStream<K extends Key>(
  reader: SnapshotReader,
  options: LookUpOptions = {},
): TransformStream<K, [key: K, value: Uint8Array | null]> {
  let waiting: K[] = [];
  async function lookUp(controller: TransformStreamDefaultController<[K, Uint8Array | null]>): Promise<void> {
    const keys = waiting;
    waiting = [];
    const values = await reader.getMany(keys, options);
    for (const key of keys) controller.enqueue([key, values.get(key)!]);
  }
  return new TransformStream<K, [K, Uint8Array | null]>({
    async transform(key, controller) {
      waiting.push(key);
      if (waiting.length >= KEYS_MAX) await lookUp(controller);
    },
    flush: lookUp,
  }, { highWaterMark: KEYS_MAX });
}
