/**
 * Talks to PostgreSQL: statements, transactions, and what their failures mean.
 *
 * Statements take and give texts only, so that neither the driver's types nor a caller's settings of them matter.
 * @module
 */
import type { Options, PostgresType, Sql } from "postgres";
import { ConfigValidationError, MissingLibraryError, ShardyfusionError, StoreError } from "../errors.ts";

/** What {@linkcode PostgresConnection} connects with: a URL, options of the package `postgres`, or a client of it. */
export type PostgresTarget = string | Options<Record<string, PostgresType>> | Sql;

/** Rows as arrays of the columns' texts. */
export type TextRows = readonly (readonly (string | null)[])[];

/** Sends a statement with parameters `$1`, `$2`, which are texts: cast them. */
export type Query = (statement: string, parameters?: readonly (string | null)[]) => Promise<TextRows>;

/** What became of a transaction. */
export type Outcome<T> =
  | { readonly value: T }
  /** `mayBeCommitted`: the end was ordered, and no answer came. */
  | { readonly error: unknown; readonly mayBeCommitted: boolean };

/** Programs should be able to end soon after their last statement. */
const IDLE_SECONDS = 2;
const CONNECT_SECONDS = 10;
/** Statements under way may end; the driver waits as long for connections that broke in a transaction. */
const CLOSE_SECONDS = 1;
const CONNECTIONS_MAX = 4;
/** Of SQLSTATE: connections, resources, shutting down, other transactions in the way. */
const RETRYABLE_STATES = /^(?:08|53|57P|40001|40P01|55P03)/;
/** What servers say while they go down: what was ordered before may have been done. */
const GOING_DOWN = /^57P/;
const UNDEFINED_TABLE = "42P01";

/** One database, connected when it is first asked. */
export class PostgresConnection {
  readonly #target: PostgresTarget;
  #sql: Promise<Sql> | null = null;

  constructor(target: PostgresTarget) {
    this.#target = target;
  }

  /** Sends one statement. @throws {StoreError} @throws the signal's reason. */
  async query(
    statement: string,
    parameters: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<TextRows> {
    signal?.throwIfAborted();
    const sql = await this.#client();
    try {
      return await sent(sql.unsafe(statement, [...parameters]), signal);
    } catch (error) {
      throw signal?.aborted ? signal.reason : errorOf(error, sql);
    }
  }

  /**
   * Runs statements in one transaction, which ends with `work`; whatever that throws takes all of it back.
   *
   * @returns Failures too, with what is known of them: errors of ours as they are, the driver's as `StoreError`.
   */
  async transact<T>(
    work: (query: Query) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<Outcome<T>> {
    if (signal?.aborted) return { error: signal.reason, mayBeCommitted: false };
    const sql = await this.#client();
    let isEnding = false;
    const whole = sql.begin("isolation level read committed read write", async (transaction) => {
      const query: Query = async (statement, parameters = []) =>
        await sent(transaction.unsafe(statement, [...parameters]), signal);
      const value = await work(query);
      signal?.throwIfAborted();
      isEnding = true;
      return { value };
    }) as Promise<{ readonly value: T }>;
    try {
      return await untilAborted(whole, signal);
    } catch (error) {
      const state = stateOf(error);
      const mayBeCommitted = isEnding && (state === null || GOING_DOWN.test(state));
      return { error: signal?.aborted ? signal.reason : errorOf(error, sql), mayBeCommitted };
    }
  }

  /** Closes what was opened here; a client of the caller's stays open. */
  async close(): Promise<void> {
    const opening = this.#sql;
    this.#sql = null;
    const sql = await opening?.catch(() => null);
    if (sql && typeof this.#target !== "function") await sql.end({ timeout: CLOSE_SECONDS });
  }

  #client(): Promise<Sql> {
    return this.#sql ??= this.#open();
  }

  async #open(): Promise<Sql> {
    const target = this.#target;
    if (typeof target === "function") return target;
    const postgres = await importDriver();
    const settings = {
      max: CONNECTIONS_MAX,
      "idle_timeout": IDLE_SECONDS,
      "connect_timeout": CONNECT_SECONDS,
      // Else it asks the server about types that are not used here.
      "fetch_types": false,
      onnotice: () => {},
    };
    if (typeof target !== "string") return postgres({ ...settings, ...target }) as Sql;
    try {
      return postgres(target, settings);
    } catch {
      // Without the driver's error, which repeats the URL and the password in it.
      throw new ConfigValidationError(
        'Cannot use option "connection" as it must be a URL such as "postgres://user:password@host:5432/database"',
        "connection",
      );
    }
  }
}

/** Whether an error says that there is no such table. */
export function isMissingTable(error: unknown): boolean {
  return error instanceof StoreError && stateOf(error.cause) === UNDEFINED_TABLE;
}

/** SQLSTATE of what the server said; null when it was not the server who spoke. */
export function stateOf(error: unknown): string | null {
  const { name, code } = error instanceof Error ? error as Error & { code?: unknown } : { name: "", code: null };
  return name === "PostgresError" && typeof code === "string" ? code : null;
}

/** Whether trying again may help. */
export function isRetryableState(state: string): boolean {
  return RETRYABLE_STATES.test(state);
}

async function importDriver(): Promise<typeof import("postgres")> {
  try {
    return (await import("postgres")).default;
  } catch (cause) {
    const name = "postgres";
    throw new MissingLibraryError(
      `Cannot use postgresManifestStore without the package "${name}": install it`,
      name,
      { cause },
    );
  }
}

interface Pending {
  values(): PromiseLike<unknown> & { cancel(): void };
}

async function sent(pending: Pending, signal: AbortSignal | undefined): Promise<TextRows> {
  signal?.throwIfAborted();
  const rows = pending.values();
  const cancel = (): void => rows.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    return await untilAborted(Promise.resolve(rows), signal) as TextRows;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}

/** What settles first; the other one is not waited for. */
async function untilAborted<T>(settling: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await settling;
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([settling, promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function errorOf(error: unknown, sql: Sql): unknown {
  if (error instanceof ShardyfusionError) return error;
  const state = stateOf(error);
  const url = urlOf(sql);
  const reason = error instanceof Error ? error.message : String(error);
  return new StoreError(`Cannot use the database "${url}": ${reason}`, {
    url,
    cause: error,
    // What the driver itself reports concerns the connection.
    retryable: state === null || isRetryableState(state),
  });
}

/** Without user and password. */
function urlOf({ options: { host, port, database } }: Sql): string {
  return `postgres://${[host].flat()[0] ?? ""}:${[port].flat()[0] ?? ""}/${database}`;
}
