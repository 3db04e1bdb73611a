/**
 * The reader of a snapshot: lookups, scans, handles.
 * @module
 */
import { ConfigValidationError, UnknownRoutingTokenError } from "../errors.ts";
import type { ShardyfusionEvent } from "../events.ts";
import { shown } from "../option_fields.ts";
import { encodeKey, type Key } from "../routing/key.ts";
import type { Manifest } from "../snapshots/manifest.ts";
import { hasVectors } from "../snapshots/vector_fields.ts";
import { traced } from "../spans.ts";
import { BorrowedShard } from "./borrowed_shard.ts";
import type { Generation } from "./generation.ts";
import { KeyReader } from "./key_reader.ts";
import { checkShardId, columnsOf, lookUpMany, shardOf } from "./look_up.ts";
import type { LookUpOptions, ManyLookUpOptions } from "./read_options.ts";
import type { ReaderState } from "./reader_state.ts";
import { checkScan, type ScanOptions } from "./scan_range.ts";
import { type EncodedRow, scanShards } from "./scan_shards.ts";
import type { VectorSearchOptions, VectorSearchResult } from "./search_snapshot.ts";
import { type ShardInfo, shardInfoOf, shardInfosOf } from "./shard_info.ts";
import { healthOf, type SnapshotHealth } from "./snapshot_health.ts";

/** What is to be fetched ahead: keys, or shards by number. */
export type WarmTarget<K extends Key = Key> = Iterable<K> | { readonly shards: Iterable<number> };

/**
 * Looks rows up in the snapshot that was current when it was opened or last refreshed, and goes through its rows. Safe
 * for concurrent calls.
 */
// The one subclass outside of errors: what is here would not fit the bundle of a reader at the edge.
export class SnapshotReader extends KeyReader {
  readonly #state: ReaderState;
  /** Whether lookups are measured or have to wait; those that are not are done sooner. */
  readonly #isObserved: boolean;

