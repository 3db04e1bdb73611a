/**
 * Keeps the record of a run while it is at work.
 *
 * A registry that fails never fails a run: what goes wrong here is told to `onEvent` and forgotten. Each update writes
 * the whole record, so a later one makes up for one that was lost.
 * @module
 */
import { type Clock, every } from "../clock.ts";
import { PublishConflictError, PublishCurrentError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import { joinUrl, runRecordKey } from "../snapshots/layout.ts";
import { renderRunRecord, RUN_RECORD_CONTENT_TYPE, type RunRecord } from "../snapshots/run_record.ts";
import type { ObjectStore } from "../stores/store.ts";

/** How long a run counts as alive after its last sign of life, as in the Python package. */
const LEASE_MS = 600_000;
/** Between two signs of life. */
const HEARTBEAT_MS = 60_000;
/** What is kept of an error's message. */
const MESSAGE_CHARACTERS_MAX = 4000;

/** What a record says of the run, and where it is kept. */
export interface RunRegistryOptions extends Pick<RunRecord, "runId" | "shardPrefix" | "dbPathTemplate"> {
  readonly store: ObjectStore;
  /** Folder of the records. */
  readonly runRegistryPrefix: string;
  readonly clock: Clock;
  /** When the write began, on the clock's monotonic scale. */
  readonly startedMs: number;
  readonly onEvent: EventSink;
  /** Ends requests that say the run is alive. That it has ended is said all the same. */
  readonly signal: AbortSignal;
}

/** The record of one run, from its beginning to its outcome. No method rejects. */
export class RunRegistry {
  readonly #options: RunRegistryOptions;
  readonly #key: string;
  readonly #beating = new AbortController();
  #record: RunRecord;
  #ref: string | null = null;
  /** Of the record as it was last written; null when that is unknown. */
  #version: string | null = null;
  #beat: Promise<void> | null = null;
  #stop: () => void = () => {};

  constructor(options: RunRegistryOptions) {
    this.#options = options;
    const { store, clock, runId, shardPrefix, dbPathTemplate } = options;
    const nowMicros = clock.nowMicros();
    this.#key = runRecordKey(options.runRegistryPrefix, nowMicros, runId);
    this.#record = {
      runId,
      writerType: "typescript",
      status: "running",
      startedAtMicros: nowMicros,
      updatedAtMicros: nowMicros,
      leaseExpiresAtMicros: nowMicros + LEASE_MS * 1000,
      s3Prefix: store.url,
      shardPrefix,
      dbPathTemplate,
      manifestRef: null,
      errorType: null,
      errorMessage: null,
    };
  }

  /** URL of the record; null as long as it could not be written. */
  get ref(): string | null {
    return this.#ref;
  }

  /** Writes the record and keeps it alive from then on. */
  async begin(): Promise<void> {
    await this.#write();
    this.#stop = every(this.#options.clock, HEARTBEAT_MS, () => this.#renew());
  }

  /** The run has published. */
  async succeed(manifestRef: string): Promise<void> {
    await this.#end({ status: "succeeded", manifestRef });
  }

  /** The run has failed; where its manifest is stored all the same, the record names it. */
  async fail(error: unknown): Promise<void> {
    const isStored = error instanceof PublishCurrentError || error instanceof PublishConflictError;
    const [errorType, message] = error instanceof Error ? [error.name, error.message] : [typeof error, String(error)];
    const errorMessage = message.slice(0, MESSAGE_CHARACTERS_MAX);
    await this.#end({ status: "failed", errorType, errorMessage, manifestRef: isStored ? error.manifestRef : null });
  }

  /** Renews the lease, unless the last time is still under way. */
  #renew(): void {
    if (this.#beat !== null) return;
    const nowMicros = this.#options.clock.nowMicros();
    const leaseExpiresAtMicros = nowMicros + LEASE_MS * 1000;
    this.#record = { ...this.#record, updatedAtMicros: nowMicros, leaseExpiresAtMicros };
    this.#beat = this.#write().finally(() => this.#beat = null);
  }

  async #end(outcome: Partial<RunRecord>): Promise<void> {
    this.#stop();
    this.#beating.abort();
    await this.#beat;
    const nowMicros = this.#options.clock.nowMicros();
    this.#record = { ...this.#record, ...outcome, updatedAtMicros: nowMicros, leaseExpiresAtMicros: nowMicros };
    await this.#write();
  }

  async #write(): Promise<void> {
    const { store, clock, startedMs, onEvent, signal } = this.#options;
    const isBeat = this.#record.status === "running";
    const beating = AbortSignal.any([this.#beating.signal, signal]);
    // A sign of life that arrives late must not undo the outcome; the outcome may replace anything.
    const version = isBeat ? this.#version : null;
    this.#version = null;
    try {
      const { etag } = await store.put(this.#key, renderRunRecord(this.#record), {
        contentType: RUN_RECORD_CONTENT_TYPE,
        ...(isBeat && { signal: beating }),
        ...(version !== null && { precondition: { ifMatch: version } }),
      });
      this.#version = etag;
      this.#ref = joinUrl(store.url, this.#key);
    } catch (error) {
      if (isBeat && beating.aborted) return;
      const elapsedMs = Math.round(clock.monotonicMs() - startedMs);
      const message = error instanceof Error ? error.message : String(error);
      onEvent({ name: "write.run_record_failed", payload: { elapsed_ms: elapsedMs, error: message } });
    }
  }
}
