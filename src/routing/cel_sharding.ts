/**
 * Sharding by CEL expressions: the option `sharding` of writers.
 * @module
 */
import { dumpJson } from "../bytes/python_json.ts";
import type { CelColumnType, NulRule } from "../cel/compile_cel.ts";
import { ConfigValidationError } from "../errors.ts";
import { checkFields, nonEmptyString, objectOf, optional, shown } from "../option_fields.ts";
import { categoricalAssigner, directAssigner, inferringAssigner, type RowAssigner } from "./cel_assigner.ts";
import { routingProgram } from "./cel_program.ts";
import type { CelRoutingSpec } from "./cel_router.ts";

/** Shards by an expression; made by {@linkcode celSharding} or {@linkcode celShardingByColumns}. */
export interface CelSharding {
  readonly kind: "cel";
  /** What the manifest records; where routing values are inferred, without them. */
  readonly spec: CelRoutingSpec;
  /** Whether the expression looks at nothing but the key, so that option `columns` is not needed. */
  readonly isKeyOnly: boolean;
  /** Whether numbers of rows are provisional until all rows are there. */
  readonly isInferred: boolean;
  /** Gives the rows of one write their shards. */
  assigner(): RowAssigner;
}

/** Options of {@linkcode celSharding}. */
export interface CelShardingOptions {
  /**
   * The expression: a whole number, the shard itself, or with one of the next two options a token, a whole number or a
   * string. Columns have their names; without option `columns` of the writer there is one, `key`.
   */
  readonly expr: string;
  /** Types of the columns that the expression may read. */
  readonly columns: Readonly<Record<string, CelColumnType>>;
  /** All tokens that there may be, all whole numbers or all strings: the place of a token is its shard. */
  readonly routingValues?: readonly (number | bigint | string)[] | undefined;
  /** Take the tokens that the rows have, sorted: by value, or by code point. At most 100,000. @default {false} */
  readonly inferRoutingValues?: boolean | undefined;
  /**
   * What becomes of strings and bytes in columns that have a NUL, after which Python's readers read nothing: `"refuse"`
   * makes the write fail, `"cut"` routes by what stands before it, as all readers do. Stored keys and values are whole.
   * @default {"refuse"}
   */
  readonly nul?: "refuse" | "cut" | undefined;
}

const optionChecks = {
  expr: nonEmptyString,
  columns: objectOf('an object of types by column, such as { region: "string" }'),
  routingValues: optional((value) => Array.isArray(value) ? null : "an array of whole numbers or of strings"),
  inferRoutingValues: optional((value) => typeof value === "boolean" ? null : "true or false"),
  nul: optional((value) => value === "refuse" || value === "cut" ? null : '"refuse" or "cut"'),
};

/**
 * Shards by an expression of the Common Expression Language, over the key or over other columns.
 *
 * - **Direct**, without the two options on routing values: the expression gives the shard, as in
 *   `shard_hash(key) % 8u`. There are as many shards as the largest number needs, and all from 0 on must occur.
 * - **Categorical**, with `routingValues`: one shard for each of them, in their order; rows of others are an error.
 * - **Inferred**, with `inferRoutingValues`: one shard for each token that occurs. Rows are read once all the same.
 *
 * Readers need the columns that the expression reads: `reader.get(key, { columns: { region: "eu" } })`.
 *
 * @throws {ConfigValidationError} when the expression does not compile, or gives what is no token in its mode.
 *
 * @example A shard for each region
 * ```ts
 * import { memoryStore } from "../stores/memory_store.ts";
 * import { openSnapshot } from "../read/open_snapshot.ts";
 * import { writeSnapshot } from "../write/write_snapshot.ts";
 * import { celSharding } from "./cel_sharding.ts";
 *
 * const store = memoryStore();
 * await writeSnapshot([{ id: 1, region: "us" }, { id: 2, region: "eu" }], {
 *   store,
 *   sharding: celSharding({ expr: "region", columns: { region: "string" }, inferRoutingValues: true }),
 *   key: (row) => row.id,
 *   value: (row) => `in ${row.region}`,
 *   columns: ({ region }) => ({ region }),
 * });
 * await using reader = await openSnapshot({ store });
 * if (reader.route(1, { columns: { region: "us" } }) !== 1) throw new Error("unexpected shard");
 * if (await reader.get(1, { columns: { region: "us" } }) === null) throw new Error("the row is missing");
 * ```
 */
export function celSharding(options: CelShardingOptions): CelSharding {
  checkFields(options, "celSharding", optionChecks);
  const { expr, columns, routingValues, inferRoutingValues = false, nul = "refuse" } = options;
  if (Object.keys(columns).length === 0) throw refusal("columns", "name a column at least", columns);
  if (inferRoutingValues && routingValues !== undefined) {
    throw new ConfigValidationError(
      'Cannot use option "celSharding.inferRoutingValues" together with "celSharding.routingValues": give one of them',
      "celSharding.inferRoutingValues",
    );
  }
  const values = routingValues === undefined ? null : checkedValues(routingValues);
  const spec: CelRoutingSpec = Object.freeze({
    strategy: "cel",
    expr,
    columns: Object.freeze({ ...columns }),
    routingValues: values,
  });
  const { type, isKeyOnly } = routingProgram(spec, nul);
  checkType(type, { values, isInferred: inferRoutingValues, expr });
  return Object.freeze({
    kind: "cel",
    spec,
    isKeyOnly,
    isInferred: inferRoutingValues,
    assigner: () => assignerOf(spec, { isInferred: inferRoutingValues, nul }),
  });
}

