/**
 * The reader of a snapshot: lookups, scans, refresh.
 * @module
 */
import { ConfigValidationError, ManifestParseError, ReaderStateError, UnknownRoutingTokenError } from "../errors.ts";
import { type EventSink, guardedEventSink } from "../events.ts";
import { shown } from "../options.ts";
import { encodeKey, type Key } from "../routing/key.ts";
import { RateLimiter } from "../token_bucket.ts";
import { BorrowedShard } from "./borrowed_shard.ts";
import type { Generation } from "./generation.ts";
import { type EncodedRow, lookUpMany, readerOf, scanShards } from "./look_up.ts";
import type { CheckedOpenOptions, LookUpOptions } from "./read_options.ts";
import { checkScan, checkShardId, type ScanOptions } from "./scan_range.ts";
import {
  healthOf,
  infoOf,
  type ReaderStats,
  type ShardInfo,
  shardInfosOf,
  type SnapshotHealth,
  type SnapshotInfo,
} from "./snapshot_info.ts";
import type { SnapshotSource } from "./snapshot_source.ts";

/** What is to be fetched ahead: keys, or whole shards by number. */
export type WarmTarget = Iterable<Key> | { readonly shards: Iterable<number> };

/**
 * Looks rows up in the snapshot that was current when it was opened or last refreshed. Safe for concurrent calls.
 *
 * Only sends GET requests. Close it with `await using` or `close()`; what describes it works after that too.
 */
export class SnapshotReader implements AsyncDisposable {
  readonly #options: CheckedOpenOptions;
  readonly #source: SnapshotSource;
  readonly #emit: EventSink;
  readonly #limiter: RateLimiter | null;
  readonly #isObserved: boolean;
  /** The snapshot being read; after closing the last one, so that it can still be described. */
  #active: Generation;
  #refreshWarning: string | null = null;
  #refreshing: Promise<unknown> = Promise.resolve();
  /** Ends the refresh that is under way. */
  #refreshEnd: AbortController | null = null;
  #isClosed = false;
  #closing: Promise<void> | null = null;
  #lookUps = 0;
  #handleCount = 0;

