/**
 * The option `--job`, and what a job names: its place and its backend.
 * @module
 */
import { readFile } from "node:fs/promises";
import config from "../../deno.json" with { type: "json" };
import type { Backend } from "../backends/backend.ts";
import { slatedbBackend } from "../backends/slatedb_backend.ts";
import { sqliteBackend } from "../backends/sqlite_backend.ts";
import { sqliteVecBackend } from "../backends/sqlite_vec_backend.ts";
import { type Job, parseJob } from "../engine/job.ts";
import { ConfigValidationError } from "../errors.ts";
import { CliError, messageOf, UsageError } from "./cli_errors.ts";
import type { CommandContext } from "./command.ts";
import { textOption } from "./option_values.ts";

/** Version of this package: that of the jobs that it plans and takes. */
export const PACKAGE_VERSION: string = config.version;

/** Flag and description. */
export const JOB_OPTION: readonly [flag: string, description: string] = [
  "--job <file>",
  "the job, as shardy plan writes it; default: SHARDY_JOB, which may hold its path or its text",
];

/** @throws {UsageError} when there is none; {CliError} when it cannot be read; {ConfigValidationError} */
export async function jobOf({ options, io }: CommandContext): Promise<Job> {
  const given = textOption(options, "--job") ?? io.env["SHARDY_JOB"];
  if (given === undefined || given === "") throw new UsageError("Missing option '--job'.");
  if (given.trimStart().startsWith("{")) {
    return parseJob(given, { name: "SHARDY_JOB", packageVersion: PACKAGE_VERSION });
  }
  const text = await readFile(given, "utf8").catch((cause) => {
    throw new CliError(`Cannot read '${given}': ${messageOf(cause)}`, { cause });
  });
  return parseJob(text, { name: given, packageVersion: PACKAGE_VERSION });
}

/** @throws {ConfigValidationError} with a path that begins with `job`, when the library refuses the settings. */
export function jobBackend({ spec: { backend, vector } }: Pick<Job, "spec">): Backend {
  try {
    if (vector === null) {
      return backend.engine === "slatedb"
        ? slatedbBackend({ settings: backend.settings })
        : sqliteBackend({ pageSizeBytes: backend.pageSizeBytes });
    }
    if (backend.engine === "sqlite") {
      return sqliteVecBackend({ dim: vector.dim, metric: vector.metric, pageSizeBytes: backend.pageSizeBytes });
    }
  } catch (error) {
    if (!(error instanceof ConfigValidationError)) throw error;
    throw new ConfigValidationError(error.message, "job.spec.backend", { cause: error });
  }
  throw new ConfigValidationError(
    'Cannot use option "job.spec.vector" with backend slatedb: take sqlite, or build with shardy build',
    "job.spec.vector",
  );
}
