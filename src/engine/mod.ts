/**
 * What tasks of an engine run, such as Ray, Spark, Dask or a job queue: a job that all of them share, and its stages
 * over Arrow's interprocess format. The command `shardy` has them as `plan`, `worker` and `publish`.
 *
 * Needs `apache-arrow`, and a disk for rows beyond the memory that a job allows.
 * @module
 */
export type { ArrowInput } from "./arrow_input.ts";
export { loadAttempts, parseAttempts, renderAttempt } from "./attempt_records.ts";
export { buildStage, type BuildStageOptions } from "./build_stage.ts";
export { loadCounts, parseCounts, renderCounts, type RoutedCounts, sumOfCounts } from "./count_records.ts";
export { ENGINE_EXIT_CODES, engineExitCode } from "./exit_codes.ts";
export { type Job, JOB_FORMAT, type JobBackend, type JobSpec, parseJob, renderJob } from "./job.ts";
export type { JobVector, JobVectorSharding } from "./job_vector.ts";
export { jobVectorSharding, storeJobVectors } from "./job_vectors.ts";
export { type TaskAttempt, TaskEventLog, type TaskEvents } from "./task_events.ts";
export { type PublishedJob, publishJob, type PublishJobOptions } from "./publish_job.ts";
export {
  openRayJob,
  type RayClientOptions,
  type RayJob,
  type RayJobState,
  submitRayJob,
  type SubmitRayJobOptions,
  type WaitForRayJobOptions,
} from "./ray_jobs.ts";
export { routeStage, type RouteStageOptions } from "./route_stage.ts";
export {
  type FoundValues,
  mergedValues,
  parseValues,
  renderValues,
  valuesStage,
  type ValuesStageOptions,
} from "./values_stage.ts";
