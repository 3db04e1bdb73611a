/**
 * `shardy cleanup`: removes stale attempts, and old snapshots and runs when asked to.
 * @module
 */
import { jsonStamp } from "../../bytes/timestamps.ts";
import { ShardyfusionError } from "../../errors.ts";
import { cleanUp, type CleanUpOptions, type CleanUpResult } from "../../snapshots/clean_up.ts";
import { CliError, UsageError } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { durationOption } from "../duration_text.ts";
import type { Printable } from "../json_text.ts";
import { requireObjectStore } from "../location.ts";
import {
  integerOption,
  type OptionTexts,
  PRECONDITIONS_OPTION,
  preconditionsOption,
  switchOption,
} from "../option_values.ts";
import { manifestsAt } from "../snapshot_session.ts";

/** Default of `--max-retries`. */
const RETRIES_MAX = 3;

/**
 * The rules and the output of the Python package's command, with a grace period and heed to pins; with the shards of
 * an old run its manifests and run records go too.
 */
export const cleanupCommand: CliCommand = {
  name: "cleanup",
  usage: "",
  summary: "Remove stale attempts, and old snapshots and runs",
  examples: [
    ["cleanup --dry-run --keep-last 3 --explain", "what would be removed, and what stays and why"],
    ["cleanup --older-than 7d", "and snapshots that are older than a week"],
  ],
  readsSnapshot: false,
  declare(command) {
    command.option("--dry-run", "print the plan, remove nothing")
      .option("--include-old-runs", "remove runs without a manifest, also those whose age nothing tells")
      .option("--older-than <duration>", "and snapshots older than this, such as 7d or 24h")
      .option("--keep-last <n>", "and snapshots that are not among the n newest")
      .option("--grace <duration>", "leave alone what is younger than this (1h)")
      .option("--keep-unknown", "keep runs whose age nothing tells")
      .option("--max-retries <n>", "how often to start anew when the store fails for a moment (3)")
      .option(...PRECONDITIONS_OPTION)
      .option("--explain", "print what is kept and why, and all that is removed");
  },
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { options, clock, signal } = context;
  const rules = rulesOf(options);
  const retriesMax = integerOption(options, "--max-retries", 0) ?? RETRIES_MAX;
  const location = await context.location();
  const { pointerKey, manifestStore } = location;
  const store = requireObjectStore(location);
  const result = await retried(
    retriesMax,
    context,
    async () => {
      // Before anything is removed: in a series whose manifests are in a database all runs would be without a manifest.
      if (await manifestsAt(location).loadCurrent({ signal }) === null) {
        const hint = manifestStore === undefined ? `: no '${pointerKey}' found; is --manifest-store missing?` : "";
        throw new CliError(`Cannot clean up '${store.url}' as nothing was published there${hint}`);
      }
      return await cleanUp(store, { ...rules, pointerKey, manifestStore, clock, signal });
    },
  );
  const isExplained = switchOption(options, "--explain");
  const runId = result.current!.runId;
  const text = (): string => [...lines(result, runId), ...isExplained ? explainedLines(result) : []].join("\n");
  context.print({
    fields: { ...fieldsOf(result, runId), ...isExplained ? explanation(result) : {} },
    text,
    table: text,
  });
  return 0;
}

function rulesOf(options: OptionTexts): CleanUpOptions {
  const maxAgeMs = durationOption(options, "--older-than");
  const keep = integerOption(options, "--keep-last", Number.MIN_SAFE_INTEGER);
  if (keep !== undefined && keep < 1) throw new UsageError("Invalid value: --keep-last must be >= 1");
  const graceMs = durationOption(options, "--grace");
  return {
    oldRuns: switchOption(options, "--include-old-runs") || maxAgeMs !== undefined || keep !== undefined,
    keep: keep ?? Infinity,
    maxAgeMs,
    graceMs,
    attempts: "current",
    includeUnknownAge: !switchOption(options, "--keep-unknown"),
    dryRun: switchOption(options, "--dry-run"),
    preconditions: preconditionsOption(options),
  };
}

