/**
 * What a task measures of its work, on its way to whoever publishes: in the first of the lines that it prints, so that
 * metrics of one process tell of the work of all.
 * @module
 */
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";
import type { EventSink, ShardyfusionEvent } from "../events.ts";
import { isJsonObject } from "../snapshots/checked_fields.ts";
import type { ShardAttempt } from "../write/winners.ts";

/** The events of one task. */
export interface TaskEvents {
  /** In the order in which they came. */
  readonly events: readonly ShardyfusionEvent[];
  /** How many were left out, by name. */
  readonly leftOut: Readonly<Record<string, number>>;
}

/** An attempt of a task. */
export interface TaskAttempt extends ShardAttempt {
  /** Of all shards of the task; the first of its attempts has them. */
  readonly taskEvents?: TaskEvents | undefined;
}

/** Each shard has two. */
const SHARD_EVENTS_MAX = 10_000;
/** Of each other name. */
const EVENTS_MAX = 500;

/**
 * Writes down the events of a task: all but those of single batches, as far as a line can hold them, which is the first
 * 500 of each name, and 10,000 of `write.shard.…`. What is beyond is counted.
 */
export class TaskEventLog {
  /** Takes events, such as those of a store that only this task uses. */
  readonly add: EventSink;
  readonly #events: ShardyfusionEvent[] = [];
  readonly #counts = new Map<string, number>();

  constructor() {
    this.add = (event) => {
      const { name } = event;
      if (name === "write.batch_written") return;
      const count = (this.#counts.get(name) ?? 0) + 1;
      this.#counts.set(name, count);
      if (count <= eventsMax(name)) this.#events.push(event);
    };
  }

  /** What has come so far. */
  get taskEvents(): TaskEvents {
    const leftOut: Record<string, number> = {};
    for (const [name, count] of this.#counts) {
      if (count > eventsMax(name)) leftOut[name] = count - eventsMax(name);
    }
    return { events: [...this.#events], leftOut };
  }
}

function eventsMax(name: string): number {
  return name.includes("write.shard.") ? SHARD_EVENTS_MAX : EVENTS_MAX;
}

/** The events of all tasks: of each once, also when its lines were given twice; by shard and attempt. */
export function eventsOfTasks(attempts: readonly TaskAttempt[]): TaskEvents {
  const tasks = new Map<string, TaskAttempt>();
  for (const attempt of attempts) {
    const { shardId, attempt: number, taskAttemptId, taskEvents } = attempt;
    if (taskEvents !== undefined) tasks.set(`${shardId} ${number} ${taskAttemptId}`, attempt);
  }
  const ordered = [...tasks.values()].sort((one, other) =>
    one.shardId - other.shardId || one.attempt - other.attempt ||
    (one.taskAttemptId ?? -1) - (other.taskAttemptId ?? -1)
  );
  const leftOut: Record<string, number> = {};
  for (const { taskEvents } of ordered) {
    for (const [name, count] of Object.entries(taskEvents!.leftOut)) leftOut[name] = (leftOut[name] ?? 0) + count;
  }
  return { events: ordered.flatMap(({ taskEvents }) => taskEvents!.events), leftOut };
}

/** As fields of a line. */
export function taskEventFields(taskEvents: TaskEvents | undefined): JsonObject {
  if (taskEvents === undefined) return { events: [] };
  const events = taskEvents.events.map(({ name, payload }): JsonObject => ({ event: name, ...payload }));
  const isWhole = Object.keys(taskEvents.leftOut).length === 0;
  return isWhole ? { events } : { events, "events_left_out": { ...taskEvents.leftOut } };
}

/** Null: there are none; undefined: they cannot be read. */
export function taskEventsOf(fields: JsonObject): TaskEvents | null | undefined {
  const { events = null, events_left_out: leftOut = null } = fields;
  if (events === null) return null;
  if (!Array.isArray(events)) return undefined;
  const read = (events as readonly JsonValue[]).map(eventOf);
  if (read.includes(null) || !(leftOut === null || isJsonObject(leftOut))) return undefined;
  const counts = Object.entries(leftOut ?? {});
  if (!counts.every(([, count]) => Number.isSafeInteger(count))) return undefined;
  if (read.length === 0 && counts.length === 0) return null;
  return { events: read as ShardyfusionEvent[], leftOut: Object.fromEntries(counts) as Record<string, number> };
}

/** Of names that this version does not know, too: receivers ignore them. */
function eventOf(value: JsonValue): ShardyfusionEvent | null {
  if (!isJsonObject(value) || typeof value["event"] !== "string") return null;
  const { event: name, ...payload } = value;
  return { name, payload } as unknown as ShardyfusionEvent;
}
