/**
 * The place of one worker, with the shards that belong to it: the thread that sits there may be lost and replaced.
 * @module
 */
import type { ScratchSpace } from "../../bytes/spool.ts";
import { ShardWriteError, ShardyfusionError } from "../../errors.ts";
import type { ShardBatch } from "../../rows.ts";
import type { CollectedShard } from "../row_collector.ts";
import type { AttemptOutcome, AttemptRequest, AttemptTools } from "../shard_attempt.ts";
import { BatchSpool } from "./batch_spool.ts";
import type { ByteBudget } from "./byte_budget.ts";
import type { WorkerSetup } from "./messages.ts";
import { WorkerLink } from "./worker_link.ts";
import type { ThreadEnd, ThreadOptions } from "./worker_thread.ts";

/** Batches are sent together up to this size, as a message costs as much as copying 100 KiB. */
export const MESSAGE_BYTES = 1 << 18;
const MESSAGE_BATCHES = 64;
/** So many shards are named in a message; the error's `shardIds` has them all. */
const NAMED_SHARDS_MAX = 100;

/** What a seat works with. */
export interface SeatOptions extends Omit<ThreadOptions, "setup"> {
  readonly setup: Omit<WorkerSetup, "scratchFolder">;
  /** What is under way to all workers. */
  readonly allUnderWay: ByteBudget;
  /** What may be under way to this worker. */
  readonly underWay: ByteBudget;
  /** How often a lost thread is replaced. 0: never, and no rows are put aside. */
  readonly replacementsMax: number;
  /** Whether batches name the shards themselves. */
  readonly areShardsKnown: boolean;
  readonly space: ScratchSpace;
  /** Told when the seat stays empty: no attempt will succeed. */
  readonly onFailure: (error: unknown) => void;
}

/** Takes batches for its thread and has shards built by it. */
export class WorkerSeat implements AsyncDisposable {
  readonly #number: number;
  readonly #options: SeatOptions;
  /** Rows offered, by shard; those that were built are gone. */
  readonly #shards = new Map<number, number>();
  readonly #spool: BatchSpool | null;
  /** The shard of a batch's number; null while that is not known. */
  #shardIdOf: ((batchShardId: number) => number) | null;
  #link: WorkerLink | undefined;
  #starting: Promise<WorkerLink> | undefined;
  #lostThreads = 0;
  #failure: { readonly error: unknown } | undefined;
  #waiting: ShardBatch[] = [];
  #waitingBytes = 0;

  constructor(number: number, options: SeatOptions) {
    this.#number = number;
    this.#options = options;
    this.#shardIdOf = options.areShardsKnown ? (shardId) => shardId : null;
    this.#spool = options.replacementsMax > 0 ? new BatchSpool(options.space) : null;
  }

  /** How many shards belong to it. */
  get shardCount(): number {
    return this.#shards.size;
  }

  /** Takes a batch over; waits while too much is under way. One call at a time. */
  async add(batch: ShardBatch): Promise<void> {
    // The thread first: one that takes the place of another is sent all that was put aside, and so not this batch.
    await this.#ready();
    this.#shards.set(batch.shardId, (this.#shards.get(batch.shardId) ?? 0) + batch.rowCount);
    await this.#spool?.append(batch);
    this.#waiting.push(batch);
    this.#waitingBytes += batch.bytes.length + 4 * (batch.starts.length + batch.keyLengths.length);
    if (this.#waitingBytes >= MESSAGE_BYTES || this.#waiting.length >= MESSAGE_BATCHES) await this.#flush();
  }

  /** Sends what waits; resolves when the worker has taken all rows. */
  async drained(): Promise<void> {
    if (this.#shards.size === 0) return;
    let link: WorkerLink;
    do {
      await this.#flush();
      link = await this.#ready();
      await link.drained();
    } while (link.isLost);
  }

  /** The shards that were given rows. */
  shards(shardIdOf: (batchShardId: number) => number): CollectedShard[] {
    this.#shardIdOf = shardIdOf;
    return Array.from(this.#shards, ([batchShardId, rowsOffered]) => ({
      shardId: shardIdOf(batchShardId),
      rowsOffered,
      attempt: (request, tools) => this.#attempt(batchShardId, request, tools),
      [Symbol.asyncDispose]: () => {
        this.#shards.delete(batchShardId);
        this.#link?.forget(batchShardId);
        return Promise.resolve();
      },
    }));
  }

  /** Whoever waits for the worker gets this error; it is not replaced. */
  fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    void this.#link?.close(error);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#failure ??= { error: new Error("The worker was ended") };
    await this.#starting?.catch(() => {});
    await this.#link?.close(this.#failure.error);
    await this.#spool?.[Symbol.asyncDispose]();
  }

  async #attempt(shardId: number, request: AttemptRequest, tools: AttemptTools): Promise<AttemptOutcome> {
    return await (await this.#ready()).attempt(shardId, request, tools);
  }

  async #flush(): Promise<void> {
    const link = await this.#ready();
    const batches = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    // Should the thread be lost meanwhile, they are among those that were put aside.
    if (batches.length > 0) await link.send(batches);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** The thread, with all rows so far: the one that sits there, or another one. */
  async #ready(): Promise<WorkerLink> {
    if (this.#failure !== undefined) throw this.#failure.error;
    // Not while it starts: a new thread that has not been sent all rows again would build shards without them.
    const isStarted = this.#starting === undefined;
    if (isStarted && this.#link !== undefined && !this.#link.isLost) return this.#link;
    this.#starting ??= this.#start().finally(() => this.#starting = undefined);
    return await this.#starting;
  }

  async #start(): Promise<WorkerLink> {
    const { setup, space, underWay, allUnderWay } = this.#options;
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      const link = await WorkerLink.open({
        ...this.#options,
        setup: { ...setup, scratchFolder: await space.makeFolder() },
        budgets: [underWay, allUnderWay],
        onLost: (end) => this.#lose(end),
      });
      this.#link = link;
      this.#waiting = [];
      this.#waitingBytes = 0;
      if (this.#lostThreads > 0) await this.#replay(link);
      if (!link.isLost) return link;
    }
  }

  async #replay(link: WorkerLink): Promise<void> {
    for await (const batch of this.#spool!.read()) {
      if (link.isLost) return;
      if (this.#shards.has(batch.shardId)) await link.send([batch]);
    }
  }

  /** Decides what comes of it; gives the error for those who wait. */
  #lose({ how, cause }: ThreadEnd): unknown {
    const count = this.#shards.size;
    const shardIdOf = this.#shardIdOf;
    const shardIds = shardIdOf === null
      ? []
      : [...this.#shards.keys()].map(shardIdOf).sort((one, other) => one - other);
    const named = shardIds.slice(0, NAMED_SHARDS_MAX).join(", ");
    const more = shardIds.length > NAMED_SHARDS_MAX ? ` and ${shardIds.length - NAMED_SHARDS_MAX} more` : "";
    const what = count === 1 ? "shard" : "shards";
    const which = shardIdOf === null ? `${count} ${what} that have no numbers yet` : `${what} ${named}${more}`;
    const text = `Cannot build ${which} as worker ${this.#number} ${how}`;
    const isPermanent = cause instanceof ShardyfusionError && !cause.retryable;
    const error = isPermanent ? cause : new ShardWriteError(text, shardIds, { cause });
    if (!isPermanent && this.#lostThreads++ < this.#options.replacementsMax) return error;
    this.#failure ??= { error };
    this.#options.onFailure(this.#failure.error);
    return this.#failure.error;
  }
}
