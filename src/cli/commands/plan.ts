/**
 * `shardy plan`: begins a job that tasks on any machines carry out.
 * @module
 */
import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { type JsonObject, parseJson } from "../../bytes/python_json.ts";
import { type Job, JOB_FORMAT, type JobBackend, type JobSpec, parseJob, renderJob } from "../../engine/job.ts";
import { jobRouter } from "../../engine/job_router.ts";
import { sentColumnsOf } from "../../engine/job_rows.ts";
import { storeJobVectors } from "../../engine/job_vectors.ts";
import { ConfigValidationError } from "../../errors.ts";
import type { EventSink } from "../../events.ts";
import { keyEncodings } from "../../routing/key.ts";
import { isJsonObject } from "../../snapshots/checked_fields.ts";
import { newHexId } from "../../snapshots/layout.ts";
import { RunRegistry } from "../../write/run_registry.ts";
import { declareBackendOptions } from "../backend_options.ts";
import { CliError, UsageError } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { durationOption } from "../duration_text.ts";
import { jobBackend, PACKAGE_VERSION } from "../job_file.ts";
import { requireObjectStore } from "../location.ts";
import {
  choiceOption,
  integerOption,
  numberOption,
  type OptionTexts,
  repeated,
  switchOption,
  textOption,
} from "../option_values.ts";
import { declarePlanVectorOptions, type PlannedVectors, plannedVectors } from "../plan_vectors.ts";
import { celShardingOf } from "../routing_columns.ts";
import { withRoutingValues } from "../routing_values.ts";
import { parseValueChoice } from "../row_shape.ts";

const DAY_MS = 86_400_000;

/** Writes the job, and the record of its run. */
export const planCommand: CliCommand = {
  name: "plan",
  usage: "",
  summary: "Begin a job whose tasks build a snapshot on many machines",
  details:
    "Writes the job as JSON, for shardy worker and shardy publish, and a record of the run, by which clean-ups " +
    "leave its shards alone.",
  examples: [
    [
      "--current-url s3://bucket/people/_CURRENT plan --key id --key-encoding u64be --shards 32 --output job.json",
      "values are whole rows as JSON",
    ],
    ["plan --key id --key-encoding utf8 --value body --keys-per-shard 100000 --rows 2000000", "by the number of rows"],
  ],
  readsSnapshot: false,
  declare(command) {
    command.option("--key <column>", "column of the keys (required)")
      .option("--key-encoding <encoding>", "u64be, u32be, utf8 or raw (required)")
      .option("--value <column>", "column of the values, or json:col1,col2; default: the whole row as JSON")
      .option("--shards <n>", "number of shards")
      .option("--keys-per-shard <n>", "rows per shard on average, instead of --shards; needs --rows")
      .option("--rows <n>", "how many rows there are")
      .option("--single-shard", "everything in one shard, instead of --shards")
      .option("--cel-expr <expr>", "shard by a CEL expression, with --shards or --routing-values")
      .option("--cel-column <name:type>", "column that the expression sees, with its type; repeatable", repeated)
      .option(
        "--routing-values <json>",
        "array of all values of the expression, a shard for each; @FILE: from shardy worker values; repeatable",
        repeated,
      )
      .option("--cel-nul <rule>", "texts with a NUL in such columns: refuse (default), or cut them there")
      .option("--shard-id-column <name>", "column that tells each row's shard (shard_id)")
      .option("--batch-rows <n>", "rows of a batch in a worker (50000)")
      .option("--batch-bytes <n>", "bytes of a batch in a worker (1 MiB)")
      .option("--memory-bytes <n>", "rows that a worker keeps in memory before they go to disk (256 MiB)")
      .option("--rows-per-second <n>", "limit of each worker")
      .option("--bytes-per-second <n>", "limit of each worker")
      .option("--retries <n>", "build shards again that fail for a moment, inside of the worker (0)")
      .option("--skip-verify-routing", "do not route the first 20 rows of each task again")
      .option("--sort-within-partitions", "ask engines to sort their partitions, too")
      .option("--run-id <id>", "name of this run; default: random")
      .option("--shard-prefix <name>", "folder of the shards (shards)")
      .option("--db-path-template <template>", "folder of one shard (db={db_id:05d})")
      .option("--custom <json>", "fields of your own for the manifest")
      .option("--lease <duration>", "how long clean-ups take the run for alive (1d)")
      .option("--output <file>", "where to write the job; default: stdout");
    declareBackendOptions(command);
    declarePlanVectorOptions(command);
  },
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { clock, io, signal } = context;
  const options = await withRoutingValues(context.options).catch(asUsageError);
  const output = textOption(options, "--output");
  const location = await context.location();
  const store = requireObjectStore(location);
  const vectors = await vectorsOf(options, signal);
  const draft: Job = {
    ...{ format: JOB_FORMAT, packageVersion: PACKAGE_VERSION },
    runId: textOption(options, "--run-id") ?? newHexId(),
    currentUrl: absolute(`${store.url}/${location.pointerKey}`),
    shardPrefix: textOption(options, "--shard-prefix") ?? "shards",
    dbPathTemplate: textOption(options, "--db-path-template") ?? "db={db_id:05d}",
    custom: jsonObjectOption(options, "--custom") ?? {},
    runRecord: null,
    spec: specOf(options, vectors),
    columns: {},
    commands: commandsOf(output ?? "job.json"),
  };
  const leaseMs = durationOption(options, "--lease") ?? DAY_MS;
  const startedAtMicros = clock.nowMicros();
  const job = checkedJob(draft);
  let reason = "";
  const onEvent: EventSink = ({ name, payload }) => {
    if (name === "write.run_record_failed") reason = payload.error;
  };
  const record = new RunRegistry({
    onEvent,
    ...{ store, leaseMs, clock, runId: job.runId, shardPrefix: job.shardPrefix, dbPathTemplate: job.dbPathTemplate },
  });
  await record.begin();
  if (vectors !== null && vectors.router !== null) {
    await storeJobVectors(vectors.router, job, { store, signal }).catch(async (error) => {
      await record.fail(error);
      throw error;
    });
  }
  await record.leave();
  if (record.ref === null) throw new CliError(`Cannot write the record of the run to '${store.url}': ${reason}`);
  const columns = sentColumnsOf(job.spec);
  const text = renderJob({ ...job, columns, runRecord: { key: record.key, startedAtMicros, leaseMs } });
  if (output === undefined) {
    io.stdout(text);
    return 0;
  }
  await writeFile(output, text);
  const fields = { op: "plan", "run_id": job.runId, job: output, "num_dbs": job.spec.shardCount };
  context.print({ fields, text: () => `${output}: run ${job.runId}, ${job.spec.shardCount} shards` });
  return 0;
}