  /** Use `openSnapshot`. */
  constructor(options: CheckedOpenOptions, source: SnapshotSource, first: Generation) {
    const { rateLimit, clock, onEvent } = options;
    this.#options = options;
    this.#source = source;
    this.#active = first;
    this.#emit = guardedEventSink(onEvent);
    this.#limiter = rateLimit === undefined
      ? null
      : new RateLimiter({ rowsPerSecond: rateLimit.keysPerSecond }, clock, this.#emit);
    this.#isObserved = onEvent !== undefined || this.#limiter !== null;
    this.#emit({ name: "reader.initialized", payload: {} });
  }

  /** The snapshot being read. */
  get info(): SnapshotInfo {
    return infoOf(this.#active, this.#refreshWarning);
  }

  /** All shards, empty ones included, by number. */
  get shards(): readonly ShardInfo[] {
    return shardInfosOf(this.#active.manifest);
  }

  /**
   * The value of a key, or null when there is none; an empty value is an empty array. The value is a copy.
   *
   * @throws {ConfigValidationError} when the key is of a type or size that the snapshot cannot have.
   * @throws {CorruptFileError} when the shard is damaged.
   * @throws {ReaderStateError} when the reader is closed.
   */
  get(key: Key, options?: LookUpOptions): Promise<Uint8Array | null> {
    // Not an async function: from memory the whole look-up is done when this returns, and costs one promise.
    try {
      options?.signal?.throwIfAborted();
      if (this.#isObserved) return this.#observedGet(key, options);
      const found = this.#lookUp(key, options);
      return found instanceof Promise ? found : Promise.resolve(found);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * The values of many keys: one entry per distinct key, in the order of the keys, null where there is none. All come
   * from one snapshot. Keys are the same as in any `Map`: 1 and 1n are two keys, and so are two arrays of equal bytes.
   *
   * @throws as `get`; nothing is returned when one key is wrong or one shard fails.
   */
  async getMany<K extends Key>(
    keys: Iterable<K>,
    options: LookUpOptions = {},
  ): Promise<Map<K, Uint8Array | null>> {
    const { clock } = this.#options;
    const startedMs = clock.monotonicMs();
    this.#use();
    options.signal?.throwIfAborted();
    const values = new Map<K, Uint8Array | null>();
    for (const key of keys) values.set(key, null);
    await this.#limiter?.acquire(values.size, 0, options.signal);
    const active = this.#use();
    this.#lookUps += values.size;
    await active.whileOpen(() => lookUpMany(active, values, options));
    const durationMs = Math.round(clock.monotonicMs() - startedMs);
    this.#emit({ name: "reader.multi_get", payload: { duration_ms: durationMs, num_keys: values.size } });
    return values;
  }

  /**
   * Rows of one shard in ascending order of their encoded keys, or of all shards one after the other. Reads the
   * snapshot that is active when the first row is asked for, whatever is refreshed meanwhile, and keeps it open until
   * the end of the scan or of the loop around it. Both parts of a row are copies.
   *
   * @throws {ConfigValidationError} for wrong options: a shard that does not exist, bounds that cannot be keys.
   */
  async *scan(options: ScanOptions = {}): AsyncGenerator<EncodedRow, void, undefined> {
    for await (const rows of this.#scanArrays(options)) yield* rows;
  }

  /** The same as `scan` for pipes: a stream of arrays of rows. */
  scanStream(options: ScanOptions = {}): ReadableStream<EncodedRow[]> {
    const rows = this.#scanArrays(options);
    return new ReadableStream({
      async pull(controller) {
        const { value, done } = await rows.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await rows.return();
      },
    }, { highWaterMark: 0 });
  }

  /**
   * Fetches ahead, so that later lookups of these keys, or in these shards, need no request. In the access modes of
   * this version everything is fetched when the snapshot is opened: keys and shard numbers are checked, nothing else.
   *
   * @throws {ConfigValidationError} when the snapshot cannot have such a key, or has no such shard.
   */
  // deno-lint-ignore require-await -- other access modes wait
  async warm(target: WarmTarget, options: LookUpOptions = {}): Promise<void> {
    const active = this.#use();
    options.signal?.throwIfAborted();
    // A string and a Uint8Array can be gone through too, but would be one key.
    const isObject = typeof target === "object" && target !== null && !(target instanceof Uint8Array);
    if (isObject && "shards" in target) {
      for (const shardId of target.shards) checkShardId(shardId, active.router.shardCount);
    } else if (isObject && Symbol.iterator in target) {
      for (const key of target) {
        readerOf(active, key, options);
        encodeKey(active.manifest.keyEncoding, key);
      }
    } else {
      throw new ConfigValidationError(
        `Cannot warm ${shown(target)} as it must be an array of keys, or { shards: … }`,
        "target",
      );
    }
  }

  /**
   * The shard of a key, from 0, whether or not the key exists.
   *
   * @throws {ConfigValidationError} when the key has a type that cannot be routed.
   * @throws {UnknownRoutingTokenError} when the routing expression gives a token that has no shard.
   */
  route(key: Key, options: LookUpOptions = {}): number {
    return this.#active.router.route(key, options.columns);
  }

  /** The shards of many keys, in the order of the keys. @throws as `route`. */
  routeMany(keys: Iterable<Key>, options: LookUpOptions = {}): number[] {
    return Array.from(keys, (key) => this.route(key, options));
  }

  /**
   * Keys by the number of their shard, in the order of the keys.
   *
   * @param options.allowMissing Leave keys out that have no shard, instead of throwing.
   * @throws as `route`.
   */
  groupKeys<K extends Key>(
    keys: Iterable<K>,
    options: LookUpOptions & { readonly allowMissing?: boolean } = {},
  ): Map<number, K[]> {
    const groups = new Map<number, K[]>();
    for (const key of keys) {
      try {
        const shardId = this.route(key, options);
        const group = groups.get(shardId);
        if (group === undefined) groups.set(shardId, [key]);
        else group.push(key);
      } catch (error) {
        if (!options.allowMissing || !(error instanceof UnknownRoutingTokenError)) throw error;
      }
    }
    return groups;
  }

  /**
   * A handle on the shard of a key, which keeps the snapshot it was taken from open until it is disposed.
   *
   * @throws as `route`, and {ReaderStateError} when the reader is closed; nothing is borrowed then.
   */
  borrow(key: Key, options: LookUpOptions = {}): BorrowedShard {
    const active = this.#use();
    const handle = new BorrowedShard(active, active.router.route(key, options.columns), () => this.#handleCount--);
    this.#handleCount++;
    return handle;
  }

  /** One handle for each distinct key. All are given back when one of them cannot be taken. @throws as `borrow`. */
  async borrowMany<K extends Key>(keys: Iterable<K>, options: LookUpOptions = {}): Promise<Map<K, BorrowedShard>> {
    const handles = new Map<K, BorrowedShard>();
    try {
      for (const key of keys) if (!handles.has(key)) handles.set(key, this.borrow(key, options));
      return handles;
    } catch (error) {
      for (const handle of handles.values()) await handle[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Takes over the current snapshot if its pointer is later than the last one seen; lookups go on meanwhile, and those
   * under way finish on the snapshot they began with. Calls at the same time take turns.
   *
   * @returns false when there is nothing newer, when the newer manifest cannot be parsed (see `info.warnings`), and
   * always on a pinned reader.
   * @throws {ReaderStateError} when the reader is closed, also meanwhile, or the pointer is gone; errors of opening.
   * After an error the old snapshot stays.
   */
  async refresh(options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    this.#use();
    const turn = this.#refreshing.then(() => this.#refreshNow(options.signal));
    this.#refreshing = turn.catch(() => {});
    const changed = await turn;
    this.#emit({ name: "reader.refreshed", payload: { changed } });
    return changed;
  }

  /**
   * Whether the reader works, and how old its snapshot is.
   *
   * @param options.staleAfterMs A snapshot that is older makes the reader `"degraded"`. Default: none does.
   * @throws {ConfigValidationError} when `staleAfterMs` is no number from 0 up.
   */
  health(options: { readonly staleAfterMs?: number } = {}): SnapshotHealth {
    const nowMicros = this.#options.clock.nowMicros();
    return healthOf(this.#active, { nowMicros, isClosed: this.#isClosed, staleAfterMs: options.staleAfterMs });
  }

  /** What was asked of the store so far. */
  stats(): ReaderStats {
    return { ...this.#source.traffic, lookUps: this.#lookUps };
  }

  /** Ends a refresh that is under way and closes the snapshot, at once or with its last handle. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#closeNow();
    return this.#closing;
  }

  /** The same as `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #closeNow(): Promise<void> {
    if (this.#isClosed) return; // Receivers of events may close the reader as well.
    this.#isClosed = true;
    this.#refreshEnd?.abort(closedError());
    this.#emit({ name: "reader.closed", payload: { num_handles: this.#handleCount } });
    await this.#refreshing;
    await this.#active.retire();
  }

  #use(): Generation {
    if (this.#isClosed) throw closedError();
    return this.#active;
  }

  #lookUp(key: Key, options: LookUpOptions | undefined): Uint8Array | null | Promise<Uint8Array | null> {
    const active = this.#use();
    this.#lookUps++;
    const reader = readerOf(active, key, options);
    const encoded = encodeKey(active.manifest.keyEncoding, key);
    if (reader === null) return null;
    const found = reader.get(encoded, options?.signal);
    return found instanceof Promise ? active.whileOpen(() => found) : found;
  }

  async #observedGet(key: Key, options: LookUpOptions | undefined): Promise<Uint8Array | null> {
    const { clock } = this.#options;
    const startedMs = clock.monotonicMs();
    this.#use();
    await this.#limiter?.acquire(1, 0, options?.signal);
    const value = await this.#lookUp(key, options);
    const durationMs = Math.round(clock.monotonicMs() - startedMs);
    this.#emit({ name: "reader.get", payload: { duration_ms: durationMs, found: value !== null } });
    return value;
  }

  async *#scanArrays(options: ScanOptions): AsyncGenerator<EncodedRow[], void, undefined> {
    const active = this.#use();
    const scan = checkScan(active.manifest, options);
    active.borrow();
    try {
      yield* scanShards(active, scan);
    } finally {
      active.release();
    }
  }

  async #refreshNow(signal: AbortSignal | undefined): Promise<boolean> {
    const active = this.#use();
    const end = this.#refreshEnd = new AbortController();
    const either = signal === undefined ? end.signal : AbortSignal.any([signal, end.signal]);
    try {
      either.throwIfAborted();
      const newer = await this.#source.openNewer(active, either);
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
