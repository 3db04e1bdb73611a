/**
 * Virtual time and turns: what waits in a simulation, and who goes on next.
 *
 * Nothing waits for a real timer. When nobody can run any more, one of those who wait is chosen, or, when all of them
 * wait for a time, the clock jumps to the first one.
 * @module
 */
import { type Clock, sleep } from "../clock.ts";
import { ConfigValidationError } from "../errors.ts";
import type { SeededRandom } from "./seeded_random.ts";

/** Something that takes its turn. */
export interface Turn {
  /** Who waits. */
  readonly client: string;
  /** Decides between those who came at the same time, whatever the runtime; then the order of coming. */
  readonly order: string;
  /** Not before this time, in milliseconds of the simulation. */
  readyMs: number;
}

/** What a {@linkcode SimulatedTime} is made with. */
export interface SimulatedTimeOptions<T extends Turn> {
  readonly random: SeededRandom;
  /** Microseconds since 1970 at the beginning. */
  readonly startMicros: number;
  /** Does what was waited for. What it throws ends the simulation. */
  readonly take: (turn: T) => Promise<void>;
}

/** A clock that can call regularly. */
export interface RepeatingClock extends Clock {
  /** Calls `action` every `intervalMs`, until the function that it returns is called. Nobody waits for that. */
  every(intervalMs: number, action: () => void): () => void;
}

interface Sleeper extends Turn {
  readonly wake: () => void;
}

interface Alarm {
  readonly intervalMs: number;
  readonly action: () => void;
  dueMs: number;
}

/** Turns of the event loop without news after which nobody counts as running. */
const QUIET_TURNS = 3;
/** How long an actor may compute, or wait for what is no part of the simulation, in real time. */
const STALL_MS = 5000;
/** So many clocks have stamps of their own. */
const CLOCKS_MAX = 64;
/** Longest time between one turn and the next one, in milliseconds of the simulation. */
const STEP_MS_MAX = 20;

/** Hands out turns one by one, as the seed decides. */
export class SimulatedTime<T extends Turn> {
  readonly #options: SimulatedTimeOptions<T>;
  readonly #waiting: T[] = [];
  readonly #sleepers = new Set<Sleeper>();
  readonly #alarms = new Set<Alarm>();
  /** Clients that are at work: time stands still until each of them waits for a turn or a time. */
  readonly #actors = new Map<string, number>();
  #nowMs = 0;
  #clockCount = 0;
  /** Counts what happens, to notice that nothing does. */
  #news = 0;
  #isRunning = false;
  #hasFailed = false;
  readonly #failed: Promise<never>;
  #fail: (error: unknown) => void = () => {};

  constructor(options: SimulatedTimeOptions<T>) {
    this.#options = options;
    this.#failed = new Promise((_, reject) => this.#fail = reject);
    this.#failed.catch(() => {}); // Perhaps nobody asks.
  }

  /** Milliseconds since the simulation began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Waits for a turn. */
  enqueue(turn: T): void {
    this.#news++;
    this.#waiting.push(turn);
    this.#run();
  }

  /** Waits no longer; tells whether it did. */
  withdraw(turn: T): boolean {
    const index = this.#waiting.indexOf(turn);
    if (index < 0) return false;
    this.#news++;
    this.#waiting.splice(index, 1);
    return true;
  }

