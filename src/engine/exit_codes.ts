/**
 * Exit codes by kind of error: what an engine or a job queue needs to decide whether to try again.
 * @module
 */
import {
  CelEvaluationError,
  ConfigValidationError,
  PreconditionFailedError,
  PublishConflictError,
  ShardAssignmentError,
  ShardCoverageError,
  ShardyfusionError,
  SnapshotValidationError,
} from "../errors.ts";

/** Exit codes of `shardy worker` and `shardy publish`; 0 is success, 130 an interruption. */
export const ENGINE_EXIT_CODES = Object.freeze(
  {
    /** Anything else. */
    failed: 1,
    /** The job, or the command line. */
    badJob: 2,
    /** A row: its key, its value, a column that is missing, input that is no Arrow. */
    badRow: 3,
    /** A row is in the wrong shard, or in none. */
    wrongShard: 4,
    /** Shards are missing, or have other rows than were counted. */
    incomplete: 5,
    /** Somebody else was there first: another publisher, or another task with the same attempt. */
    conflict: 6,
    /** A validator refused the snapshot. */
    refused: 7,
    /** The store or the network, for the moment: try again. As `EX_TEMPFAIL` of sysexits. */
    retryable: 75,
  } as const,
);

/** The exit code for what was thrown. */
export function engineExitCode(error: unknown): number {
  const codes = ENGINE_EXIT_CODES;
  if (error instanceof ConfigValidationError) {
    return /^(?:rows|key|value|vector|columns)(?:\.|$)/.test(error.path) ? codes.badRow : codes.badJob;
  }
  if (error instanceof CelEvaluationError) return codes.badRow;
  if (error instanceof ShardAssignmentError) return codes.wrongShard;
  if (error instanceof ShardCoverageError) return codes.incomplete;
  if (error instanceof PublishConflictError || error instanceof PreconditionFailedError) return codes.conflict;
  if (error instanceof SnapshotValidationError) return codes.refused;
  return error instanceof ShardyfusionError && error.retryable ? codes.retryable : codes.failed;
}
