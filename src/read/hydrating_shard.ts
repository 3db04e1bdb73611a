/**
 * A shard that is read over ranges until its file has come, and from the file then.
 * @module
 */
import type { ScanRange, SearchHit, SearchOptions, ShardReader } from "../backends/backend.ts";
import { orAborted } from "../shared_task.ts";

/** Switches from one reader to another without a pause: what has begun on the first one ends there. */
export class HydratingShard implements ShardReader {
  /** As in `ShardReader`; missing where the engine does not search. */
  readonly search?: NonNullable<ShardReader["search"]>;
  readonly #remote: ShardReader;
  /** Null as long as ranges are read. */
  #local: ShardReader | null = null;
  /** Lookups and scans that have not ended on ranges. */
  #underWayCount = 0;
  #remoteEnd: Promise<void> | null = null;
  #isClosed = false;
  /** Called when the shard is first asked; null after that. */
  #onAsked: (() => void) | null;
  /** Resolved when it is clear which of both is read from now on. */
  readonly #decision: PromiseWithResolvers<void> = Promise.withResolvers<void>();

  /** @param onAsked Told, once, that somebody wants to know something of this shard. */
  constructor(remote: ShardReader, onAsked: () => void) {
    this.#remote = remote;
    this.#onAsked = onAsked;
    if (remote.search !== undefined) this.search = (query, options) => this.#search(query, options);
  }

  /** As in `ShardReader`. */
  get(key: Uint8Array, signal?: AbortSignal): Uint8Array | null | Promise<Uint8Array | null> {
    if (this.#local !== null) return this.#local.get(key, signal);
    return this.#overRanges((reader) => reader.get(key, signal), signal);
  }

  /** As in `ShardReader`. */
  async getMany(keys: readonly Uint8Array[], signal?: AbortSignal): Promise<(Uint8Array | null)[]> {
    if (this.#local !== null) return await this.#local.getMany(keys, signal);
    return await this.#overRanges((reader) => reader.getMany(keys, signal), signal);
  }

  /** As in `ShardReader`; ends where it has begun. */
  async *scan(range?: ScanRange): AsyncGenerator<[key: Uint8Array, value: Uint8Array][], void, undefined> {
    if (this.#local !== null) {
      yield* this.#local.scan(range);
      return;
    }
    this.#ask();
    this.#underWayCount++;
    try {
      yield* this.#remote.scan(range);
    } finally {
      this.#leave();
    }
  }

  /** Waits until the file is read; where it is not going to be, fetches what lookups over ranges need. */
  async warm(signal?: AbortSignal): Promise<void> {
    this.#ask();
    signal?.throwIfAborted();
    await (signal === undefined ? this.#decision.promise : orAborted(this.#decision.promise, signal));
    if (this.#local !== null) await this.#local.warm?.(signal);
    else await this.#overRanges(async (reader) => await reader.warm?.(signal), signal);
  }

  /** Whether somebody has wanted to know something of this shard. */
  get isAsked(): boolean {
    return this.#onAsked === null;
  }

  /** Reads the file from now on. Gives false when the shard was closed before: the file's reader is not taken then. */
  switchTo(local: ShardReader): boolean {
    if (this.#isClosed) return false;
    this.#local = local;
    this.#decision.resolve();
    this.#closeUnused();
    return true;
  }

  /** Ranges are read for good. */
  stay(): void {
    this.#decision.resolve();
  }

  /** Closes both readers. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#decision.resolve();
    await Promise.all([this.#closeRemote(), this.#local?.[Symbol.asyncDispose]()]);
  }

  async #search(query: Float32Array, options: SearchOptions): Promise<SearchHit[]> {
    if (this.#local !== null) return await this.#local.search!(query, options);
    return await this.#overRanges((reader) => reader.search!(query, options), options.signal);
  }

  #overRanges<T>(work: (reader: ShardReader) => T | Promise<T>, signal: AbortSignal | undefined): T | Promise<T> {
    this.#ask();
    const found = work(this.#remote);
    return found instanceof Promise ? this.#follow(found, work, signal) : found;
  }

  async #follow<T>(
    found: Promise<T>,
    again: (reader: ShardReader) => T | Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    this.#underWayCount++;
    try {
      return await found;
    } catch (error) {
      // The store may have failed, or have lost the object, when the file was here already.
      if (this.#local === null || signal?.aborted) throw error;
      return await again(this.#local);
    } finally {
      this.#leave();
    }
  }

  #ask(): void {
    this.#onAsked?.();
    this.#onAsked = null;
  }

  #leave(): void {
    this.#underWayCount--;
    this.#closeUnused();
  }

  #closeUnused(): void {
    // Nobody waits for it; a failure is told to whoever closes the shard.
    if (this.#underWayCount === 0 && this.#local !== null) this.#closeRemote().catch(() => {});
  }

  #closeRemote(): Promise<void> {
    return this.#remoteEnd ??= Promise.resolve(this.#remote[Symbol.asyncDispose]());
  }
}
