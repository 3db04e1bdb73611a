/**
 * All scenarios one after the other, before two receivers: the one under test, and one that writes events down.
 * @module
 */
import type { EventSink, ShardyfusionEvent } from "../../mod.ts";
import { scenarios } from "./event_scenarios.ts";
import { measured } from "./event_table.ts";

/** How often something was measured, and the sum of the seconds. */
export interface Expected {
  readonly count: number;
  readonly sumSeconds: number;
}

/** What a metric must show, by its name in OpenTelemetry, going by the events that came. */
export async function expectedOf(sink: EventSink): Promise<ReadonlyMap<string, Expected>> {
  const events: ShardyfusionEvent[] = [];
  for (const { run } of scenarios) {
    await run((event) => {
      events.push(event);
      sink(event);
    });
  }
  return new Map(measured.map(({ otel, event, observed }) => {
    const own = events.filter(({ name }) => name === event);
    const [field = "", perSecond = 1] = observed ?? [];
    const seconds = own.map(({ payload }) => Number((payload as Record<string, unknown>)[field] ?? 0) / perSecond);
    return [otel, { count: own.length, sumSeconds: seconds.reduce((sum, value) => sum + value, 0) }];
  }));
}
