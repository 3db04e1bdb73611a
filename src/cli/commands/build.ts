/**
 * `shardy build [INPUT]`: rows from NDJSON, CSV, Arrow or Parquet to a published snapshot.
 * @module
 */
import { type JsonObject, parseJson } from "../../bytes/python_json.ts";
import { ConfigValidationError } from "../../errors.ts";
import { keyEncodings } from "../../routing/key.ts";
import { hashSharding, type Sharding, singleShard } from "../../routing/sharding.ts";
import type { Manifest } from "../../snapshots/manifest.ts";
import type { ManifestStore } from "../../snapshots/manifest_store.ts";
import { checkWriteOptions, type WriteSnapshotOptions } from "../../write/write_options.ts";
import { type WriteResult, writeSnapshot } from "../../write/write_snapshot.ts";
import { declareBackendOptions, rowBackendOf } from "../backend_options.ts";
import { UsageError } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { fileInput, type Input } from "../input.ts";
import { requireObjectStore } from "../location.ts";
import { choiceOption, integerOption, numberOption, type OptionTexts } from "../option_values.ts";
import { repeated, switchOption, textOption } from "../option_values.ts";
import { ProgressLine } from "../progress_line.ts";
import { declarePublishOptions, judgesOf, publishOptionsOf } from "../publish_options.ts";
import { formatOf, INPUT_FORMATS, readRows } from "../read_rows.ts";
import { fieldLines } from "../result.ts";
import { celColumns, celShardingOf } from "../routing_columns.ts";
import { parseValueChoice, type Row, type RowShape } from "../row_shape.ts";
import { declareVectorOptions, type VectorPlan, vectorPlanOf } from "../vector_options.ts";

/** Builds and publishes. When anything is wrong nothing is published, and nothing is left behind. */
export const buildCommand: CliCommand = {
  name: "build",
  usage: "[INPUT]",
  summary: "Build a snapshot from NDJSON, CSV, Arrow or Parquet and publish it",
  examples: [
    [
      "build cities.csv --key city --shards 4 --current-url ./data/cities/_CURRENT",
      "a CSV file with a header; values are whole rows as JSON",
    ],
    ["build rows.parquet --key id --value body --keys-per-shard 100000", "as many shards as the rows need"],
    ["build events.ndjson --key id --shards 8 --max-drift 0.2 --verify", "publish only what was checked"],
  ],
  readsSnapshot: false,
  declare(command) {
    command.argument("[INPUT]", "a file; absent or -: stdin")
      .option("--key <column>", "column of the keys (required)")
      .option("--value <column>", "column of the values, or json:col1,col2; default: the whole row")
      .option(
        "--format <format>",
        "ndjson, csv (with a header), arrow or parquet; default: by the name of the file, else ndjson",
      )
      .option("--shards <n>", "number of shards")
      .option("--keys-per-shard <n>", "rows per shard on average, instead of --shards")
      .option("--single-shard", "everything in one shard, instead of --shards")
      .option("--cel-expr <expr>", "shard by a CEL expression, instead of --shards; it sees the key as `key`")
      .option("--cel-column <name:type>", "column that the expression sees, with its type; repeatable", repeated)
      .option("--routing-values <json>", "array of all values of the expression, a shard for each")
      .option("--infer-routing-values", "a shard for each value of the expression that occurs")
      .option("--cel-nul <rule>", "texts with a NUL in such columns: refuse (default), or cut them there")
      .option("--key-encoding <encoding>", "u64be, u32be, utf8 or raw; default: by the first key, for CSV utf8")
      .option("--memory-bytes <n>", "rows kept in memory before they go to disk (512 MiB)")
      .option("--rows-per-second <n>", "limit over all shards together")
      .option("--bytes-per-second <n>", "limit over all shards together")
      .option("--run-id <id>", "name of this run; default: random")
      .option("--shard-prefix <name>", "folder of the shards (shards)")
      .option("--db-path-template <template>", "folder of one shard (db={db_id:05d})")
      .option("--custom <json>", "fields of your own for the manifest")
      .option("--quiet", "no progress on stderr");
    declareBackendOptions(command);
    declareVectorOptions(command);
    declarePublishOptions(command);
  },
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { args, options, io, signal, clock } = context;
  const [path = "-"] = args;
  const vectors = await vectorPlanOf(options).catch(asUsageError);
  const shape = shapeOf(options, vectors);
  const format = choiceOption(options, "--format", INPUT_FORMATS) ?? formatOf(path);
  const plan = usageErrors(() => writeOptionsOf(options, vectors));
  const location = await context.location();
  const { pointerKey, manifestStore } = location;
  const store = requireObjectStore(location);
  const against = manifestStore === undefined ? store : await currentManifest(manifestStore, signal);
  const { validate, sample } = judgesOf(options, { against, pointerKey });
  const write: WriteSnapshotOptions<Row> = { ...plan, store, manifestStore, pointerKey, validate, signal, clock };
  usageErrors(() => checkWriteOptions(write));
  const input: Input = path === "-"
    ? { name: "stdin", bytes: io.stdin, fractionRead: () => null }
    : await fileInput(path);
  const { fractionRead } = input;
  const line = new ProgressLine({ write: io.stderr, isTerminal: io.isTerminal === true, clock, fractionRead });
  const onProgress = switchOption(options, "--quiet") ? undefined : line.show.bind(line);
  try {
    const rows = readRows(input, { format, shape, signal });
    const result = await writeSnapshot(sample === undefined ? rows : rows.pipeThrough(sample.watcher()), {
      ...write,
      onProgress,
    });
    line.clear();
    for (const warning of result.warnings) io.stderr(`Warning: ${warning}\n`);
    report(context, result);
    return 0;
  } finally {
    line.clear();
  }
}

