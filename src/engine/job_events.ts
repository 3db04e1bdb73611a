/**
 * The events of a whole job, as a write in one process would tell them: of the tasks, and of publishing.
 * @module
 */
import type { Clock } from "../clock.ts";
import { type EventSink, guardedEventSink } from "../events.ts";
import type { ShardEntry } from "../snapshots/manifest.ts";
import { WriteEvents } from "../write/write_events.ts";
import type { Job } from "./job.ts";
import { eventsOfTasks, type TaskAttempt } from "./task_events.ts";

/** Who is told, and since when times count. */
export interface JobEventsOptions {
  readonly onEvent?: EventSink | undefined;
  readonly clock: Clock;
  /** When the job was planned, on the clock's monotonic scale. */
  readonly startedMs: number;
  /** When the last row was routed; undefined: nobody knows. */
  readonly routedAtMicros?: number | undefined;
}

/** Tells of one job. */
export class JobEvents {
  readonly #job: Job;
  readonly #attempts: readonly TaskAttempt[];
  readonly #options: JobEventsOptions;
  readonly #write: WriteEvents;

  constructor(job: Job, attempts: readonly TaskAttempt[], options: JobEventsOptions) {
    this.#job = job;
    this.#attempts = attempts;
    this.#options = options;
    const { onEvent, clock, startedMs } = options;
    const isVectorOnly = job.spec.vector?.isOnly ?? false;
    this.#write = new WriteEvents({ onEvent, clock, startedMs, runId: job.runId, isVectorOnly });
  }

  /** All shards are there: what has come to pass so far. */
  built(winners: readonly ShardEntry[]): void {
    const emit = guardedEventSink(this.#options.onEvent);
    this.#write.started();
    const elapsedMs = this.#routedMs();
    if (elapsedMs !== null) {
      emit({ name: "write.sharding_completed", payload: { "elapsed_ms": elapsedMs, "duration_ms": elapsedMs } });
    }
    for (const event of eventsOfTasks(this.#attempts).events) emit(event);
    this.#write.shardsCompleted(rowsOf(winners));
  }

  /** @returns What metrics lack. */
  published(winners: readonly ShardEntry[]): string[] {
    this.#write.completed(rowsOf(winners), this.#job.spec.shardCount);
    const leftOut = Object.entries(eventsOfTasks(this.#attempts).leftOut).map(([name, count]) => `${count} of ${name}`);
    if (this.#options.onEvent === undefined || leftOut.length === 0) return [];
    return [`events are missing that had no room in the lines of tasks: ${leftOut.join(", ")}`];
  }

  /** By the clocks of other machines, which may differ a little. */
  #routedMs(): number | null {
    const { runRecord } = this.#job;
    const { routedAtMicros } = this.#options;
    if (runRecord === null || !routedAtMicros) return null;
    const sinceMs = Math.round((routedAtMicros - runRecord.startedAtMicros) / 1000);
    return Math.min(Math.max(0, sinceMs), this.#write.elapsedMs());
  }
}

function rowsOf(winners: readonly ShardEntry[]): number {
  return winners.reduce((sum, { rowCount }) => sum + rowCount, 0);
}
