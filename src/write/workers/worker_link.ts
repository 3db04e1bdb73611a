/**
 * What goes between the writing thread and one worker thread while that lives.
 * @module
 */
import type { ShardBatch } from "../../rows.ts";
import type { AttemptOutcome, AttemptRequest, AttemptTools } from "../shard_attempt.ts";
import type { ByteBudget } from "./byte_budget.ts";
import { fromErrorData, toErrorData } from "./error_data.ts";
import { buffersOf, type StoreCall, type WorkerReport } from "./messages.ts";
import { StoreServer } from "./store_bridge.ts";
import { type ThreadEnd, type ThreadOptions, WorkerThread } from "./worker_thread.ts";

/** What a link works with. */
export interface LinkOptions extends ThreadOptions {
  /** What is under way to this worker, and to all. */
  readonly budgets: readonly ByteBudget[];
  /** Gives the error that attempts under way reject with. */
  readonly onLost: (end: ThreadEnd) => unknown;
}

/** A worker thread as its seat uses it; once it is lost, only that is said. */
export class WorkerLink implements AsyncDisposable {
  readonly #budgets: readonly ByteBudget[];
  #thread: WorkerThread | undefined;
  readonly #calls = new Map<number, PromiseWithResolvers<AttemptOutcome>>();
  /** Sizes of the messages under way, the oldest first. */
  readonly #underWay: number[] = [];
  #server: StoreServer | undefined;
  #callCount = 0;
  #isLost = false;

  /** Use {@linkcode WorkerLink.open}. */
  constructor(budgets: readonly ByteBudget[]) {
    this.#budgets = budgets;
  }

  /** Starts a thread. */
  static async open(options: LinkOptions): Promise<WorkerLink> {
    const link = new WorkerLink(options.budgets);
    link.#thread = await WorkerThread.start(options, {
      onReport: (report) => link.#hear(report),
      onLost: (end) => link.#end(options.onLost(end)),
    });
    return link;
  }

  /** Whether the thread is no more. */
  get isLost(): boolean {
    return this.#isLost;
  }

  /** Hands batches over when the budgets allow it; to a lost thread, nothing. Their arrays are gone afterwards. */
  async send(batches: readonly ShardBatch[]): Promise<void> {
    const plain = batches.map(({ shardId, isPaid, rowCount, bytes, starts, keyLengths }) => (
      { shardId, isPaid, rowCount, bytes, starts, keyLengths }
    ));
    const buffers = buffersOf(plain.flatMap(({ bytes, starts, keyLengths }) => [bytes, starts, keyLengths]));
    const sizeBytes = buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
    while (!this.#isLost && !this.#budgets.every((budget) => budget.hasRoomFor(sizeBytes))) {
      await Promise.race(this.#budgets.map((budget) => budget.changed()));
    }
    if (this.#isLost) return;
    this.#underWay.push(sizeBytes);
    for (const budget of this.#budgets) budget.add(sizeBytes);
    this.#thread!.post({ kind: "batches", batches: plain }, buffers);
  }

  /** Resolves when all that was sent has been taken, or the thread is lost. */
  async drained(): Promise<void> {
    while (this.#underWay.length > 0) await Promise.race(this.#budgets.map((budget) => budget.changed()));
  }

  /** Has a shard built. @throws what the worker threw; what `onLost` gave. */
  attempt(shardId: number, request: AttemptRequest, { store, signal }: AttemptTools): Promise<AttemptOutcome> {
    this.#server ??= new StoreServer(store, signal);
    const callId = this.#callCount++;
    const outcome = Promise.withResolvers<AttemptOutcome>();
    this.#calls.set(callId, outcome);
    this.#thread!.post({ kind: "attempt", callId, shardId, request });
    return outcome.promise;
  }

  /** Lets the worker forget a shard's rows. */
  forget(shardId: number): void {
    if (!this.#isLost) this.#thread!.post({ kind: "forget", shardId });
  }

  /** Ends the thread. @param reason What attempts under way reject with. */
  async close(reason: unknown): Promise<void> {
    this.#end(reason);
    await this.#thread![Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(new Error("The worker was ended"));
  }

  #end(reason: unknown): void {
    if (this.#isLost) return;
    this.#isLost = true;
    for (const sizeBytes of this.#underWay.splice(0)) this.#taken(sizeBytes);
    for (const budget of this.#budgets) budget.wake();
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    // What the thread was uploading is given up before anybody is told, so that nobody meets it.
    Promise.resolve(this.#server?.[Symbol.asyncDispose]()).catch(() => {}).then(() => {
      for (const call of calls) call.reject(reason);
    });
  }

  #hear(report: WorkerReport): void {
    switch (report.kind) {
      case "taken":
        return this.#taken(this.#underWay.shift()!);
      case "call":
        return void this.#answer(report.callId, report.call);
      case "answer":
        return this.#settle(report.callId).resolve(report.value);
      case "refusal":
        return this.#settle(report.callId).reject(fromErrorData(report.error));
    }
  }

  #taken(sizeBytes: number): void {
    for (const budget of this.#budgets) budget.remove(sizeBytes);
  }

  #settle(callId: number): PromiseWithResolvers<AttemptOutcome> {
    const call = this.#calls.get(callId)!;
    this.#calls.delete(callId);
    return call;
  }

  async #answer(callId: number, call: StoreCall): Promise<void> {
    try {
      const value = await this.#server!.answer(call);
      if (this.#isLost) return;
      const transfer = value instanceof Uint8Array ? buffersOf([value]) : [];
      this.#thread!.post({ kind: "answer", callId, value }, transfer);
    } catch (error) {
      if (!this.#isLost) this.#thread!.post({ kind: "refusal", callId, error: toErrorData(error) });
    }
  }
}
