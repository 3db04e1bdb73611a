/**
 * Long computations in short turns: between them timers, requests and other tasks of the thread get theirs.
 * @module
 */
import type { Clock } from "./clock.ts";

/** How long a turn may take, but for the step that it ends with. */
const TURN_MS = 8;

/** The turns of a thread's event loop, as those see them who compute in it. */
export class Turns {
  readonly #clock: Clock;
  #beganMs: number;
  #ending: Promise<void> | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#beganMs = clock.monotonicMs();
  }

  /** Whether it is others' turn: then wait for {@linkcode Turns.end}. Ask every some ten microseconds or less often. */
  get isOver(): boolean {
    return this.#clock.monotonicMs() - this.#beganMs > TURN_MS;
  }

  /** Waits for the next turn. */
  end(): Promise<void> {
    return this.#ending ??= eventLoopTurn().then(() => {
      this.#ending = null;
      this.#beganMs = this.#clock.monotonicMs();
    });
  }
}

const turnsByClock = new WeakMap<Clock, Turns>();

/**
 * The turns that all share who work by the same clock. Where time does not pass while something is computed, as in
 * simulations, they never end.
 */
export function turnsOf(clock: Clock): Turns {
  let turns = turnsByClock.get(clock);
  if (turns === undefined) turnsByClock.set(clock, turns = new Turns(clock));
  return turns;
}

/** Faster than a timer, which waits for a millisecond, where the runtime has something faster. */
function eventLoopTurn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (action: () => void) => unknown };
  return new Promise((resolve) => void (setImmediate === undefined ? setTimeout(resolve) : setImmediate(resolve)));
}
