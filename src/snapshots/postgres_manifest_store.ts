/**
 * Keeps manifests in PostgreSQL, in the tables of the Python package, so that both share a database.
 *
 * A publish is one transaction that locks the table of the pointer against all who write to it, the Python package
 * included, and compares what it finds with what was expected. Readers wait for nobody.
 * @module
 */
import * as v from "valibot";
import { jsonStamp, parseStamp } from "../bytes/timestamps.ts";
import type { Clock } from "../clock.ts";
import {
  ConfigValidationError,
  ObjectNotFoundError,
  PreconditionFailedError,
  PublishConflictError,
  PublishCurrentError,
  PublishManifestError,
  ReaderStateError,
  ShardyfusionError,
} from "../errors.ts";
import { clockOption, parseOptions } from "../options.ts";
import type { RequestOptions } from "../stores/store.ts";
import type { Manifest, ManifestRef } from "./manifest.ts";
import type { CurrentPointer, ManifestStore, PointerOptions } from "./manifest_store.ts";
import { isSamePointer, LockedSteps, type Step } from "./postgres_steps.ts";
import { isMissingTable, PostgresConnection, type PostgresTarget, type Query } from "./postgres_connection.ts";
import {
  deleteManifests,
  hasManifest,
  hasMove,
  insertManifest,
  insertMove,
  isSameContent,
  listManifests,
  NO_MOVES,
  readPointer,
  selectManifest,
  type TableNames,
} from "./postgres_tables.ts";
import { manifestRows } from "./write_manifest.ts";

export type { PostgresTarget } from "./postgres_connection.ts";

/** Options of {@linkcode postgresManifestStore}. */
export interface PostgresManifestStoreOptions {
  /**
   * The database: a URL (`postgres://user:password@host:5432/database`), options of the package `postgres`, or a client
   * that the caller has made with it, and ends. Its credentials have nothing to do with those of the object store.
   */
  readonly connection: PostgresTarget;
  /** What the names of the tables `…_builds` and `…_shards` begin with. @default {"shardyfusion_manifests"} */
  readonly tableName?: string | undefined;
  /** The table of the pointer. @default {"shardyfusion_pointer"} */
  readonly pointerTableName?: string | undefined;
  /**
   * Whether missing tables are created before the first publish. Who only reads creates nothing: without tables there
   * is no snapshot.
   * @default {true}
   */
  readonly ensureTable?: boolean | undefined;
  /** Tries of a publish or a roll back in all, while the database fails. @default {4} */
  readonly attemptsMax?: number | undefined;
  /** Time, for tests. Default: that of the server. */
  readonly clock?: Clock | undefined;
}

/** A manifest store that holds connections. */
export interface PostgresManifestStore extends ManifestStore, AsyncDisposable {
  /** See {@linkcode ManifestStore.forget}. */
  forget(refs: readonly string[], expected: CurrentPointer | null, options?: RequestOptions): Promise<void>;
  /** Closes connections at once; else they close when they have been idle for two seconds. */
  close(): Promise<void>;
}

interface Checked {
  readonly connection: PostgresTarget;
  readonly tableName: string;
  readonly pointerTableName: string;
  readonly ensureTable: boolean;
  readonly attemptsMax: number;
  readonly clock?: Clock;
}

