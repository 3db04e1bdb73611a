/**
 * Attempts on their way from workers to whoever publishes: as lines of JSON, and as objects in the store.
 *
 * ```text
 * <url>/<shard prefix>/run_id=<run id>/_attempts/db=<number>_attempt=<number>.json
 * ```
 *
 * The fields are those of WIRE_FORMATS 16, with `run_id` and the events of the task beside them. Objects go when the
 * run is published, and with the run when it is cleaned up.
 * @module
 */
import { dumpJson, type JsonObject, type JsonValue, parseJson } from "../bytes/python_json.ts";
import { ConfigValidationError } from "../errors.ts";
import { isJsonObject } from "../snapshots/checked_fields.ts";
import { attemptPrefix } from "../snapshots/layout.ts";
import type { ObjectStore } from "../stores/store.ts";
import type { Job } from "./job.ts";
import { loadRecords } from "./stored_records.ts";
import { type TaskAttempt, taskEventFields, taskEventsOf } from "./task_events.ts";

/** Where the records of a run lie. */
export function attemptRecordsPrefix({ shardPrefix, runId }: Pick<Job, "shardPrefix" | "runId">): string {
  return `${shardPrefix}/run_id=${runId}/_attempts`;
}

/**
 * Records what has been built, for a publisher who was told nothing. When that fails the attempts are removed, as the
 * task has failed.
 */
export async function storeAttempts(
  job: Job,
  attempts: readonly TaskAttempt[],
  { store, signal }: { readonly store: ObjectStore; readonly signal: AbortSignal },
): Promise<void> {
  const keyOf = ({ shardId, attempt }: TaskAttempt): string =>
    `${attemptRecordsPrefix(job)}/db=${padded(shardId, 5)}_attempt=${padded(attempt, 2)}.json`;
  try {
    for (const attempt of attempts) {
      await store.put(keyOf(attempt), new TextEncoder().encode(renderAttempt(job.runId, attempt)), { signal });
    }
  } catch (error) {
    for (const attempt of attempts) {
      await store.delete(keyOf(attempt)).catch(() => {});
      await store.deletePrefix(attemptPrefix(job, attempt)).catch(() => {});
    }
    throw error;
  }
}

function padded(value: number, digits: number): string {
  return String(value).padStart(digits, "0");
}

/** The records of a run, ascending by shard and attempt. Costs a LIST, and a GET for each. */
export async function loadAttempts(
  job: Job,
  { store, signal }: { readonly store: ObjectStore; readonly signal?: AbortSignal | undefined },
): Promise<TaskAttempt[]> {
  const records = await loadRecords(attemptRecordsPrefix(job), { store, signal });
  return records.flatMap(({ key, text }) => parseAttempts(text, { name: key, job }));
}

/** An attempt as a line of JSON. */
export function renderAttempt(runId: string, attempt: TaskAttempt): string {
  const line = dumpJson({
    "run_id": runId,
    "db_id": attempt.shardId,
    "attempt": attempt.attempt,
    "task_attempt_id": attempt.taskAttemptId,
    "db_url": attempt.dbUrl,
    "row_count": attempt.rowCount,
    "db_bytes": attempt.dbBytes,
    "min_key": attempt.minKey,
    "max_key": attempt.maxKey,
    "checkpoint_id": attempt.checkpointId,
    "writer_info": attempt.writerInfo,
    ...taskEventFields(attempt.taskEvents),
  });
  return `${line}\n`;
}

/**
 * Reads lines of attempts. Data frames turn whole numbers into fractions and null into NaN: `NaN` is read as null, and
 * `3.0` as 3. Blank lines are left out, as are other fields.
 *
 * @throws {ConfigValidationError} naming the line and the field; for an attempt of another run.
 */
export function parseAttempts(
  text: string,
  { name, job: { runId } }: { readonly name: string; readonly job: Pick<Job, "runId"> },
): TaskAttempt[] {
  return text.split("\n").flatMap((line, index) => {
    if (line.trim() === "") return [];
    const where = `line ${index + 1} of ${name}`;
    const fields = objectIn(line, where);
    const own = fields["run_id"];
    if (own !== undefined && own !== runId) {
      throw new ConfigValidationError(
        `Cannot publish ${where} as it is of run ${JSON.stringify(own)}, and the job is run ${JSON.stringify(runId)}`,
        "attempts.run_id",
      );
    }
    return [attemptOf(fields, where)];
  });
}

function objectIn(line: string, where: string): JsonObject {
  // Only what is no JSON can have the NaN of Python's.
  for (const text of [line, line.replace(/(:\s*)NaN(?=\s*[,}])/g, "$1null")]) {
    try {
      const value: JsonValue = parseJson(text);
      if (isJsonObject(value)) return value;
    } catch {
      // Said below.
    }
  }
  throw new ConfigValidationError(`Cannot read ${where} as an attempt as it must be a JSON object`, "attempts");
}

function attemptOf(fields: JsonObject, where: string): TaskAttempt {
  function field<T>(name: string, expected: string, read: (value: JsonValue) => T | undefined): T {
    const found = read(fields[name] ?? null);
    if (found !== undefined) return found;
    const current = dumpJson(fields[name] ?? null);
    throw new ConfigValidationError(
      `Cannot read ${where} as an attempt as "${name}" must be ${expected}: current value is ${current}`,
      `attempts.${name}`,
    );
  }
  const taskEvents = field("events", "a list of events", () => taskEventsOf(fields));
  const whole = (name: string): number => field(name, "a whole number from 0 up", wholeNumberOf);
  return {
    shardId: whole("db_id"),
    attempt: whole("attempt"),
    taskAttemptId: field(
      "task_attempt_id",
      "a whole number or null",
      (value) => value === null ? null : wholeNumberOf(value),
    ),
    dbUrl: field("db_url", "text or null", textOf),
    rowCount: whole("row_count"),
    dbBytes: whole("db_bytes"),
    minKey: field("min_key", "a whole number, text or null", keyOf),
    maxKey: field("max_key", "a whole number, text or null", keyOf),
    checkpointId: field("checkpoint_id", "text or null", textOf),
    writerInfo: field("writer_info", "a JSON object", (value) => isJsonObject(value) ? value : undefined),
    ...(taskEvents && { taskEvents }),
  };
}

function wholeNumberOf(value: JsonValue): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? value as number : undefined;
}

function textOf(value: JsonValue): string | null | undefined {
  return value === null || typeof value === "string" ? value : undefined;
}

function keyOf(value: JsonValue): bigint | string | null | undefined {
  if (value === null || typeof value === "string" || typeof value === "bigint") return value;
  return Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
}
