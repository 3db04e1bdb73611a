/**
 * Hedged requests: a second one where the first is late.
 * @module
 */
import type { Clock } from "../clock.ts";
import type { StoredRanges } from "../stores/store.ts";
import type { RequestLimits, SendRanges } from "./requests.ts";

/** Makes what sends a request once, or twice where the answer takes longer. */
export type Hedging = (afterMs: number, clock: Clock) => NonNullable<RequestLimits["hedged"]>;

/** The first answer of two, where one is late and a slot is free; the other request is given up. */
export const hedged: Hedging = (afterMs, clock) => async (send: SendRanges, signal, gate): Promise<StoredRanges> => {
  const over = new AbortController();
  const either = signal === undefined ? over.signal : AbortSignal.any([signal, over.signal]);
  const first = send(either);
  const second = clock.sleep(afterMs, either).then(() => {
    const leave = gate.tryEnter();
    return leave === null ? first : send(either).finally(leave);
  });
  try {
    // A failure of the first one is told at once; the second one is for those that are late.
    return await Promise.race([first, second.catch(() => first)]);
  } finally {
    first.catch(() => {});
    over.abort(new DOMException("another answer came first", "AbortError"));
  }
};
