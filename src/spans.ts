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
  /** What is being done. */
  readonly name: SpanName;
  /** What is known from the beginning on. */
  readonly attributes: SpanAttributes;
}

/** Work within a span; `note` adds what is known only later. */
export type SpanWork<T> = (note: (attributes: SpanAttributes) => void) => Promise<T>;

/**
 * Runs work within a span and gives what the work gives, or rejects as it does. Spans of work that is called by this
 * work are its children, if the tracer knows how to tell: `otelTracer` of `./metrics/otel` does.
 */
export type Tracer = <T>(span: SpanStart, work: SpanWork<T>) => Promise<T>;

/**
 * Runs work within a span where there is a tracer, else as it is. The work is done once, and its outcome is what comes
 * of it, whatever the tracer throws; but a tracer that never settles is waited for.
 */
export function traced<T>(tracer: Tracer | undefined, span: SpanStart, work: SpanWork<T>): Promise<T> {
  return tracer === undefined ? work(() => {}) : watched(tracer, span, work);
}

async function watched<T>(tracer: Tracer, span: SpanStart, work: SpanWork<T>): Promise<T> {
  let outcome: Promise<T> | undefined;
  const start: SpanWork<T> = (note) => {
    outcome ??= Promise.resolve(work((attributes) => noted(note, attributes)));
    // A tracer may drop it, and settle later.
    outcome.catch(() => {});
    return outcome;
  };
  try {
    await tracer(span, start);
  } catch {
    // Either the work failed, which is told below, or the tracer, which must not fail what it watches.
  }
  return await (outcome ?? work(() => {}));
}

function noted(note: (attributes: SpanAttributes) => void, attributes: SpanAttributes): void {
  try {
    note(attributes);
  } catch {
    // As above.
  }
}
