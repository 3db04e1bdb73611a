/**
 * `shardy worker route|build|values [INPUT]`: what the tasks of an engine run.
 * @module
 */
import { writeFile } from "node:fs/promises";
import { renderAttempt } from "../../engine/attempt_records.ts";
import { buildStage } from "../../engine/build_stage.ts";
import { renderCounts } from "../../engine/count_records.ts";
import { engineExitCode } from "../../engine/exit_codes.ts";
import type { Job } from "../../engine/job.ts";
import { TaskEventLog } from "../../engine/task_events.ts";
import { routeStage } from "../../engine/route_stage.ts";
import type { ShardyfusionEvent } from "../../events.ts";
import { CliError, UsageError } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { fileInput, type Input } from "../input.ts";
import { JOB_OPTION, jobBackend, jobOf } from "../job_file.ts";
import { jsonText } from "../json_text.ts";
import { requireObjectStore } from "../location.ts";
import { integerOption, listOption, switchOption, textOption } from "../option_values.ts";
import { declareValuesOptions, VALUES_OPTIONS, valuesTask } from "../values_task.ts";

/** One task of a job: Arrow comes in over stdin. */
export const workerCommand: CliCommand = {
  name: "worker",
  usage: "STAGE [INPUT]",
  summary: "Run one task of a job: route rows, or build shards",
  details:
    "The stage route adds the column of shards to a stream of Arrow, on stdout. The stage build takes the rows " +
    "of one or more shards, uploads these, and prints a line of JSON for each; progress goes to stderr. The stage " +
    "values needs no job: it prints all that a CEL expression gives, for shardy plan --routing-values. Exit codes: " +
    "0; 2 when the job is wrong; 3 a row; 4 a row's shard; 6 when another task had the same attempt; 75 when it may " +
    "succeed later; 130 when interrupted; else 1.",
  examples: [
    ["worker route --job job.json <part.arrows >routed.arrows", "add the column shard_id"],
    [
      "worker route --job job.json --task 0 <part.arrows >routed.arrows",
      "and record how many rows each shard was given",
    ],
    ["worker build --job job.json --attempt 1 <shard.arrows >>attempts.jsonl", "the second try of a task"],
    ["worker build --job job.json --attempt next <shard.arrows >>attempts.jsonl", "for engines that count no tries"],
    ["worker build --job job.json --only-shards 7 <all.arrows >>attempts.jsonl", "for queues that move no rows"],
    ["worker values --cel-expr region --cel-column region:string <part.arrows >values.jsonl", "before shardy plan"],
  ],
  readsSnapshot: false,
  exitCodeOf: engineExitCode,
  declare(command) {
    command.argument("STAGE", "route, build or values")
      .argument("[INPUT]", "a stream or a file of Arrow; absent or -: stdin")
      .option(...JOB_OPTION)
      .option("--task <n>", "route: number of this task; records in the store how many rows went to each shard")
      .option("--counts <file>", "route: write here how many rows went to each shard, for shardy publish")
      .option(
        "--attempt <n|next>",
        "build: number of this attempt at the task, which names folders (0); next: that is free",
      )
      .option(
        "--only-shards <list>",
        "build: these shards, such as 4 or 0-3,9, out of all rows, which it routes itself",
      )
      .option("--task-attempt-id <n>", "build: the engine's number; of equal attempts the lowest wins")
      .option("--local-root <folder>", "build: folder for temporary files")
      .option("--quiet", "no progress on stderr");
    declareValuesOptions(command);
  },
  run,
};

/** What a stage is told on the command line. */
interface Task {
  readonly input: Input;
  readonly task: number | undefined;
  readonly attempt: number | "next" | undefined;
  readonly taskAttemptId: number | undefined;
}

/** Options that only one of the stages has. */
const STAGE_OPTIONS: Readonly<Record<string, readonly string[]>> = {
  route: ["--task", "--counts"],
  build: ["--attempt", "--only-shards", "--task-attempt-id", "--local-root"],
  values: VALUES_OPTIONS,
};

