/**
 * What moves the pointer in PostgreSQL: one transaction for each step, with the pointer's table locked, again and again
 * until it is known what became of it.
 * @module
 */
import { type Clock, systemClock } from "../clock.ts";
import {
  ConfigValidationError,
  ObjectNotFoundError,
  PreconditionFailedError,
  PublishConflictError,
  PublishManifestError,
  ShardyfusionError,
} from "../errors.ts";
import type { CurrentPointer } from "./manifest_store.ts";
import { isRetryableState, type PostgresConnection, type Query, stateOf } from "./postgres_connection.ts";
import { createTables, hasTables, readPointer, type TableNames } from "./postgres_tables.ts";

/** One move of the pointer, or what else must not happen while it moves. */
export interface Step<T> {
  /** What cannot be done if it fails, for errors. */
  readonly what: string;
  readonly ref: string;
  readonly expected: CurrentPointer | null;
  /** Runs when the pointer is as expected. */
  act(query: Query): Promise<T>;
  /** Runs when it is not, before that is thrown. */
  onConflict?(query: Query, current: CurrentPointer): Promise<void>;
  /** The result if an attempt whose answer was lost had its effect after all. */
  recover?(query: Query): Promise<T | null>;
}

/** How steps are taken. */
export interface StepOptions {
  readonly ensureTable: boolean;
  /** Tries in all. */
  readonly attemptsMax: number;
  readonly clock?: Clock;
}

/** How long a publish waits for another one to end. */
const LOCK_TIMEOUT = "30s";
const BACKOFF_MS = 1000;

/** Takes steps, each with the pointer's table locked. */
export class LockedSteps {
  readonly #connection: PostgresConnection;
  readonly #names: TableNames;
  readonly #options: StepOptions;
  #hasTables: boolean;

  constructor(connection: PostgresConnection, names: TableNames, options: StepOptions) {
    this.#connection = connection;
    this.#names = names;
    this.#options = options;
    this.#hasTables = !options.ensureTable;
  }

  /** Runs a step while nobody else moves the pointer, again and again until the answer is known. */
  async run<T>(
    step: Step<T>,
    signal: AbortSignal | undefined,
  ): Promise<{ value: T } | { error: unknown; mayBeCommitted: boolean }> {
    const { attemptsMax, clock = systemClock() } = this.#options;
    let mayBeCommitted = false;
    for (let attempt = 1;; attempt++) {
      const isFirst = attempt === 1;
      const outcome = await this.#connection.transact((query) => this.#locked(step, isFirst, query), signal);
      if ("value" in outcome) {
        const { conflict, value } = outcome.value;
        return conflict === undefined ? { value: value! } : { error: conflict, mayBeCommitted: false };
      }
      const { error } = outcome;
      mayBeCommitted ||= outcome.mayBeCommitted;
      const isRetryable = error instanceof ShardyfusionError && error.retryable &&
        !(error instanceof PublishManifestError);
      // A certain answer, from a transaction that saw what the earlier ones had done.
      if (!isRetryable && !signal?.aborted && error instanceof ShardyfusionError) {
        return { error, mayBeCommitted: mayBeCommitted && !isOwnAnswer(error) };
      }
      if (!isRetryable || attempt >= attemptsMax || signal?.aborted) return { error, mayBeCommitted };
      try {
        if (attempt > 1) await clock.sleep(BACKOFF_MS * 2 ** (attempt - 2), signal);
      } catch (aborted) {
        return { error: aborted, mayBeCommitted };
      }
    }
  }

  async #locked<T>(
    step: Step<T>,
    isFirst: boolean,
    query: Query,
  ): Promise<{ value?: T; conflict?: PublishConflictError }> {
    await this.#ensureTables(query);
    const { pointer } = this.#names;
    await query(`SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`);
    // Waits for the transaction of an attempt whose answer was lost, too, and keeps out whoever inserts.
    await query(`LOCK TABLE ${pointer} IN SHARE ROW EXCLUSIVE MODE`);
    const recovered = isFirst ? null : await step.recover?.(query) ?? null;
    if (recovered !== null) return { value: recovered };
    const current = await readPointer(this.#names, query);
    if (isSamePointer(step.expected, current)) return { value: await step.act(query) };
    if (current !== null) await step.onConflict?.(query, current);
    return { conflict: conflictOf(step, current) };
  }

  async #ensureTables(query: Query): Promise<void> {
    if (this.#hasTables) return;
    if (!await hasTables(this.#names, query)) {
      try {
        await createTables(this.#names, query);
      } catch (cause) {
        const state = stateOf(cause);
        if (state === null || isRetryableState(state)) throw cause;
        throw new ConfigValidationError(
          `Cannot create the tables of manifests: ${cause instanceof Error ? cause.message : String(cause)}`,
          "postgresManifestStore.ensureTable",
          { cause },
        );
      }
      return; // They are there when the transaction is.
    }
    this.#hasTables = true;
  }
}

/** Each move has a time of its own. */
export function isSamePointer(one: CurrentPointer | null, other: CurrentPointer | null): boolean {
  return one?.ref === other?.ref && one?.publishedAtMicros === other?.publishedAtMicros;
}

/** What comes from looking at the tables, not from failing to. */
function isOwnAnswer(error: unknown): boolean {
  return error instanceof PublishConflictError || error instanceof PublishManifestError ||
    error instanceof ObjectNotFoundError;
}

function conflictOf<T>({ what, ref, expected }: Step<T>, current: CurrentPointer | null): PublishConflictError {
  const state = current === null ? "names none" : `names "${current.ref}"`;
  const cause = new PreconditionFailedError(
    `Cannot compare the pointer with "${expected?.ref ?? "none"}" successfully: it ${state}`,
    { url: ref },
  );
  return new PublishConflictError(
    `Cannot ${what} as another writer moved the pointer in between: it ${state}`,
    { manifestRef: ref, winnerRef: current?.ref ?? null },
    { cause },
  );
}