/** A column by its name, of type `string`, or with another type. */
export type ShardingColumn = string | { readonly name: string; readonly type: CelColumnType };

/** Options of {@linkcode celShardingByColumns}. */
export interface ColumnShardingOptions {
  /** Number of shards, over which hashes spread the rows. Default: a shard for each combination that occurs. */
  readonly shards?: number | undefined;
  /** Stands between the values of several columns. @default {":"} */
  readonly separator?: string | undefined;
  /** As for {@linkcode celSharding}. @default {"refuse"} */
  readonly nul?: "refuse" | "cut" | undefined;
}

/**
 * Shards by the values of columns: rows that have the same ones are in the same shard. The expression is the one that
 * Python's `cel_sharding_by_columns` makes, so that both packages route alike.
 *
 * @throws {ConfigValidationError} when there is no column, a type is unknown, or `shards` is no whole number from 1 up.
 *
 * @example
 * ```ts
 * import { celShardingByColumns } from "./cel_sharding.ts";
 *
 * const { spec } = celShardingByColumns(["region", { name: "tier", type: "int" }], { shards: 8 });
 * if (spec.expr !== 'shard_hash(region + ":" + string(tier)) % 8u') throw new Error("unexpected expression");
 * ```
 */
export function celShardingByColumns(
  columns: readonly ShardingColumn[],
  options: ColumnShardingOptions = {},
): CelSharding {
  checkFields(options, "celShardingByColumns", {
    shards: optional((value) =>
      Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= 1_000_000
        ? null
        : "a whole number from 1 to 1,000,000"
    ),
    separator: optional((value) => typeof value === "string" ? null : "a string"),
    nul: optionChecks.nul,
  });
  const { shards, separator = ":", nul } = options;
  const typed = columns.map((column) =>
    typeof column === "string" ? { name: column, type: "string" as const } : column
  );
  if (typed.length === 0) throw refusal("columns", "name a column at least", columns);
  const inner = typed.length === 1
    ? plainOrText(typed[0]!)
    : typed.map(({ name, type }) => type === "string" ? name : `string(${name})`).join(` + ${dumpJson(separator)} + `);
  return celSharding({
    expr: shards === undefined ? inner : `shard_hash(${inner}) % ${shards}u`,
    columns: Object.fromEntries(typed.map(({ name, type }) => [name, type])),
    inferRoutingValues: shards === undefined,
    nul,
  });
}

/** What can be hashed is hashed as it is. */
function plainOrText({ name, type }: { readonly name: string; readonly type: CelColumnType }): string {
  return ["int", "uint", "string", "bytes"].includes(type) ? name : `string(${name})`;
}

function assignerOf(
  spec: CelRoutingSpec,
  { isInferred, nul }: { readonly isInferred: boolean; readonly nul: NulRule },
): RowAssigner {
  const program = routingProgram(spec, nul);
  const { routingValues } = spec;
  if (routingValues !== null) return categoricalAssigner(program, { ...spec, routingValues });
  return isInferred ? inferringAssigner(program, spec) : directAssigner(program, spec);
}

/** Readers take more than this: what Python wrote with other types can be read, or cannot be told from errors. */
function checkType(
  type: string,
  { values, isInferred, expr }: {
    readonly values: readonly (bigint | string)[] | null;
    readonly isInferred: boolean;
    readonly expr: string;
  },
): void {
  const isWhole = type === "int" || type === "uint";
  let expected = "an int or uint: the number of the shard, or set inferRoutingValues";
  let isRight = isWhole;
  if (values !== null) {
    isRight = typeof values[0] === "bigint" ? isWhole : type === "string";
    expected = typeof values[0] === "bigint" ? "an int or uint, as the routing values are" : "a string, as they are";
  } else if (isInferred) {
    isRight = isWhole || type === "string";
    expected = "an int, uint or string: manifests have no form for others";
  }
  if (isRight) return;
  throw new ConfigValidationError(
    `Cannot shard by CEL expression ${JSON.stringify(expr)} as it must give ${expected}; it gives ${type}`,
    "celSharding.expr",
  );
}

function checkedValues(values: readonly unknown[]): readonly (bigint | string)[] {
  if (values.length === 0) throw refusal("routingValues", "have an element at least", values);
  const checked = values.map((value) => {
    if (typeof value === "bigint" || (typeof value === "string" && value.isWellFormed())) return value;
    if (Number.isSafeInteger(value)) return BigInt(value as number);
    throw refusal("routingValues", "be safe whole numbers, bigint, or strings without lone surrogates", value);
  });
  const stranger = checked.find((value) => typeof value !== typeof checked[0]);
  if (stranger !== undefined) throw refusal("routingValues", "be all whole numbers or all strings", stranger);
  const seen = new Set<bigint | string>();
  const repeated = checked.find((value) => seen.size === seen.add(value).size);
  if (repeated !== undefined) throw refusal("routingValues", "be different from each other", repeated);
  return Object.freeze(checked);
}

function refusal(option: string, must: string, value: unknown): ConfigValidationError {
  return new ConfigValidationError(
    `Cannot use option "celSharding.${option}" as it must ${must}: current value is ${
      typeof value === "bigint" ? value : shown(value)
    }`,
    `celSharding.${option}`,
  );
}
