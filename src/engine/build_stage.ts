/**
 * The build stage: the rows of one or more shards come in, attempts at these shards lie in the store.
 * @module
 */
import type { RecordBatch } from "apache-arrow";
import type { Backend } from "../backends/backend.ts";
import { type Clock, systemClock } from "../clock.ts";
import { ConfigValidationError, PreconditionFailedError, ShardAssignmentError } from "../errors.ts";
import { type EventSink, guardedEventSink } from "../events.ts";
import type { RowAssigner } from "../routing/cel_assigner.ts";
import type { Router } from "../routing/router.ts";
import type { PackedRows, RoutedRows } from "../rows.ts";
import type { ObjectStore } from "../stores/store.ts";
import { RateLimiter } from "../token_bucket.ts";
import { buildAttempts } from "../write/build_attempts.ts";
import { DistinctKeysStream } from "../write/distinct_keys.ts";
import { PackStream, type RowReader } from "../write/pack_stream.ts";
import { RateLimitStream } from "../write/rate_limit_stream.ts";
import { RouteStream } from "../write/route_stream.ts";
import { ShardBatchStream } from "../write/shard_batch_stream.ts";
import { type Arrow, type ArrowInput, loadArrow, openArrow } from "./arrow_input.ts";
import { storeAttempts } from "./attempt_records.ts";
import type { Job } from "./job.ts";
import { shown } from "../option_fields.ts";
import { storeCounts } from "./count_records.ts";
import { ShardFilter } from "./shard_filter.ts";
import { builtColumnsOf, JobBatch, type JobRow, requireColumns, routingColumnsOf } from "./job_rows.ts";
import { BatchRouter, openJobRouter } from "./job_router.ts";
import { locatedError } from "./located_errors.ts";
import { type TaskAttempt, TaskEventLog } from "./task_events.ts";

