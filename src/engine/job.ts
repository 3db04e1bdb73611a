/**
 * A job: what all tasks of a run have to agree on, as a file of JSON that an engine hands to each of them.
 *
 * It holds no credentials: these come from the environment of each worker.
 * @module
 */
import * as v from "valibot";
import { dumpJson, type JsonObject, type JsonValue, parseJson } from "../bytes/python_json.ts";
import { ConfigValidationError } from "../errors.ts";
import { nonEmptyText, parseOptions, positiveInteger, positiveNumber, wholeNumber } from "../options.ts";
import { type KeyEncoding, keyEncodings } from "../routing/key.ts";
import type { RoutingSpec } from "../routing/router.ts";
import { isJsonObject } from "../snapshots/checked_fields.ts";
import { checkDbPathTemplate, checkRunId, checkSegment } from "../snapshots/layout.ts";
import { routingOf } from "../snapshots/manifest_checks.ts";
import { shardingFields } from "../snapshots/write_manifest.ts";
import { checkJobVector, type JobVector, jobVectorSchema } from "./job_vector.ts";

/** The version of the format of {@linkcode Job}, and so of what route and build stages mean by it. */
export const JOB_FORMAT = 1;

/** What a job's rows look like, and what is made of them. */
export interface JobSpec {
  /** Column of the keys. */
  readonly keyColumn: string;
  /**
   * Column that is stored as it is (bytes or text), or columns that are stored as JSON; null: all as JSON, or nothing
   * where rows are vectors only.
   */
  readonly value: { readonly column: string } | { readonly columns: readonly string[] } | null;
  /** Column of vectors, and how they are stored; null: there are none. */
  readonly vector: JobVector | null;
  /** Column that the route stage adds and the build stage reads. */
  readonly shardIdColumn: string;
  /** How keys are stored. */
  readonly keyEncoding: KeyEncoding;
  /** How keys, or columns, tell the shard: as the manifest's column `sharding`, WIRE_FORMATS 5.1. */
  readonly sharding: RoutingSpec;
  /** Shards, those without rows included. */
  readonly shardCount: number;
  /** What CEL sharding does about a NUL in its columns. */
  readonly celNul: "refuse" | "cut";
  /** What rows are stored in. */
  readonly backend: JobBackend;
  /** When a shard's batch is full, in each worker. */
  readonly batch: { readonly rowsMax?: number | undefined; readonly bytesMax?: number | undefined };
  /** Rows in the memory of each worker; beyond, sorted runs go to disk. */
  readonly memory: { readonly bytesMax?: number | undefined; readonly rowsMax?: number | undefined };
  /** Limits of each worker; null: none. */
  readonly rateLimit: {
    readonly rowsPerSecond?: number | undefined;
    readonly bytesPerSecond?: number | undefined;
  } | null;
  /** Whether the build stage routes the first 20 rows again and compares. */
  readonly verifyRouting: boolean;
  /** Tells shims to have the engine sort its partitions by shard and key; the worker sorts in any case. */
  readonly sortWithinPartitions: boolean;
  /** Tries again inside of the worker; null: the first failure ends the task. */
  readonly retry: {
    readonly retriesMax: number;
    readonly initialBackoffMs: number;
    readonly multiplier: number;
  } | null;
}

/** What rows are stored in. */
export type JobBackend =
  | { readonly engine: "sqlite"; readonly pageSizeBytes?: number | "auto" | undefined }
  | { readonly engine: "slatedb"; readonly settings?: string | undefined };

