/**
 * Events as lines of JSON, for whatever collects a program's log. Nothing is logged unless this is asked for.
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import type { EventMap, EventSink } from "../events.ts";
import { redacted } from "../redact.ts";

/** How much an event matters. */
export type LogLevel = "DEBUG" | "INFO" | "WARNING" | "ERROR";

/** What {@linkcode logEvents} can be told. */
export interface LogOptions {
  /** Events that matter less are left out: `"INFO"` leaves out what comes with every lookup and batch. */
  readonly levelMin?: LogLevel | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

const LEVELS: readonly LogLevel[] = ["DEBUG", "INFO", "WARNING", "ERROR"];

const LEVEL_OF: { readonly [Name in keyof EventMap]?: LogLevel } = {
  "write.batch_written": "DEBUG",
  "write.shard.started": "DEBUG",
  "reader.get": "DEBUG",
  "reader.multi_get": "DEBUG",
  "vector.reader.search": "DEBUG",
  "vector.reader.shard_search": "DEBUG",
  "rate_limiter.throttled": "DEBUG",
  "rate_limiter.denied": "DEBUG",
  "write.shard.retried": "WARNING",
  "write.run_record_failed": "WARNING",
  "write.unfenced": "WARNING",
  "s3.retry": "WARNING",
  "write.shard.retry_exhausted": "ERROR",
  "s3.retry_exhausted": "ERROR",
};

/**
 * A sink for the option `onEvent` that writes one line for each event, in the form of the Python package's log:
 * `{"timestamp", "level", "logger", "event", …payload}`. Secrets in texts are struck out.
 *
 * @param write Is given the line, without line break: `console.log`, or what a logger has.
 *
 * @example
 * ```ts
 * import { logEvents } from "./log.ts";
 *
 * const lines: string[] = [];
 * const onEvent = logEvents((line) => lines.push(line));
 * onEvent({ name: "reader.refreshed", payload: { changed: true } });
 * const { level, logger, event, changed } = JSON.parse(lines[0]!);
 * if (level !== "INFO" || logger !== "shardyfusion.reader" || event !== "reader.refreshed" || !changed) {
 *   throw new Error("unexpected line");
 * }
 * ```
 */
export function logEvents(write: (line: string) => void, options: LogOptions = {}): EventSink {
  const { levelMin = "DEBUG", clock = systemClock() } = options;
  const least = LEVELS.indexOf(levelMin);
  return ({ name, payload }) => {
    const level = LEVEL_OF[name] ?? "INFO";
    if (LEVELS.indexOf(level) < least) return;
    const timestamp = new Date(clock.nowMicros() / 1000).toISOString();
    const logger = `shardyfusion.${name.slice(0, name.lastIndexOf("."))}`;
    write(JSON.stringify({ timestamp, level, logger, event: name, ...payload }, struckOut));
  };
}

function struckOut(_: string, value: unknown): unknown {
  return typeof value === "string" ? redacted(value) : value;
}
