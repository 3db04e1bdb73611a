/**
 * The write path as a sink: the end of a caller's own pipe.
 * @module
 */
import { type WriteResult, writeSnapshot } from "./write_snapshot.ts";
import { checkWriteOptions, type WriteSnapshotOptions } from "./write_options.ts";

/** A stream that publishes a snapshot of all rows written to it when it is closed. */
export interface SnapshotSink<T> extends WritableStream<T> {
  /** What was published. Rejects with the error that the stream fails with; that it rejects need not be handled. */
  readonly result: Promise<WriteResult>;
}

/**
 * `writeSnapshot` as a `WritableStream`: chunks are rows, or arrays of rows. Closing it publishes, aborting it discards
 * everything.
 *
 * @throws {ConfigValidationError} at once when an option is wrong.
 *
 * @example
 * ```ts
 * import { hashSharding } from "../routing/mod.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { snapshotSink } from "./snapshot_sink.ts";
 *
 * const sink = snapshotSink<number>({
 *   store: memoryStore(),
 *   sharding: hashSharding({ shards: 2 }),
 *   key: (row) => row,
 *   value: (row) => `row ${row}`,
 * });
 * await ReadableStream.from([1, 2, 3]).pipeTo(sink);
 * const { stats } = await sink.result;
 * if (stats.rowsWritten !== 3) throw new Error("rows are missing");
 * ```
 */
export function snapshotSink<T>(options: WriteSnapshotOptions<T>): SnapshotSink<T> {
  checkWriteOptions(options);
  const passage = new TransformStream<T, T>();
  const rows = passage.writable.getWriter();
  rows.closed.catch(() => {}); // Reported through `result`.
  const result = writeSnapshot<T>(passage.readable, options);
  result.catch(() => {}); // A caller that only looks at the pipe must not cause an unhandled rejection.
  const sink = new WritableStream<T>({
    start(controller) {
      // A source that is idle must learn of the failure too.
      result.catch((error) => controller.error(error));
    },
    async write(chunk) {
      try {
        await rows.write(chunk);
      } catch (error) {
        await result; // Has the reason, where it was the write that failed.
        throw error;
      }
    },
    async close() {
      await rows.close().catch(() => {}); // If the write has failed, `result` says why.
      await result;
    },
    async abort(reason) {
      await rows.abort(reason).catch(() => {});
      await result.catch(() => {});
    },
  });
  return Object.assign(sink, { result });
}