/** What all tasks of a run agree on. */
export interface Job {
  /** {@linkcode JOB_FORMAT}. */
  readonly format: number;
  /** Version of the package that planned the job: workers have the same one. */
  readonly packageVersion: string;
  /** Name of the run. */
  readonly runId: string;
  /** The pointer object: `s3://bucket/prefix/_CURRENT`, or a path that is the same for all workers. */
  readonly currentUrl: string;
  /** Folder of the shards. */
  readonly shardPrefix: string;
  /** Folder of a shard below the run's. */
  readonly dbPathTemplate: string;
  /** Fields of the user's own for the manifest. */
  readonly custom: JsonObject;
  /** The record that planning has begun and publishing closes; null: none. */
  readonly runRecord: {
    readonly key: string;
    readonly startedAtMicros: number;
    /** How long the run counts as alive after planning, and after publishing failed for shards that are missing. */
    readonly leaseMs: number;
  } | null;
  /** The rows, and what is made of them. */
  readonly spec: JobSpec;
  /** Columns that a stage reads, so that others need not be sent to it; null: all of them. Not read by the stages. */
  readonly columns: { readonly route?: readonly string[] | null; readonly build?: readonly string[] | null };
  /** Command lines for schedulers, by stage; not read. */
  readonly commands: Readonly<Record<string, readonly string[]>>;
}

const limits = v.strictObject({ bytesMax: v.optional(positiveInteger), rowsMax: v.optional(positiveInteger) });
const VALUE_EXPECTED = '{"column": "body"}, {"columns": ["name", "age"]} or null';

const specSchema = v.strictObject({
  keyColumn: nonEmptyText,
  value: v.optional(
    v.nullable(v.union([
      v.strictObject({ column: nonEmptyText }),
      v.strictObject({ columns: v.pipe(v.array(nonEmptyText), v.minLength(1)) }),
    ], VALUE_EXPECTED)),
    null,
  ),
  vector: v.optional(jobVectorSchema, null),
  shardIdColumn: v.optional(nonEmptyText, "shard_id"),
  keyEncoding: v.picklist(keyEncodings, keyEncodings.map((name) => `"${name}"`).join(", ")),
  sharding: v.custom<JsonObject>(isJsonObject, "an object as in the manifest's column sharding"),
  shardCount: v.pipe(positiveInteger, v.maxValue(1_000_000, "a whole number from 1 to 1,000,000")),
  celNul: v.optional(v.picklist(["refuse", "cut"], '"refuse" or "cut"'), "refuse"),
  backend: v.optional(
    v.variant("engine", [
      v.strictObject({
        engine: v.literal("sqlite"),
        pageSizeBytes: v.optional(v.union([v.literal("auto"), positiveInteger], '"auto" or a number of bytes')),
      }),
      v.strictObject({ engine: v.literal("slatedb"), settings: v.optional(v.string("JSON as text")) }),
    ], '"sqlite" or "slatedb"'),
    { engine: "sqlite" },
  ),
  batch: v.optional(limits, {}),
  memory: v.optional(limits, {}),
  rateLimit: v.optional(
    v.nullable(v.strictObject({
      rowsPerSecond: v.optional(positiveNumber),
      bytesPerSecond: v.optional(positiveNumber),
    })),
    null,
  ),
  verifyRouting: v.optional(v.boolean("true or false"), true),
  sortWithinPartitions: v.optional(v.boolean("true or false"), false),
  retry: v.optional(
    v.nullable(v.strictObject({
      retriesMax: v.optional(wholeNumber, 3),
      initialBackoffMs: v.optional(wholeNumber, 1000),
      multiplier: v.optional(positiveNumber, 2),
    })),
    null,
  ),
});

const jobSchema = v.strictObject({
  format: v.number("a number"),
  packageVersion: nonEmptyText,
  runId: nonEmptyText,
  currentUrl: nonEmptyText,
  shardPrefix: v.optional(nonEmptyText, "shards"),
  dbPathTemplate: v.optional(nonEmptyText, "db={db_id:05d}"),
  custom: v.optional(v.custom<JsonObject>(isJsonObject, "a JSON object"), {}),
  runRecord: v.optional(
    v.nullable(v.strictObject({
      key: nonEmptyText,
      startedAtMicros: wholeNumber,
      leaseMs: positiveInteger,
    })),
    null,
  ),
  spec: specSchema,
  columns: v.optional(
    v.strictObject({
      route: v.exactOptional(v.nullable(v.array(v.string()))),
      build: v.exactOptional(v.nullable(v.array(v.string()))),
    }),
    {},
  ),
  commands: v.optional(v.record(v.string(), v.array(v.string())), {}),
});