/** What a clean-up that failed has left, the next one removes. */
async function retried<T>(retriesMax: number, { clock, signal }: CommandContext, action: () => Promise<T>): Promise<T> {
  for (let retry = 0;; retry++) {
    try {
      return await action();
    } catch (error) {
      const isPassing = error instanceof ShardyfusionError && error.retryable;
      if (!isPassing || signal.aborted || retry >= retriesMax) throw error;
      await clock.sleep(1000 * 2 ** retry, signal);
    }
  }
}

interface RemovedFolder {
  readonly url: string;
  /** As Python counts: 0 in a dry run. */
  readonly objects: number;
}

function folderOf(result: CleanUpResult, prefix: string, objects: number | null): RemovedFolder {
  return { url: `${result.url}/${prefix}`, objects: result.dryRun ? 0 : objects ?? 0 };
}

function attemptsOf(result: CleanUpResult): (RemovedFolder & { shardId: number | null })[] {
  return result.attempts.map(({ prefix, objects, shardId }) => ({ ...folderOf(result, prefix, objects), shardId }));
}

/** Runs that have shards: Python knows no others. */
function runsOf(result: CleanUpResult): (RemovedFolder & { runId: string })[] {
  return result.runs.flatMap(({ prefix, objects, runId }) =>
    prefix === null ? [] : [{ ...folderOf(result, prefix, objects), runId }]
  );
}

function totalsOf(result: CleanUpResult): { prefixes: number; objects: number } {
  const folders = [...attemptsOf(result), ...runsOf(result)];
  return { prefixes: folders.length, objects: folders.reduce((sum, { objects }) => sum + objects, 0) };
}

function fieldsOf(result: CleanUpResult, runId: string): Record<string, Printable> {
  const runs = runsOf(result).map(({ runId, url, objects }) => ({
    "run_id": runId,
    "prefix_url": url,
    "objects_deleted": objects,
  }));
  const { prefixes, objects } = totalsOf(result);
  return {
    op: "cleanup",
    "dry_run": result.dryRun,
    "run_id": runId,
    "stale_attempts": attemptsOf(result).map(({ shardId, url, objects }) => ({
      "db_id": shardId,
      "prefix_url": url,
      "objects_deleted": objects,
    })),
    "total_objects_deleted": objects,
    "total_prefixes_removed": prefixes,
    ...runs.length === 0 ? {} : { "old_runs": runs },
  };
}

function explanation(result: CleanUpResult): Record<string, Printable> {
  const { kept, keptRuns, manifests, skippedRuns } = result;
  return {
    kept: kept.map(({ ref, publishedAtMicros, reasons }) => ({
      ref,
      "published_at": jsonStamp(publishedAtMicros),
      reasons: [...reasons],
    })),
    "kept_runs": keptRuns.map(({ runId, reason }) => ({ "run_id": runId, reason })),
    "removed_manifests": manifests.map(({ ref }) => ref),
    "removed_run_records": recordsOf(result),
    "skipped_runs": [...skippedRuns],
  };
}

function recordsOf(result: CleanUpResult): string[] {
  return result.runs.flatMap(({ prefix, prefixes }) =>
    prefixes.filter((other) => other !== prefix).map((other) => `${result.url}/${other}`)
  );
}

function lines(result: CleanUpResult, runId: string): string[] {
  const { prefixes, objects } = totalsOf(result);
  return [
    `${result.dryRun ? "[DRY RUN] " : ""}Cleanup for run_id=${runId}`,
    ...attemptsOf(result).map(({ shardId, objects, url }) =>
      `  stale attempt  db_id=${shardId}  objects=${objects}  ${url}`
    ),
    ...runsOf(result).map(({ runId, objects, url }) => `  old run  run_id=${runId}  objects=${objects}  ${url}`),
    `Total: ${prefixes} prefixes, ${objects} objects`,
  ];
}

function explainedLines(result: CleanUpResult): string[] {
  return [
    ...result.kept.map(({ ref, reasons }) => `  keep  ${reasons.join(", ")}  ${ref}`),
    ...result.keptRuns.map(({ runId, reason }) => `  keep run  ${reason}  run_id=${runId}`),
    ...result.manifests.map(({ ref }) => `  manifest  ${ref}`),
    ...recordsOf(result).map((url) => `  record  ${url}`),
    ...result.skippedRuns.map((runId) => `  skipped, in use  run_id=${runId}`),
  ];
}
