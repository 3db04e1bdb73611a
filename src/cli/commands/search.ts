/**
 * `shardy search QUERY`: the vectors nearest to one.
 * @module
 */
import type { SearchHit } from "../../backends/backend.ts";
import type { SnapshotReader } from "../../read/snapshot_reader.ts";
import type { RoutingSpec } from "../../routing/router.ts";
import { vectorFieldsOf } from "../../snapshots/vector_fields.ts";
import { CliError, UsageError } from "../cli_errors.ts";
import type { CliCommand, CommandContext } from "../command.ts";
import { Float, jsonText } from "../json_text.ts";
import { integerOption, type OptionTexts, repeated, textOption } from "../option_values.ts";
import { columnsFor, routed, typedColumns } from "../routing_columns.ts";
import { readNpyFile } from "../vector_options.ts";

/** Searches; what it prints is in the order of the scores, nearest first. */
export const searchCommand: CliCommand = {
  name: "search",
  usage: "[QUERY]",
  summary: "Find the vectors nearest to one",
  examples: [
    ["search 0.1,0.2,0.3 --top-k 5", "the five nearest"],
    ["search --vector-file query.npy --shard-ids 0,1", "in two shards only"],
  ],
  readsSnapshot: true,
  declare(command) {
    command.argument("[QUERY]", "numbers, as 0.1,0.2; after -- where the first one is negative")
      .option("--vector-file <file>", "the query in a file of NumPy (.npy), instead of QUERY")
      .option("--top-k <n>", "number of results (10)")
      .option("--shard-ids <ids>", "shards to search, as 0,1; default: as the snapshot was sharded")
      .option("--probes <n>", "number of shards to search, with cluster and LSH sharding")
      .option("--routing-context <k=v>", "column that routing looks at, or a JSON object; repeatable", repeated);
  },
  run,
};

async function run(context: CommandContext): Promise<number> {
  const { args, options, signal } = context;
  const topK = integerOption(options, "--top-k", 1) ?? 10;
  const probes = integerOption(options, "--probes", 1);
  const typed = typedColumns(options);
  const query = await queryOf(args[0], options);
  const shards = shardsOf(textOption(options, "--shard-ids"));
  const reader = await context.openReader();
  const columns = columnsFor(typed, routingOf(reader));
  const found = await routed(() => reader.search(query, { topK, shards, probes, columns, signal }));
  const { results, shardsQueried, latencyMs } = found;
  const fields = {
    op: "search",
    "top_k": topK,
    "num_shards_queried": shardsQueried,
    "latency_ms": new Float(rounded(latencyMs, 2)),
    results: results.map(({ id, score, payload }) => ({ id, score: new Float(rounded(score, 6)), payload })),
  };
  context.print({
    fields,
    text: () =>
      [`top_k=${topK}  shards=${shardsQueried}  latency_ms=${latencyMs.toFixed(2)}`, ...results.map(textLine)].join(
        "\n",
      ),
    table: () => [tableLine("ID", "SCORE", "PAYLOAD"), ...results.map(tableRow)].join("\n"),
  });
  return 0;
}

async function queryOf(text: string | undefined, options: OptionTexts): Promise<ArrayLike<number>> {
  const path = textOption(options, "--vector-file");
  if (text !== undefined && path !== undefined) throw new UsageError("QUERY and --vector-file are mutually exclusive");
  if (path !== undefined) {
    const { shape, values } = await readNpyFile(path);
    if (shape.length === 1 || (shape.length === 2 && shape[0] === 1)) return values;
    throw new CliError(`${path} must hold one vector: its shape is (${shape.join(", ")})`);
  }
  if (text === undefined) throw new UsageError("Provide either a positional QUERY or --vector-file");
  const numbers = text.split(",").map((part) => part.trim() === "" ? NaN : Number(part));
  if (!numbers.some(Number.isNaN)) return numbers;
  throw new CliError("QUERY must be comma-separated floats, e.g. '0.1,0.2,0.3'");
}

function shardsOf(text: string | undefined): number[] | undefined {
  const parts = text?.split(",");
  if (parts?.every((part) => /^\s*\d+\s*$/.test(part)) === false) {
    throw new CliError("--shard-ids must be comma-separated integers");
  }
  return parts?.map(Number);
}

/** What the columns of the snapshot's vectors are; those of its keys are told by its routing. */
function routingOf({ info }: SnapshotReader): RoutingSpec {
  const fields = vectorFieldsOf(info);
  if (fields === null) {
    throw new CliError(
      "Snapshot does not contain vector metadata. Use a vector-enabled writer to build searchable snapshots.",
    );
  }
  if (fields.sharding?.strategy !== "cel") return info.routing;
  const { strategy, expr, columns } = fields.sharding;
  return { strategy, expr, columns, routingValues: null };
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

function textLine({ id, score, payload }: SearchHit): string {
  return `id=${id}  score=${score.toFixed(6)}${payload === null ? "" : `  ${jsonText(payload, "line")}`}`;
}

function tableRow({ id, score, payload }: SearchHit): string {
  return tableLine(String(id), score.toFixed(6), payload === null ? "" : jsonText(payload, "line"));
}

function tableLine(id: string, score: string, payload: string): string {
  return `${id.padEnd(20)}  ${score.padStart(12)}  ${payload}`.trimEnd();
}
