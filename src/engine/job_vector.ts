/**
 * What a job says of vectors: the column, how they are stored, and how they tell the shard where there is nothing else.
 * @module
 */
import * as v from "valibot";
import { ConfigValidationError } from "../errors.ts";
import { nonEmptyText, positiveInteger } from "../options.ts";

/** Column of vectors, and how they are stored. */
export interface JobVector {
  readonly column: string;
  readonly dim: number;
  /** `"dot_product"` with engine `"lancedb"` only. */
  readonly metric: "cosine" | "l2" | "dot_product";
  /** Column of what searches name vectors by; null: the key. */
  readonly idColumn: string | null;
  /** Column, or columns as an object of JSON, that searches give back with the id; null: none. */
  readonly payload: { readonly column: string } | { readonly columns: readonly string[] } | null;
  /** What vectors are stored in. */
  readonly engine: "sqlite-vec" | "lancedb";
  /** Whether rows are vectors and nothing else: no values, and no lookups by key. */
  readonly isOnly: boolean;
  /** How vectors tell the shard, where there are no values; null: as `spec.sharding` says. */
  readonly sharding: JobVectorSharding | null;
}

/** How vectors tell the shard. */
export type JobVectorSharding =
  | {
    readonly strategy: "explicit";
    /** Column of the shards, from 0. */
    readonly column: string;
  }
  | {
    readonly strategy: "cluster" | "lsh";
    /** In how many shards readers look unless they say otherwise. */
    readonly probes: number;
    /** Centroids or hyperplanes: `vector_meta/run_id=<run id>/centroids.npy`, or `hyperplanes.npy`, in the store. */
    readonly meta: { readonly sizeBytes: number; readonly xxh3: string };
  };

const columnChoice = v.nullable(v.union([
  v.strictObject({ column: nonEmptyText }),
  v.strictObject({ columns: v.pipe(v.array(nonEmptyText), v.minLength(1)) }),
], '{"column": "note"}, {"columns": ["name", "age"]} or null'));

const shardingSchema = v.variant("strategy", [
  v.strictObject({ strategy: v.literal("explicit"), column: nonEmptyText }),
  v.strictObject({
    strategy: v.picklist(["cluster", "lsh"]),
    probes: v.optional(positiveInteger, 1),
    meta: v.strictObject({
      sizeBytes: positiveInteger,
      xxh3: v.pipe(v.string("16 hex digits"), v.regex(/^[0-9a-f]{16}$/, "16 hex digits")),
    }),
  }),
], '"explicit", "cluster" or "lsh"');

/** Checks `spec.vector`, but for how its fields go together. */
export const jobVectorSchema: v.GenericSchema<unknown, JobVector | null> = v.nullable(v.strictObject({
  column: nonEmptyText,
  dim: positiveInteger,
  metric: v.optional(v.picklist(["cosine", "l2", "dot_product"], '"cosine", "l2" or "dot_product"'), "cosine"),
  idColumn: v.optional(v.nullable(nonEmptyText), null),
  payload: v.optional(columnChoice, null),
  engine: v.optional(v.picklist(["sqlite-vec", "lancedb"], '"sqlite-vec" or "lancedb"'), "sqlite-vec"),
  isOnly: v.optional(v.boolean("true or false"), false),
  sharding: v.optional(v.nullable(shardingSchema), null),
})) as unknown as v.GenericSchema<unknown, JobVector | null>;

/** What else of a job has to go with it. */
export interface VectorSurroundings {
  readonly shardCount: number;
  readonly shardIdColumn: string;
  readonly value: unknown;
  readonly sharding: { readonly strategy: string };
  readonly backend: { readonly engine: string };
}

/** Checks that vectors go with the rest of a job. @throws {ConfigValidationError} with a path below `job.spec`. */
export function checkJobVector(vector: JobVector | null, spec: VectorSurroundings): void {
  if (vector === null) return;
  const { isOnly, sharding } = vector;
  if (isOnly && spec.value !== null) {
    refuse("value", "must be null where rows are vectors only, as nobody could look keys up");
  }
  if (isOnly && spec.backend.engine !== "sqlite") {
    refuse("backend", 'is for values: where rows are vectors only, "vector.engine" says what they are stored in');
  }
  if (sharding === null) return;
  if (!isOnly) {
    refuse("vector.sharding", 'must be null unless "vector.isOnly" is set, as keys could not be found by vectors');
  }
  if (spec.sharding.strategy !== "hash") {
    refuse("vector.sharding", 'must be null where "sharding" is an expression: one of them tells the shard');
  }
  if (sharding.strategy !== "explicit") {
    if (sharding.probes <= spec.shardCount) return;
    refuse("vector.sharding.probes", `must be from 1 to ${spec.shardCount}, the number of shards`);
  }
  if (sharding.column !== spec.shardIdColumn) return;
  refuse(
    "vector.sharding.column",
    `must differ from "shardIdColumn", which the route stage adds: name another one there than "${sharding.column}"`,
  );
}

function refuse(field: string, rule: string): never {
  const path = `job.spec.${field}`;
  throw new ConfigValidationError(`Cannot use option "${path}" as it ${rule}`, path);
}
