/**
 * How many rows of a task went to each shard, on the way from route stages to whoever publishes: as files, and as
 * objects in the store.
 *
 * ```text
 * <url>/<shard prefix>/run_id=<run id>/_counts/task=<number>.json
 * ```
 *
 * A task that runs twice writes the same object again, and so counts once. Objects go when the run is published, and
 * with the run when it is cleaned up.
 * @module
 */
import { dumpJson, type JsonObject, type JsonValue, parseJson } from "../bytes/python_json.ts";
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import { isJsonObject } from "../snapshots/checked_fields.ts";
import type { ObjectStore } from "../stores/store.ts";
import type { Job } from "./job.ts";
import { loadRecords } from "./stored_records.ts";

/** What a task has routed. */
export interface RoutedCounts {
  readonly rowCount: number;
  /** Rows by shard, ascending; shards without rows are left out: what `publishJob` takes as `rowsOffered`. */
  readonly rowsOffered: ReadonlyMap<number, number>;
  /** When the last row was routed, in microseconds since 1970. */
  readonly endedAtMicros: number;
}

/** Numbers of tasks; some are hashes of what an engine calls its tasks. */
const TASK_MAX = Number.MAX_SAFE_INTEGER;

/** Where the counts of a run lie. */
export function countRecordsPrefix({ shardPrefix, runId }: Pick<Job, "shardPrefix" | "runId">): string {
  return `${shardPrefix}/run_id=${runId}/_counts`;
}

/** @throws {ConfigValidationError} when it is none. */
export function checkTask(task: number): void {
  if (Number.isInteger(task) && task >= 0 && task <= TASK_MAX) return;
  throw new ConfigValidationError(
    `Cannot use option "task" as it must be a whole number from 0 to ${TASK_MAX}: current value is ${shown(task)}`,
    "task",
  );
}

/** Records the counts of a task, over those that it may have recorded before. */
export async function storeCounts(
  job: Job,
  counts: RoutedCounts,
  { store, task, signal }: { readonly store: ObjectStore; readonly task: number; readonly signal: AbortSignal },
): Promise<void> {
  const key = `${countRecordsPrefix(job)}/task=${String(task).padStart(5, "0")}.json`;
  await store.put(key, new TextEncoder().encode(renderCounts(job.runId, counts)), { signal });
}

/** The sum of all tasks; null when none has recorded counts. Costs a LIST, and a GET for each task. */
export async function loadCounts(
  job: Job,
  { store, signal }: { readonly store: ObjectStore; readonly signal?: AbortSignal | undefined },
): Promise<RoutedCounts | null> {
  const records = await loadRecords(countRecordsPrefix(job), { store, signal });
  const found = records.map(({ key, text }) => parseCounts(text, { name: key, job }));
  return found.length === 0 ? null : sumOfCounts(found);
}

/** What several tasks have counted together. */
export function sumOfCounts(tasks: readonly RoutedCounts[]): RoutedCounts {
  const rowsOffered = new Map<number, number>();
  for (const task of tasks) {
    for (const [shardId, rows] of task.rowsOffered) rowsOffered.set(shardId, (rowsOffered.get(shardId) ?? 0) + rows);
  }
  return {
    rowCount: tasks.reduce((sum, { rowCount }) => sum + rowCount, 0),
    rowsOffered: new Map([...rowsOffered].sort(([one], [other]) => one - other)),
    endedAtMicros: tasks.reduce((latest, { endedAtMicros }) => Math.max(latest, endedAtMicros), 0),
  };
}

/** Counts as a line of JSON. */
export function renderCounts(runId: string, { rowCount, rowsOffered, endedAtMicros }: RoutedCounts): string {
  const line = dumpJson({
    "run_id": runId,
    "row_count": rowCount,
    "rows_offered": Object.fromEntries(rowsOffered),
    "ended_at_micros": endedAtMicros,
  });
  return `${line}\n`;
}

/**
 * Reads counts as {@linkcode renderCounts} writes them.
 *
 * @throws {ConfigValidationError} naming what is no counts, or those of another run or of other shards.
 */
export function parseCounts(
  text: string,
  { name, job }: { readonly name: string; readonly job: Pick<Job, "runId" | "spec"> },
): RoutedCounts {
  const { run_id: runId, row_count: rowCount, rows_offered: byShard, ended_at_micros: endedAtMicros } = objectIn(text);
  const refused = (problem: string): ConfigValidationError =>
    new ConfigValidationError(
      `Cannot read ${name} as counts of this run as ${problem}: take what shardy worker route --counts has written ` +
        "for it",
      "counts",
    );
  if (runId !== job.runId) throw refused(`"run_id" must be ${shown(job.runId)}: current value is ${shown(runId)}`);
  if (!isCount(rowCount)) throw refused(`"row_count" must be a whole number: current value is ${shown(rowCount)}`);
  if (!isJsonObject(byShard)) throw refused('"rows_offered" must be an object of rows by shard');
  const rowsOffered = new Map<number, number>();
  for (const [shard, rows] of Object.entries(byShard)) {
    const isShard = /^\d+$/.test(shard) && Number(shard) < job.spec.shardCount;
    if (!isShard || !isCount(rows)) {
      const expected = `numbers of rows for shards from 0 to ${job.spec.shardCount - 1}`;
      throw refused(`"rows_offered" must have ${expected}: it has ${shown(rows)} for "${shard}"`);
    }
    rowsOffered.set(Number(shard), rows);
  }
  return { rowCount, rowsOffered, endedAtMicros: isCount(endedAtMicros) ? endedAtMicros : 0 };
}

function isCount(value: JsonValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Without fields where there is no object. */
function objectIn(text: string): JsonObject {
  try {
    const value = parseJson(text);
    return isJsonObject(value) ? value : {};
  } catch {
    return {};
  }
}
