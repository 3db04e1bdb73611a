/**
 * What `shardy plan` makes of the options about vectors: what the job says of them, and centroids or hyperplanes.
 * @module
 */
import type { Command } from "commander";
import type { JobVector } from "../engine/job_vector.ts";
import { jobVectorSharding } from "../engine/job_vectors.ts";
import type { VectorRouter } from "../routing/vector_router.ts";
import type { VectorSharding } from "../routing/vector_sharding.ts";
import { PackStream } from "../write/pack_stream.ts";
import { VectorSample } from "../write/vector_sample.ts";
import type { VectorEntry, VectorSpace } from "../vector/vector_cell.ts";
import { CliError, UsageError } from "./cli_errors.ts";
import { fileInput } from "./input.ts";
import { choiceOption, type OptionTexts, textOption } from "./option_values.ts";
import { formatOf, readRows } from "./read_rows.ts";
import type { Row } from "./row_shape.ts";
import {
  declareVectorOptions,
  readNpyFile,
  vectorEntryOf,
  vectorFieldsOf,
  vectorShardingOf,
} from "./vector_options.ts";

/** What the options come to. */
export interface PlannedVectors {
  readonly vector: JobVector;
  /** Number of shards, where vectors tell the shard; null: as the options on keys say. */
  readonly shardCount: number | null;
  /** Has centroids or hyperplanes, which have to be stored; null for none. */
  readonly router: VectorRouter | null;
}

/** As writes without a limit of their own: the same rows give the same centroids. */
const MEMORY_BYTES = 512 << 20;

/** Adds the options to the command. */
export function declarePlanVectorOptions(command: Command): void {
  declareVectorOptions(command);
  command.option("--train-file <file>", "vectors to train centroids with: .npy, or rows as for shardy build");
}

/**
 * What the options ask for; null when there are no vectors. Trains centroids where a file for that is given.
 *
 * @throws {UsageError} when they do not fit each other; {ConfigValidationError} when the library refuses them.
 */
export async function plannedVectors(
  options: OptionTexts,
  { keyColumn, signal }: { readonly keyColumn: string; readonly signal: AbortSignal },
): Promise<PlannedVectors | null> {
  const fields = vectorFieldsOf(options);
  const trainPath = textOption(options, "--train-file");
  if (trainPath !== undefined && fields?.strategy !== "cluster") {
    throw new UsageError("--train-file is for --sharding cluster");
  }
  if (fields === null) return null;
  const { strategy, payload, vectorColumn: column, dim, metric } = fields;
  const vector: JobVector = {
    ...{ column, dim, metric, isOnly: fields.isVectorOnly, sharding: null },
    idColumn: fields.idColumn ?? null,
    payload: payload === undefined ? null : typeof payload === "string" ? { column: payload } : { columns: payload },
    engine: choiceOption(options, "--vector-backend", ["sqlite-vec", "lancedb"]) ?? "sqlite-vec",
  };
  if (strategy === undefined) return { vector, shardCount: null, router: null };
  const sharding = await vectorShardingOf(strategy, options);
  const { shardCount } = sharding;
  if (strategy === "explicit") {
    return { vector: { ...vector, sharding: { strategy, column: fields.shardColumn! } }, shardCount, router: null };
  }
  const space = { dim, metric };
  sharding.check(space);
  const vectorOf = (row: Row): VectorEntry | null =>
    vectorEntryOf(row, { vectorColumn: column, idColumn: undefined, payload: undefined });
  const sample = await sampleFor(sharding, { trainPath, space, keyColumn, column, vectorOf, signal });
  const router = await sharding.routerFor(space, sample, signal);
  return { vector: { ...vector, sharding: jobVectorSharding(router) }, shardCount, router };
}

interface Training {
  readonly trainPath: string | undefined;
  readonly space: VectorSpace;
  readonly keyColumn: string;
  readonly column: string;
  readonly vectorOf: (row: Row) => VectorEntry | null;
  readonly signal: AbortSignal;
}

/** The vectors that `writeSnapshot` would train with, if the file had all rows. */
async function sampleFor(
  { sample: wanted }: VectorSharding,
  { trainPath, space, keyColumn, column, vectorOf, signal }: Training,
): Promise<Float32Array> {
  if (wanted === null) {
    if (trainPath === undefined) return new Float32Array();
    throw new UsageError("--train-file cannot be used together with --centroids");
  }
  if (trainPath === undefined) {
    throw new UsageError("--sharding cluster needs --centroids or --train-file, as no worker sees all vectors");
  }
  const fitting = Math.floor(MEMORY_BYTES / 4 / (4 * space.dim));
  const rowsMax = Math.max(wanted.rowsMin, Math.min(wanted.rowsMax, fitting));
  const sample = new VectorSample({ rowsMax, dim: space.dim, seed: wanted.seed });
  const backend = { spec: { name: "sqlite-vec", options: {} }, vectors: space };
  const reader = { key: () => 0, keyEncoding: "u64be", backend } as const;
  if (/\.npy$/i.test(trainPath)) {
    const vectors = ReadableStream.from([await npyVectors(trainPath, space)]);
    await takeAll(vectors, new PackStream({ ...reader, vector: (vector) => ({ vector }) }, () => {}), sample);
  } else {
    const shape = {
      ...{ keyColumn, keyEncoding: undefined, celColumns: { [column]: "string" } },
      value: { kind: "column", column: keyColumn },
    } as const;
    const rows = readRows(await fileInput(trainPath), { format: formatOf(trainPath), shape, signal });
    await takeAll(rows, new PackStream({ ...reader, vector: vectorOf }, () => {}), sample);
  }
  return sample.values;
}

async function takeAll<T>(rows: ReadableStream<T[]>, pack: PackStream<T>, sample: VectorSample): Promise<void> {
  for await (const packed of rows.pipeThrough(pack)) sample.take(packed);
}

async function npyVectors(path: string, { dim }: VectorSpace): Promise<ArrayLike<number>[]> {
  const { shape, values } = await readNpyFile(path);
  if (shape.length !== 2 || shape[1] !== dim) {
    throw new CliError(`${path} must hold vectors of ${dim} numbers: its shape is (${shape.join(", ")})`);
  }
  return Array.from({ length: shape[0]! }, (_, row) => values.subarray(row * dim, (row + 1) * dim));
}
