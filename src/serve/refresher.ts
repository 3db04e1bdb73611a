/**
 * Takes newer snapshots over while requests are answered.
 * @module
 */
import type { Clock } from "../clock.ts";
import type { KeyReader } from "../read/key_reader.ts";

/** What a platform gives with a request where nothing may go on after it, as on Workers. */
export interface RequestContext {
  waitUntil(promise: Promise<unknown>): void;
}

/** How a refresher works. */
export interface RefresherOptions {
  /** Undefined for never. */
  readonly everyMs: number | undefined;
  readonly clock: Clock;
  readonly onError: (error: unknown) => void;
}

/** By how much a pause is longer or shorter than asked for. */
const JITTER = 0.2;
/** A store that fails is asked less and less often, down to this. */
const PAUSES_MAX = 8;

/** Refreshes a reader from its first request on, by a timer or, where there is a context, with the requests. */
export class Refresher {
  readonly #reader: KeyReader;
  readonly #options: RefresherOptions;
  readonly #end = new AbortController();
  #isTimed = false;
  #isRefreshing = false;
  #dueMs: number | null = null;
  #failures = 0;

  constructor(reader: KeyReader, options: RefresherOptions) {
    this.#reader = reader;
    this.#options = options;
  }

  /** How many refreshes have failed since the last one that did not. */
  get failures(): number {
    return this.#failures;
  }

  /** To be called with each request. */
  touch(context: unknown): void {
    if (this.#options.everyMs === undefined || this.#isTimed) return;
    if (!hasWaitUntil(context)) {
      this.#isTimed = true;
      this.#repeat().catch(() => {}); // Stopped.
      return;
    }
    const nowMs = this.#options.clock.monotonicMs();
    this.#dueMs ??= nowMs + this.#pauseMs();
    if (nowMs < this.#dueMs || this.#isRefreshing) return;
    this.#dueMs = nowMs + this.#pauseMs();
    context.waitUntil(this.#refresh());
  }

  /** Ends it, and a refresh that is under way. */
  stop(): void {
    this.#isTimed = true;
    this.#end.abort(new Error("Cannot refresh as the handler is closed"));
  }

  async #repeat(): Promise<void> {
    while (!this.#end.signal.aborted) {
      await this.#options.clock.sleep(this.#pauseMs(), this.#end.signal);
      await this.#refresh(this.#end.signal);
    }
  }

  async #refresh(signal?: AbortSignal): Promise<void> {
    this.#isRefreshing = true;
    try {
      await this.#reader.refresh(signal === undefined ? {} : { signal });
      this.#failures = 0;
    } catch (error) {
      if (signal?.aborted) return;
      this.#failures++;
      this.#options.onError(error);
    } finally {
      this.#isRefreshing = false;
    }
  }

  #pauseMs(): number {
    const pauses = Math.min(2 ** this.#failures, PAUSES_MAX);
    return this.#options.everyMs! * pauses * (1 - JITTER + 2 * JITTER * Math.random());
  }
}

/** Whether what came with a request is such a context: other servers give something else, or nothing. */
export function hasWaitUntil(context: unknown): context is RequestContext {
  return typeof (context as Partial<RequestContext> | null | undefined)?.waitUntil === "function";
}