  /** Those who wait for a turn. */
  waiting(): readonly T[] {
    return [...this.#waiting];
  }

  /** Time stands still while the work of a client neither waits nor has ended. */
  async actor<R>(client: string, work: () => Promise<R>): Promise<R> {
    this.#actors.set(client, (this.#actors.get(client) ?? 0) + 1);
    this.#run();
    try {
      return await work();
    } finally {
      this.#news++;
      const others = this.#actors.get(client)! - 1;
      if (others === 0) this.#actors.delete(client);
      else this.#actors.set(client, others);
    }
  }

  /** Rejects when the simulation ends before its time. */
  failure(): Promise<never> {
    return this.#failed;
  }

  /** Resolves when nobody waits for anything any more: late requests have arrived. */
  async settled(): Promise<void> {
    while (this.#isRunning) await eventLoopTurn();
  }

  /**
   * A clock that shows this time, and `skewMs` more. Its stamps grow at each call, and are never those of another
   * clock: what has the same stamp is often sorted by random ids, which no seed decides.
   */
  clock(client: string, skewMs: number = 0): RepeatingClock {
    let lastTick = 0;
    const lane = this.#clockCount++ % CLOCKS_MAX;
    const { startMicros } = this.#options;
    return {
      nowMicros: () => {
        const micros = startMicros + (this.#nowMs + skewMs) * 1000;
        lastTick = Math.max(lastTick + 1, Math.ceil(micros / CLOCKS_MAX));
        return lastTick * CLOCKS_MAX + lane;
      },
      monotonicMs: () => this.#nowMs,
      sleep: (delayMs, signal) => this.#sleep(client, delayMs, signal),
      every: (intervalMs: number, action: () => void) => {
        const alarm = { intervalMs, action, dueMs: this.#nowMs + intervalMs };
        this.#alarms.add(alarm);
        return () => void this.#alarms.delete(alarm);
      },
    };
  }

  #sleep(client: string, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const end = (): void => {
        this.#news++;
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener("abort", giveUp);
      };
      const giveUp = (): void => {
        end();
        reject(signal!.reason);
      };
      const wake = (): void => {
        end();
        resolve();
      };
      const sleeper: Sleeper = { client, order: client, readyMs: this.#nowMs + Math.max(0, delayMs), wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener("abort", giveUp);
      this.#news++;
      this.#run();
    });
  }

  #run(): void {
    if (this.#isRunning || this.#hasFailed) return;
    this.#isRunning = true;
    this.#handOut().catch((error) => {
      this.#hasFailed = true;
      this.#fail(error);
    }).finally(() => this.#isRunning = false);
  }

  async #handOut(): Promise<void> {
    for (;;) {
      await this.#quiet();
      const next = this.#next();
      if (next !== undefined) {
        this.withdraw(next);
        await this.#options.take(next);
        this.#passTo(this.#nowMs + this.#options.random.next() * STEP_MS_MAX);
        continue;
      }
      const times = [...this.#waiting, ...this.#sleepers].map(({ readyMs }) => readyMs);
      if (times.length > 0) {
        // What is due in between comes at its time, and before others wake; alone it keeps nothing going.
        this.#passTo(Math.min(...times, ...[...this.#alarms].map(({ dueMs }) => dueMs)));
      } else if (this.#actors.size === 0) {
        return;
      } else {
        const names = [...this.#actors.keys()].join(", ");
        throw new ConfigValidationError(
          `Cannot go on as ${names} waits for what is neither the simulated store nor its clock: give every part of ` +
            "the work a client and its clock",
          "actors",
        );
      }
    }
  }

  /** One of those whose time has come. Sorted, as the order of coming may differ between runtimes. */
  #next(): T | undefined {
    const ready = this.#waiting.filter(({ readyMs }) => readyMs <= this.#nowMs);
    ready.sort((one, other) => one.order < other.order ? -1 : one.order > other.order ? 1 : 0);
    return ready.length === 0 ? undefined : ready[this.#options.random.below(ready.length)];
  }

  #passTo(timeMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, timeMs);
    const woken = [...this.#sleepers].filter(({ readyMs }) => readyMs <= this.#nowMs);
    for (const sleeper of woken.sort((one, other) => one.readyMs - other.readyMs)) sleeper.wake();
    for (const alarm of this.#alarms) {
      if (alarm.dueMs > this.#nowMs) continue;
      // Once, as timers do that come late.
      while (alarm.dueMs <= this.#nowMs) alarm.dueMs += alarm.intervalMs;
      alarm.action();
    }
  }

  /** Waits until all that can be done without a turn is done. */
  async #quiet(): Promise<void> {
    const startedMs = performance.now();
    for (let news = this.#news, quietTurns = 0; quietTurns < QUIET_TURNS || !this.#isEveryoneWaiting();) {
      await eventLoopTurn();
      quietTurns = news === this.#news ? quietTurns + 1 : 0;
      news = this.#news;
      if (quietTurns >= QUIET_TURNS && performance.now() - startedMs > STALL_MS) return;
    }
  }

  #isEveryoneWaiting(): boolean {
    const waiting = new Set([...this.#waiting, ...this.#sleepers].map(({ client }) => client));
    return [...this.#actors.keys()].every((client) => waiting.has(client));
  }
}

/** All callbacks that are due come before it resolves. Faster than a timer where the runtime has something faster. */
function eventLoopTurn(): Promise<void> {
  const { setImmediate } = globalThis as { setImmediate?: (action: () => void) => unknown };
  return setImmediate === undefined ? sleep(0) : new Promise((resolve) => void setImmediate(resolve));
}
