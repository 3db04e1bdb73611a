/**
 * A clock that stands still until it is told otherwise.
 * @module
 */
import type { Clock } from "../clock.ts";

/** Time for tests: sleeping passes at once and moves the clock by as much. */
export class ManualClock implements Clock {
  /** Every sleep so far, in milliseconds. */
  readonly sleeps: number[] = [];
  #micros: number;
  readonly #alarms = new Set<{ readonly intervalMs: number; readonly action: () => void; dueMs: number }>();

  /** @param startMicros Microseconds since 1970 at the beginning. */
  constructor(startMicros: number = Date.UTC(2026, 0, 1) * 1000) {
    this.#micros = startMicros;
  }

  nowMicros(): number {
    return this.#micros;
  }

  monotonicMs(): number {
    return this.#micros / 1000;
  }

  /** Moves the clock; what is due by then, of `every`, is called once for each time, at the new time. */
  advance(deltaMs: number): void {
    this.#micros += deltaMs * 1000;
    for (const alarm of this.#alarms) {
      for (; alarm.dueMs <= this.monotonicMs() && this.#alarms.has(alarm); alarm.dueMs += alarm.intervalMs) {
        alarm.action();
      }
    }
  }

  every(intervalMs: number, action: () => void): () => void {
    const alarm = { intervalMs, action, dueMs: this.monotonicMs() + intervalMs };
    this.#alarms.add(alarm);
    return () => void this.#alarms.delete(alarm);
  }

  // deno-lint-ignore require-await -- the interface is for clocks that wait
  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.sleeps.push(delayMs);
    this.advance(delayMs);
  }
}
