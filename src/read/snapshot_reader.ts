/**
 * The reader of a snapshot: lookups, scans, refresh.
 * @module
 */
import type { ShardReader } from "../backends/backend.ts";
import { ConfigValidationError, ReaderStateError, UnknownRoutingTokenError } from "../errors.ts";
import { type EventSink, guardedEventSink } from "../events.ts";
import { shown } from "../options.ts";
import { encodeKey, type Key } from "../routing/key.ts";
import { RateLimiter } from "../token_bucket.ts";
import { BorrowedShard } from "./borrowed_shard.ts";
import type { Generation } from "./generation.ts";
import { isNewer } from "./load_manifest.ts";
import type { CheckedOpenOptions, LookUpOptions } from "./read_options.ts";
import { type ScanOptions, scanRange } from "./scan_range.ts";
import { infoOf, type ShardInfo, shardInfosOf, type SnapshotHealth, type SnapshotInfo } from "./snapshot_info.ts";

/** Opens the snapshot that is current now; null when it is not newer than the active one. */
export type GenerationOpener = (active: Generation, signal?: AbortSignal) => Promise<Generation | null>;

/** What a reader has asked of the store since it was opened. */
export interface ReaderStats {
  /** Requests sent. All are GETs. */
  readonly requests: number;
  /** Bytes received. */
  readonly bytesRead: number;
  /** Keys looked up. */
  readonly lookUps: number;
}

/** What a reader is made from. */
export interface ReaderParts {
  readonly options: CheckedOpenOptions;
  readonly first: Generation;
  readonly openNewer: GenerationOpener;
  readonly warnings: readonly string[];
  readonly traffic: { readonly requests: number; readonly bytesRead: number };
}

/**
 * Looks rows up in the snapshot that was current when it was opened or last refreshed. Safe for concurrent calls.
 *
 * Only sends GET requests. Close it with `await using` or `close()`.
 */
export class SnapshotReader implements AsyncDisposable {
  readonly #options: CheckedOpenOptions;
  readonly #openNewer: GenerationOpener;
  readonly #warnings: string[];
  readonly #traffic: ReaderParts["traffic"];
  readonly #emit: EventSink;
  readonly #limiter: RateLimiter | null;
  readonly #isObserved: boolean;
  /** The snapshot being read; after closing the last one, so that it can still be described. */
  #active: Generation;
  #isClosed = false;
  #refreshing: Promise<unknown> = Promise.resolve();
  #lookUps = 0;
  #handleCount = 0;

