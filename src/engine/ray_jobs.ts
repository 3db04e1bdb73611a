/**
 * Jobs on a Ray cluster, submitted through its REST API.
 * @module
 */
import { dumpJson, type JsonObject, type JsonValue } from "../bytes/python_json.ts";
import { type Clock, systemClock } from "../clock.ts";
import { ConfigValidationError, EngineJobError } from "../errors.ts";
import { newHexId } from "../snapshots/layout.ts";
import { ENGINE_EXIT_CODES } from "./exit_codes.ts";
import { type Job, renderJob } from "./job.ts";
import { type RayClientOptions, requestRay } from "./ray_client.ts";
import { zipFile } from "./zip_file.ts";

export type { RayClientOptions } from "./ray_client.ts";

/** What a submission takes. */
export interface SubmitRayJobOptions extends RayClientOptions {
  /** The command that Ray runs in the working directory, such as `python shardy_ray.py --input s3://bucket/rows/`. */
  readonly entrypoint: string;
  /** The job, or its text, as `shardy plan` writes it: the variable `SHARDY_JOB` of the command and all tasks. */
  readonly job: Job | string;
  /** More variables. Ray shows them to who asks it for the job: let machines have credentials of their own. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /**
   * Files by name, which are uploaded and become the working directory; or the URI of an archive that the cluster can
   * read; null for none. Default: the shims for Ray of this package.
   */
  readonly workingDir?: Readonly<Record<string, string | Uint8Array>> | string | null | undefined;
  /** More of Ray's `runtime_env`, such as `{ pip: ["pyarrow"] }`. */
  readonly runtimeEnv?: JsonObject | undefined;
  /** The job's name. Ray refuses one that it has already, so that a job is not run twice. Default: random. */
  readonly submissionId?: string | undefined;
  /** Shown with the job. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
}

/** What Ray says about a job. */
export interface RayJobState {
  /** `PENDING`, `RUNNING`, `STOPPED`, `SUCCEEDED` or `FAILED`. */
  readonly status: string;
  /** In words; of a failed command also the end of its log. */
  readonly message: string;
  /** Of the command; null until it has ended by itself. */
  readonly exitCode: number | null;
}

/** How to wait. */
export interface WaitForRayJobOptions {
  /** Takes the log of the command line by line. Costs a request for all of the log at each poll. */
  readonly onLog?: ((line: string) => void) | undefined;
  /** @default {1000} */
  readonly pollMs?: number | undefined;
  /** Stops the job. */
  readonly signal?: AbortSignal | undefined;
}

/** A job of Ray's; stopped when it is disposed of before its end. */
export interface RayJob extends AsyncDisposable {
  /** Ray's name of the job. */
  readonly submissionId: string;
  /** @throws {EngineJobError} when Ray does not answer. */
  state(options?: { readonly signal?: AbortSignal | undefined }): Promise<RayJobState>;
  /** All that the command has printed so far. @throws {EngineJobError} when Ray does not answer. */
  logs(options?: { readonly signal?: AbortSignal | undefined }): Promise<string>;
  /**
   * Waits until the job has succeeded.
   *
   * @throws {EngineJobError} with the job's own words when it has failed or was stopped, and when Ray has not answered
   * five times; the signal's reason, after the job was stopped.
   */
  wait(options?: WaitForRayJobOptions): Promise<RayJobState>;
  /** Stops the job, and waits for its end. Does nothing when it has ended. */
  stop(): Promise<RayJobState>;
}

/** Requests in a row that may fail while waiting: dashboards are restarted, jobs go on. */
const FAILURES_MAX = 5;
/** Ray kills what has not ended 3 s after it was asked to. */
const STOP_MS_MAX = 30_000;
const ENDED: ReadonlySet<string> = new Set(["STOPPED", "SUCCEEDED", "FAILED"]);
const SHIMS = ["shardy_task.py", "shardy_ray.py"];

/**
 * Submits a job to a Ray cluster; `shardy` has to be on its machines.
 *
 * @throws {EngineJobError} when Ray does not answer, or refuses the job; {ConfigValidationError} for `workingDir`.
 *
 * @example
 * ```ts ignore
 * import { submitRayJob } from "@shardyfusion/shardyfusion/engine";
 *
 * await using job = await submitRayJob({
 *   address: "http://ray-head:8265",
 *   entrypoint: "python shardy_ray.py --input s3://bucket/rows/",
 *   job: await Deno.readTextFile("job.json"),
 * });
 * await job.wait({ onLog: console.log });
 * ```
 */
export async function submitRayJob(options: SubmitRayJobOptions): Promise<RayJob> {
  const { entrypoint, job, env, runtimeEnv, metadata = {}, signal, clock = systemClock() } = options;
  const submissionId = options.submissionId ?? `shardy_${newHexId()}`;
  const text = typeof job === "string" ? job : renderJob(job);
  const workingDir = await workingDirOf(options, submissionId);
  const ownEnv = runtimeEnv?.["env_vars"] as JsonObject | undefined;
  const body = dumpJson({
    entrypoint,
    "submission_id": submissionId,
    "runtime_env": {
      ...runtimeEnv,
      "env_vars": { ...ownEnv, ...env, "SHARDY_JOB": text },
      ...workingDir !== null && { "working_dir": workingDir },
    },
    metadata,
  });
  await requestRay(options, { method: "POST", path: "api/jobs/", body, submissionId, signal });
  return rayJob(options, { submissionId, clock });
}

/** A job that was submitted before, by whomever. */
export function openRayJob(submissionId: string, client: RayClientOptions & { readonly clock?: Clock }): RayJob {
  return rayJob(client, { submissionId, clock: client.clock ?? systemClock() });
}

function rayJob(
  client: RayClientOptions,
  { submissionId, clock }: { readonly submissionId: string; readonly clock: Clock },
): RayJob {
  const path = `api/jobs/${encodeURIComponent(submissionId)}`;
  const job: RayJob = {
    submissionId,
    async state({ signal } = {}) {
      const found = await requestRay(client, { method: "GET", path, submissionId, signal });
      const { status, message, driver_exit_code: code } = found;
      return {
        status: String(status),
        message: typeof message === "string" ? message : "",
        exitCode: code === null || code === undefined ? null : Number(code),
      };
    },
    async logs({ signal } = {}) {
      const { logs } = await requestRay(client, { method: "GET", path: `${path}/logs`, submissionId, signal });
      return typeof logs === "string" ? logs : "";
    },
    wait: (options = {}) => waitFor(job, { ...options, clock }),
    async stop() {
      const found = await job.state();
      if (ENDED.has(found.status)) return found;
      await requestRay(client, { method: "POST", path: `${path}/stop`, submissionId });
      const deadlineMs = clock.monotonicMs() + STOP_MS_MAX;
      for (;;) {
        const { status, ...state } = await job.state();
        if (ENDED.has(status)) return { status, ...state };
        if (clock.monotonicMs() > deadlineMs) {
          throw new EngineJobError(`Cannot stop Ray's job ${submissionId}: it is still ${status}`, {
            submissionId,
            status,
            retryable: true,
          });
        }
        await clock.sleep(200);
      }
    },
    async [Symbol.asyncDispose]() {
      await job.stop();
    },
  };
  return job;
}

async function waitFor(
  job: RayJob,
  { onLog, pollMs = 1000, signal, clock }: WaitForRayJobOptions & { readonly clock: Clock },
): Promise<RayJobState> {
  const lines = onLog === undefined ? undefined : new LogLines(onLog);
  let failures = 0;
  try {
    for (;;) {
      try {
        const state = await job.state({ signal });
        lines?.add(await job.logs({ signal }), ENDED.has(state.status));
        failures = 0;
        if (ENDED.has(state.status)) return succeeded(job.submissionId, state);
      } catch (error) {
        const isLast = !(error instanceof EngineJobError && error.status === null && error.retryable);
        if (isLast || ++failures >= FAILURES_MAX) throw error;
      }
      await clock.sleep(pollMs, signal);
    }
  } catch (error) {
    // What the caller has given up is not left running; why it was given up is what the caller is told.
    if (signal?.aborted) await job.stop().catch(() => {});
    signal?.throwIfAborted();
    throw error;
  }
}

function succeeded(submissionId: string, state: RayJobState): RayJobState {
  const { status, exitCode, message } = state;
  if (status === "SUCCEEDED") return state;
  throw new EngineJobError(
    `Ray's job ${submissionId} has ${status === "STOPPED" ? "been stopped" : "failed"}: ${
      message || "no reason given"
    }`,
    { submissionId, status, exitCode: exitCode ?? undefined, retryable: exitCode === ENGINE_EXIT_CODES.retryable },
  );
}

/** Ray gives the log as a whole, each time. */
class LogLines {
  readonly #onLine: (line: string) => void;
  #told = 0;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  add(log: string, isWhole: boolean): void {
    const end = isWhole ? log.length : log.lastIndexOf("\n") + 1;
    const fresh = log.slice(this.#told, end);
    this.#told = Math.max(this.#told, end);
    for (const line of fresh.replace(/\n$/, "").split("\n")) {
      if (line !== "") this.#onLine(line);
    }
  }
}

async function workingDirOf(options: SubmitRayJobOptions, submissionId: string): Promise<JsonValue> {
  const { workingDir = await shims(), signal } = options;
  if (workingDir === null || typeof workingDir === "string") return workingDir;
  const encoder = new TextEncoder();
  const files = Object.entries(workingDir).map(([name, content]) =>
    [name, typeof content === "string" ? encoder.encode(content) : content] as const
  );
  const archive = zipFile(new Map(files));
  const digest = Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", archive)));
  const name = `_ray_pkg_${digest.slice(0, 16).map((byte) => byte.toString(16).padStart(2, "0")).join("")}.zip`;
  // Packages have the names of their contents: to store one again changes nothing.
  const path = `api/packages/gcs/${name}`;
  await requestRay(options, { method: "PUT", path, body: archive, submissionId, signal });
  return `gcs://${name}`;
}

async function shims(): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for (const name of SHIMS) {
    const url = new URL(`python/${name}`, import.meta.url);
    try {
      files[name] = url.protocol === "file:"
        ? await (await import("node:fs/promises")).readFile(url, "utf8")
        : await textAt(url);
    } catch (cause) {
      throw new ConfigValidationError(
        `Cannot read ${url} to send it to Ray: give the files of the working directory`,
        "workingDir",
        { cause },
      );
    }
  }
  return files;
}

async function textAt(url: URL): Promise<string> {
  const response = await fetch(url);
  if (!response.ok) throw new TypeError(`HTTP ${response.status}`);
  return await response.text();
}
