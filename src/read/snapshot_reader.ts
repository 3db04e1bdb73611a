/**
 * The reader of a snapshot: lookups, scans, handles.
 * @module
 */
import { UnknownRoutingTokenError } from "../errors.ts";
import type { Key } from "../routing/key.ts";
import { BorrowedShard } from "./borrowed_shard.ts";
import { KeyReader } from "./key_reader.ts";
import type { LookUpOptions } from "./read_options.ts";
import type { ReaderState } from "./reader_state.ts";
import { checkScan, type ScanOptions } from "./scan_range.ts";
import { type EncodedRow, scanShards } from "./scan_shards.ts";
import { healthOf, type SnapshotHealth } from "./snapshot_health.ts";

/**
 * Looks rows up in the snapshot that was current when it was opened or last refreshed, and goes through its rows. Safe
 * for concurrent calls.
 */
// The one subclass outside of errors: what is here would not fit the bundle of a reader at the edge.
export class SnapshotReader extends KeyReader {
  readonly #state: ReaderState;

  /** Use `openSnapshot`. */
  constructor(state: ReaderState) {
    super(state);
    this.#state = state;
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
   * Whether the reader works, and how old its snapshot is.
   *
   * @param options.staleAfterMs A snapshot that is older makes the reader `"degraded"`. Default: none does.
   * @throws {ConfigValidationError} when `staleAfterMs` is no number from 0 up.
   */
  health(options: { readonly staleAfterMs?: number } = {}): SnapshotHealth {
    const { active, isClosed, options: { clock } } = this.#state;
    return healthOf(active, { nowMicros: clock.nowMicros(), isClosed, staleAfterMs: options.staleAfterMs });
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
