/**
 * Expressions of the Common Expression Language, as routing rules: checked once, then evaluated row after row.
 *
 * The language is a part of CEL that has the same answers here as in the library that Python writers use, to the last
 * bit: all types are known when compiling, `int` and `uint` have 64 bits, strings are ordered by code point. What could
 * differ is refused. Nothing is compiled to JavaScript source, so that it runs where `eval` is forbidden.
 * @module
 */
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { NulRule } from "./bindings.ts";
import { evaluationError } from "./cel_error.ts";
import { typeName } from "./cel_type.ts";
import { checkExpression, type ColumnType } from "./checker.ts";
import { compileChecked } from "./compiler.ts";
import { parseExpression } from "./parser.ts";

export type { NulRule } from "./bindings.ts";

/** Types that columns may have in an expression. */
export type CelColumnType = ColumnType;

/**
 * What evaluating gives: by type, boolean for `bool`, number for `double`, number or bigint for `int` and `uint` (a
 * number whenever it is safe), string, Uint8Array for `bytes`, null, Array for lists and Map for maps. Timestamps and
 * durations are bigint, in nanoseconds. A type is its name. Bytes, lists and maps may be the row's own or those of the
 * expression, and must not be changed.
 */
export type CelValue = boolean | number | bigint | string | Uint8Array | null | CelValue[] | Map<CelValue, CelValue>;

/** How an expression reads its columns. */
export interface CelOptions {
  /**
   * What becomes of strings and bytes with a NUL: `cut` reads them up to there, as Python does, and finds what Python
   * wrote; `refuse` makes the evaluation fail, which is for writers; `keep` reads them whole.
   * @default {"cut"}
   */
  readonly nul?: NulRule;
}

/** A compiled expression. */
export interface CelExpression {
  /** Type of what it gives: `uint`, `string`, `list(int)`. */
  readonly type: string;
  /**
   * Evaluates the expression for one row.
   *
   * Columns are looked at when the expression needs them: what it does not read may be missing. An `int` or `uint`
   * takes safe whole numbers, bigint and booleans, a `double` takes numbers, bigint and booleans, a `string` takes
   * strings and Uint8Array of valid UTF-8, `bytes` takes Uint8Array, `bool` takes booleans.
   *
   * @throws {CelEvaluationError} when the row has no answer: a division by zero, an overflow, a column that is missing
   * or of another type.
   */
  evaluate(row: Readonly<Record<string, unknown>>): CelValue;
}

/**
 * A compiled expression without rows: whoever evaluates it puts values into `slots`, then calls `run`, again and again.
 *
 * Nothing is allocated per row. Slots are shared: `run` must have ended before the next row is put in.
 */
export interface CelProgram {
  /** Type of what it gives. */
  readonly type: string;
  /** The columns that the expression reads, each once; those it does not read have no slot. */
  readonly columns: readonly string[];
  /** The value of `columns[i]` belongs into `slots[i]`; undefined stands for a column that the row does not have. */
  readonly slots: unknown[];
  /** Evaluates the expression. @throws {CelEvaluationError} as {@linkcode CelExpression.evaluate}. */
  run(): CelValue;
}

const COLUMN_TYPES = new Set<string>(["int", "uint", "double", "bool", "string", "bytes"] satisfies ColumnType[]);

/** Names that mean types, which Python's engine declares itself. */
const RESERVED_COLUMNS = new Set("type int uint double bool string bytes list map dyn null_type".split(" "));

/**
 * Compiles an expression to a program with slots, for those who evaluate it for many rows.
 *
 * @throws {ConfigValidationError} as {@linkcode compileCel}.
 *
 * @example Slots are filled in the order of `columns`
 * ```ts
 * import { compileProgram } from "./compile_cel.ts";
 *
 * const program = compileProgram("key % 8", { key: "int", region: "string" });
 * program.slots[0] = 42;
 * if (program.columns.join() !== "key" || program.run() !== 2) throw new Error("unexpected result");
 * ```
 */
