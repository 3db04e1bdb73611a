/**
 * A CEL expression as a routing rule: from a key and its columns to a token.
 * @module
 */
import { type CelColumnType, compileProgram, type NulRule } from "../cel/compile_cel.ts";
import { ConfigValidationError } from "../errors.ts";
import type { CelToken, CelTokenType } from "./cel_tokens.ts";
import type { Key } from "./key.ts";
import type { RoutingColumns } from "./router.ts";

/** An expression that routes. It has slots of its own: one for each run or reader. */
export interface RoutingProgram {
  readonly type: CelTokenType;
  /** Whether it reads nothing but the column `key`, so that the key alone is enough. */
  readonly isKeyOnly: boolean;
  /**
   * The token of a row. A column `key` that `columns` do not have is the key itself.
   *
   * @throws {CelEvaluationError} when the expression has no answer.
   * @throws {ConfigValidationError} when `columns` are missing.
   */
  tokenOf(key: Key, columns: RoutingColumns | undefined): CelToken;
}

/** A rule to compile. */
export interface RoutingRule {
  readonly expr: string;
  /** Types by the names of the columns. */
  readonly columns: Readonly<Record<string, string>>;
}

/**
 * Compiles a routing expression.
 *
 * @throws {ConfigValidationError} when it does not compile, or gives something else than an int, uint, string or bytes.
 */
export function routingProgram({ expr, columns }: RoutingRule, nul: NulRule): RoutingProgram {
  const program = compileProgram(expr, columns as Record<string, CelColumnType>, { nul });
  const { type, columns: names, slots, run } = program;
  if (type !== "int" && type !== "uint" && type !== "string" && type !== "bytes") {
    throw new ConfigValidationError(
      `Cannot route by CEL expression ${JSON.stringify(expr)} as it must give an int, uint, string or bytes: ` +
        `it gives ${type}`,
      "expr",
    );
  }
  // Every object seems to have properties of such names; as a column one has to be the row's own.
  const isOwn = names.map((name) => name in Object.prototype);
  const isKeyOnly = names.every((name) => name === "key");
  return Object.freeze({
    type,
    isKeyOnly,
    tokenOf(key: Key, row: RoutingColumns | undefined): CelToken {
      if (row === undefined) {
        if (!isKeyOnly) throw missingColumns(names);
        slots[0] = key;
      } else {
        for (let i = 0; i < names.length; i++) {
          const name = names[i]!;
          const value = isOwn[i] && !Object.hasOwn(row, name) ? undefined : row[name];
          slots[i] = value === undefined && name === "key" ? key : value;
        }
      }
      return run() as CelToken;
    },
  });
}

function missingColumns(names: readonly string[]): ConfigValidationError {
  const missing = names.filter((name) => name !== "key");
  return new ConfigValidationError(
    `Cannot route by the key alone as the routing expression looks at ${
      missing.map((name) => `"${name}"`).join(", ")
    }: ` +
      `give { columns: { ${missing.join(", ")} } }`,
    "columns",
  );
}
