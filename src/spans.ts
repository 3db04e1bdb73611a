/**
 * Spans: work that a tracer may watch. What is traced is decided here; whoever is given as tracer records it.
 * @module
 */

/** Kinds of work that are traced. */
export type SpanName =
  | "shardyfusion.write"
  | "shardyfusion.shard"
  | "shardyfusion.publish"
  | "shardyfusion.get"
  | "shardyfusion.get_many"
  | "shardyfusion.search"
  | "shardyfusion.store.get"
  | "shardyfusion.store.get_ranges";

/** What a span tells beside its name and times. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** A span that is about to begin. */
export interface SpanStart {
  readonly name: SpanName;
  readonly attributes: SpanAttributes;
}

/** Work within a span; `note` adds what is known only later. */
export type SpanWork<T> = (note: (attributes: SpanAttributes) => void) => Promise<T>;

/**
 * Runs work within a span and gives what the work gives, or rejects as it does. Spans of work that is called by this
 * work are its children, if the tracer knows how to tell: `otelTracer` of `./metrics/otel` does.
 */
export type Tracer = <T>(span: SpanStart, work: SpanWork<T>) => Promise<T>;

/** Runs work within a span where there is a tracer, else as it is. */
export function traced<T>(tracer: Tracer | undefined, span: SpanStart, work: SpanWork<T>): Promise<T> {
  return tracer === undefined ? work(() => {}) : tracer(span, work);
}