/** What the workers would refuse is refused now. */
function checkedJob(draft: Job): Job {
  try {
    const job = parseJob(renderJob(draft), { name: "the job", packageVersion: PACKAGE_VERSION });
    jobRouter(job.spec);
    jobBackend(job);
    return job;
  } catch (error) {
    return asUsageError(error);
  }
}

/** A wrong option of the library is a wrong option of the command line. */
function asUsageError(error: unknown): never {
  if (error instanceof ConfigValidationError) throw new UsageError(error.message);
  throw error;
}

async function vectorsOf(options: OptionTexts, signal: AbortSignal): Promise<PlannedVectors | null> {
  // Before centroids are trained.
  const { keyColumn } = keysOf(options);
  const vectors = await plannedVectors(options, { keyColumn, signal }).catch(asUsageError);
  if (!vectors?.vector.isOnly) return vectors;
  for (const flag of ["--backend", "--value"]) {
    if (textOption(options, flag) !== undefined) throw new UsageError(`${flag} is not for vectors without values`);
  }
  return vectors;
}

function keysOf(options: OptionTexts): Pick<JobSpec, "keyColumn" | "keyEncoding"> {
  const keyColumn = textOption(options, "--key");
  const keyEncoding = choiceOption(options, "--key-encoding", keyEncodings);
  if (keyColumn === undefined) throw new UsageError("Missing option '--key'.");
  if (keyEncoding === undefined) throw new UsageError("Missing option '--key-encoding'.");
  return { keyColumn, keyEncoding };
}