const TABLE_NAME = /^(?:[A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,55}$/;
const tableName = v.pipe(
  v.string("a name of letters, digits and underscores, of at most 56 characters, with a schema in front or without"),
  v.regex(
    TABLE_NAME,
    "a name of letters, digits and underscores, of at most 56 characters, with a schema in front or without",
  ),
);
const schema = v.strictObject({
  // Checked by itself, as the general error would show what may be secret.
  connection: v.any(),
  tableName: v.optional(tableName, "shardyfusion_manifests"),
  pointerTableName: v.optional(tableName, "shardyfusion_pointer"),
  ensureTable: v.optional(v.boolean("true or false"), true),
  attemptsMax: v.optional(v.pipe(v.number("a number from 1 up"), v.minValue(1, "a number from 1 up")), 4),
  clock: v.optional(clockOption),
}) as unknown as v.GenericSchema<PostgresManifestStoreOptions, Checked>;

/**
 * Keeps manifests and the pointer in PostgreSQL, in the tables of the Python package. The ref of a manifest is its run.
 *
 * Publishing is fenced as it is on objects (P2), against publishers of the Python package too, and a commit whose
 * reply was lost is looked for. It takes the right to lock the table of the pointer, which its owner has. Each run is
 * published once: a manifest is never replaced by another one of the same run.
 *
 * Reading costs one statement for the pointer and one for a manifest, and works with a role that may only read.
 *
 * @throws {ConfigValidationError} when an option is wrong; on the first publish, when the tables cannot be created.
 * @throws {MissingLibraryError} on first use, without the package `postgres`.
 *
 * @example
 * ```ts
 * import { postgresManifestStore } from "./postgres_manifest_store.ts";
 *
 * // Connects when it is first used.
 * await using manifestStore = postgresManifestStore({ connection: "postgres://localhost/snapshots" });
 * if (typeof manifestStore.publish !== "function") throw new Error("unreachable");
 * ```
 */
export function postgresManifestStore(options: PostgresManifestStoreOptions): PostgresManifestStore {
  const checked = parseOptions(schema, options, "postgresManifestStore") as Checked;
  requireConnection(checked.connection);
  return new TableManifestStore(checked);
}

function requireConnection(input: unknown): void {
  if (typeof input === "function" || (typeof input === "object" ? input !== null : isPostgresUrl(input))) return;
  const path = "postgresManifestStore.connection";
  const expected = "a URL that begins with postgres://, options or a client of the package postgres";
  throw new ConfigValidationError(`Cannot use option "${path}" as it must be ${expected}`, path);
}

class TableManifestStore implements PostgresManifestStore {
  readonly #connection: PostgresConnection;
  readonly #names: TableNames;
  readonly #clock: Clock | undefined;
  readonly #steps: LockedSteps;

  constructor(options: Checked) {
    const { connection, tableName, pointerTableName, clock } = options;
    this.#connection = new PostgresConnection(connection);
    this.#names = { builds: `${tableName}_builds`, shards: `${tableName}_shards`, pointer: pointerTableName };
    this.#clock = clock;
    this.#steps = new LockedSteps(this.#connection, this.#names, options);
  }

  async loadCurrent({ signal, known }: PointerOptions = {}): Promise<CurrentPointer | null> {
    const current = await this.#read((query) => readPointer(this.#names, query), null, signal);
    return known !== undefined && current !== null && isSamePointer(known, current) ? known : current;
  }

  async loadManifest(ref: string, { signal }: RequestOptions = {}): Promise<Manifest> {
    const place = { ref, url: this.#names.builds };
    const manifest = await this.#read((query) => selectManifest(this.#names, place, query), null, signal);
    if (manifest !== null) return manifest;
    throw new ObjectNotFoundError(`Cannot find the manifest "${ref}" as there is no table "${place.url}"`, {
      url: `${place.url}/${ref}`,
      status: 404,
    });
  }

  async list(limit: number, { signal }: RequestOptions = {}): Promise<ManifestRef[]> {
    return await this.#read((query) => listManifests(this.#names, limit, query), [], signal);
  }

  async publish(
    manifest: Manifest,
    expected: CurrentPointer | null,
    { signal }: RequestOptions = {},
  ): Promise<ManifestRef> {
    signal?.throwIfAborted();
    const { runId } = manifest;
    manifestRows(manifest);
    const moves: string[] = [];
    const published = (stamp: string): ManifestRef => ({ ref: runId, runId, publishedAtMicros: parseStamp(stamp)! });
    const step: Step<ManifestRef> = {
      what: `make "${runId}" the current manifest`,
      ...{ ref: runId, expected },
      act: async (query) => {
        await this.#store(manifest, query);
        moves.push(await this.#insertMove(runId, query));
        return published(moves.at(-1)!);
      },
      onConflict: async (query, current) => {
        // Before the first move the newest manifest counts, which is about to be another one.
        if (current.version === NO_MOVES) await this.#insertMove(current.ref, query);
        await this.#store(manifest, query);
      },
      recover: async (query) => {
        const stamp = await this.#moveAmong(moves, runId, query);
        return stamp === null ? null : published(stamp);
      },
    };
    const outcome = await this.#steps.run(step, signal);
    if ("value" in outcome) return outcome.value;
    const { error, mayBeCommitted } = outcome;
    if (mayBeCommitted) throw unknownOutcome(step, error);
    if (isFinal(error, signal) || error instanceof PublishManifestError) throw error;
    const reason = error instanceof Error ? `: ${error.message}` : "";
    throw new PublishManifestError(`Cannot store the manifest "${runId}"${reason}`, { cause: error });
  }

  async setCurrent(
    ref: string,
    expected: CurrentPointer | null,
    { signal }: RequestOptions = {},
  ): Promise<CurrentPointer> {
    signal?.throwIfAborted();
    // Reading it whole proves that there is something to roll back to; that it stays until then, the lock.
    await this.loadManifest(ref, { signal });
    const moves: string[] = [];
    const step: Step<CurrentPointer> = {
      what: `make "${ref}" the current manifest`,
      ...{ ref, expected },
      act: async (query) => {
        if (!await hasManifest(this.#names, ref, query)) {
          throw new ObjectNotFoundError(`Cannot find the manifest "${ref}" any more`, { url: ref, status: 404 });
        }
        moves.push(await this.#insertMove(ref, query));
        return (await readPointer(this.#names, query))!;
      },
      recover: async (query) => {
        const stamp = await this.#moveAmong(moves, ref, query);
        if (stamp === null) return null;
        const current = await readPointer(this.#names, query);
        const moved = { ref, runId: ref, publishedAtMicros: parseStamp(stamp)!, generation: null, previous: null };
        return current?.version === stamp ? current : { ...moved, version: stamp };
      },
    };
    const outcome = await this.#steps.run(step, signal);
    if ("value" in outcome) return outcome.value;
    if (isFinal(outcome.error, signal) && !outcome.mayBeCommitted) throw outcome.error;
    throw unknownOutcome(step, outcome.error);
  }

  async forget(
    refs: readonly string[],
    expected: CurrentPointer | null,
    { signal }: RequestOptions = {},
  ): Promise<void> {
    if (refs.length === 0) return;
    if (expected !== null && refs.includes(expected.ref)) {
      throw new ReaderStateError(`Cannot forget "${expected.ref}" as it is the current manifest`);
    }
    const outcome = await this.#steps.run<true>({
      what: "forget manifests",
      ref: refs[0]!,
      expected,
      act: async (query) => {
        await deleteManifests(this.#names, refs, query);
        return true;
      },
    }, signal);
    if (!("value" in outcome)) throw outcome.error;
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #store(manifest: Manifest, query: Query): Promise<void> {
    const { runId } = manifest;
    if (await insertManifest(this.#names, manifest, query)) return;
    const place = { ref: runId, url: this.#names.builds };
    const stored = await selectManifest(this.#names, place, query).catch((error) => {
      if (error instanceof ShardyfusionError) return null;
      throw error;
    });
    if (stored !== null && isSameContent(stored, manifest)) return;
    const cause = new PreconditionFailedError(`Cannot store "${runId}" as there is one already`, { url: runId });
    throw new PublishManifestError(
      `Cannot store the manifest "${runId}" as another one of the same run is stored: use another "runId"`,
      { cause },
    );
  }

  async #insertMove(ref: string, query: Query): Promise<string> {
    const atStamp = this.#clock === undefined ? null : jsonStamp(this.#clock.nowMicros());
    return await insertMove(this.#names, { ref, atStamp }, query);
  }

  async #moveAmong(stamps: readonly string[], ref: string, query: Query): Promise<string | null> {
    for (const stamp of stamps) if (await hasMove(this.#names, { ref, stamp }, query)) return stamp;
    return null;
  }

  /** @param otherwise What there is without tables. */
  async #read<T>(
    work: (query: Query) => Promise<T>,
    otherwise: T,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    try {
      return await work((statement, parameters = []) =>
        this.#connection.query(statement, parameters as readonly string[], signal)
      );
    } catch (error) {
      if (isMissingTable(error)) return otherwise;
      throw error;
    }
  }
}

function isPostgresUrl(input: unknown): boolean {
  return typeof input === "string" && /^postgres(?:ql)?:\/\//.test(input);
}

function isFinal(error: unknown, signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true || error instanceof PublishConflictError || error instanceof ConfigValidationError ||
    error instanceof ObjectNotFoundError;
}

function unknownOutcome<T>({ what, ref }: Step<T>, cause: unknown): PublishCurrentError {
  const reason = cause instanceof Error ? `: ${cause.message}` : "";
  return new PublishCurrentError(`Cannot tell whether it was possible to ${what}${reason}`, ref, { cause });
}