export function compileProgram(
  expr: string,
  columns: Readonly<Record<string, CelColumnType>>,
  options: CelOptions = {},
): CelProgram {
  if (typeof expr !== "string" || !expr.isWellFormed()) {
    throw new ConfigValidationError(
      `Cannot compile CEL expression as it must be a well-formed string: current value is ${shown(expr)}`,
      "expr",
    );
  }
  const checked = checkExpression(expr, parseExpression(expr), checkedColumns(columns));
  const { frame, run } = compileChecked(checked, expr, checkedNul(options.nul));
  return Object.freeze({
    type: typeName(checked.root.type),
    columns: Object.freeze(checked.columns.map((column) => column.name)),
    slots: frame.slots,
    run: (): CelValue => {
      frame.steps = 0;
      try {
        return run() as CelValue;
      } catch (thrown) {
        throw evaluationError(expr, thrown);
      }
    },
  });
}

/**
 * Compiles an expression of the Common Expression Language.
 *
 * `shard_hash(x)` is the XXH3-64 of an int, uint, string or bytes, as a `uint`: write `shard_hash(key) % 8u`.
 *
 * @param expr The expression, at most 100,000 characters.
 * @param columns Types of the columns that it may read: `int`, `uint`, `double`, `bool`, `string` or `bytes`.
 * @throws {ConfigValidationError} when it does not follow the grammar, types do not fit, or it needs what cannot be
 * evaluated as Python does, such as `dyn`, names of time zones, or regular expressions beyond the common ones. The
 * message names line, column and the piece.
 *
 * @example The shard of a row by two of its columns
 * ```ts
 * import { compileCel } from "./compile_cel.ts";
 *
 * const shard = compileCel('shard_hash(region + ":" + string(tier)) % 8u', { region: "string", tier: "int" });
 * if (shard.type !== "uint") throw new Error("unexpected type");
 * if (shard.evaluate({ region: "us", tier: 3 }) !== 1) throw new Error("unexpected shard");
 * ```
 */
export function compileCel(
  expr: string,
  columns: Readonly<Record<string, CelColumnType>>,
  options: CelOptions = {},
): CelExpression {
  const { type, columns: names, slots, run } = compileProgram(expr, columns, options);
  const fill = slotFiller(names, slots);
  return Object.freeze({
    type,
    evaluate: (row: Readonly<Record<string, unknown>>): CelValue => {
      fill(row);
      return run();
    },
  });
}

/** Puts the columns of a row into their slots. Engines are fastest where each column has a statement of its own. */
function slotFiller(names: readonly string[], slots: unknown[]): (row: Readonly<Record<string, unknown>>) => void {
  // Every object seems to have properties of such names; as a column one has to be the row's own.
  if (names.length > 3 || names.some((name) => name in Object.prototype)) {
    const isOwn = names.map((name) => name in Object.prototype);
    return (row) => {
      for (let i = 0; i < names.length; i++) {
        const name = names[i]!;
        slots[i] = isOwn[i] && !Object.hasOwn(row, name) ? undefined : row[name];
      }
    };
  }
  const [first, second, third] = names as [string, string, string];
  return (row) => {
    if (names.length > 0) slots[0] = row[first];
    if (names.length > 1) slots[1] = row[second];
    if (names.length > 2) slots[2] = row[third];
  };
}

function checkedColumns(columns: Readonly<Record<string, CelColumnType>>): Map<string, ColumnType> {
  if (typeof columns !== "object" || columns === null) throw columnError("columns", "an object", columns);
  const entries = Object.entries(columns);
  for (const [name, type] of entries) {
    if (!COLUMN_TYPES.has(type)) {
      throw columnError(`columns.${name}`, "one of int, uint, double, bool, string, bytes", type);
    }
    if (RESERVED_COLUMNS.has(name)) {
      throw new ConfigValidationError(
        `Cannot use column "${name}" in a CEL expression as the name means a type there: give it another name`,
        `columns.${name}`,
      );
    }
  }
  return new Map(entries);
}

function checkedNul(nul: unknown = "cut"): NulRule {
  if (nul === "cut" || nul === "refuse" || nul === "keep") return nul;
  throw columnError("nul", 'one of "cut", "refuse", "keep"', nul);
}

function columnError(path: string, expected: string, value: unknown): ConfigValidationError {
  return new ConfigValidationError(
    `Cannot use "${path}" of a CEL expression as it must be ${expected}: current value is ${shown(value)}`,
    path,
  );
}
