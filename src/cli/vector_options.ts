/**
 * Options of `shardy build` about vectors: where they are in the rows, and how they are sharded.
 * @module
 */
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { JsonValue } from "../bytes/python_json.ts";
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import { clusterSharding, explicitSharding, lshSharding, type VectorSharding } from "../routing/vector_sharding.ts";
import { type NpyArray, readNpy } from "../vector/npy.ts";
import type { VectorRows } from "../vector/distance_table.ts";
import type { VectorEntry, VectorId, VectorSpace } from "../vector/vector_cell.ts";
import type { WriteSnapshotOptions } from "../write/write_options.ts";
import { vectorBackendOf } from "./backend_options.ts";
import { CliError, messageOf, UsageError } from "./cli_errors.ts";
import { choiceOption, integerOption, type OptionTexts, switchOption, textOption } from "./option_values.ts";
import type { Row } from "./row_shape.ts";

/** What these options come to. */
export interface VectorPlan {
  /** What is written beside keys; without `value` there are vectors only. */
  readonly write: Pick<WriteSnapshotOptions<Row>, "vector" | "backend">;
  readonly isVectorOnly: boolean;
  /** Undefined: by the options on keys. */
  readonly sharding: VectorSharding | undefined;
  /** Columns that are read from rows. */
  readonly columns: readonly string[];
}

const DEPENDENT = [
  "--vector-backend",
  "--vector-id",
  "--payload",
  "--vector-only",
  "--vector-dim",
  "--vector-metric",
  "--sharding",
];
const SHARDING = [
  "--centroids",
  "--hyperplanes",
  "--hash-bits",
  "--probes",
  "--train-sample",
  "--seed",
  "--shard-column",
];

/** Adds the options to the command. */
export function declareVectorOptions(command: Command): void {
  command.option("--vector <column>", "column of vectors: arrays of numbers, in CSV as [0.1,0.2]; null for none")
    .option("--vector-dim <n>", "numbers in each vector (required with --vector)")
    .option("--vector-metric <metric>", "cosine (default), l2, or dot_product, which lancedb has")
    .option("--vector-id <column>", "column of what searches name vectors by; default: the key")
    .option("--payload <columns>", "column, or json:col1,col2, that searches give back with the id; default: none")
    .option("--vector-only", "store vectors without values; no key can be looked up")
    .option("--sharding <strategy>", "by the vectors themselves, without values: cluster, lsh or explicit")
    .option("--centroids <file>", "centroids for cluster (.npy), one for each shard; default: trained")
    .option("--train-sample <n>", "vectors to train centroids with; default: by --shards")
    .option("--hyperplanes <file>", "hyperplanes for lsh (.npy), one for each bit; default: random")
    .option("--hash-bits <n>", "bits of a code, for lsh (8)")
    .option("--seed <n>", "chooses the sample for training, or the hyperplanes (42)")
    .option("--probes <n>", "shards that readers search unless they say otherwise, for cluster and lsh (1)")
    .option("--shard-column <column>", "column of the shards, for explicit");
}

