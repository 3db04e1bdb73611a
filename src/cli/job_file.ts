/**
 * The option `--job`, and what a job names: its place and its backend.
 * @module
 */
import { readFile } from "node:fs/promises";
import config from "../../deno.json" with { type: "json" };
import type { Backend } from "../backends/backend.ts";
import { compositeBackend } from "../backends/composite_backend.ts";
import { lancedbBackend } from "../backends/lancedb_backend.ts";
import { slatedbBackend } from "../backends/slatedb_backend.ts";
import { sqliteBackend } from "../backends/sqlite_backend.ts";
import { sqliteVecBackend } from "../backends/sqlite_vec_backend.ts";
import { type Job, type JobBackend, parseJob } from "../engine/job.ts";
import type { JobVector } from "../engine/job_vector.ts";
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
export function jobBackend({ spec }: Pick<Job, "spec">): Backend {
  try {
    return spec.vector === null ? rowBackend(spec.backend) : vectorBackend(spec.vector, spec.backend);
  } catch (error) {
    if (!(error instanceof ConfigValidationError)) throw error;
    throw new ConfigValidationError(error.message, "job.spec.backend", { cause: error });
  }
}

function rowBackend(backend: JobBackend): Backend {
  return backend.engine === "slatedb"
    ? slatedbBackend({ settings: backend.settings })
    : sqliteBackend({ pageSizeBytes: backend.pageSizeBytes });
}

/** One file for both where both are SQLite's, else two engines. */
function vectorBackend({ engine, dim, metric, isOnly }: JobVector, rows: JobBackend): Backend {
  if (engine === "lancedb") {
    const vectors = lancedbBackend({ dim, metric });
    if (!isOnly) return compositeBackend(rowBackend(rows), vectors);
    if (rows.engine === "sqlite" && rows.pageSizeBytes === undefined) return vectors;
    throw new ConfigValidationError(
      'Cannot use a page size with "vector.engine" "lancedb" as it stores no file of SQLite\'s: leave it out',
      "backend.pageSizeBytes",
    );
  }
  if (metric === "dot_product") {
    throw new ConfigValidationError(
      'Cannot use metric "dot_product" with "vector.engine" "sqlite-vec" as that has "cosine" and "l2" only: take ' +
        '"lancedb"',
      "vector.metric",
    );
  }
  if (rows.engine === "slatedb") return compositeBackend(rowBackend(rows), sqliteVecBackend({ dim, metric }));
  return sqliteVecBackend({ dim, metric, pageSizeBytes: rows.pageSizeBytes });
}
