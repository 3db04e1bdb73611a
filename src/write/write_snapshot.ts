/**
 * Rows in, published snapshot out: the table of contents of the write path.
 * @module
 */
import type { ScratchSpace } from "../bytes/spool.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { AssignedShards } from "../routing/cel_assigner.ts";
import type { Router } from "../routing/router.ts";
import { defaultBackend } from "../registry.ts";
import type { PackedRows } from "../rows.ts";
import { attemptPrefix, newHexId } from "../snapshots/layout.ts";
import type { ShardEntry } from "../snapshots/manifest.ts";
import type { CurrentPointer, ManifestStore } from "../snapshots/manifest_store.ts";
import { fencedStore } from "../snapshots/preconditions.ts";
import { objectManifestStore } from "../snapshots/object_manifest_store.ts";
import { traced } from "../spans.ts";
import type { ObjectStore } from "../stores/store.ts";
import { ArrayPool } from "./array_pool.ts";
import { type BuildContext, buildShards } from "./build_shards.ts";
import { recordingStore } from "./created_objects.ts";
import { gather, type RowSource } from "./gather.ts";
import { limitedStore } from "./limited_store.ts";
import { PackStream } from "./pack_stream.ts";
import { ProgressMeter } from "./progress.ts";
import { publishAttempts } from "./publish_attempts.ts";
import { RateLimitStream } from "./rate_limit_stream.ts";
import { Reuse, reusedCount, type ReuseOptions } from "./reuse.ts";
import { localCollector, type RowCollector } from "./row_collector.ts";
import { assignedShards, assignmentOf, routeRows } from "./row_routing.ts";
import { RunRegistry } from "./run_registry.ts";
import { requireStored } from "./stored_shards.ts";
import { RateLimiter } from "../token_bucket.ts";
import { vectorOnlyRouting } from "./vector_meta.ts";
import { workerCount } from "./worker_options.ts";
import { WriteEvents } from "./write_events.ts";
import { type CheckedWriteOptions, checkWriteOptions, type WriteSnapshotOptions } from "./write_options.ts";

/** What a finished write says about itself. */
export interface WriteResult {
  /** Name of the run. */
  readonly runId: string;
  /** Shards of the snapshot, those without rows included. */
  readonly shardCount: number;
  /** URL of the manifest that `_CURRENT` now names. */
  readonly manifestRef: string;
  /** Manifests of other writers that this one took the place of, oldest first: only with `onConflict: "replace"`. */
  readonly replaced: readonly string[];
  /** The published shards, ascending; empty ones are left out. */
  readonly winners: readonly ShardEntry[];
  /** Counts and durations. */
  readonly stats: WriteStats;
  /** What should worry, in sentences: that the store does not honour preconditions, and this was let pass. */
  readonly warnings: readonly string[];
  /** URL of the run record; null when it could not be written, which fails no write. */
  readonly runRecordRef: string | null;
}

/** Counts and durations of a write. */
export interface WriteStats {
  /** Rows taken from the source: repeated keys count. */
  readonly rowsWritten: number;
  /** Shards that have rows. */
  readonly shards: number;
  /** Those of them that were not uploaded, with `reuse`. */
  readonly shardsReused: number;
  /** Size of all shards together. */
  readonly bytes: number;
  /** Reading, routing and collecting rows. */
  readonly routeMs: number;
  /** Sorting, building and uploading shards. */
  readonly buildMs: number;
  /** Storing the manifest and moving the pointer. */
  readonly publishMs: number;
  /** From the call to its end. */
  readonly totalMs: number;
}

