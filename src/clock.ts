/**
 * Time as an argument: production code never asks the system itself.
 * @module
 */

/** What the library needs to know about time. */
export interface Clock {
  /** Microseconds since 1970-01-01 UTC; a safe integer, never smaller than before, greater at each call. */
  nowMicros(): number;
  /** Milliseconds from an arbitrary start, monotonic. */
  monotonicMs(): number;
  /** Resolves after `delayMs`; rejects with the signal's reason as soon as it is aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
  /**
   * Calls `action` every `intervalMs`, until the function that it returns is called. A process may end meanwhile.
   * Where a clock lacks it, `sleep` is called again and again.
   */
  every?(intervalMs: number, action: () => void): () => void;
}

/** By how much the two clocks of a system may differ before it must have been suspended, or set. */
const DRIFT_MS_MAX = 1000;

/**
 * The system's clock. Two calls of `nowMicros` never give the same stamp, so that stamps can order. Monotonic time may
 * stand still while a system is suspended; stamps do not.
 */
export function systemClock(): Clock {
  let last = 0;
  return {
    nowMicros() {
      const [fineMs, wallMs] = [performance.timeOrigin + performance.now(), Date.now()];
      const nowMs = Math.abs(wallMs - fineMs) > DRIFT_MS_MAX ? wallMs : fineMs;
      last = Math.max(last + 1, Math.round(nowMs * 1000));
      return last;
    },
    monotonicMs: () => performance.now(),
    sleep,
    every(intervalMs, action) {
      const timer: unknown = setInterval(action, intervalMs);
      // Browsers and Workers know no processes that a timer could keep alive.
      (timer as { unref?(): void }).unref?.();
      return () => clearInterval(timer as number);
    },
  };
}

/** Resolves after `delayMs`; rejects with the signal's reason as soon as it is aborted. */
export function sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, delayMs);
    function onAbort() {
      clearTimeout(timer);
      reject(signal!.reason);
    }
    signal?.addEventListener("abort", onAbort);
  });
}

/** As `clock.every`, also where the clock has none. */
export function every(clock: Clock, intervalMs: number, action: () => void): () => void {
  if (clock.every !== undefined) return clock.every(intervalMs, action);
  const ended = new AbortController();
  async function repeat(): Promise<void> {
    for (;;) {
      await clock.sleep(intervalMs, ended.signal);
      if (ended.signal.aborted) return;
      action();
    }
  }
  repeat().catch(() => {}); // Ended.
  return () => ended.abort();
}
