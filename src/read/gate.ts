/**
 * Lets a limited number in at a time, in the order in which they came.
 * @module
 */

const ALIVE_MS = 10_000;

/** A semaphore whose waiting may be given up. */
export class Gate {
  #free: number;
  readonly #queue = new Set<() => void>();

  /** @param max How many may be inside. */
  constructor(max: number) {
    this.#free = max;
  }

  /** Waits for its turn; gives a function to be called once on leaving. Rejects with the signal's reason. */
  async enter(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    const leave = this.tryEnter();
    if (leave !== null) return leave;
    await new Promise<void>((resolve, reject) => {
      // Workers take a request for hung that waits for nothing but what another request will do.
      const isAlive = setInterval(() => {}, ALIVE_MS);
      const go = (): void => {
        clearInterval(isAlive);
        signal?.removeEventListener("abort", giveUp);
        resolve();
      };
      const giveUp = (): void => {
        clearInterval(isAlive);
        this.#queue.delete(go);
        reject(signal!.reason);
      };
      this.#queue.add(go);
      signal?.addEventListener("abort", giveUp, { once: true });
    });
    return () => this.#leave();
  }

  /** The same without waiting: null when it would have to. */
  tryEnter(): (() => void) | null {
    if (this.#free === 0) return null;
    this.#free--;
    return () => this.#leave();
  }

  #leave(): void {
    // The place goes straight to the next one.
    for (const go of this.#queue) {
      this.#queue.delete(go);
      return go();
    }
    this.#free++;
  }
}
