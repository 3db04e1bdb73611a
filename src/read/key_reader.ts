/**
 * Lookups by key in the snapshot that is current.
 * @module
 */
import { encodeKey, type Key } from "../routing/key.ts";
import { columnsOf, lookUpMany, shardOf } from "./look_up.ts";
import type { LookUpOptions, ManyLookUpOptions } from "./read_options.ts";
import type { ReaderState } from "./reader_state.ts";
import { infoOf, type ReaderStats, type SnapshotInfo } from "./snapshot_info.ts";

/**
 * Looks rows up in the snapshot that was current when it was opened or last refreshed. Safe for concurrent calls.
 *
 * Only sends GET requests. Close it with `await using` or `close()`; what describes it works after that too.
 */
export class KeyReader implements AsyncDisposable {
  readonly #state: ReaderState;

  /** Use `openSnapshot`. */
  constructor(state: ReaderState) {
    this.#state = state;
  }

  /** The snapshot being read. */
  get info(): SnapshotInfo {
    return infoOf(this.#state.active, this.#state.refreshWarning);
  }

  /** As `info.manifestRef`, and costs nothing: what tells the snapshot being read from others. */
  get manifestRef(): string {
    return this.#state.active.manifestRef;
  }

  /**
   * The value of a key, or null when there is none; an empty value is an empty array. The value is a copy. A key whose
   * routing token has no shard is not there.
   *
   * @throws {CelEvaluationError} when the routing expression has no answer for the columns.
   * @throws {ConfigValidationError} when the key is of a type or size that the snapshot cannot have, or columns are
   * missing that the routing expression looks at.
   * @throws {CorruptFileError} when the shard is damaged.
   * @throws {ManifestParseError} when a manifest that was not read whole turns out to be damaged.
   * @throws {ReaderStateError} when the reader is closed.
   */
  get(key: Key, options?: LookUpOptions): Promise<Uint8Array | null> {
    // Not an async function: from memory the whole look-up is done when this returns, and costs one promise.
    try {
      options?.signal?.throwIfAborted();
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
    options: ManyLookUpOptions<K> = {},
  ): Promise<Map<K, Uint8Array | null>> {
    options.signal?.throwIfAborted();
    const active = this.#state.use();
    const values = new Map<K, Uint8Array | null>();
    for (const key of keys) values.set(key, null);
    this.#state.lookUps += values.size;
    await active.whileOpen(() => lookUpMany(active, values, options));
    return values;
  }

  /**
   * The shard of a key, from 0, whether or not the key exists.
   *
   * @throws {ConfigValidationError} when the key has a type that cannot be routed, or columns are missing.
   * @throws {CelEvaluationError} when the routing expression has no answer for the columns.
   * @throws {UnknownRoutingTokenError} when the routing expression gives a token that has no shard.
   * @throws {ShardAssignmentError} when it gives a number that is no shard.
   */
  route(key: Key, options: LookUpOptions = {}): number {
    return this.#state.active.router.route(key, options.columns);
  }

  /** The shards of many keys, in the order of the keys. @throws as `route`. */
  routeMany<K extends Key>(keys: Iterable<K>, options: ManyLookUpOptions<K> = {}): number[] {
    const { router } = this.#state.active;
    return Array.from(keys, (key) => router.route(key, columnsOf(key, options.columns)));
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
  refresh(options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    return this.#state.refresh(options.signal);
  }

  /** What was asked of the store so far, in all and by shard. */
  stats(): ReaderStats {
    const { requests, tallies } = this.#state.source;
    return {
      ...requests.traffic,
      ...tallies.total(),
      lookUps: this.#state.lookUps,
      hydratedShards: this.#state.active.access.hydratedCount ?? 0,
      shards: tallies.snapshot(),
    };
  }

  /** Ends a refresh that is under way and closes the snapshot, at once or with its last handle. Idempotent. */
  close(): Promise<void> {
    return this.#state.close();
  }

  /** The same as `close`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #lookUp(key: Key, options: LookUpOptions | undefined): Uint8Array | null | Promise<Uint8Array | null> {
    const active = this.#state.use();
    this.#state.lookUps++;
    const encoded = encodeKey(active.manifest.keyEncoding, key);
    const shardId = shardOf(active, key, options?.columns);
    const reader = active.readerAt(shardId, options?.signal);
    if (reader === null) return null;
    if (reader instanceof Promise) {
      return active.whileOpen(async () => (await reader)?.get(encoded, options?.signal) ?? null);
    }
    const found = reader.get(encoded, options?.signal);
    return found instanceof Promise ? active.whileOpen(() => found) : found;
  }
}
