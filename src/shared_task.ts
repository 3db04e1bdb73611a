/**
 * Work that several callers wait for together.
 * @module
 */

/**
 * One piece of work for all who join. Each may leave by its own signal; when the last one has left before the end, the
 * work itself is aborted.
 */
export class SharedTask<T> {
  readonly #end = new AbortController();
  readonly #result: Promise<T>;
  #waiting = 0;
  #isSettled = false;
  /** Not asked of the signal: Workers let no request look at a signal that another one made. */
  #isAborted = false;

  /** @param work Begins at once. Its failure is told to those who joined, and to nobody if none did. */
  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.#result = work(this.#end.signal).finally(() => this.#isSettled = true);
    this.#result.catch(() => {});
  }

  /** Whether it was given up, so that whoever comes now has to begin anew. */
  get isAborted(): boolean {
    return this.#isAborted;
  }

  /** Waits for the result; rejects with the signal's reason when that comes first. */
  async join(signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    this.#waiting++;
    try {
      return signal === undefined ? await this.#result : await orAborted(this.#result, signal);
    } finally {
      if (--this.#waiting === 0 && !this.#isSettled) this.#abort(signal?.reason);
    }
  }

  #abort(reason: unknown): void {
    this.#isAborted = true;
    try {
      this.#end.abort(reason);
    } catch {
      // A Worker's request may not abort what another one began: that goes on, and nobody waits for it.
    }
  }
}

/** The result of a promise, or the signal's reason, whichever comes first. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