/**
 * Reads a job and checks all of it.
 *
 * @param source.name What errors call it: its path.
 * @param source.packageVersion The version of this package.
 * @throws {ConfigValidationError} with a path that begins with `job`: what is no job, a field that is wrong, a job of
 * another version.
 *
 * @example
 * ```ts
 * import { parseJob } from "./job.ts";
 *
 * const sharding = { strategy: "hash", "hash_algorithm": "xxh3_64" };
 * const spec = { keyColumn: "id", keyEncoding: "u64be", shardCount: 4, sharding };
 * const text = JSON.stringify({ format: 1, packageVersion: "1.0", runId: "a", currentUrl: "s3://b/p/_CURRENT", spec });
 * const job = parseJob(text, { name: "job.json", packageVersion: "1.0" });
 * if (!job.spec.verifyRouting || job.spec.shardIdColumn !== "shard_id") throw new Error("unexpected defaults");
 * ```
 */
export function parseJob(text: string, source: { readonly name: string; readonly packageVersion: string }): Job {
  const found = jsonIn(text, source.name);
  refuseOtherVersion(found, source);
  const { spec, ...job } = parseOptions(
    jobSchema as unknown as v.GenericSchema<JsonObject, v.InferOutput<typeof jobSchema>>,
    found,
    "job",
  );
  const sharding = routingOf(spec.sharding, (problem, path) => {
    throw new ConfigValidationError(`Cannot use ${source.name} as a job as ${problem}`, `job.spec.${path}`);
  });
  checkJobVector(spec.vector, { ...spec, sharding });
  try {
    checkRunId(job.runId);
    checkSegment(job.shardPrefix, "shardPrefix");
    checkDbPathTemplate(job.dbPathTemplate);
  } catch (error) {
    if (!(error instanceof ConfigValidationError)) throw error;
    throw new ConfigValidationError(`${error.message} (in ${source.name})`, `job.${error.path}`);
  }
  return { ...job, spec: { ...spec, sharding } };
}

/** The text of a job's file. */
export function renderJob(job: Job): string {
  const plain = { ...job, spec: { ...job.spec, sharding: shardingFields(job.spec.sharding) } };
  // Through JSON, which leaves out what is undefined.
  const text = JSON.stringify(plain, (_, value) => typeof value === "bigint" ? rawDigits(value) : value, 2);
  parseJson(text);
  return `${text}\n`;
}

function jsonIn(text: string, name: string): JsonObject {
  let value: JsonValue;
  try {
    value = parseJson(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigValidationError(`Cannot read ${name} as a job as it is no JSON: ${reason}`, "job", { cause });
  }
  if (isJsonObject(value)) return value;
  throw new ConfigValidationError(`Cannot read ${name} as a job as it must be a JSON object: see shardy plan`, "job");
}

/** Before all else, as another version may have other fields. */
function refuseOtherVersion(
  { format, packageVersion }: JsonObject,
  source: { readonly name: string; readonly packageVersion: string },
): void {
  if (format === JOB_FORMAT && packageVersion === source.packageVersion) return;
  if (typeof format !== "number" || typeof packageVersion !== "string") {
    throw new ConfigValidationError(
      `Cannot read ${source.name} as a job as it must have "format" and "packageVersion": write it with shardy plan`,
      "job.format",
    );
  }
  throw new ConfigValidationError(
    `Cannot use ${source.name} as it was planned by version ${packageVersion} of the package (job format ${format}), ` +
      `and this worker is version ${source.packageVersion} (job format ${JOB_FORMAT}): install the same version ` +
      "everywhere",
    format === JOB_FORMAT ? "job.packageVersion" : "job.format",
  );
}

/** Digits as they are. TypeScript does not know this function of JSON yet. */
function rawDigits(value: bigint): unknown {
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(String(value));
}

/** An attempt or another value as one line of JSON. */
export function jsonLine(value: JsonObject): string {
  return `${dumpJson(value)}\n`;
}