/** What the build stage is connected to. */
export interface BuildStageOptions {
  /** A stream or a file of Arrow's interprocess format. */
  readonly input: ArrowInput;
  /** The place that the job names. */
  readonly store: ObjectStore;
  /** What the job's shards are made of. */
  readonly backend: Backend;
  /**
   * The engine's number for this attempt at the task: each has folders of its own. `"next"`, for engines without such
   * numbers: for each shard the lowest whose folder is free, so that repeated tasks, tasks side by side, and what
   * killed ones have left are nobody's failure.
   *
   * @default {0}
   */
  readonly attempt?: number | "next" | undefined;
  /**
   * Builds these shards alone, out of all rows, which must not have a column of shards. Every task reads all rows, and
   * records how many each shard has, so that `publishJob` knows when one is missing. Default: all that have rows.
   */
  readonly onlyShards?: readonly number[] | undefined;
  /** The engine's number for the task. @default {null} */
  readonly taskAttemptId?: number | null | undefined;
  /** Folder for temporary files. Default: `shardyfusion` in the system's folder for temporary files. */
  readonly localRoot?: string | undefined;
  /**
   * Where events are written down, for `publishJob` to pass on. Give it to have what the store tells beside them:
   * `s3Store({ …, onEvent: eventLog.add })`. Default: a new one.
   */
  readonly eventLog?: TaskEventLog | undefined;
  /** Takes metric events. */
  readonly onEvent?: EventSink | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

/** How many rows are routed again, to see that engine and job agree. */
const VERIFIED_ROWS = 20;

/**
 * Sorts the rows of each shard in bounded memory, builds and uploads its files, and then records the attempts in the
 * store. Where the input has no column of shards, rows are routed here.
 *
 * All shards of a task succeed or none does: when it throws, nothing of it is left.
 *
 * @returns One attempt for each shard that has rows, ascending.
 * @throws {ShardAssignmentError} when one of the first 20 rows is in the wrong shard, or any row in none;
 * {ConfigValidationError} naming row and column; the store's errors.
 */
export async function buildStage(job: Job, options: BuildStageOptions): Promise<TaskAttempt[]> {
  const { spec } = job;
  const { input, store, backend, clock = systemClock(), signal = new AbortController().signal } = options;
  const { eventLog = new TaskEventLog() } = options;
  const tell = guardedEventSink(options.onEvent);
  const onEvent: EventSink = (event) => {
    eventLog.add(event);
    tell(event);
  };
  const router = await openJobRouter(job, { store, signal });
  const arrow = await loadArrow();
  const { schema, batches, close } = await openArrow(input, signal);
  if (schema === null) return [];
  try {
    const isRouted = schema.fields.some(({ name }) => name === spec.shardIdColumn);
    const isVerified = isRouted && spec.verifyRouting;
    const needsColumns = !isRouted || isVerified;
    requireColumns(schema, [...builtColumnsOf(spec), ...needsColumns ? routingColumnsOf(spec) : []], input.name);
    const filter = filterOf(job, router, { ...options, isRouted });
    const limiter = spec.rateLimit === null ? undefined : new RateLimiter(spec.rateLimit, clock, onEvent);
    const isVectorOnly = spec.vector?.isOnly ?? false;
    const pack = new PackStream(readerOf(job, { backend, router, isRouted }), () => {});
    const packed: ReadableStream<PackedRows> = rowsOf(arrow, batches, { job, filter }).pipeThrough(pack);
    const areKeysLoose = isVectorOnly && (spec.vector!.sharding !== null || spec.sharding.strategy === "cel");
    const shardBatches = (areKeysLoose ? packed.pipeThrough(new DistinctKeysStream()) : packed)
      .pipeThrough<RoutedRows>(new RouteStream(router, () => spec.keyEncoding))
      .pipeThrough(
        new ShardBatchStream(spec.batch, { limiter, heldBytesMax: (spec.memory.bytesMax ?? 256 << 20) / 4 }),
      );
    const { attempt = 0, taskAttemptId, localRoot } = options;
    const [first, ...others] = await buildAttempts(
      limiter === undefined ? shardBatches : shardBatches.pipeThrough(new RateLimitStream(limiter, signal)),
      {
        ...{ store, backend, attempt, taskAttemptId, localRoot, onEvent, signal, clock, runId: job.runId },
        ...{ keyEncoding: spec.keyEncoding, memory: spec.memory, retry: spec.retry ?? undefined, isVectorOnly },
        ...{ shardPrefix: job.shardPrefix, dbPathTemplate: job.dbPathTemplate },
      },
    );
    const attempts = first === undefined ? [] : [{ ...first, taskEvents: eventLog.taskEvents }, ...others];
    await storeAttempts(job, attempts, { store, signal });
    if (filter !== null) await storeCounts(job, filter.counts(clock.nowMicros()), { store, task: 0, signal });
    return attempts;
  } catch (error) {
    throw withAdvice(error);
  } finally {
    close();
  }
}

/** An array of rows is small enough to wait beside another one, and large enough that it costs nothing. */
const ROWS_AT_ONCE = 1024;

/** The rows of the batches, as what tells where they are. */
function rowsOf(
  arrow: Arrow,
  batches: AsyncIterator<RecordBatch, void, undefined>,
  { job: { spec }, filter }: { job: Job; filter: ShardFilter | null },
): ReadableStream<JobRow[]> {
  let batch: JobBatch | undefined;
  // Null where all rows are kept.
  let places: Uint32Array | null = null;
  let count = 0;
  let at = 0;
  return new ReadableStream<JobRow[]>({
    async pull(controller) {
      while (batch === undefined || at === count) {
        const { value, done } = await batches.next();
        if (done) return controller.close();
        batch = new JobBatch(arrow, value, spec);
        places = filter?.placesIn(batch) ?? null;
        count = places?.length ?? batch.rowCount;
        at = 0;
      }
      const rows: JobRow[] = [];
      for (const end = Math.min(at + ROWS_AT_ONCE, count); at < end; at++) {
        rows.push({ batch, index: places === null ? at : places[at]! });
      }
      controller.enqueue(rows);
    },
  }, { highWaterMark: 0 });
}

function filterOf(
  { spec }: Job,
  router: Router,
  { onlyShards, input, isRouted }: BuildStageOptions & { isRouted: boolean },
): ShardFilter | null {
  if (onlyShards === undefined) return null;
  if (!isRouted) return new ShardFilter(spec, router, { shardIds: onlyShards, inputName: input.name });
  throw new ConfigValidationError(
    `Cannot use option "onlyShards" as ${input.name} has a column "${spec.shardIdColumn}": give the task rows that ` +
      "were not routed",
    "onlyShards",
  );
}

/** What is packed of each row, and where its shard comes from: its column, an expression, or, later, its packed key. */
function readerOf(
  { spec }: Job,
  { backend, router, isRouted }: { backend: Backend; router: Router; isRouted: boolean },
): RowReader<JobRow> {
  const reader: RowReader<JobRow> = {
    key: ({ batch, index }) => batch.key(index),
    value: spec.vector?.isOnly ? undefined : (row) => withKey(row, ({ batch, index }) => batch.value(index)),
    vector: spec.vector === null ? undefined : (row) => withKey(row, ({ batch, index }) => batch.vector(index)),
    backend,
    keyEncoding: spec.keyEncoding,
  };
  // What packed rows say is enough: their keys, or their vectors.
  const isRoutedPacked = router.routePacked !== undefined ||
    (spec.sharding.strategy === "hash" && (spec.vector?.sharding ?? null) === null);
  if (!isRouted && isRoutedPacked) return reader;
  const rowRouter = new BatchRouter(spec, router);
  const assign = isRouted ? assignedByColumn(spec, rowRouter) : (row: JobRow): number => routed(row, rowRouter);
  const assigner: RowAssigner = {
    assign: (_key, columns) => assign(columns as unknown as JobRow),
    finish: () => ({ router, shardIdOf: (shardId) => shardId }),
  };
  // The row itself goes where columns go: what is read of it is for the assigner to say.
  return { ...reader, columns: (row) => row as unknown as Readonly<Record<string, unknown>>, assigner };
}

/** After a shuffle the number of a row tells nobody which it was. */
function withKey<V>(row: JobRow, read: (row: JobRow) => V): V {
  try {
    return read(row);
  } catch (error) {
    const key = row.batch.key(row.index);
    throw locatedError(error, `key ${typeof key === "bigint" ? String(key) : shown(key)}`);
  }
}

function assignedByColumn(
  { verifyRouting, shardIdColumn, keyColumn, vector }: Job["spec"],
  router: BatchRouter,
): (row: JobRow) => number {
  let toVerify = verifyRouting ? VERIFIED_ROWS : 0;
  const byVector = vector?.sharding ?? null;
  const column = byVector === null ? keyColumn : byVector.strategy === "explicit" ? byVector.column : vector!.column;
  return (row) => {
    const shardId = row.batch.shardId(row.index, shardIdColumn);
    if (toVerify === 0) return shardId;
    toVerify--;
    const right = routed(row, router);
    if (right === shardId) return shardId;
    throw new ShardAssignmentError(
      `Cannot build shard ${shardId}, which column "${shardIdColumn}" says, as column "${column}" belongs to ` +
        `shard ${right}: let the route stage of this job write the column`,
    );
  };
}

function routed({ batch, index }: JobRow, router: BatchRouter): number {
  try {
    return router.routeRow(batch, index);
  } catch (error) {
    throw error instanceof ConfigValidationError ? error : locatedError(error, "by its routing columns");
  }
}

/** What lies in the folder of an attempt is another task's, or that of one that was killed. */
function withAdvice(error: unknown): unknown {
  if (!(error instanceof PreconditionFailedError)) return error;
  return new PreconditionFailedError(
    `${error.message}: another task has had this attempt; give the engine's number of the attempt with --attempt, ` +
      "or let the worker take the next one that is free, with --attempt next",
    { url: error.url, cause: error },
  );
}