  /** Use `openSnapshot`. */
  constructor(state: ReaderState) {
    super(state);
    this.#state = state;
    const { options: { onEvent, tracer }, limiter } = state;
    this.#isObserved = onEvent !== undefined || tracer !== undefined || limiter !== null;
    this.#tellOfVectors(({ s3Prefix, shardCount }) => ({
      name: "vector.reader.initialized",
      payload: { "s3_prefix": s3Prefix, "num_shards": shardCount },
    }));
  }

  /**
   * All shards, empty ones included, by number.
   *
   * @throws {ReaderStateError} when there are too many to be read at once (`info.isLazy`); `shard` reads one then.
   */
  get shards(): readonly ShardInfo[] {
    return shardInfosOf(this.#state.active.manifest);
  }

  /**
   * One shard. Costs a request or two where `info.isLazy`, else none.
   *
   * @throws {ConfigValidationError} when there is no such shard.
   * @throws {ManifestParseError} when the manifest turns out to be damaged.
   * @throws {ReaderStateError} when the reader is closed.
   */
  async shard(shardId: number, options: { readonly signal?: AbortSignal } = {}): Promise<ShardInfo> {
    return await shardInfoOf(this.#state.use(), shardId, options.signal);
  }

  /** As above; waits for its turn where a rate limit is set, and tells the events. */
  override get(key: Key, options?: LookUpOptions): Promise<Uint8Array | null> {
    return this.#isObserved ? this.#observedGet(key, options) : super.get(key, options);
  }

  /** As above; waits for its turn where a rate limit is set, and tells the events. */
  override async getMany<K extends Key>(
    keys: Iterable<K>,
    options: ManyLookUpOptions<K> = {},
  ): Promise<Map<K, Uint8Array | null>> {
    const { options: { clock, tracer }, limiter, emit } = this.#state;
    const startedMs = clock.monotonicMs();
    this.#state.use();
    options.signal?.throwIfAborted();
    const distinct = new Set(keys);
    const attributes = { "num_keys": distinct.size };
    const values = await traced(tracer, { name: "shardyfusion.get_many", attributes }, async () => {
      await limiter?.acquire(distinct.size, 0, options.signal);
      return await super.getMany(distinct, options);
    });
    const durationMs = Math.round(clock.monotonicMs() - startedMs);
    emit({ name: "reader.multi_get", payload: { duration_ms: durationMs, num_keys: values.size } });
    return values;
  }

  /**
   * Fetches ahead: what lookups of these keys need, so that they cost no request as long as the cache holds it; or what
   * belongs to these shards, so that a lookup in them costs one. Where whole files are read there is nothing to fetch;
   * keys and numbers are checked all the same. With `access: "hydrate"` shards are downloaded before others and waited
   * for, until their files are read or it is clear that they stay in the store; a snapshot stays open meanwhile.
   *
   * @throws {ConfigValidationError} when the snapshot cannot have such a key, or has no such shard; and as `getMany`.
   */
  async warm<K extends Key>(target: WarmTarget<K>, options: ManyLookUpOptions<K> = {}): Promise<void> {
    const active = this.#state.use();
    const { signal } = options;
    signal?.throwIfAborted();
    // A string and a Uint8Array can be gone through too, but would be one key.
    const isObject = typeof target === "object" && target !== null && !(target instanceof Uint8Array);
    if (isObject && "shards" in target) {
      const shardIds = [...target.shards];
      for (const shardId of shardIds) checkShardId(shardId, active.router.shardCount);
      await active.whileOpen(() =>
        Promise.all(shardIds.map(async (shardId) => await (await active.readerAt(shardId, signal))?.warm?.(signal)))
      );
    } else if (isObject && Symbol.iterator in target) {
      const values = new Map(Array.from(target, (key) => [key, null]));
      if (!active.access.isLazy) { for (const key of values.keys()) checkKey(active, key, options); }
      else await active.whileOpen(() => lookUpMany(active, values, options));
    } else {
      throw new ConfigValidationError(
        `Cannot warm ${shown(target)} as it must be an array of keys, or { shards: … }`,
        "target",
      );
    }
  }

  /**
   * The vectors nearest to `query`. Exact within the shards that are asked; which these are depends on how the snapshot
   * was sharded, see {@linkcode VectorSearchOptions}. At most `concurrencyMax` shards are searched at the same time.
   *
   * @param query As many finite numbers as the snapshot's vectors have; they are rounded to float32.
   * @throws {ConfigValidationError} for a wrong query or wrong options, and when nothing says which shards to ask.
   * @throws {UnknownRoutingTokenError} when `columns` have no shard.
   * @throws {ReaderStateError} when the snapshot has no vectors, or the reader is closed.
   * @throws {CorruptFileError} when a shard is damaged.
   */
  async search(query: ArrayLike<number>, options: VectorSearchOptions = {}): Promise<VectorSearchResult> {
    const { searchSnapshot } = await import("./search_snapshot.ts");
    const { tracer } = this.#state.options;
    return await traced(tracer, { name: "shardyfusion.search", attributes: {} }, async (note) => {
      const found = await searchSnapshot(this.#state, query, options);
      note({ "num_shards_queried": found.shardsQueried, "num_results": found.results.length });
      return found;
    });
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
   * Keys by the number of their shard, in the order of the keys.
   *
   * @param options.allowMissing Leave keys out that have no shard, instead of throwing.
   * @throws as `route`.
   */
  groupKeys<K extends Key>(
    keys: Iterable<K>,
    options: ManyLookUpOptions<K> & { readonly allowMissing?: boolean } = {},
  ): Map<number, K[]> {
    const { router } = this.#state.active;
    const groups = new Map<number, K[]>();
    for (const key of keys) {
      try {
        const shardId = router.route(key, columnsOf(key, options.columns));
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
    const active = this.#state.use();
    const handle = new BorrowedShard(
      active,
      active.router.route(key, options.columns),
      () => this.#state.handleCount--,
    );
    this.#state.handleCount++;
    return handle;
  }

  /** One handle for each distinct key. All are given back when one of them cannot be taken. @throws as `borrow`. */
  async borrowMany<K extends Key>(
    keys: Iterable<K>,
    options: ManyLookUpOptions<K> = {},
  ): Promise<Map<K, BorrowedShard>> {
    const handles = new Map<K, BorrowedShard>();
    try {
      for (const key of keys) {
        if (handles.has(key)) continue;
        const columns = columnsOf(key, options.columns);
        handles.set(key, this.borrow(key, columns && { columns }));
      }
      return handles;
    } catch (error) {
      for (const handle of handles.values()) await handle[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Whether the reader works, and how old its snapshot is.
   *
   * @param options.staleAfterMs A snapshot that is older makes the reader `"degraded"`. Default: none does.
   * @throws {ConfigValidationError} when `staleAfterMs` is no number from 0 up.
   */
  health(options: { readonly staleAfterMs?: number } = {}): SnapshotHealth {
    const { active, isClosed, options: { clock } } = this.#state;
    return healthOf(active, { nowMicros: clock.nowMicros(), isClosed, staleAfterMs: options.staleAfterMs });
  }

  /** As above. */
  override async refresh(options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    const changed = await super.refresh(options);
    if (changed) {
      const payload = { "manifest_ref": this.#state.active.manifestRef };
      this.#tellOfVectors(() => ({ name: "vector.reader.refreshed", payload }));
    }
    return changed;
  }

  /** As above. */
  override close(): Promise<void> {
    const wasClosed = this.#state.isClosed;
    const closing = super.close();
    if (!wasClosed) this.#tellOfVectors(() => ({ name: "vector.reader.closed", payload: {} }));
    return closing;
  }

  /** Tells a second time what readers of vectors tell, where the snapshot has any. */
  #tellOfVectors(eventOf: (manifest: Manifest) => ShardyfusionEvent): void {
    const { emit, active: { manifest }, options: { onEvent } } = this.#state;
    if (onEvent !== undefined && hasVectors(manifest)) emit(eventOf(manifest));
  }

  async #observedGet(key: Key, options: LookUpOptions | undefined): Promise<Uint8Array | null> {
    const { options: { clock, tracer }, limiter, emit } = this.#state;
    const startedMs = clock.monotonicMs();
    this.#state.use();
    const value = await traced(tracer, { name: "shardyfusion.get", attributes: {} }, async (note) => {
      await limiter?.acquire(1, 0, options?.signal);
      const value = await super.get(key, options);
      note({ found: value !== null });
      return value;
    });
    const durationMs = Math.round(clock.monotonicMs() - startedMs);
    emit({ name: "reader.get", payload: { duration_ms: durationMs, found: value !== null } });
    return value;
  }

  async *#scanArrays(options: ScanOptions): AsyncGenerator<EncodedRow[], void, undefined> {
    const active = this.#state.use();
    const scan = checkScan(active.manifest, options);
    active.borrow();
    try {
      yield* scanShards(active, scan);
    } finally {
      active.release();
    }
  }
}

/** A key is refused for what it is also where its shard is empty. */
function checkKey<K extends Key>(active: Generation, key: K, options: ManyLookUpOptions<K>): void {
  encodeKey(active.manifest.keyEncoding, key);
  shardOf(active, key, columnsOf(key, options.columns));
}
