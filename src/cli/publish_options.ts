/**
 * Options of `shardy build` about threads, failures and other writers: what the library's options of these names do.
 * @module
 */
import type { Command } from "commander";
import type { Manifest } from "../snapshots/manifest.ts";
import type { ReadableStore } from "../stores/store.ts";
import { fullVerify } from "../write/full_verify.ts";
import { rowCountDrift, sampleRows, type SnapshotValidator } from "../write/validators.ts";
import type { WriteSnapshotOptions } from "../write/write_options.ts";
import {
  choiceOption,
  integerOption,
  numberOption,
  type OptionTexts,
  PRECONDITIONS_OPTION,
  preconditionsOption,
  switchOption,
  textOption,
} from "./option_values.ts";
import { RowSample } from "./row_sample.ts";
import type { Row } from "./row_shape.ts";

/** What these options come to. */
export type PublishOptions = Pick<
  WriteSnapshotOptions<Row>,
  | "workers"
  | "retry"
  | "requestRetry"
  | "timeoutMs"
  | "uploadBytesPerSecond"
  | "fence"
  | "onConflict"
  | "preconditions"
  | "reuse"
>;

/** Adds the options to the command. */
export function declarePublishOptions(command: Command): void {
  command.option("--workers <n>", "threads that build shards, or auto: one for each core (0: this thread)")
    .option("--retries <n>", "build shards again that fail for a moment, up to so many times, after 1, 2, 4, … s (0)")
    .option("--request-attempts <n>", "tries of each request to the store, on top of its own (1)")
    .option("--request-timeout <seconds>", "how long one request to the store may take")
    .option("--upload-bytes-per-second <n>", "limit over all uploads together")
    .option("--fence <since>", "since when publishing by others is a conflict: publish (default) or run, its beginning")
    .option("--on-conflict <action>", "fail (default), or replace what the others published")
    .option(...PRECONDITIONS_OPTION)
    .option("--reuse <mode>", "shards that did not change since the last snapshot: copy or reference; default: upload")
    .option("--max-drift <ratio>", "publish only if at most this part of the rows came or went, such as 0.2")
    .option("--sample <n>", "publish only if so many rows of the input are found in what was uploaded")
    .option("--verify", "publish only if every byte of what was uploaded is right");
}

/** @throws {UsageError} when one is not what it must be. */
export function publishOptionsOf(options: OptionTexts): PublishOptions {
  const retriesMax = integerOption(options, "--retries", 0);
  const attemptsMax = integerOption(options, "--request-attempts", 1);
  const timeoutSeconds = numberOption(options, "--request-timeout");
  const isAuto = textOption(options, "--workers") === "auto";
  return {
    workers: isAuto ? "auto" : integerOption(options, "--workers", 0),
    retry: retriesMax === undefined || retriesMax === 0 ? undefined : { retriesMax },
    requestRetry: attemptsMax === undefined || attemptsMax === 1 ? undefined : { attemptsMax },
    timeoutMs: timeoutSeconds === undefined ? undefined : timeoutSeconds * 1000,
    uploadBytesPerSecond: numberOption(options, "--upload-bytes-per-second"),
    fence: choiceOption(options, "--fence", ["publish", "run"]),
    onConflict: choiceOption(options, "--on-conflict", ["fail", "replace"]),
    preconditions: preconditionsOption(options),
    reuse: choiceOption(options, "--reuse", ["copy", "reference"] as const),
  };
}

/** Judges of what was uploaded, and what the rows have to pass for them. */
export interface Judges {
  readonly validate: SnapshotValidator | undefined;
  readonly sample: RowSample | undefined;
}

/** The options that judge, cheapest first. @throws {UsageError} when one is not what it must be. */
export function judgesOf(
  options: OptionTexts,
  place: { against: ReadableStore | Manifest | null; pointerKey: string },
): Judges {
  const maxRatio = numberOption(options, "--max-drift");
  const rowsMax = integerOption(options, "--sample", 1);
  const sample = rowsMax === undefined ? undefined : new RowSample(rowsMax);
  const judges: SnapshotValidator[] = [];
  const { against, pointerKey } = place;
  if (maxRatio !== undefined && against !== null) judges.push(rowCountDrift({ against, pointerKey, maxRatio }));
  if (sample !== undefined) {
    const readRow = { key: (row: Row) => row.key, value: (row: Row) => row.value, columns: (row: Row) => row.columns };
    judges.push(sampleRows(sample, readRow));
  }
  if (switchOption(options, "--verify")) judges.push(fullVerify());
  if (judges.length === 0) return { validate: undefined, sample };
  return {
    sample,
    async validate(candidate) {
      for (const judge of judges) await judge(candidate);
    },
  };
}
