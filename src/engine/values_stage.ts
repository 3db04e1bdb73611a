/**
 * The values stage, before there is a job: what a routing expression gives over the rows, for jobs with a shard for
 * each of its values.
 * @module
 */
import { dumpJson, type JsonObject, type JsonValue, parseJson } from "../bytes/python_json.ts";
import { ConfigValidationError } from "../errors.ts";
import { sortedTokens } from "../routing/cel_assigner.ts";
import { celSharding, type CelShardingOptions } from "../routing/cel_sharding.ts";
import type { KeyEncoding } from "../routing/key.ts";
import { isJsonObject } from "../snapshots/checked_fields.ts";
import { type ArrowInput, loadArrow, openArrow } from "./arrow_input.ts";
import { JobBatch, requireColumns, routingColumnsOf } from "./job_rows.ts";
import { locatedError } from "./located_errors.ts";

/** What the values stage is connected to, and the expression. */
export interface ValuesStageOptions {
  /** A stream or a file of Arrow's interprocess format. */
  readonly input: ArrowInput;
  /** The expression, as for `celSharding(…)`. */
  readonly expr: string;
  /** Types of the columns that it may read. */
  readonly columns: CelShardingOptions["columns"];
  /** What it does about a NUL in its columns. @default {"refuse"} */
  readonly nul?: "refuse" | "cut" | undefined;
  /** Where the expression reads `key`: the column of the keys, and how they will be stored. */
  readonly key?: { readonly column: string; readonly encoding: KeyEncoding } | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What the rows have. */
export interface FoundValues {
  readonly expr: string;
  /** Each once, sorted: whole numbers by value, texts by code point. */
  readonly values: readonly (bigint | string)[];
  readonly rowCount: number;
}

/**
 * Collects the values of an expression, at most 100,000. With those of all tasks, merged by
 * {@linkcode mergedValues}, a job routes as `celSharding({ inferRoutingValues: true })` does in one process.
 *
 * @throws {ConfigValidationError} naming row and column; {CelEvaluationError} where the expression has no answer.
 */
export async function valuesStage(options: ValuesStageOptions): Promise<FoundValues> {
  const { input, expr, columns, nul, key, signal = new AbortController().signal } = options;
  const sharding = celSharding({ expr, columns, nul, inferRoutingValues: true });
  if ("key" in columns && key === undefined) {
    throw new ConfigValidationError(
      `Cannot route by CEL expression ${JSON.stringify(expr)} as it reads "key": name the column of the keys, and ` +
        "their encoding",
      "key",
    );
  }
  const assigner = sharding.assigner();
  const spec = {
    ...{ keyColumn: key?.column ?? "", keyEncoding: key?.encoding ?? "u64be", sharding: sharding.spec },
    ...{ value: null, vector: null, shardIdColumn: "shard_id", shardCount: 1 },
  } as const;
  const arrow = await loadArrow();
  const { schema, batches, close } = await openArrow(input, signal);
  let rowCount = 0;
  try {
    // Not a byte: an engine's empty partition.
    if (schema === null) return { expr, rowCount, values: [] };
    requireColumns(schema, [...key === undefined ? [] : [key.column], ...routingColumnsOf(spec)], input.name);
    for await (const recordBatch of batches) {
      const batch = new JobBatch(arrow, recordBatch, spec);
      for (let index = 0; index < batch.rowCount; index++, rowCount++) {
        try {
          assigner.assign(key === undefined ? 0 : batch.key(index), batch.routingColumns(index));
        } catch (error) {
          throw locatedError(error, `row ${rowCount + 1} of ${input.name}`);
        }
      }
    }
  } finally {
    close();
  }
  const found = assigner.finish().router.spec;
  return { expr, rowCount, values: (found.strategy === "cel" ? found.routingValues : null) ?? [] };
}

/** What was found, as a line of JSON. */
export function renderValues({ expr, values, rowCount }: FoundValues): string {
  return `${dumpJson({ "cel_expr": expr, "row_count": rowCount, "routing_values": [...values] })}\n`;
}

/**
 * Reads lines of {@linkcode renderValues}, or arrays of values.
 *
 * @param expr The expression that the values must be of.
 * @throws {ConfigValidationError} naming the line.
 */
export function parseValues(
  text: string,
  { name, expr }: { readonly name: string; readonly expr: string },
): (bigint | string)[] {
  return text.split("\n").flatMap((line, index) => {
    if (line.trim() === "") return [];
    const where = `line ${index + 1} of ${name}`;
    const { "cel_expr": own = expr, "routing_values": values } = objectIn(line, where);
    if (own !== expr) {
      throw new ConfigValidationError(
        `Cannot take routing values from ${where} as they are those of ${JSON.stringify(own)}, and the job routes by ` +
          JSON.stringify(expr),
        "routingValues",
      );
    }
    return (values as readonly JsonValue[]).map((value) => {
      if (typeof value === "string" || typeof value === "bigint") return value;
      if (Number.isSafeInteger(value)) return BigInt(value as number);
      throw wrongLine(where);
    });
  });
}

/** The values of several tasks, each once, sorted. @throws {ConfigValidationError} for numbers and texts together. */
export function mergedValues(values: readonly (bigint | string)[]): (bigint | string)[] {
  const distinct = [...new Set(values)];
  if (new Set(distinct.map((value) => typeof value)).size <= 1) return sortedTokens(distinct);
  throw new ConfigValidationError(
    "Cannot use routing values that are partly numbers and partly texts: they must be of one expression",
    "routingValues",
  );
}

function objectIn(line: string, where: string): JsonObject {
  let value: JsonValue;
  try {
    value = parseJson(line);
  } catch {
    throw wrongLine(where);
  }
  if (Array.isArray(value)) return { "routing_values": value };
  if (isJsonObject(value) && Array.isArray(value["routing_values"])) return value;
  throw wrongLine(where);
}

function wrongLine(where: string): ConfigValidationError {
  return new ConfigValidationError(
    `Cannot read ${where} as routing values as it must be what shardy worker values prints, or a JSON array of whole ` +
      "numbers or of texts",
    "routingValues",
  );
}
