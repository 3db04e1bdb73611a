/**
 * The columns that CEL sharding looks at, between the command line and the library.
 * @module
 */
import { type JsonObject, type JsonValue, parseJson } from "../bytes/python_json.ts";
import type { CelColumnType } from "../cel/compile_cel.ts";
import { ConfigValidationError, UnknownRoutingTokenError } from "../errors.ts";
import { type CelSharding, celSharding } from "../routing/cel_sharding.ts";
import { columnsOfTexts } from "../routing/key_text.ts";
import type { RoutingColumns, RoutingSpec } from "../routing/router.ts";
import { UsageError } from "./cli_errors.ts";
import { splitPair } from "./key_text.ts";
import { choiceOption, listOption, type OptionTexts, switchOption, textOption } from "./option_values.ts";

/** Columns as they were typed: their types are the snapshot's matter. */
export type TypedColumns = readonly (readonly [name: string, value: JsonValue])[];

/**
 * The columns of `--routing-context`: each `k=v`, or a JSON object of several.
 *
 * @throws {UsageError} when one is neither.
 */
export function typedColumns(options: OptionTexts): TypedColumns {
  return listOption(options, "--routing-context").flatMap((text): TypedColumns => {
    if (!text.startsWith("{")) return [splitPair(text, "--routing-context")];
    return Object.entries(
      jsonOption(text, "--routing-context", { isRight: isObject, expected: "KEY=VALUE or a JSON object" }),
    );
  });
}

/** The columns for a snapshot that is sharded so: texts become what the columns' types need. Undefined without any. */
export function columnsFor(typed: TypedColumns, routing: RoutingSpec): RoutingColumns | undefined {
  if (typed.length === 0) return undefined;
  return columnsOfTexts(typed, routing);
}

/** Does what routes, and says on the command line's behalf what is wrong with the columns. */
export async function routed<T>(work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof UnknownRoutingTokenError) {
      const { token } = error;
      const shown = typeof token === "string" ? `'${token.replace(/[\\']/g, "\\$&")}'` : String(token);
      throw new Error(`Categorical CEL routing token ${shown} is not present in this snapshot.`);
    }
    if (error instanceof ConfigValidationError && error.path === "columns") {
      const message = "Multi-column CEL sharding requires routing_context; give it as --routing-context COLUMN=VALUE";
      throw new Error(`${message} (${error.message})`);
    }
    throw error;
  }
}

/** Types of the columns of `--cel-column NAME:TYPE`. @throws {UsageError} when one is something else. */
export function celColumns(options: OptionTexts): Readonly<Record<string, CelColumnType>> {
  return Object.fromEntries(
    listOption(options, "--cel-column").map((text) => {
      const at = text.lastIndexOf(":");
      if (at <= 0) throw new UsageError(`--cel-column must be NAME:TYPE, got: '${text}'`);
      return [text.slice(0, at), text.slice(at + 1) as CelColumnType];
    }),
  );
}

/** The sharding that `--cel-expr` and its companions ask for; undefined without it. */
export function celShardingOf(options: OptionTexts): CelSharding | undefined {
  const expr = textOption(options, "--cel-expr");
  const values = textOption(options, "--routing-values");
  const inferRoutingValues = switchOption(options, "--infer-routing-values");
  const nul = choiceOption(options, "--cel-nul", ["refuse", "cut"]);
  const columns = celColumns(options);
  if (expr === undefined) {
    if (values === undefined && !inferRoutingValues && nul === undefined && Object.keys(columns).length === 0) {
      return undefined;
    }
    throw new UsageError("--cel-column, --routing-values, --infer-routing-values and --cel-nul need --cel-expr");
  }
  const routingValues = values === undefined ? undefined : jsonOption(values, "--routing-values", {
    isRight: isArray,
    expected: "a JSON array",
  }) as (number | bigint | string)[];
  return celSharding({ expr, columns, routingValues, inferRoutingValues, nul });
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isArray(value: JsonValue): value is JsonValue[] {
  return Array.isArray(value);
}

function jsonOption<T extends JsonValue>(
  text: string,
  option: string,
  { isRight, expected }: { isRight: (value: JsonValue) => value is T; expected: string },
): T {
  try {
    const value = parseJson(text);
    if (isRight(value)) return value;
  } catch {
    // Said below.
  }
  throw new UsageError(`${option} must be ${expected}, got: '${text}'`);
}