  /** Use `openSnapshot`. */
  constructor(parts: ReaderParts) {
    this.#options = parts.options;
    this.#active = parts.first;
    this.#openNewer = parts.openNewer;
    this.#warnings = [...parts.warnings];
    this.#traffic = parts.traffic;
    this.#emit = guardedEventSink(parts.options.onEvent);
    const { rateLimit, clock, onEvent } = parts.options;
    this.#limiter = rateLimit === undefined
      ? null
      : new RateLimiter({ rowsPerSecond: rateLimit.keysPerSecond }, clock, this.#emit);
    this.#isObserved = onEvent !== undefined || this.#limiter !== null;
    this.#emit({ name: "reader.initialized", payload: {} });
  }

  /** The snapshot being read. */
  get info(): SnapshotInfo {
    return infoOf(this.#active, this.#warnings);
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
   * The values of many keys: one entry per distinct key, in the order of the keys, null where there is none.
   *
   * @throws as `get`; nothing is returned when one key is wrong or one shard fails.
   */
  async getMany<K extends Key>(
    keys: Iterable<K>,
    options: LookUpOptions = {},
  ): Promise<Map<K, Uint8Array | null>> {
    const { clock } = this.#options;
    const startedMs = clock.monotonicMs();
    const values = new Map<K, Uint8Array | null>();
    for (const key of keys) values.set(key, null);
    options.signal?.throwIfAborted();
    await this.#limiter?.acquire(values.size, 0, options.signal);
    const active = this.#use();
    this.#lookUps += values.size;
    active.borrow();
    try {
      const shards = groupByShard(active, values.keys(), options);
      await Promise.all(Array.from(shards, async ([reader, wanted]) => {
        const encoded = wanted.map((key) => encodeKey(active.manifest.keyEncoding, key));
        const found = await reader.getMany(encoded, options.signal);
        wanted.forEach((key, index) => values.set(key, found[index]!));
      }));
    } finally {
      active.release();
    }
    const durationMs = Math.round(clock.monotonicMs() - startedMs);
    this.#emit({ name: "reader.multi_get", payload: { duration_ms: durationMs, num_keys: values.size } });
    return values;
  }

  /**
   * Rows of one shard in ascending order of their encoded keys, or of all shards one after the other. Reads the
   * snapshot that is active when it begins, whatever is refreshed meanwhile. Both parts of a row are copies.
   *
   * @throws {ConfigValidationError} for a shard that does not exist and bounds that cannot be keys.
   */
  async *scan(options: ScanOptions = {}): AsyncGenerator<[key: Uint8Array, value: Uint8Array], void, undefined> {
    for await (const rows of this.#scanArrays(options)) yield* rows;
  }

  /** The same as `scan` for pipes: a stream of arrays of rows. */
  scanStream(options: ScanOptions = {}): ReadableStream<[key: Uint8Array, value: Uint8Array][]> {
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
   * The shard of a key, from 0, whether or not the key exists.
   *
   * @throws {UnknownRoutingTokenError} when the routing expression gives a token that has no shard.
   */
  route(key: Key, options: LookUpOptions = {}): number {
    return this.#active.router.route(key, options.columns);
  }

  /** The shards of many keys, in the order of the keys. */
  routeMany(keys: Iterable<Key>, options: LookUpOptions = {}): number[] {
    return Array.from(keys, (key) => this.route(key, options));
  }

  /**
   * Keys by the number of their shard, in the order of the keys.
   *
   * @param options.allowMissing Leave keys out that have no shard, instead of throwing.
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
   * @throws as `route`; nothing is borrowed then.
   */
  borrow(key: Key, options: LookUpOptions = {}): BorrowedShard {
    const active = this.#use();
    const shardId = active.router.route(key, options.columns);
    this.#handleCount++;
    return new BorrowedShard(active, shardId, () => this.#handleCount--);
  }

  /** One handle for each distinct key. All are given back when one of them cannot be taken. */
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
   * Takes over the current snapshot if it is newer than the active one; lookups go on meanwhile, and those under way
   * finish on the snapshot they began with. False when there is nothing newer, when the newer manifest cannot be
   * parsed (see `info.warnings`), and always on a pinned reader.
   *
   * @throws {ReaderStateError} when the reader is closed or the pointer is gone; errors of opening, after which the
   * old snapshot stays.
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
   * @param options.staleAfterMs From this age on the reader is `"degraded"`. Default: never.
   */
  health(options: { readonly staleAfterMs?: number } = {}): SnapshotHealth {
    const { manifest, pointer } = this.#active;
    const manifestAgeMs = Math.max(0, (this.#options.clock.nowMicros() - pointer.publishedAtMicros) / 1000);
    const isStale = options.staleAfterMs !== undefined && manifestAgeMs > options.staleAfterMs;
    return {
      status: this.#isClosed ? "unhealthy" : isStale ? "degraded" : "healthy",
      manifestRef: this.#active.manifestRef,
      manifestAgeMs,
      shardCount: manifest.shardCount,
      isClosed: this.#isClosed,
    };
  }

  /** What was asked of the store so far. */
  stats(): ReaderStats {
    const { requests, bytesRead } = this.#traffic;
    return { requests, bytesRead, lookUps: this.#lookUps };
  }

  /** Closes the snapshot, at once or with its last handle. Calling it again does nothing. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#refreshing;
    this.#emit({ name: "reader.closed", payload: { num_handles: this.#handleCount } });
    await this.#active.retire();
  }

  /** The same as `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #use(): Generation {
    if (this.#isClosed) throw new ReaderStateError("Cannot use the reader as it is closed");
    return this.#active;
  }

  #lookUp(key: Key, options: LookUpOptions | undefined): Uint8Array | null | Promise<Uint8Array | null> {
    const active = this.#use();
    this.#lookUps++;
    const reader = readerOf(active, key, options);
    const encoded = encodeKey(active.manifest.keyEncoding, key);
    if (reader === null) return null;
    const found = reader.get(encoded, options?.signal);
    if (!(found instanceof Promise)) return found;
    active.borrow();
    return found.finally(() => active.release());
  }

  async #observedGet(key: Key, options: LookUpOptions | undefined): Promise<Uint8Array | null> {
    await this.#limiter?.acquire(1, 0, options?.signal);
    const { clock } = this.#options;
    const startedMs = clock.monotonicMs();
    const value = await this.#lookUp(key, options);
    const durationMs = Math.round(clock.monotonicMs() - startedMs);
    this.#emit({ name: "reader.get", payload: { duration_ms: durationMs, found: value !== null } });
    return value;
  }

  async *#scanArrays(options: ScanOptions): AsyncGenerator<[key: Uint8Array, value: Uint8Array][], void, undefined> {
    const active = this.#use();
    const { readers, manifest } = active;
    const { shard, limit = Infinity } = options;
    if (shard !== undefined && !(Number.isInteger(shard) && shard >= 0 && shard < manifest.shardCount)) {
      throw new ConfigValidationError(
        `Cannot scan shard ${shown(shard)} as it must be from 0 to ${manifest.shardCount - 1}`,
        "shard",
      );
    }
    const range = scanRange(manifest.keyEncoding, options);
    let left = limit;
    active.borrow();
    try {
      for (const reader of shard === undefined ? readers : [readers[shard]!]) {
        if (reader === null) continue;
        for await (const rows of reader.scan(range)) {
          if (rows.length >= left) {
            if (left > 0) yield rows.slice(0, left);
            return;
          }
          left -= rows.length;
          yield rows;
        }
      }
    } finally {
      active.release();
    }
  }

  async #refreshNow(signal: AbortSignal | undefined): Promise<boolean> {
    const active = this.#use();
    const newer = await this.#openNewer(active, signal);
    if (newer === null) return false;
    if (this.#isClosed || !isNewer(newer.pointer, active.pointer)) {
      await newer.retire();
      return false;
    }
    this.#active = newer;
    await active.retire();
    return true;
  }
}

/** The reader of a key's shard; null when the shard is empty or the key has none. */
function readerOf(active: Generation, key: Key, options: LookUpOptions | undefined): ShardReader | null {
  try {
    return active.readers[active.router.route(key, options?.columns)]!;
  } catch (error) {
    if (error instanceof UnknownRoutingTokenError) return null;
    throw error;
  }
}

function groupByShard<K extends Key>(
  active: Generation,
  keys: Iterable<K>,
  options: LookUpOptions,
): Map<ShardReader, K[]> {
  const groups = new Map<ShardReader, K[]>();
  for (const key of keys) {
    const reader = readerOf(active, key, options);
    encodeKey(active.manifest.keyEncoding, key); // A wrong key is an error in an empty shard too.
    if (reader === null) continue;
    const group = groups.get(reader);
    if (group === undefined) groups.set(reader, [key]);
    else group.push(key);
  }
  return groups;
}
