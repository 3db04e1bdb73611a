/**
 * The state behind a reader: the snapshot being read, refreshing it, closing it.
 * @module
 */
import { ManifestParseError, ReaderStateError } from "../errors.ts";
import { type EventSink, guardedEventSink } from "../events.ts";
import type { Generation } from "./generation.ts";
import type { CheckedOptions } from "./read_options.ts";
import type { SnapshotSource } from "./snapshot_source.ts";

/** Waits until so many keys may be looked up. */
export type KeyLimiter = { acquire(keys: number, bytes: 0, signal?: AbortSignal): Promise<void> };

/** What all parts of one reader share. */
export class ReaderState {
  readonly options: CheckedOptions;
  readonly source: SnapshotSource;
  readonly emit: EventSink;
  readonly limiter: KeyLimiter | null;
  /** Keys looked up. */
  lookUps = 0;
  /** Handles that are open. */
  handleCount = 0;
  #active: Generation;
  #refreshWarning: string | null = null;
  #refreshing: Promise<unknown> = Promise.resolve();
  /** Ends the refresh that is under way. */
  #refreshEnd: AbortController | null = null;
  #isClosed = false;
  #closing: Promise<void> | null = null;

  constructor(
    source: SnapshotSource,
    first: Generation,
    { options, limiter }: { readonly options: CheckedOptions; readonly limiter: KeyLimiter | null },
  ) {
    this.options = options;
    this.source = source;
    this.limiter = limiter;
    this.#active = first;
    this.emit = guardedEventSink(options.onEvent);
    this.emit({ name: "reader.initialized", payload: {} });
  }

  /** The snapshot being read; after closing the last one, so that it can still be described. */
  get active(): Generation {
    return this.#active;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Why the last refresh took nothing over, when that was no good reason. */
  get refreshWarning(): string | null {
    return this.#refreshWarning;
  }

  /** The snapshot to look something up in. @throws {ReaderStateError} when the reader is closed. */
  use(): Generation {
    if (this.#isClosed) throw closedError();
    return this.#active;
  }

  /** As `KeyReader.refresh`. */
  async refresh(signal: AbortSignal | undefined): Promise<boolean> {
    this.use();
    const turn = this.#refreshing.then(() => this.#refreshNow(signal));
    this.#refreshing = turn.catch(() => {});
    const changed = await turn;
    this.emit({ name: "reader.refreshed", payload: { changed } });
    return changed;
  }

  /** As `KeyReader.close`. */
  close(): Promise<void> {
    this.#closing ??= this.#closeNow();
    return this.#closing;
  }

  async #closeNow(): Promise<void> {
    if (this.#isClosed) return; // Receivers of events may close the reader as well.
    this.#isClosed = true;
    try {
      this.#refreshEnd?.abort(closedError());
    } catch {
      // A Worker's request may not abort what another one began; that ends by itself.
    }
    this.emit({ name: "reader.closed", payload: { num_handles: this.handleCount } });
    await this.#refreshing;
    await this.#active.retire();
  }

  async #refreshNow(signal: AbortSignal | undefined): Promise<boolean> {
    const active = this.use();
    const end = this.#refreshEnd = new AbortController();
    const either = signal === undefined ? end.signal : AbortSignal.any([signal, end.signal]);
    try {
      either.throwIfAborted();
      const newer = await this.source.openNewer(active, either);
      this.#refreshWarning = newer instanceof ManifestParseError ? `not refreshed: ${newer.message}` : null;
      if (newer === null || newer instanceof ManifestParseError) return false;
      if (this.#isClosed) {
        await newer.retire();
        throw closedError();
      }
      this.#active = newer;
      await active.retire();
      return true;
    } finally {
      this.#refreshEnd = null;
    }
  }
}

function closedError(): ReaderStateError {
  return new ReaderStateError("Cannot use the reader as it is closed");
}