async function run(context: CommandContext): Promise<number> {
  const { args: [stage, path = "-"], options, io } = context;
  if (stage !== "route" && stage !== "build" && stage !== "values") {
    throw new UsageError("STAGE must be route, build or values");
  }
  for (const [other, flags] of Object.entries(STAGE_OPTIONS)) {
    const wrong = flags.find((flag) => textOption(options, flag) !== undefined || listOption(options, flag).length > 0);
    if (other === stage || wrong === undefined) continue;
    throw new UsageError(`${wrong} is for the stage ${other}, and not for ${stage}`);
  }
  const task = integerOption(options, "--task", 0);
  const attempt = textOption(options, "--attempt") === "next" ? "next" : integerOption(options, "--attempt", 0);
  const taskAttemptId = integerOption(options, "--task-attempt-id", 0);
  const job = stage === "values" ? null : await jobOf(context);
  const input: Input = path === "-"
    ? { name: "stdin", bytes: io.stdin, fractionRead: () => null }
    : await fileInput(path);
  if (job === null) return await valuesTask(context, input);
  return await (stage === "route" ? route : build)(context, job, { input, task, attempt, taskAttemptId });
}

async function route(context: CommandContext, job: Job, { input, task }: Task): Promise<number> {
  const { options, io, signal, clock } = context;
  const { stdoutBytes: write } = io;
  if (write === undefined) throw new CliError("Cannot route without an output that takes bytes");
  const countsPath = textOption(options, "--counts");
  // Centroids and hyperplanes lie in the store.
  const isStoreNeeded = task !== undefined || (job.spec.vector?.sharding ?? null) !== null;
  const location = isStoreNeeded ? await context.locationAt(job.currentUrl) : undefined;
  try {
    const store = location && requireObjectStore(location);
    const record = store && task !== undefined ? { store, task } : undefined;
    const counts = await routeStage(job, { input, write, store, record, signal, clock });
    if (countsPath !== undefined) await writeFile(countsPath, renderCounts(job.runId, counts));
    const fields = { "run_id": job.runId, ...(task !== undefined && { task }), "row_count": counts.rowCount };
    if (!switchOption(options, "--quiet")) io.stderr(`${jsonText({ event: "worker.routed", ...fields }, "line")}\n`);
    return 0;
  } finally {
    await location?.[Symbol.asyncDispose]?.();
  }
}

async function build(
  context: CommandContext,
  job: Job,
  { input, attempt, taskAttemptId }: Task,
): Promise<number> {
  const { options, io, signal, clock } = context;
  const backend = jobBackend(job);
  const onlyShards = shardsIn(textOption(options, "--only-shards"), job.spec.shardCount);
  const isQuiet = switchOption(options, "--quiet");
  const eventLog = new TaskEventLog();
  const onEvent = ({ name, payload }: ShardyfusionEvent): void => {
    if (isQuiet || name === "write.batch_written") return;
    io.stderr(`${jsonText({ event: name, ...payload }, "line")}\n`);
  };
  const location = await context.locationAt(job.currentUrl, (event) => {
    eventLog.add(event);
    onEvent(event);
  });
  try {
    const store = requireObjectStore(location);
    const localRoot = textOption(options, "--local-root");
    const attempts = await buildStage(job, {
      ...{ input, attempt, taskAttemptId, onlyShards, store, backend, localRoot, signal, clock, eventLog, onEvent },
    });
    for (const attempt of attempts) io.stdout(renderAttempt(job.runId, attempt));
    return 0;
  } finally {
    await location[Symbol.asyncDispose]?.();
  }
}

function shardsIn(text: string | undefined, shardCount: number): number[] | undefined {
  if (text === undefined) return undefined;
  return text.split(",").flatMap((range) => {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(range.trim()) ?? [];
    if (first === undefined || Number(last) < Number(first) || Number(last) >= shardCount) {
      throw new UsageError(`--only-shards must be numbers or ranges of shards from 0 to ${shardCount - 1}: ${text}`);
    }
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, at) => Number(first) + at);
  });
}
