/**
 * The end of a job: from the attempts of its tasks to a published snapshot, with nothing left beside it.
 * @module
 */
import type { Backend } from "../backends/backend.ts";
import { type Clock, systemClock } from "../clock.ts";
import { ConfigValidationError, ShardCoverageError } from "../errors.ts";
import type { EventSink } from "../events.ts";
import type { SnapshotReader } from "../read/snapshot_reader.ts";
import { attemptPrefix } from "../snapshots/layout.ts";
import type { ShardEntry } from "../snapshots/manifest.ts";
import type { ManifestStore } from "../snapshots/manifest_store.ts";
import { objectManifestStore } from "../snapshots/object_manifest_store.ts";
import { fencedStore, type PreconditionPolicy } from "../snapshots/preconditions.ts";
import type { ObjectStore } from "../stores/store.ts";
import { publishAttempts, type PublishedAttempts } from "../write/publish_attempts.ts";
import { RunRegistry } from "../write/run_registry.ts";
import { requireStored } from "../write/stored_shards.ts";
import type { ShardAttempt } from "../write/winners.ts";
import { loadAttempts } from "./attempt_records.ts";
import { loadCounts } from "./count_records.ts";
import type { Job } from "./job.ts";
import { JobEvents } from "./job_events.ts";
import { openJobRouter } from "./job_router.ts";
import { jobVectorMeta } from "./job_vectors.ts";
import { REQUESTS_AT_ONCE } from "./stored_records.ts";
import type { TaskAttempt } from "./task_events.ts";

