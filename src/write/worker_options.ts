/**
 * Options of writing with several threads.
 * @module
 */
import * as v from "valibot";
import type { Backend } from "../backends/backend.ts";
import { ConfigValidationError } from "../errors.ts";
import { positiveInteger, wholeNumber } from "../options.ts";

/**
 * How much may be on its way to worker threads, and how long one may be silent; null: no limit. When the limits are
 * reached the source is asked for nothing more; what was read before and waits in front of them is 256 KiB for each
 * worker, a batch that fills up for each shard, and 6 MiB of rows between the stages of the write.
 */
export interface WorkerBudget {
  /** To all workers together, in bytes. @default {268435456} 256 MiB */
  readonly bytesMax?: number | null | undefined;
  /** To one worker, in bytes. @default {33554432} 32 MiB */
  readonly bytesPerWorkerMax?: number | null | undefined;
  /** To one worker, in messages. @default {100} */
  readonly queueMax?: number | null | undefined;
  /**
   * A worker that gives no sign of life for so long counts as lost. Signs come every second, except while one piece of
   * work takes longer, such as sorting the rows that are in memory. @default {120000}
   */
  readonly silentMsMax?: number | null | undefined;
}

/** {@linkcode WorkerBudget} with the defaults filled in. */
export interface CheckedWorkerBudget {
  readonly bytesMax: number | null;
  readonly bytesPerWorkerMax: number | null;
  readonly queueMax: number | null;
  readonly silentMsMax: number | null;
}

/** Checks {@linkcode WorkerBudget}. */
export const workerBudget: v.GenericSchema<WorkerBudget, CheckedWorkerBudget> = v.strictObject({
  bytesMax: v.optional(v.nullable(positiveInteger), 256 << 20),
  bytesPerWorkerMax: v.optional(v.nullable(positiveInteger), 32 << 20),
  queueMax: v.optional(v.nullable(positiveInteger), 100),
  silentMsMax: v.optional(v.nullable(positiveInteger), 120_000),
});

/** Most threads that may be asked for: each has a heap, a compiler and an event loop of its own. */
const WORKERS_MAX = 1024;
const EXPECTED = `a whole number from 0 to ${WORKERS_MAX}, or "auto"`;

/** Checks the option `workers`. */
export const workersOption: v.GenericSchema<number | "auto"> = v.union([
  v.literal("auto"),
  v.pipe(wholeNumber, v.maxValue(WORKERS_MAX)),
], EXPECTED);

/** How many threads a write has at most: no more than shards; `"auto"` is one for each core. */
export function workerCount(workers: number | "auto", shardCount: number): number {
  if (workers !== "auto") return Math.min(workers, shardCount);
  const { hardwareConcurrency = 1 } = globalThis.navigator ?? {};
  // One thread beside this one would only wait where this one works.
  return hardwareConcurrency < 2 || shardCount < 2 ? 0 : Math.min(hardwareConcurrency, shardCount);
}

/** @throws {ConfigValidationError} when threads are asked for and the backend cannot be made in another one. */
export function checkWorkers(workers: number | "auto", backend: Backend | undefined): void {
  if (workers === 0 || backend === undefined || backend.module !== undefined) return;
  throw new ConfigValidationError(
    `Cannot use option "workers" with the backend "${backend.spec.name}" as that does not tell in which module ` +
      "threads find it: give it a field `module`, or use 0 workers",
    "workers",
  );
}
