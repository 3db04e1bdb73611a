/**
 * `shardy worker route|build [INPUT]`: what the tasks of an engine run.
 * @module
 */
import { writeFile } from "node:fs/promises";
import { renderAttempt } from "../../engine/attempt_records.ts";
import { buildStage } from "../../engine/build_stage.ts";
import { engineExitCode } from "../../engine/exit_codes.ts";
import type { Job } from "../../engine/job.ts";
import { routeStage } from "../../engine/route_stage.ts";
import type { ShardyfusionEvent } from "../../events.ts";
import { CliError, UsageError } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { fileInput, type Input } from "../input.ts";
import { JOB_OPTION, jobBackend, jobOf } from "../job_file.ts";
import { jsonText } from "../json_text.ts";
import { requireObjectStore } from "../location.ts";
import { integerOption, switchOption, textOption } from "../option_values.ts";

/** One task of a job: Arrow comes in over stdin. */
export const workerCommand: CliCommand = {
  name: "worker",
  usage: "STAGE [INPUT]",
  summary: "Run one task of a job: route rows, or build shards",
  details:
    "The stage route adds the column of shards to a stream of Arrow, on stdout. The stage build takes the rows " +
    "of one or more shards, uploads these, and prints a line of JSON for each; progress goes to stderr. Exit codes: " +
    "0; 2 when the job is wrong; 3 a row; 4 a row's shard; 6 when another task had the same attempt; 75 when it may " +
    "succeed later; 130 when interrupted; else 1.",
  examples: [
    ["worker route --job job.json <part.arrows >routed.arrows", "add the column shard_id"],
    ["worker build --job job.json --attempt 1 <shard.arrows >>attempts.jsonl", "the second try of a task"],
  ],
  readsSnapshot: false,
  exitCodeOf: engineExitCode,
  declare(command) {
    command.argument("STAGE", "route or build")
      .argument("[INPUT]", "a stream or a file of Arrow; absent or -: stdin")
      .option(...JOB_OPTION)
      .option("--counts <file>", "route: write here how many rows went to each shard, for shardy publish")
      .option("--attempt <n>", "build: number of this attempt at the task, which names folders (0)")
      .option("--task-attempt-id <n>", "build: the engine's number; of equal attempts the lowest wins")
      .option("--local-root <folder>", "build: folder for temporary files")
      .option("--quiet", "no progress on stderr");
  },
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { args: [stage, path = "-"], io } = context;
  if (stage !== "route" && stage !== "build") throw new UsageError("STAGE must be route or build");
  const attempt = integerOption(context.options, "--attempt", 0);
  const taskAttemptId = integerOption(context.options, "--task-attempt-id", 0);
  const job = await jobOf(context);
  const input: Input = path === "-"
    ? { name: "stdin", bytes: io.stdin, fractionRead: () => null }
    : await fileInput(path);
  return stage === "route"
    ? await route(context, job, input)
    : await build(context, job, { input, attempt, taskAttemptId });
}

async function route({ options, io, signal }: CommandContext, job: Job, input: Input): Promise<number> {
  const { stdoutBytes: write } = io;
  if (write === undefined) throw new CliError("Cannot route without an output that takes bytes");
  const countsPath = textOption(options, "--counts");
  const { rowCount, rowsOffered } = await routeStage(job, { input, write, signal });
  const fields = { "run_id": job.runId, "row_count": rowCount };
  if (countsPath !== undefined) {
    await writeFile(
      countsPath,
      `${jsonText({ ...fields, "rows_offered": Object.fromEntries(rowsOffered) }, "line")}\n`,
    );
  }
  if (!switchOption(options, "--quiet")) io.stderr(`${jsonText({ event: "worker.routed", ...fields }, "line")}\n`);
  return 0;
}

async function build(
  context: CommandContext,
  job: Job,
  task: { readonly input: Input; readonly attempt: number | undefined; readonly taskAttemptId: number | undefined },
): Promise<number> {
  const { options, io, signal, clock } = context;
  const backend = jobBackend(job);
  const location = await context.locationAt(job.currentUrl);
  const isQuiet = switchOption(options, "--quiet");
  const onEvent = ({ name, payload }: ShardyfusionEvent): void => {
    if (isQuiet || name === "write.batch_written") return;
    io.stderr(`${jsonText({ event: name, ...payload }, "line")}\n`);
  };
  try {
    const store = requireObjectStore(location);
    const localRoot = textOption(options, "--local-root");
    const attempts = await buildStage(job, { ...task, store, backend, localRoot, signal, clock, onEvent });
    for (const attempt of attempts) io.stdout(renderAttempt(job.runId, attempt));
    return 0;
  } finally {
    await location[Symbol.asyncDispose]?.();
  }
}
