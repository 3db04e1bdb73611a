/**
 * `shardy publish [ATTEMPTS...]`: the end of a job.
 * @module
 */
import { readFile, writeFile } from "node:fs/promises";
import { parseAttempts } from "../../engine/attempt_records.ts";
import { parseCounts, type RoutedCounts, sumOfCounts } from "../../engine/count_records.ts";
import { engineExitCode } from "../../engine/exit_codes.ts";
import type { Job } from "../../engine/job.ts";
import { publishJob } from "../../engine/publish_job.ts";
import type { TaskAttempt } from "../../engine/task_events.ts";
import { logEvents } from "../../metrics/log.ts";
import { CliError, messageOf } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { decodedText } from "../input.ts";
import { JOB_OPTION, jobBackend, jobOf } from "../job_file.ts";
import { requireObjectStore } from "../location.ts";
import {
  choiceOption,
  integerOption,
  listOption,
  PRECONDITIONS_OPTION,
  preconditionsOption,
  repeated,
  textOption,
} from "../option_values.ts";
import { judgesOf } from "../publish_options.ts";
import { fieldLines } from "../result.ts";

/** Winners, coverage, judges, publishing, losers, and the run's record. */
export const publishCommand: CliCommand = {
  name: "publish",
  usage: "[ATTEMPTS...]",
  summary: "Publish what the tasks of a job have built",
  details:
    "Takes the lines that the tasks have printed, in any order and also several times, or what they have recorded " +
    "in the store, and counts of rows likewise. Can be run again after it was killed. Exit codes: 0; 2 when job or " +
    "lines are wrong; 5 when shards are missing; 6 when somebody else has published; 7 when the snapshot was " +
    "refused; 75 when it may succeed later; " +
    "130 when interrupted; else 1.",
  examples: [
    ["publish --job job.json attempts.jsonl --rows 1000000", "all rows have to be there"],
    ["publish --job job.json --counts 0.json --counts 1.json", "as the route stages have counted"],
  ],
  readsSnapshot: false,
  exitCodeOf: engineExitCode,
  declare(command) {
    command.argument("[ATTEMPTS...]", "files of lines, - for stdin; default: what lies in the store")
      .option(...JOB_OPTION)
      .option("--rows <n>", "how many rows there must be in all shards together")
      .option(
        "--counts <file>",
        "rows by shard, of shardy worker route --counts; repeatable; default: what is in the store",
        repeated,
      )
      .option("--on-conflict <action>", "fail (default), or replace what the others published")
      .option(...PRECONDITIONS_OPTION)
      .option("--events <file>", "write metric events here, those of all tasks too, as lines of JSON")
      .option("--max-drift <ratio>", "publish only if at most this part of the rows came or went, such as 0.2")
      .option("--verify", "publish only if every byte of what was uploaded is right");
  },
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { options, args, io, signal, clock } = context;
  const rowCount = integerOption(options, "--rows", 0);
  const onConflict = choiceOption(options, "--on-conflict", ["fail", "replace"]);
  const preconditions = preconditionsOption(options);
  const job = await jobOf(context);
  const backend = jobBackend(job);
  const attempts = args.length === 0 ? undefined : await attemptsOf(context, job);
  const counts = await countsOf(listOption(options, "--counts"), job);
  const eventsPath = textOption(options, "--events");
  // What cannot be written to is found out before anything is published.
  await writeEvents(eventsPath, "");
  const lines: string[] = [];
  const onEvent = eventsPath === undefined ? undefined : logEvents((line) => lines.push(`${line}\n`), { clock });
  const location = await context.locationAt(job.currentUrl, onEvent);
  try {
    const store = requireObjectStore(location);
    const { pointerKey, manifestStore } = location;
    const current = manifestStore === undefined ? null : await manifestStore.loadCurrent({ signal });
    const against = manifestStore === undefined
      ? store
      : current === null
      ? null
      : await manifestStore.loadManifest(current.ref, { signal });
    const { validate } = judgesOf(options, { against, pointerKey });
    const published = await publishJob(job, {
      ...{ store, backend, attempts, rowCount, validate, onConflict, preconditions, onEvent },
      ...{ rowsOffered: counts?.rowsOffered, routedAtMicros: counts?.endedAtMicros },
      ...{ pointerKey, manifestStore, signal, clock },
    });
    for (const warning of published.warnings) io.stderr(`Warning: ${warning}\n`);
    const fields = {
      op: "publish",
      "run_id": job.runId,
      "manifest_ref": published.manifestRef,
      "num_dbs": job.spec.shardCount,
      "rows_written": published.winners.reduce((sum, shard) => sum + shard.rowCount, 0),
      bytes: published.winners.reduce((sum, shard) => sum + shard.dbBytes, 0),
      repeated: published.isRepeated,
    };
    context.print({ fields, text: () => fieldLines(fields) });
    return 0;
  } finally {
    await writeEvents(eventsPath, lines.join(""));
    await location[Symbol.asyncDispose]?.();
  }
}

async function attemptsOf({ args, io, signal }: CommandContext, job: Job): Promise<TaskAttempt[]> {
  const attempts: TaskAttempt[] = [];
  for (const path of args) {
    const isStdin = path === "-";
    const text = isStdin ? (await Array.fromAsync(decodedText(io.stdin, signal))).join("") : await textOf(path);
    for (const attempt of parseAttempts(text, { name: isStdin ? "stdin" : path, job })) attempts.push(attempt);
  }
  return attempts;
}

/** The sum of what the route stages have counted. */
async function countsOf(paths: readonly string[], job: Job): Promise<RoutedCounts | undefined> {
  if (paths.length === 0) return undefined;
  const tasks: RoutedCounts[] = [];
  for (const path of paths) tasks.push(parseCounts(await textOf(path), { name: path, job }));
  return sumOfCounts(tasks);
}

async function writeEvents(path: string | undefined, text: string): Promise<void> {
  if (path === undefined) return;
  await writeFile(path, text).catch((cause) => {
    throw new CliError(`Cannot write '${path}': ${messageOf(cause)}`, { cause });
  });
}

async function textOf(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause) => {
    throw new CliError(`Cannot read '${path}': ${messageOf(cause)}`, { cause });
  });
}