/** Reads a file of numbers. @throws {CliError} */
export async function readNpyFile(path: string): Promise<NpyArray> {
  try {
    return readNpy(await readFile(path));
  } catch (error) {
    throw new CliError(`Cannot read ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * What the options ask for; null when there are no vectors.
 *
 * @throws {UsageError} when they do not fit each other; {ConfigValidationError} when the library refuses them.
 */
export async function vectorPlanOf(options: OptionTexts): Promise<VectorPlan | null> {
  const fields = vectorFieldsOf(options);
  if (fields === null) return null;
  const { vectorColumn, dim, metric, idColumn, payload, shardColumn, strategy, isVectorOnly } = fields;
  return {
    write: {
      backend: vectorBackendOf(options, { dim, metric, isVectorOnly }),
      vector: (row) => vectorEntryOf(row, fields),
    },
    isVectorOnly,
    sharding: strategy && await vectorShardingOf(strategy, options),
    columns: [vectorColumn, idColumn, payload, shardColumn].flat().filter((name) => name !== undefined),
  };
}

/** What the options say of vectors, before anything is made of it. */
export interface VectorFields extends VectorSpace {
  readonly vectorColumn: string;
  readonly idColumn: string | undefined;
  readonly payload: string | readonly string[] | undefined;
  readonly shardColumn: string | undefined;
  readonly isVectorOnly: boolean;
  /** How vectors tell the shard; undefined: by the options on keys. */
  readonly strategy: "cluster" | "lsh" | "explicit" | undefined;
}

/**
 * What the options say of vectors; null when there are none.
 *
 * @throws {UsageError} when they do not fit each other.
 */
export function vectorFieldsOf(options: OptionTexts): VectorFields | null {
  const vectorColumn = textOption(options, "--vector");
  const strategy = choiceOption(options, "--sharding", ["cluster", "lsh", "explicit"]);
  if (vectorColumn === undefined) {
    refuse([...DEPENDENT, ...SHARDING], options, "needs --vector");
    return null;
  }
  if (strategy === undefined) refuse(SHARDING, options, "needs --sharding");
  const dim = integerOption(options, "--vector-dim", 1);
  if (dim === undefined) throw new UsageError("Missing option '--vector-dim'.");
  const payload = textOption(options, "--payload");
  return {
    ...{ vectorColumn, dim, strategy },
    metric: choiceOption(options, "--vector-metric", ["cosine", "l2", "dot_product"]) ?? "cosine",
    idColumn: textOption(options, "--vector-id"),
    payload: payload?.startsWith("json:")
      ? payload.slice("json:".length).split(",").map((name) => name.trim())
      : payload,
    shardColumn: textOption(options, "--shard-column"),
    isVectorOnly: switchOption(options, "--vector-only") || strategy !== undefined,
  };
}

type Columns = Readonly<Record<string, JsonValue>>;

/** The sharding that the options ask for. @throws {UsageError}; {ConfigValidationError} from the library. */
export async function vectorShardingOf(
  strategy: "cluster" | "lsh" | "explicit",
  options: OptionTexts,
): Promise<VectorSharding> {
  const shards = integerOption(options, "--shards", 1);
  const probes = integerOption(options, "--probes", 1);
  const seed = integerOption(options, "--seed", 0);
  const sample = integerOption(options, "--train-sample", 1);
  if (strategy === "cluster") {
    refuse(["--hyperplanes", "--hash-bits", "--shard-column"], options, "is not for --sharding cluster");
    const centroids = await rowsOf(options, "--centroids");
    const isTrained = sample !== undefined || seed !== undefined;
    return clusterSharding({ shards, centroids, probes, ...(isTrained && { train: { sample, seed } }) });
  }
  if (shards === undefined) throw new UsageError(`--sharding ${strategy} needs --shards`);
  if (strategy === "lsh") {
    refuse(["--centroids", "--train-sample", "--shard-column"], options, "is not for --sharding lsh");
    const hashBits = integerOption(options, "--hash-bits", 1);
    return lshSharding({ shards, probes, seed, hashBits, hyperplanes: await rowsOf(options, "--hyperplanes") });
  }
  refuse(SHARDING.filter((flag) => flag !== "--shard-column"), options, "is not for --sharding explicit");
  const column = textOption(options, "--shard-column");
  if (column === undefined) throw new UsageError("--sharding explicit needs --shard-column");
  return explicitSharding<Row>({ shards, shard: ({ columns }) => shardOf(columns[column]) });
}

/** In CSV all is text. */
function shardOf(value: unknown): number {
  return typeof value === "string" && /^\d+$/.test(value) ? Number(value) : value as number;
}

async function rowsOf(options: OptionTexts, flag: string): Promise<VectorRows | undefined> {
  const path = textOption(options, flag);
  if (path === undefined) return undefined;
  const { shape, values } = await readNpyFile(path);
  if (shape.length !== 2) throw new CliError(`${path} must hold rows: its shape is (${shape.join(", ")})`);
  return { values, dim: shape[1]! };
}

function refuse(flags: readonly string[], options: OptionTexts, reason: string): void {
  const given = flags.find((flag) => textOption(options, flag) !== undefined || switchOption(options, flag));
  if (given !== undefined) throw new UsageError(`${given} ${reason}`);
}

/** The vector of a row; null where it has none. @throws {ConfigValidationError} */
export function vectorEntryOf(
  row: Row,
  { vectorColumn, idColumn, payload }: Pick<VectorFields, "vectorColumn" | "idColumn" | "payload">,
): VectorEntry | null {
  const columns = row.columns as Columns;
  const value = columns[vectorColumn]!;
  const vector = typeof value === "string" ? arrayIn(value) : value;
  if (vector === null) return null;
  if (!Array.isArray(vector)) {
    throw new ConfigValidationError(
      `Cannot read a vector from column "${vectorColumn}" as it must be an array of numbers: ` +
        `current value is ${shown(value)}`,
      "vector",
    );
  }
  return {
    // Whole numbers of any size come as bigint; as part of a vector they are rounded like others.
    vector: vector.map((number) => typeof number === "bigint" ? Number(number) : number as number),
    ...(idColumn !== undefined && { id: columns[idColumn] as VectorId }),
    ...(payload !== undefined && {
      payload: typeof payload === "string"
        ? columns[payload]!
        : Object.fromEntries(payload.map((name) => [name, columns[name]!])),
    }),
  };
}

/** The array that a text of CSV stands for; the text itself where it is none; null where there is nothing. */
function arrayIn(text: string): JsonValue {
  if (text.trim() === "") return null;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