function specOf(options: OptionTexts, vectors: PlannedVectors | null): JobSpec {
  const { keyColumn, keyEncoding } = keysOf(options);
  const value = parseValueChoice(textOption(options, "--value"));
  const retriesMax = integerOption(options, "--retries", 0) ?? 0;
  const rowsPerSecond = numberOption(options, "--rows-per-second");
  const bytesPerSecond = numberOption(options, "--bytes-per-second");
  const isLimited = rowsPerSecond !== undefined || bytesPerSecond !== undefined;
  return {
    keyColumn,
    value: value.kind === "row"
      ? null
      : value.kind === "column"
      ? { column: value.column }
      : { columns: value.columns },
    vector: vectors?.vector ?? null,
    shardIdColumn: textOption(options, "--shard-id-column") ?? "shard_id",
    keyEncoding,
    ...(vectors?.shardCount == null ? shardingOf(options) : shardingByVectors(options, vectors.shardCount)),
    celNul: choiceOption(options, "--cel-nul", ["refuse", "cut"]) ?? "refuse",
    backend: backendOf(options),
    batch: {
      rowsMax: integerOption(options, "--batch-rows", 1),
      bytesMax: integerOption(options, "--batch-bytes", 1),
    },
    memory: { bytesMax: integerOption(options, "--memory-bytes", 1) },
    rateLimit: isLimited ? { rowsPerSecond, bytesPerSecond } : null,
    verifyRouting: !switchOption(options, "--skip-verify-routing"),
    sortWithinPartitions: switchOption(options, "--sort-within-partitions"),
    retry: retriesMax === 0 ? null : { retriesMax, initialBackoffMs: 1000, multiplier: 2 },
  };
}

function shardingOf(options: OptionTexts): Pick<JobSpec, "sharding" | "shardCount"> {
  const shards = integerOption(options, "--shards", 1);
  const keysPerShard = integerOption(options, "--keys-per-shard", 1);
  const rows = integerOption(options, "--rows", 0);
  const isSingle = switchOption(options, "--single-shard");
  const cel = celShardingOf(options);
  const values = cel?.spec.routingValues ?? null;
  const counts = [shards !== undefined, keysPerShard !== undefined, isSingle, values !== null];
  if (counts.filter(Boolean).length !== 1) {
    throw new UsageError("Exactly one of --shards, --keys-per-shard, --single-shard, or --routing-values is required");
  }
  if (keysPerShard !== undefined && rows === undefined) throw new UsageError("--keys-per-shard needs --rows");
  return {
    sharding: cel?.spec ?? { strategy: "hash" },
    shardCount: values?.length ?? shards ??
      (keysPerShard === undefined ? 1 : Math.max(1, Math.ceil(rows! / keysPerShard))),
  };
}

function shardingByVectors(options: OptionTexts, shardCount: number): Pick<JobSpec, "sharding" | "shardCount"> {
  const others = [
    ...["--keys-per-shard", "--cel-expr", "--routing-values"].filter((flag) => textOption(options, flag) !== undefined),
    ...switchOption(options, "--single-shard") ? ["--single-shard"] : [],
  ];
  if (others.length > 0) throw new UsageError(`${others[0]} is not for --sharding, which tells the shards itself`);
  return { sharding: { strategy: "hash" }, shardCount };
}

function backendOf(options: OptionTexts): JobBackend {
  const settings = textOption(options, "--slatedb-settings");
  const pageSize = textOption(options, "--page-size");
  if (choiceOption(options, "--backend", ["sqlite", "slatedb"]) === "slatedb") {
    if (pageSize !== undefined) throw new UsageError("--page-size is not for --backend slatedb");
    return { engine: "slatedb", settings };
  }
  if (settings !== undefined) throw new UsageError("--slatedb-settings needs --backend slatedb");
  return {
    engine: "sqlite",
    pageSizeBytes: pageSize === "auto" ? "auto" : integerOption(options, "--page-size", 1),
  };
}

function commandsOf(path: string): Job["commands"] {
  return {
    route: ["shardy", "worker", "route", "--job", path],
    build: ["shardy", "worker", "build", "--job", path],
    publish: ["shardy", "publish", "--job", path],
  };
}

function jsonObjectOption(options: OptionTexts, flag: string): JsonObject | undefined {
  const text = textOption(options, flag);
  if (text === undefined) return undefined;
  try {
    const value = parseJson(text);
    if (isJsonObject(value)) return value;
  } catch {
    // Said below.
  }
  throw new UsageError(`${flag} must be a JSON object`);
}

/** Tasks run in folders of their own. */
function absolute(url: string): string {
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(url) ? url : resolve(url);
}