/** What publishing a job takes. */
export interface PublishJobOptions {
  /** The place that the job names. */
  readonly store: ObjectStore;
  /** What the job's shards are made of. */
  readonly backend: Backend;
  /** What the tasks have printed, in any order, with repetitions. Default: what they have recorded in the store. */
  readonly attempts?: readonly TaskAttempt[] | undefined;
  /**
   * Rows that were routed to each shard: all that the route stages have counted. Default: what they have recorded in
   * the store; where `rowCount` is given, or nothing was recorded, not checked.
   */
  readonly rowsOffered?: ReadonlyMap<number, number> | undefined;
  /** When the last row was routed, for events. Default: as recorded with the counts in the store. */
  readonly routedAtMicros?: number | undefined;
  /** Rows of all shards together, as the engine has counted its input. Default: not checked. */
  readonly rowCount?: number | undefined;
  /** As for `writeSnapshot`. */
  readonly validate?: ((candidate: SnapshotReader) => Promise<void>) | undefined;
  /** As for `writeSnapshot`. @default {"fail"} */
  readonly onConflict?: "fail" | "replace" | undefined;
  /** As for `writeSnapshot`. @default {"require"} */
  readonly preconditions?: PreconditionPolicy | undefined;
  /** Name of the pointer object. @default {"_CURRENT"} */
  readonly pointerKey?: string | undefined;
  /** Where manifests and the pointer are kept. Default: in `store`. */
  readonly manifestStore?: ManifestStore | undefined;
  /**
   * Takes metric events: of this call, and of all tasks, losers included, as their lines have them. They come when all
   * shards are there, so that a call that fails over missing shards counts nothing, and not again when the run was
   * published before. Times count from when the job was planned.
   */
  readonly onEvent?: EventSink | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

/** What came of it. */
export interface PublishedJob extends PublishedAttempts {
  /** Whether the run was published before, and there was only left to tidy up. */
  readonly isRepeated: boolean;
  /** What to look at, in sentences. */
  readonly warnings: readonly string[];
}

/**
 * Picks the winners, checks that no shard is missing and all objects are there, lets `validate` judge, publishes with
 * fencing, removes what else the run has left, and closes the run's record. Can be called again after it was killed.
 *
 * When it rejects before publishing, all attempts stay: more tasks may run, and it may be called again.
 *
 * @throws {ShardCoverageError} naming shards that are missing or have other rows than were counted.
 * @throws {PublishConflictError} when another writer published in between; what `validate` throws.
 */
export async function publishJob(job: Job, options: PublishJobOptions): Promise<PublishedJob> {
  const { store, clock = systemClock(), signal = new AbortController().signal, onEvent } = options;
  const sinceMs = job.runRecord === null ? 0 : (clock.nowMicros() - job.runRecord.startedAtMicros) / 1000;
  const startedMs = clock.monotonicMs() - Math.max(0, sinceMs);
  const record = new RunRegistry({
    ...{ store, clock, signal, onEvent, startedMs, runId: job.runId },
    ...{ shardPrefix: job.shardPrefix, dbPathTemplate: job.dbPathTemplate, begun: job.runRecord ?? undefined },
    leaseMs: job.runRecord?.leaseMs,
  });
  await record.begin();
  try {
    const published = await publish(job, { ...options, clock, signal, startedMs });
    await record.succeed(published.manifestRef);
    return published;
  } catch (error) {
    // Where tasks are missing they are run, and this again: until then the run stays alive.
    if (error instanceof ShardCoverageError && job.runRecord !== null) await record.leave();
    else await record.fail(error);
    throw error;
  }
}

type Checked = PublishJobOptions & {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** When the job was planned, on the clock's monotonic scale. */
  readonly startedMs: number;
};

async function publish(job: Job, options: Checked): Promise<PublishedJob> {
  const { store, backend, clock, signal, pointerKey, preconditions: policy = "require" } = options;
  const { runId, shardPrefix, dbPathTemplate, spec } = job;
  const warnings: string[] = [];
  const router = await openJobRouter(job, { store, signal });
  const folder = `${shardPrefix}/run_id=${runId}`;
  const onUnfenced = (warning: string): void => void warnings.push(warning);
  const fenced = options.manifestStore === undefined
    ? await fencedStore(store, { policy, folder, identity: store, onUnfenced, signal })
    : store;
  const manifestStore = options.manifestStore ?? objectManifestStore(fenced, { pointerKey, clock });
  const removeLosers = (published: readonly string[]): Promise<void> => removeOthers(store, folder, published);
  const expected = await manifestStore.loadCurrent({ signal });
  if (expected?.runId === runId) {
    const { shards } = await manifestStore.loadManifest(expected.ref, { signal });
    await removeLosers(shards.flatMap(({ dbUrl }) => dbUrl === null ? [] : [dbUrl.slice(store.url.length + 1)]));
    return { manifestRef: expected.ref, replaced: [], winners: shards, isRepeated: true, warnings };
  }
  const given = options.attempts ?? await loadAttempts(job, { store, signal });
  const attempts = given.map(({ taskEvents: _, ...attempt }): ShardAttempt => attempt);
  requireOwnPlaces(job, attempts, store.url);
  let { rowsOffered, routedAtMicros } = options;
  if (rowsOffered === undefined && options.rowCount === undefined) {
    const counts = await loadCounts(job, { store, signal });
    if (counts === null) warnings.push(...uncountedWarning(attempts, spec.shardCount));
    else ({ rowsOffered, endedAtMicros: routedAtMicros } = counts);
  }
  const events = new JobEvents(job, given, { ...options, routedAtMicros });
  const published = await publishAttempts(attempts, {
    ...{ store: fenced, runId, router, keyEncoding: spec.keyEncoding, backend, shardPrefix, dbPathTemplate },
    ...{ isVectorOnly: spec.vector?.isOnly, vectorMeta: jobVectorMeta(job, store) },
    ...{ custom: job.custom, rowsOffered, expected, onConflict: options.onConflict, startedMs: options.startedMs },
    ...{ validate: options.validate, manifestStore, onEvent: options.onEvent, signal, clock, removeLosers },
    async beforePublish(winners) {
      requireRowCount(winners, options.rowCount);
      await requireStored(winners, { store, runId, shardPrefix, backend, signal });
      events.built(winners);
    },
  });
  warnings.push(...events.published(published.winners));
  return { ...published, isRepeated: false, warnings };
}

/** Lines of attempts come from elsewhere: what they name is published, and what lies beside it is removed. */
function requireOwnPlaces(job: Job, attempts: readonly ShardAttempt[], storeUrl: string): void {
  for (const { shardId, attempt, dbUrl } of attempts) {
    const own = `${storeUrl}/${attemptPrefix(job, { shardId, attempt })}`;
    if (dbUrl === null || dbUrl === own) continue;
    throw new ConfigValidationError(
      `Cannot publish attempt ${attempt} at shard ${shardId} as it lies in "${dbUrl}" and not in "${own}": workers ` +
        "and publisher must name the same place",
      "attempts.db_url",
    );
  }
}

function requireRowCount(winners: readonly ShardEntry[], rowCount: number | undefined): void {
  const found = winners.reduce((sum, shard) => sum + shard.rowCount, 0);
  if (rowCount === undefined || found === rowCount) return;
  throw new ShardCoverageError(
    `Cannot publish the snapshot as its ${winners.length} shards have ${found} rows together, and ${rowCount} were ` +
      "given: find the tasks that are missing",
    winners.map(({ shardId }) => shardId),
  );
}

function uncountedWarning(attempts: readonly ShardAttempt[], shardCount: number): string[] {
  const present = new Set(attempts.map(({ shardId }) => shardId));
  if (present.size >= shardCount) return [];
  return [
    `${shardCount - present.size} of ${shardCount} shards have no attempt and count as empty, as nobody has counted ` +
    "the rows: give --rows or --counts, or give route stages a --task",
  ];
}

/** Removes all of the run but what was published; what cannot be removed is left to `cleanUp`. */
async function removeOthers(store: ObjectStore, folder: string, published: readonly string[]): Promise<void> {
  const kept = new Set(published);
  try {
    const others: string[] = [];
    for await (const page of store.list(`${folder}/`)) {
      for (const { key } of page) {
        if (!isUnder(key, kept)) others.push(key);
      }
    }
    for (let at = 0; at < others.length; at += REQUESTS_AT_ONCE) {
      await Promise.all(others.slice(at, at + REQUESTS_AT_ONCE).map((key) => store.delete(key)));
    }
    for (const upload of await store.listUploads?.(`${folder}/`) ?? []) await store.abortUpload?.(upload);
  } catch {
    // A later clean-up finds it.
  }
}

function isUnder(key: string, folders: ReadonlySet<string>): boolean {
  for (let end = key.lastIndexOf("/"); end > 0; end = key.lastIndexOf("/", end - 1)) {
    if (folders.has(key.slice(0, end))) return true;
  }
  return false;
}
