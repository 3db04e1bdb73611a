/**
 * One worker thread, from its start to its end, whatever that is.
 * @module
 */
import { type Clock, every } from "../../clock.ts";
import { fromErrorData } from "./error_data.ts";
import type { WorkerOrder, WorkerReport, WorkerSetup } from "./messages.ts";
import { type HostThread, startThread } from "./thread_host.ts";

/** How often a worker gives a sign of life, and how often that is looked for. */
export const HEARTBEAT_MS = 1000;
/** A thread that was asked to end and has not is terminated after this time. */
const ENDING_MS = 250;

/** Why a thread is no more. */
export interface ThreadEnd {
  /** In words, for errors: `exited with code 3`. */
  readonly how: string;
  /** What it failed with, where it could still say so. */
  readonly cause: unknown;
}

/** Whom a thread reports to. */
export interface ThreadListener {
  onReport(report: WorkerReport): void;
  /** Called once, when the thread ends without having been asked to. */
  onLost(end: ThreadEnd): void;
}

/** What a thread is started with. */
export interface ThreadOptions {
  readonly setup: WorkerSetup;
  readonly clock: Clock;
  /** After so long without any sign of life the thread counts as hung; null: never. */
  readonly silentMsMax: number | null;
}

/** A thread that runs `shard_worker.ts`; disposing asks it to end, and then makes it. */
export class WorkerThread implements AsyncDisposable {
  readonly #ended = Promise.withResolvers<void>();
  readonly #stopWatch: () => void;
  #host: HostThread | undefined;
  #listener: ThreadListener | null;
  #failure: unknown;
  #silentChecks = 0;

  /** Use {@linkcode WorkerThread.start}. */
  constructor({ clock, silentMsMax }: ThreadOptions, listener: ThreadListener) {
    this.#listener = listener;
    // Checks are counted, not milliseconds: a stop of this thread, or of the machine, is no silence of the other one.
    const checksMax = silentMsMax === null ? Infinity : Math.ceil(silentMsMax / HEARTBEAT_MS);
    this.#stopWatch = every(clock, HEARTBEAT_MS, () => {
      if (++this.#silentChecks > checksMax) this.#kill(`gave no sign of life for ${checksMax} s and was terminated`);
    });
  }

  /** Starts a thread. What it is told waits until it has loaded its modules. */
  static async start(options: ThreadOptions, listener: ThreadListener): Promise<WorkerThread> {
    const thread = new WorkerThread(options, listener);
    thread.#host = await startThread({
      onMessage: (report) => thread.#hear(report),
      onError: (error) => thread.#failure ??= error,
      onExit(code) {
        thread.#ended.resolve();
        const failure = thread.#failure;
        thread.#lose(failure === undefined ? `exited with code ${code}` : `failed: ${messageOf(failure)}`);
      },
    });
    thread.post({ kind: "begin", setup: options.setup });
    return thread;
  }

  /** Sends an order; buffers in `transfer` are gone from this thread. */
  post(order: WorkerOrder, transfer: readonly ArrayBuffer[] = []): void {
    this.#host!.post(order, transfer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener = null;
    this.#stopWatch();
    this.post({ kind: "end" });
    const deadline = setTimeout(() => this.#host!.terminate(), ENDING_MS);
    await this.#ended.promise;
    clearTimeout(deadline);
  }

  #hear(report: WorkerReport): void {
    this.#silentChecks = 0;
    if (report.kind === "failed") {
      this.#failure = fromErrorData(report.error);
      this.#kill(`failed: ${messageOf(this.#failure)}`);
    } else if (report.kind === "ended") {
      this.#kill(`exited with code ${report.code}`);
    } else if (report.kind !== "alive") this.#listener?.onReport(report);
  }

  #kill(how: string): void {
    this.#lose(how);
    this.#host!.terminate();
  }

  #lose(how: string): void {
    this.#stopWatch();
    const listener = this.#listener;
    this.#listener = null;
    listener?.onLost({ how, cause: this.#failure });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