async function currentManifest(manifests: ManifestStore, signal: AbortSignal): Promise<Manifest | null> {
  const current = await manifests.loadCurrent({ signal });
  return current === null ? null : await manifests.loadManifest(current.ref, { signal });
}

function report(context: CommandContext, { runId, shardCount, manifestRef, stats }: WriteResult): void {
  const { rowsWritten, bytes, totalMs } = stats;
  const fields = {
    op: "build",
    "run_id": runId,
    "manifest_ref": manifestRef,
    "num_dbs": shardCount,
    "rows_written": rowsWritten,
    bytes,
    "elapsed_ms": totalMs,
  };
  context.print({ fields, text: () => fieldLines(fields) });
}

function shapeOf(options: OptionTexts, vectors: VectorPlan | null): RowShape {
  const keyColumn = textOption(options, "--key");
  if (keyColumn === undefined) throw new UsageError("Missing option '--key'.");
  return {
    keyColumn,
    value: parseValueChoice(textOption(options, "--value")),
    keyEncoding: choiceOption(options, "--key-encoding", keyEncodings),
    celColumns: Object.fromEntries([
      // As text in CSV, and in NDJSON as they are.
      ...(vectors?.columns ?? []).map((name) => [name, "string"]),
      ...Object.entries(celColumns(options)).filter(([name]) => name !== "key"),
    ]),
  };
}

type WritePlan = Omit<WriteSnapshotOptions<Row>, "store">;

function writeOptionsOf(options: OptionTexts, vectors: VectorPlan | null): WritePlan {
  const bytesMax = integerOption(options, "--memory-bytes", 1);
  const rowsPerSecond = numberOption(options, "--rows-per-second");
  const bytesPerSecond = numberOption(options, "--bytes-per-second");
  const isLimited = rowsPerSecond !== undefined || bytesPerSecond !== undefined;
  const sharding = vectors?.sharding ?? shardingOf(options);
  return {
    sharding,
    key: (row) => row.key,
    value: vectors?.isVectorOnly ? undefined : (row) => row.value,
    columns: sharding.kind === "cel" ? (row) => row.columns : undefined,
    keyEncoding: choiceOption(options, "--key-encoding", keyEncodings),
    ...(vectors?.write ?? { backend: rowBackendOf(options) }),
    memory: bytesMax === undefined ? undefined : { bytesMax },
    rateLimit: isLimited ? { rowsPerSecond, bytesPerSecond } : undefined,
    runId: textOption(options, "--run-id"),
    shardPrefix: textOption(options, "--shard-prefix"),
    dbPathTemplate: textOption(options, "--db-path-template"),
    custom: customOf(textOption(options, "--custom")),
    ...publishOptionsOf(options),
  };
}

function shardingOf(options: OptionTexts): Sharding {
  const shards = integerOption(options, "--shards", 1);
  const keysPerShard = integerOption(options, "--keys-per-shard", 1);
  const isSingle = switchOption(options, "--single-shard");
  const isCel = textOption(options, "--cel-expr") !== undefined;
  const chosen = [shards !== undefined, keysPerShard !== undefined, isSingle, isCel];
  if (chosen.filter(Boolean).length !== 1) {
    throw new UsageError("Exactly one of --shards, --keys-per-shard, --single-shard, or --cel-expr is required");
  }
  const cel = celShardingOf(options);
  if (cel !== undefined) return cel;
  if (shards !== undefined) return hashSharding({ shards });
  return keysPerShard === undefined ? singleShard() : hashSharding({ keysPerShard });
}

function customOf(text: string | undefined): JsonObject | undefined {
  if (text === undefined) return undefined;
  try {
    const value = parseJson(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  } catch {
    // Said below.
  }
  throw new UsageError("--custom must be a JSON object");
}

/** A wrong option of the library is a wrong option of the command line. */
function usageErrors<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    return asUsageError(error);
  }
}

function asUsageError(error: unknown): never {
  if (error instanceof ConfigValidationError) throw new UsageError(error.message);
  throw error;
}
