/**
 * Collects rows in worker threads, which build the shards too: each shard belongs to one of them.
 * @module
 */
import type { Backend } from "../../backends/backend.ts";
import type { ScratchSpace } from "../../bytes/spool.ts";
import type { Clock } from "../../clock.ts";
import type { ShardBatch } from "../../rows.ts";
import type { RowCollector } from "../row_collector.ts";
import type { MemoryLimits } from "../shard_sinks.ts";
import type { CheckedWorkerBudget } from "../worker_options.ts";
import { ByteBudget } from "./byte_budget.ts";
import { HEARTBEAT_MS } from "./worker_thread.ts";
import { WorkerSeat } from "./worker_seat.ts";

/** What collecting in threads takes. */
export interface WorkerOptions {
  /** At most so many threads; they start with the first batch for them. */
  readonly workersMax: number;
  readonly budget: CheckedWorkerBudget;
  /** Over all workers together. */
  readonly memory: MemoryLimits;
  /** Has `module`. */
  readonly backend: Backend;
  readonly scratch: () => Promise<ScratchSpace>;
  /** How often a lost thread is replaced; rows are then put aside on disk for that. 0: never. */
  readonly replacementsMax: number;
  readonly runId: string;
  readonly storeUrl: string;
  /** Whether batches name the shards themselves; else `threads` is told what their numbers stand for. */
  readonly areShardsKnown: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Gives each new shard to the worker that has the fewest. Batches wait in {@linkcode WorkerSeat} until the budget
 * allows them: a slow worker stops the source, so that nothing piles up in memory.
 */
export async function workerCollector(options: WorkerOptions): Promise<RowCollector> {
  const { workersMax, budget, backend, runId, storeUrl, signal, clock, replacementsMax, areShardsKnown } = options;
  const space = await options.scratch();
  const allUnderWay = new ByteBudget(budget.bytesMax, null);
  const { url: moduleUrl, factory, options: moduleOptions = backend.spec.options } = backend.module!;
  const setup = {
    backend: { moduleUrl, factory, options: moduleOptions },
    memory: shareOf(options.memory, workersMax),
    runId,
    storeUrl,
    heartbeatMs: HEARTBEAT_MS,
  };
  let sinkController: WritableStreamDefaultController;
  const seats: WorkerSeat[] = [];
  const seatOf = new Map<number, WorkerSeat>();
  function newSeat(): WorkerSeat {
    const underWay = new ByteBudget(budget.bytesPerWorkerMax, budget.queueMax);
    const { silentMsMax } = budget;
    const onFailure = (error: unknown): void => sinkController.error(error);
    return new WorkerSeat(seats.length, {
      ...{ setup, space, clock, silentMsMax, allUnderWay, underWay, replacementsMax, areShardsKnown, onFailure },
    });
  }
  function seatFor(shardId: number): WorkerSeat {
    let seat = seatOf.get(shardId);
    if (seat !== undefined) return seat;
    if (seats.length < workersMax) seats.push(seat = newSeat());
    else seat = seats.reduce((best, other) => other.shardCount < best.shardCount ? other : best);
    seatOf.set(shardId, seat);
    return seat;
  }
  const onAbort = (): void => seats.forEach((seat) => seat.fail(signal.reason));
  signal.addEventListener("abort", onAbort);
  const sink = new WritableStream<ShardBatch>({
    start(controller) {
      sinkController = controller;
    },
    write: (batch) => seatFor(batch.shardId).add(batch),
    async close() {
      await Promise.all(seats.map((seat) => seat.drained()));
    },
  });
  return {
    sink,
    threads: (shardIdOf) => seats.map((seat) => seat.shards(shardIdOf)),
    async [Symbol.asyncDispose]() {
      signal.removeEventListener("abort", onAbort);
      await Promise.all(seats.map((seat) => seat[Symbol.asyncDispose]()));
    },
  };
}

function shareOf({ bytesMax, rowsMax }: MemoryLimits, workersMax: number): MemoryLimits {
  return {
    bytesMax: Math.ceil(bytesMax / workersMax),
    ...(rowsMax === undefined ? {} : { rowsMax: Math.ceil(rowsMax / workersMax) }),
  };
}
