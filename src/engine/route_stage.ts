/**
 * The route stage: record batches come in, the same batches go out with the shard of each row.
 * @module
 */
import type { RecordBatch } from "apache-arrow";
import { type Clock, systemClock } from "../clock.ts";
import { ConfigValidationError } from "../errors.ts";
import type { ObjectStore, ReadableStore } from "../stores/store.ts";
import { type Arrow, type ArrowInput, loadArrow, openArrow } from "./arrow_input.ts";
import { checkTask, type RoutedCounts, storeCounts } from "./count_records.ts";
import type { Job } from "./job.ts";
import { JobBatch, requireColumns, routingColumnsOf } from "./job_rows.ts";
import { BatchRouter, openJobRouter } from "./job_router.ts";
import { locatedError } from "./located_errors.ts";

/** What the route stage is connected to. */
export interface RouteStageOptions {
  /** A stream or a file of Arrow's interprocess format. */
  readonly input: ArrowInput;
  /** Takes the stream that goes out, a few pieces for each batch; the next batch waits for it. */
  readonly write: (bytes: Uint8Array) => Promise<void>;
  /**
   * Records in the place that the job names what was routed, for a publisher who is told nothing. `task` is the
   * engine's number of this task, the same one each time that it runs, so that it counts once. Default: not recorded.
   */
  readonly record?: { readonly store: ObjectStore; readonly task: number } | undefined;
  /** The place that the job names: for centroids and hyperplanes. Default: that of `record`. */
  readonly store?: ReadableStore | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

/**
 * Adds the column `shard_id` (int32, another name if the job says so), batch by batch: one batch is in memory. Nothing
 * else changes, but for compression, which goes.
 *
 * @throws {ConfigValidationError} naming row and column, for rows that cannot be routed; {ShardAssignmentError} for
 * rows that belong to no shard; {CelEvaluationError} where a CEL expression has no answer; the store's errors.
 */
export async function routeStage(job: Job, options: RouteStageOptions): Promise<RoutedCounts> {
  const { record, signal = new AbortController().signal, clock = systemClock() } = options;
  if (record !== undefined) checkTask(record.task);
  const counts = { ...await routeRows(job, { ...options, signal }), endedAtMicros: clock.nowMicros() };
  if (record !== undefined) await storeCounts(job, counts, { ...record, signal });
  return counts;
}

async function routeRows(
  job: Job,
  { input, write, record, store = record?.store, signal }: RouteStageOptions & { readonly signal: AbortSignal },
): Promise<Omit<RoutedCounts, "endedAtMicros">> {
  const { spec } = job;
  const { shardIdColumn, keyColumn, shardCount } = spec;
  const router = new BatchRouter(spec, await openJobRouter(job, { store, signal }));
  const arrow = await loadArrow();
  const { schema, batches, close } = await openArrow(input, signal);
  const counts = new Float64Array(shardCount);
  let rowCount = 0;
  if (schema !== null) {
    try {
      requireColumns(schema, [keyColumn, ...routingColumnsOf(spec)], input.name);
      refuseColumn(schema.fields.map(({ name }) => name), shardIdColumn, input.name);
      const field = new arrow.Field(shardIdColumn, new arrow.Int32(), false);
      const routedSchema = new arrow.Schema([...schema.fields, field], schema.metadata);
      const out = new PiecedWriter(arrow, routedSchema);
      for await (const batch of batches) {
        const rows = rowCount;
        const shardIds = router.route(
          new JobBatch(arrow, batch, spec),
          (error, index) => locatedError(error, `row ${rows + index + 1} of ${input.name}`),
        );
        for (const shardId of shardIds) counts[shardId]!++;
        rowCount += batch.numRows;
        out.add(withColumn(arrow, batch, { schema: routedSchema, shardIds }));
        for (const piece of out.take()) await write(piece);
      }
      out.finish();
      for (const piece of out.take()) await write(piece);
    } finally {
      close();
    }
  }
  const rowsOffered = new Map<number, number>();
  counts.forEach((count, shardId) => count > 0 && rowsOffered.set(shardId, count));
  return { rowCount, rowsOffered };
}

function refuseColumn(names: readonly string[], name: string, inputName: string): void {
  if (!names.includes(name)) return;
  throw new ConfigValidationError(
    `Cannot add column "${name}" as ${inputName} has one: name another in the job's "spec.shardIdColumn"`,
    "rows",
  );
}

function withColumn(
  arrow: Arrow,
  batch: RecordBatch,
  { schema, shardIds }: { schema: import("apache-arrow").Schema; shardIds: Int32Array<ArrayBuffer> },
): RecordBatch {
  const column = arrow.makeData({ type: new arrow.Int32(), length: batch.numRows, data: shardIds });
  const type = new arrow.Struct(schema.fields);
  const children = [...batch.data.children, column];
  return new arrow.RecordBatch(schema, arrow.makeData({ type, length: batch.numRows, nullCount: 0, children }));
}

/** Arrow's own writer, whose bytes are taken as they come, so that a slow reader of ours stops the source. */
class PiecedWriter {
  readonly #writer: import("apache-arrow").RecordBatchStreamWriter;
  #pieces: Uint8Array[] = [];

  constructor(arrow: Arrow, schema: import("apache-arrow").Schema) {
    const take = (piece: Uint8Array): void => void this.#pieces.push(piece);
    class Pieces extends arrow.AsyncByteQueue {
      override write(value: ArrayBufferView): void {
        if (value.byteLength > 0) take(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
      }
    }
    this.#writer = new arrow.RecordBatchStreamWriter({ autoDestroy: false }).reset(new Pieces(), schema);
  }

  add(batch: RecordBatch): void {
    this.#writer.write(batch);
  }

  finish(): void {
    this.#writer.finish();
  }

  take(): Uint8Array[] {
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }
}
