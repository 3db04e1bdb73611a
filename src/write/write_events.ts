/**
 * What a write tells of itself: its events, in the order in which they come.
 * @module
 */
import type { Clock } from "../clock.ts";
import { type EventSink, guardedEventSink } from "../events.ts";
import type { ShardBatch } from "../rows.ts";

/** What the events of a write are about. */
export interface WriteEventsOptions {
  readonly onEvent?: EventSink | undefined;
  readonly clock: Clock;
  readonly runId: string;
  /** Whether rows have vectors and no values: then the events `vector.write.…` come beside the others. */
  readonly isVectorOnly: boolean;
  /** When the write began, on the clock's monotonic scale. Default: now. */
  readonly startedMs?: number | undefined;
}

/** The events of one write. */
export class WriteEvents {
  /** For events that others know of; never throws. */
  readonly emit: EventSink;
  /** When the write began, on the clock's monotonic scale. */
  readonly startedMs: number;
  readonly #options: WriteEventsOptions;

  constructor(options: WriteEventsOptions) {
    this.#options = options;
    this.startedMs = options.startedMs ?? options.clock.monotonicMs();
    this.emit = guardedEventSink(options.onEvent);
  }

  /** Whole milliseconds since the write began. */
  elapsedMs(): number {
    return Math.round(this.#options.clock.monotonicMs() - this.startedMs);
  }

  started(): void {
    this.emit({ name: "write.started", payload: { "elapsed_ms": 0 } });
    const { isVectorOnly, runId } = this.#options;
    if (isVectorOnly) this.emit({ name: "vector.write.started", payload: { "run_id": runId } });
  }

  /** All rows have been given to their shards. */
  sharded(): void {
    const elapsedMs = this.elapsedMs();
    this.emit({ name: "write.sharding_completed", payload: { "elapsed_ms": elapsedMs, "duration_ms": elapsedMs } });
  }

  shardsCompleted(rowsWritten: number): void {
    const elapsedMs = this.elapsedMs();
    this.emit({
      name: "write.shards_completed",
      payload: { "elapsed_ms": elapsedMs, "duration_ms": elapsedMs, "rows_written": rowsWritten },
    });
  }

  completed(rowsWritten: number, shardCount: number): void {
    const elapsed = { "elapsed_ms": this.elapsedMs() };
    this.emit({ name: "write.completed", payload: { ...elapsed, "rows_written": rowsWritten } });
    const { isVectorOnly, runId } = this.#options;
    if (!isVectorOnly) return;
    this.emit({
      name: "vector.write.completed",
      payload: { "run_id": runId, "total_vectors": rowsWritten, "num_shards": shardCount, ...elapsed },
    });
  }

  /** The same batches, with an event for each; nothing is put in between where nobody listens. */
  observed(batches: ReadableStream<ShardBatch>): ReadableStream<ShardBatch> {
    if (this.#options.onEvent === undefined) return batches;
    return batches.pipeThrough(
      new TransformStream({
        transform: (batch, controller) => {
          const payload = { "elapsed_ms": this.elapsedMs(), "batch_size": batch.rowCount };
          this.emit({ name: "write.batch_written", payload });
          controller.enqueue(batch);
        },
      }),
    );
  }
}
