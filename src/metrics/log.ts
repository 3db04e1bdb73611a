/**
 * Events and failures as lines of JSON, for whatever collects a program's log. Nothing is logged unless this is asked
 * for.
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import type { EventMap, EventSink } from "../events.ts";
import { redacted } from "../redact.ts";

/** How much an event matters. */
export type LogLevel = "DEBUG" | "INFO" | "WARNING" | "ERROR" | "CRITICAL";

/** What {@linkcode logEvents} can be told. */
export interface LogOptions {
  /** Events that matter less are left out: `"INFO"` leaves out what comes with every lookup and batch. */
  readonly levelMin?: LogLevel | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

/** How bad a failure is: it may pass by itself, it will not, or somebody should look at once. */
export type FailureSeverity = "transient" | "error" | "critical";

/** What {@linkcode logFailure} can be told. */
export interface FailureLogOptions {
  /** What failed, such as `write.failed`; the logger is named after what stands before the last dot. */
  readonly event: string;
  /** Default: `"transient"` for errors that say so themselves (`retryable`), else `"error"`. */
  readonly severity?: FailureSeverity | undefined;
  /** More about it, after the error. */
  readonly fields?: Readonly<Record<string, string | number | boolean | null>> | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

const LEVELS: readonly LogLevel[] = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];

const LEVEL_OF_SEVERITY: Readonly<Record<FailureSeverity, LogLevel>> = {
  transient: "WARNING",
  error: "ERROR",
  critical: "CRITICAL",
};

const LEVEL_OF: { readonly [Name in keyof EventMap]?: LogLevel } = {
  "write.batch_written": "DEBUG",
  "write.shard.started": "DEBUG",
  "reader.get": "DEBUG",
  "reader.multi_get": "DEBUG",
  "serve.request": "DEBUG",
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
    write(lineOf({ event: name, level, clock }, payload));
  };
}

/**
 * Writes one line for an error that a write, a read or anything else ended with, in the form of the Python package's
 * log: as for events, with `severity` and `error`. Secrets in texts are struck out. Nothing calls it by itself: errors
 * are thrown, and whether they are logged is up to who catches them.
 *
 * @example
 * ```ts
 * import { openSnapshot } from "../../mod.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { logFailure } from "./log.ts";
 *
 * const lines: string[] = [];
 * try {
 *   await openSnapshot({ store: memoryStore() });
 * } catch (error) {
 *   logFailure((line) => lines.push(line), error, { event: "reader.failed", fields: { service: "people" } });
 * }
 * const { level, logger, severity, error, service } = JSON.parse(lines[0]!);
 * if (level !== "ERROR" || logger !== "shardyfusion.reader" || severity !== "error" || service !== "people") {
 *   throw new Error("unexpected line");
 * }
 * if (!error.startsWith("ReaderStateError(")) throw new Error(error);
 * ```
 */
export function logFailure(write: (line: string) => void, error: unknown, options: FailureLogOptions): void {
  const { event, fields, clock = systemClock() } = options;
  const isTransient = (Object(error) as { readonly retryable?: unknown }).retryable === true;
  const { severity = isTransient ? "transient" : "error" } = options;
  const shown = error instanceof Error ? `${error.name}(${JSON.stringify(redacted(error.message))})` : String(error);
  write(lineOf({ event, level: LEVEL_OF_SEVERITY[severity], clock }, { severity, error: shown, ...fields }));
}

function lineOf(
  { event, level, clock }: { readonly event: string; readonly level: LogLevel; readonly clock: Clock },
  fields: object,
): string {
  const timestamp = new Date(clock.nowMicros() / 1000).toISOString();
  const logger = ["shardyfusion", ...event.split(".").slice(0, -1)].join(".");
  return JSON.stringify({ timestamp, level, logger, event, ...fields }, struckOut);
}

function struckOut(_: string, value: unknown): unknown {
  return typeof value === "string" ? redacted(value) : value;
}