/**
 * Routes rows to shards, builds one file per shard, uploads them and publishes them as the current snapshot.
 *
 * Readers see the old snapshot until the very end and the whole new one afterwards. When anything fails the pointer
 * stays where it was, and what was uploaded is removed again, except where the outcome of publishing is unknown or
 * lost against another writer: then it stays for a roll back. The run's record tells that it is at work, and then how
 * it ended. Memory, however many rows come: `memory.bytesMax`, 24 bytes a row for the shards being sorted (two at a
 * time), some 20 MiB, about 2 KiB a shard, and a dozen of the largest rows.
 *
 * @param rows Read once, no faster than they can be taken.
 * @throws {ConfigValidationError} for wrong options (before anything is read or written), keys and values.
 * @throws {ConfigValidationError} also when the store does not honour preconditions, see option `preconditions`.
 * @throws {ShardCoverageError} when shards were removed while the process was suspended for hours.
 * @throws what `validate` throws.
 * @throws {PublishConflictError} when another writer published in between, unless `onConflict` is `"replace"`.
 * @throws the source's own error, when it throws; the reason of `signal`, when it is aborted.
 *
 * @example Three rows in memory
 * ```ts
 * import { hashSharding } from "../routing/mod.ts";
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { writeSnapshot } from "./write_snapshot.ts";
 *
 * const rows = [{ id: 1, name: "Ada" }, { id: 2, name: "Grace" }, { id: 3, name: "Edsger" }];
 * const result = await writeSnapshot(rows, {
 *   store: memoryStore(),
 *   sharding: hashSharding({ shards: 2 }),
 *   key: (row) => row.id,
 *   value: (row) => JSON.stringify(row),
 * });
 * if (result.stats.rowsWritten !== 3) throw new Error("rows are missing");
 * ```
 */
export async function writeSnapshot<T>(rows: RowSource<T>, options: WriteSnapshotOptions<T>): Promise<WriteResult> {
  const checked = checkWriteOptions(options);
  const run = new WriteRun(checked);
  try {
    const attributes = { "run_id": run.runId };
    return await traced(checked.tracer, { name: "shardyfusion.write", attributes }, () => run.execute(rows));
  } catch (error) {
    await run.fail(error);
    throw error;
  } finally {
    await run.dispose();
  }
}

/** One write: what its steps share. */
class WriteRun<T> {
  #options: CheckedWriteOptions<T>;
  readonly #givenStore: ObjectStore;
  readonly #warnings: string[] = [];
  readonly runId: string;
  readonly #signal: AbortSignal;
  readonly #progress: ProgressMeter;
  readonly #events: WriteEvents;
  #scratch: Promise<ScratchSpace> | undefined;
  #registry: RunRegistry | undefined;
  #collector: RowCollector | undefined;
  #keyEncoding: KeyEncoding;
  readonly #pool = new ArrayPool();
  /** What gives rows their shards as they are packed. */
  readonly #assignment: ReturnType<typeof assignmentOf<T>>;

  constructor(options: CheckedWriteOptions<T>) {
    this.runId = options.runId ?? newHexId();
    this.#events = new WriteEvents({ ...options, runId: this.runId, isVectorOnly: options.value === undefined });
    this.#options = { ...options, store: limitedStore(options.store, { ...options, onEvent: this.#events.emit }) };
    this.#givenStore = options.store;
    this.#signal = options.signal ?? new AbortController().signal;
    this.#progress = new ProgressMeter(options.clock, options.onProgress);
    this.#keyEncoding = options.keyEncoding ?? "u64be";
    this.#assignment = assignmentOf(options);
  }

