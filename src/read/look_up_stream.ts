/**
 * Lookups as a stage of a pipe.
 * @module
 */
import type { Key } from "../routing/key.ts";
import type { ManyLookUpOptions } from "./read_options.ts";
import type { KeyReader } from "./key_reader.ts";

/** Keys that are looked up together. */
const KEYS_MAX = 512;

/**
 * Turns keys into `[key, value]`, in the order of the keys; the value is null where there is none.
 *
 * Chunks are single keys. They are looked up as they come; those that come during a lookup are the next one, at most
 * 512 at a time. Each lookup reads the snapshot that is active then. Equal keys of one lookup share the array of the
 * value.
 *
 * @throws as `SnapshotReader.getMany`, by failing the pipe.
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
  reader: KeyReader,
  options: ManyLookUpOptions<K> = {},
): TransformStream<K, [key: K, value: Uint8Array | null]> {
  type Controller = TransformStreamDefaultController<[K, Uint8Array | null]>;
  let waiting: K[] = [];
  let working: Promise<void> | null = null;
  /** Never rejects: what fails fails the stream. */
  async function lookUpWaiting(controller: Controller): Promise<void> {
    try {
      while (waiting.length > 0) {
        const keys = waiting;
        waiting = [];
        const values = await reader.getMany(keys, options);
        for (const key of keys) controller.enqueue([key, values.get(key)!]);
      }
    } catch (error) {
      controller.error(error);
    }
    working = null;
  }
  return new TransformStream<K, [K, Uint8Array | null]>(
    {
      async transform(key, controller) {
        waiting.push(key);
        working ??= lookUpWaiting(controller);
        if (waiting.length >= KEYS_MAX) await working;
      },
      async flush() {
        await working;
      },
    },
    { highWaterMark: KEYS_MAX },
    { highWaterMark: KEYS_MAX },
  );
}
