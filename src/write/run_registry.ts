/**
 * Keeps the record of a run while it is at work.
 *
 * A registry that fails never fails a run: what goes wrong here is told to `onEvent` and forgotten. Each update writes
 * the whole record, so a later one makes up for one that was lost.
 * @module
 */
import { type Clock, every, systemClock } from "../clock.ts";
import { PublishConflictError, PublishCurrentError } from "../errors.ts";
import { type EventSink, guardedEventSink } from "../events.ts";
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
export interface RunRegistryOptions {
  /** Where the record is kept. */
  readonly store: ObjectStore;
  /** Name of the run. */
  readonly runId: string;
  /** Who writes, for people who read the record. @default {"typescript"} */
  readonly writerType?: string | undefined;
  /** Folder of the shards, as for `writeSnapshot`. @default {"shards"} */
  readonly shardPrefix?: string | undefined;
  /** Folder of a shard below the run's, as for `writeSnapshot`. @default {"db={db_id:05d}"} */
  readonly dbPathTemplate?: string | undefined;
  /** Folder of the records. @default {"runs"} */
  readonly runRegistryPrefix?: string | undefined;
  /** The record of a run that another process has begun, which this one goes on with. Default: a new one. */
  readonly begun?: { readonly key: string; readonly startedAtMicros: number } | undefined;
  /** How long the run counts as alive after each sign of life. @default {600_000} */
  readonly leaseMs?: number | undefined;
  /** Takes the event `write.run_record_failed`. */
  readonly onEvent?: EventSink | undefined;
  /** When the write began, on the clock's monotonic scale: events count from there. Default: now. */
  readonly startedMs?: number | undefined;
  /** Ends requests that say the run is alive. That it has ended is said all the same. */
  readonly signal?: AbortSignal | undefined;
  /** Time, for tests. */
  readonly clock?: Clock | undefined;
}

/**
 * The record of one run, from its beginning to its outcome. Others see by it that the run is at work: `cleanUp` leaves
 * its shards alone. No method rejects but `hasLapsed`.
 *
 * @example
 * ```ts
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { RunRegistry } from "./run_registry.ts";
 *
 * const record = new RunRegistry({ store: memoryStore(), runId: "example" });
 * await record.begin();
 * await record.fail(new Error("an example"));
 * if (record.ref === null) throw new Error("the record was not written");
 * ```
 */
export class RunRegistry {
  readonly #options: RunRegistryOptions;
  readonly #clock: Clock;
  readonly #startedMs: number;
  readonly #emit: EventSink;
  readonly #key: string;
  readonly #leaseMs: number;
  #beating = new AbortController();
  #record: RunRecord;
  #ref: string | null = null;
  /** Of the record as it was last written; null when that is unknown. */
  #version: string | null = null;
  #beat: Promise<void> | null = null;
  #stop: () => void = () => {};
  /** When the record that was last written was made; null as long as none was. */
  #aliveMicros: number | null = null;
  /** Whether there was a time when the record told others that the run is dead. */
  #hasLapsed = false;

  /** Writes nothing yet. */
  constructor(options: RunRegistryOptions) {
    const { store, runId, runRegistryPrefix = "runs", clock = systemClock(), begun } = options;
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? LEASE_MS;
    this.#clock = clock;
    this.#startedMs = options.startedMs ?? clock.monotonicMs();
    this.#emit = guardedEventSink(options.onEvent);
    const nowMicros = clock.nowMicros();
    this.#key = begun?.key ?? runRecordKey(runRegistryPrefix, nowMicros, runId);
    this.#record = {
      runId,
      writerType: options.writerType ?? "typescript",
      status: "running",
      startedAtMicros: begun?.startedAtMicros ?? nowMicros,
      updatedAtMicros: nowMicros,
      leaseExpiresAtMicros: nowMicros + this.#leaseMs * 1000,
      s3Prefix: store.url,
      shardPrefix: options.shardPrefix ?? "shards",
      dbPathTemplate: options.dbPathTemplate ?? "db={db_id:05d}",
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
    this.#stop = every(this.#clock, HEARTBEAT_MS, () => this.#renew());
  }

  /**
   * Whether clean-ups may have taken the run for dead: its lease has ended once, as when a process is suspended, or
   * nobody knows whether there is a record. Then the lease is renewed before the answer.
   *
   * @throws {StoreError} when the record that told of the end of the lease cannot be renewed.
   */
  async hasLapsed(): Promise<boolean> {
    if (!this.#hasLapsed && this.#aliveMicros !== null && !this.#isOver(this.#clock.nowMicros())) return false;
    // What was under way when the process was suspended may never be answered.
    this.#beating.abort();
    await this.#beat;
    this.#beating = new AbortController();
    // Somebody may have removed the record.
    this.#version = null;
    this.#touch();
    const failure = await this.#write();
    if (failure !== null && this.#ref !== null) throw failure;
    this.#hasLapsed = false;
    return true;
  }

  /** Where the record is kept in the store. */
  get key(): string {
    return this.#key;
  }

  /** Leaves the record to another process, which goes on with it before the lease ends: option `begun`. */
  async leave(): Promise<void> {
    this.#stop();
    await this.#beat;
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
    this.#touch();
    this.#beat = this.#write().then(() => {}).finally(() => this.#beat = null);
  }

  #touch(): void {
    const nowMicros = this.#clock.nowMicros();
    const leaseExpiresAtMicros = nowMicros + this.#leaseMs * 1000;
    this.#record = { ...this.#record, updatedAtMicros: nowMicros, leaseExpiresAtMicros };
  }

  #isOver(nowMicros: number): boolean {
    return nowMicros - (this.#aliveMicros ?? this.#record.startedAtMicros) > this.#leaseMs * 1000;
  }

  async #end(outcome: Partial<RunRecord>): Promise<void> {
    this.#stop();
    this.#beating.abort();
    await this.#beat;
    const nowMicros = this.#clock.nowMicros();
    this.#record = { ...this.#record, ...outcome, updatedAtMicros: nowMicros, leaseExpiresAtMicros: nowMicros };
    await this.#write();
  }

  /** Gives what went wrong. */
  async #write(): Promise<unknown> {
    const { store, signal } = this.#options;
    const isBeat = this.#record.status === "running";
    const { updatedAtMicros } = this.#record;
    const beating = AbortSignal.any(signal === undefined ? [this.#beating.signal] : [this.#beating.signal, signal]);
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
      this.#hasLapsed ||= this.#isOver(updatedAtMicros);
      this.#aliveMicros = updatedAtMicros;
      return null;
    } catch (error) {
      if (isBeat && beating.aborted) return null;
      const elapsedMs = Math.round(this.#clock.monotonicMs() - this.#startedMs);
      const message = error instanceof Error ? error.message : String(error);
      this.#emit({ name: "write.run_record_failed", payload: { elapsed_ms: elapsedMs, error: message } });
      return error;
    }
  }
}