  async execute(source: RowSource<T>): Promise<WriteResult> {
    const { fence, backend = defaultBackend() } = this.#options;
    const signal = this.#signal;
    const reader = { ...this.#options, ...this.#assignment };
    const pack = new PackStream<T>(reader, (encoding) => this.#keyEncoding = encoding, this.#pool);
    const rows = gather(source, () => pack.rowsWanted, this.#options.clock);
    let manifests = this.#manifests();
    let assigned: AssignedShards;
    let seenFirst: CurrentPointer | null;
    try {
      signal.throwIfAborted();
      seenFirst = await this.#checkPlace(manifests);
      this.#events.started();
      await this.#beginRecord();
      manifests = await this.#fence(manifests);
      assigned = await this.#collect(rows, { pack, rowCount: Array.isArray(source) ? source.length : undefined });
    } catch (error) {
      // Once the rows are being piped the pipe does it, and this is refused.
      await rows.cancel(error).catch(() => {});
      throw error;
    }
    const { store } = this.#options;
    const { router } = assigned;
    const collectedMs = this.#events.elapsedMs();
    this.#events.sharded();
    // Read anew, so that a slow source does not lose against every other writer: the fence is around publishing.
    const expected = fence === "run" ? seenFirst : await manifests.loadCurrent({ signal });
    const recording = recordingStore(store, this.#options.runId === undefined);
    const threads = this.#collector!.threads(assigned.shardIdOf);
    this.#progress.beginShards(threads.reduce((sum, shards) => sum + shards.length, 0));
    await using reuse = await this.#openReuse({ manifests, current: expected, router });
    let isPublishing = false;
    try {
      const attempts = await buildShards(threads, this.#buildContext(recording.store, reuse));
      const builtMs = this.#events.elapsedMs();
      this.#events.shardsCompleted(this.#progress.rowsRead);
      const { manifestRef, replaced, winners } = await publishAttempts(attempts, {
        ...{ ...this.#options, isVectorOnly: this.#options.value === undefined },
        ...{ runId: this.runId, router, keyEncoding: this.#keyEncoding, backend, manifestStore: manifests, expected },
        ...{ onEvent: this.#events.emit, startedMs: this.#events.startedMs },
        rowsOffered: new Map(threads.flat().map(({ shardId, rowsOffered }) => [shardId, rowsOffered])),
        beforePublish: async (winners) => {
          await reuse?.hold();
          if (await this.#registry?.hasLapsed()) {
            await requireStored(winners, { ...this.#options, backend, runId: this.runId, signal });
          }
          this.#progress.beginPublish();
          isPublishing = true;
        },
        metaStore: recording.store,
        removeLosers: this.#options.cleanUpLosers && ((published) => recording.removeOthers(published)),
      });
      await this.#registry?.succeed(manifestRef);
      return {
        ...this.#result(manifestRef, winners, { collectedMs, builtMs }),
        shardCount: router.shardCount,
        replaced,
      };
    } catch (error) {
      // A publish that was aborted in time says so by the signal's reason; after any other failure of it the manifest
      // may be in the store, and its shards must stay.
      if (!isPublishing || (signal.aborted && error === signal.reason)) await recording.removeCreated();
      reuse?.failed(error);
      throw error;
    }
  }

  #buildContext(store: ObjectStore, reuse: Reuse | null): BuildContext {
    const { backend = defaultBackend(), retry, clock } = this.#options;
    return {
      ...{ backend, store, reuse, retry, clock },
      attemptPrefix: (shardId, attempt) => this.#attemptPrefix(shardId, attempt),
      keyEncoding: this.#keyEncoding,
      scratch: () => this.#openScratch(),
      ...{ startedMs: this.#events.startedMs, onEvent: this.#events.emit, signal: this.#signal },
      ...{ isVectorOnly: this.#options.value === undefined, tracer: this.#options.tracer },
      onShardBuilt: () => this.#progress.addShard(),
    };
  }

  /** Notes in the run record, where there is one, why the run failed. */
  async fail(error: unknown): Promise<void> {
    await this.#registry?.fail(error);
  }

  async dispose(): Promise<void> {
    await this.#collector?.[Symbol.asyncDispose]();
    const scratch = await this.#scratch?.catch(() => undefined);
    await scratch?.[Symbol.asyncDispose]();
  }

  /** Tells the events and sums up. */
  #result(
    manifestRef: string,
    winners: readonly ShardEntry[],
    { collectedMs, builtMs }: { collectedMs: number; builtMs: number },
  ): Omit<WriteResult, "replaced" | "shardCount"> {
    const totalMs = this.#events.elapsedMs();
    const rowsWritten = this.#progress.rowsRead;
    this.#events.completed(rowsWritten, winners.length);
    const stats = {
      rowsWritten,
      shards: winners.length,
      shardsReused: reusedCount(winners),
      bytes: winners.reduce((sum, { dbBytes }) => sum + dbBytes, 0),
      routeMs: collectedMs,
      buildMs: builtMs - collectedMs,
      publishMs: totalMs - builtMs,
      totalMs,
    };
    const runRecordRef = this.#registry?.ref ?? null;
    return { runId: this.runId, manifestRef, winners, stats, warnings: this.#warnings, runRecordRef };
  }

  /**
   * Hours of reading rows should not end at a wrong bucket, a damaged pointer or a folder that cannot be written. (That
   * a bucket may only be read shows with the first upload.)
   */
  async #checkPlace(manifests: ManifestStore): Promise<CurrentPointer | null> {
    const signal = this.#signal;
    const current = await manifests.loadCurrent({ signal });
    const key = `${this.#options.shardPrefix}/run_id=${this.runId}/writable`;
    await using _ = await this.#options.store.upload(key, { headBytes: 0, signal });
    return current;
  }

  #manifests(): ManifestStore {
    const { manifestStore, store, pointerKey, clock } = this.#options;
    return manifestStore ?? objectManifestStore(store, { pointerKey, clock });
  }

  /** Finds out whether the store tells publishers of each other; not before there is a record of what that leaves. */
  async #fence(manifests: ManifestStore): Promise<ManifestStore> {
    const { manifestStore, store, preconditions: policy, shardPrefix } = this.#options;
    if (manifestStore !== undefined) return manifests;
    const onUnfenced = (warning: string): void => {
      this.#warnings.push(warning);
      this.#events.emit({ name: "write.unfenced", payload: { elapsed_ms: this.#events.elapsedMs(), warning } });
    };
    const folder = `${shardPrefix}/run_id=${this.runId}`;
    const identity = this.#givenStore;
    const fenced = await fencedStore(store, { policy, folder, identity, onUnfenced, signal: this.#signal });
    if (fenced === store) return manifests;
    this.#options = { ...this.#options, store: fenced };
    return this.#manifests();
  }

  async #beginRecord(): Promise<void> {
    this.#registry = new RunRegistry({
      ...this.#options,
      runId: this.runId,
      startedMs: this.#events.startedMs,
      onEvent: this.#events.emit,
      signal: this.#signal,
    });
    await this.#registry.begin();
  }

  /** Rows from the source to the shards' sinks; gives the router, which may depend on all of the rows. */
  async #collect(
    rows: ReadableStream<T[]>,
    { pack, rowCount }: { pack: PackStream<T>; rowCount: number | undefined },
  ): Promise<AssignedShards> {
    const { rateLimit, clock } = this.#options;
    const signal = this.#signal;
    const limiter = rateLimit === undefined ? undefined : new RateLimiter(rateLimit, clock, this.#events.emit);
    const { batches, router } = await routeRows(
      () => rows.pipeThrough(pack).pipeThrough(this.#progressStream()),
      {
        ...{ options: this.#options, rowCount, limiter, pool: this.#pool, signal },
        keyEncoding: () => this.#keyEncoding,
        openSpool: async () => await (await this.#openScratch()).openSpool(),
      },
    );
    this.#collector = await this.#openCollector(router);
    const paced = limiter === undefined ? batches : batches.pipeThrough(new RateLimitStream(limiter, signal));
    await this.#events.observed(paced).pipeTo(this.#collector.sink, { signal });
    return assignedShards(router, this.#assignment.assigner);
  }

  /** Rows wait in this thread or in others; threads are a matter of few callers, and loaded for them. */
  async #openCollector(router: Router | null): Promise<RowCollector> {
    const { sharding, memory, workers, workerBudget, backend = defaultBackend(), store, clock, retry } = this.#options;
    const signal = this.#signal;
    const scratch = () => this.#openScratch();
    const workersMax = workerCount(workers, router?.shardCount ?? Infinity);
    if (workersMax === 0) return localCollector(memory, scratch, { signal, clock, pool: this.#pool });
    const { workerCollector } = await import("./workers/worker_collector.ts");
    return await workerCollector({
      ...{ workersMax, budget: workerBudget, memory, backend, scratch, clock, signal },
      areShardsKnown: sharding.kind !== "cel" || !sharding.isInferred,
      ...{ runId: this.runId, storeUrl: store.url, replacementsMax: retry?.retriesMax ?? 0 },
    });
  }

  async #openReuse(
    options: Pick<ReuseOptions, "manifests" | "current" | "router">,
  ): Promise<Reuse | null> {
    const { store, reuse: mode, backend = defaultBackend(), clock } = this.#options;
    if (!mode) return null;
    const others = { runId: this.runId, clock, signal: this.#signal, mode, store, backend };
    if (this.#options.value !== undefined) {
      return await Reuse.open({ ...options, ...others, keyEncoding: this.#keyEncoding });
    }
    return await Reuse.open({ ...others, ...options, ...vectorOnlyRouting(options.router) });
  }

  #progressStream(): TransformStream<PackedRows, PackedRows> {
    return new TransformStream({
      transform: (rows, controller) => {
        this.#progress.addRows(rows.rowCount, rows.starts[rows.rowCount]!);
        controller.enqueue(rows);
      },
    });
  }

  #attemptPrefix(shardId: number, attempt: number): string {
    const { shardPrefix, dbPathTemplate } = this.#options;
    return attemptPrefix({ shardPrefix, dbPathTemplate, runId: this.runId }, { shardId, attempt });
  }

  async #openScratch(): Promise<ScratchSpace> {
    this.#scratch ??= import("./file_scratch.ts").then(({ fileScratch }) =>
      fileScratch(this.#options.localRoot, this.runId)
    );
    return await this.#scratch;
  }
}
