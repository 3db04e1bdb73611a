/**
 * Bounds what is on its way: bytes and messages that were sent and not yet taken.
 * @module
 */

/** Counts what is under way; whoever would exceed the limits waits. */
export class ByteBudget {
  readonly #bytesMax: number;
  readonly #messagesMax: number;
  #bytes = 0;
  #messages = 0;
  #changed = Promise.withResolvers<void>();

  /** @param bytesMax null: no limit, as for messages. */
  constructor(bytesMax: number | null, messagesMax: number | null) {
    this.#bytesMax = bytesMax ?? Infinity;
    this.#messagesMax = messagesMax ?? Infinity;
  }

  /** Bytes under way. */
  get usedBytes(): number {
    return this.#bytes;
  }

  /** Whether one more message fits; one that is larger than the limit fits when nothing else is under way. */
  hasRoomFor(sizeBytes: number): boolean {
    return this.#messages === 0 || (this.#messages < this.#messagesMax && this.#bytes + sizeBytes <= this.#bytesMax);
  }

  /** Counts a message in. */
  add(sizeBytes: number): void {
    this.#bytes += sizeBytes;
    this.#messages++;
  }

  /** Counts a message out. */
  remove(sizeBytes: number): void {
    this.#bytes -= sizeBytes;
    this.#messages--;
    this.wake();
  }

  /** Resolves when a message was counted out, or someone called `wake`. */
  changed(): Promise<void> {
    return this.#changed.promise;
  }

  /** Lets all who wait look again. */
  wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
