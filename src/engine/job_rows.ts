/**
 * What a job's columns say, row by row: keys, values, vectors, and what routing looks at. Errors name the column; the
 * row is named by who knows its number.
 * @module
 */
import type { Float32, Float64, RecordBatch, Schema, Vector } from "apache-arrow";
import type { JsonValue } from "../bytes/python_json.ts";
import { ConfigValidationError, ShardAssignmentError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { Key, KeyEncoding } from "../routing/key.ts";
import type { RoutingColumns } from "../routing/router.ts";
import type { VectorEntry, VectorId } from "../vector/vector_cell.ts";
import { jsonValue } from "../write/values.ts";
import type { Arrow } from "./arrow_input.ts";
import { columnReader, exactReader, OtherValue, type Read } from "./column_readers.ts";
import { type ColumnValue, columnValueOf, jsonRowOf } from "./column_values.ts";
import type { JobSpec } from "./job.ts";
import type { JobVector } from "./job_vector.ts";

/** One row: a place in a batch. */
export interface JobRow {
  readonly batch: JobBatch;
  readonly index: number;
}

/** What of a job says how rows are read. */
export type RowSpec = Pick<
  JobSpec,
  "keyColumn" | "keyEncoding" | "value" | "vector" | "sharding" | "shardIdColumn" | "shardCount"
>;

/** The columns that routing reads, but for the key. */
export function routingColumnsOf({ sharding, vector }: RowSpec): readonly string[] {
  const byVector = vector?.sharding ?? null;
  if (byVector !== null) return [byVector.strategy === "explicit" ? byVector.column : vector!.column];
  return sharding.strategy === "hash" ? [] : Object.keys(sharding.columns).filter((name) => name !== "key");
}

/**
 * Makes sure that what a stage reads is there, before it reads a row.
 *
 * @throws {ConfigValidationError} naming the column and those that there are.
 */
export function requireColumns(schema: Schema, names: readonly string[], inputName: string): void {
  const found = schema.fields.map(({ name }) => name);
  for (const name of names) {
    const count = found.filter((other) => other === name).length;
    if (count === 1) continue;
    const problem = count === 0 ? "Cannot find" : "Cannot tell which is meant of several columns called";
    throw new ConfigValidationError(
      `${problem} column "${name}" in ${inputName}: it has the columns ${found.slice(0, 20).join(", ")}`,
      "rows",
    );
  }
}

/** The columns that the build stage reads beside the shard's number, which may be there or not. */
export function builtColumnsOf(spec: JobSpec): readonly string[] {
  const { value, vector, keyColumn } = spec;
  const names = [keyColumn, ...namesIn(value)];
  if (vector !== null) {
    names.push(vector.column, ...vector.idColumn === null ? [] : [vector.idColumn], ...namesIn(vector.payload));
  }
  return [...new Set(names)];
}

/** What a job tells shims to send, beside the column of shards. */
export function sentColumnsOf(
  spec: JobSpec,
): { readonly route: readonly string[]; readonly build: readonly string[] | null } {
  const route = [...new Set([spec.keyColumn, ...routingColumnsOf(spec)])];
  // With one shard the build stage routes, as engines leave the route stage out.
  const isRouted = spec.verifyRouting || spec.shardCount === 1;
  const build = [...new Set([...builtColumnsOf(spec), ...isRouted ? routingColumnsOf(spec) : []])];
  return { route, build: spec.value === null && !spec.vector?.isOnly ? null : build };
}

function namesIn(choice: JobSpec["value"]): readonly string[] {
  if (choice === null) return [];
  return "column" in choice ? [choice.column] : choice.columns;
}

/** One record batch, read by the rules of a job. */
export class JobBatch {
  readonly rowCount: number;
  readonly #spec: RowSpec;
  readonly #columns: ReadonlyMap<string, Read>;
  readonly #key: Read;
  /** The column that is stored as it is; undefined: there is none. */
  readonly #stored: Read | undefined;
  /** Of lists of floats without a null among them; undefined for other columns. */
  readonly #numbers: ((index: number) => Float32Array | Float64Array | null) | undefined;
  readonly #render: (row: Readonly<Record<string, unknown>>) => string;
  readonly #valueNames: readonly string[];

  constructor(arrow: Arrow, batch: RecordBatch, spec: RowSpec) {
    const { value, shardIdColumn } = spec;
    this.#spec = spec;
    this.rowCount = batch.numRows;
    this.#columns = new Map(
      batch.schema.fields.map(({ name }, at) => [name, columnReader(arrow, { name, column: batch.getChildAt(at)! })]),
    );
    const exact = (name: string, textAsBytes: boolean): Read => {
      const column = batch.getChild(name);
      // Some stages need no key, and no value.
      return column === null ? () => null : exactReader(arrow, { name, column }, { textAsBytes });
    };
    // Expressions and searches see keys as what they are; all else goes by their bytes.
    const isHashed = spec.sharding.strategy === "hash" && spec.vector === null;
    this.#key = exact(spec.keyColumn, isHashed && (spec.keyEncoding === "utf8" || spec.keyEncoding === "raw"));
    this.#stored = value !== null && "column" in value ? exact(value.column, true) : undefined;
    this.#numbers = spec.vector === null ? undefined : floatsReader(arrow, batch, spec.vector.column);
    this.#valueNames = value === null
      ? [...this.#columns.keys()].filter((name) => name !== shardIdColumn)
      : "column" in value
      ? []
      : value.columns;
    this.#render = jsonValue(value !== null && "columns" in value ? value.columns : undefined);
  }

  /** @throws {ConfigValidationError} naming the column, for null, NaN and what the encoding does not take. */
  key(index: number): Key {
    const { keyColumn, keyEncoding } = this.#spec;
    return checkedKey(this.#key(index), keyColumn, keyEncoding);
  }

  /** @throws {ConfigValidationError} naming the column, for null, and NaN where values are JSON. */
  value(index: number): string | Uint8Array {
    const { value } = this.#spec;
    if (value !== null && "column" in value) return storedValue(this.#stored!(index), value.column);
    const row: Record<string, ColumnValue> = {};
    for (const name of this.#valueNames) row[name] = this.#plain(name, index);
    return this.#render(jsonRowOf(row));
  }

  /** Null where the column is null. @throws {ConfigValidationError} naming the column. */
  vector(index: number): VectorEntry | null {
    const { vector } = this.#spec;
    if (vector === null) return null;
    const numbers = this.#numbers?.(index) ?? this.#listedNumbers(vector.column, index);
    if (numbers === null) return null;
    return {
      vector: numbers,
      ...(vector.idColumn !== null && { id: this.#plain(vector.idColumn, index) as VectorId }),
      ...(vector.payload !== null && { payload: this.#payload(vector.payload, index) }),
    };
  }

  /** The vector, and nothing with it. @throws {ConfigValidationError} also where the column is null. */
  vectorOrRefuse(index: number): VectorEntry {
    const { column } = this.#spec.vector!;
    const vector = this.#numbers?.(index) ?? this.#listedNumbers(column, index);
    if (vector !== null) return { vector };
    throw new ConfigValidationError(
      `Cannot route a row by its vector as column "${column}" is null: leave rows without a vector out`,
      "vector",
    );
  }

  #listedNumbers(column: string, index: number): readonly number[] | null {
    const found = this.#plain(column, index);
    if (found === null) return null;
    if (!Array.isArray(found)) {
      throw new ConfigValidationError(
        `Cannot read a vector from column "${column}" as it must be a list of numbers: current value is ${
          shown(found)
        }`,
        "vector",
      );
    }
    return (found as readonly JsonValue[]).map((number) =>
      typeof number === "bigint" ? Number(number) : number as number
    );
  }

  #payload(payload: NonNullable<JobVector["payload"]>, index: number): JsonValue {
    if ("columns" in payload) {
      return jsonRowOf(Object.fromEntries(payload.columns.map((name) => [name, this.#plain(name, index)])));
    }
    return jsonRowOf({ payload: this.#plain(payload.column, index) })["payload"]!;
  }

  /** What routing looks at beside the key. */
  routingColumns(index: number): RoutingColumns {
    const columns: Record<string, unknown> = {};
    for (const name of routingColumnsOf(this.#spec)) columns[name] = this.#plain(name, index);
    return columns;
  }

  /** The shard that a column says. @throws {ShardAssignmentError} when it says none of the job's. */
  shardId(index: number, column: string): number {
    const { shardIdColumn, shardCount } = this.#spec;
    const found = this.#columns.get(column)!(index);
    const shardId = typeof found === "bigint" ? Number(found) : found;
    if (Number.isInteger(shardId) && (shardId as number) >= 0 && (shardId as number) < shardCount) {
      return shardId as number;
    }
    throw new ShardAssignmentError(
      `Cannot give a row to a shard as column "${column}" must be from 0 to ${shardCount - 1}: current value is ` +
        `${shownValue(found)}${column === shardIdColumn ? "; let the route stage write it" : ""}`,
    );
  }

  #plain(name: string, index: number): ColumnValue {
    return columnValueOf(this.#columns.get(name)!(index), () => `column "${name}"`);
  }
}

/** Reads vectors as arrays of numbers that lie in the batch, without making a number of each. */
function floatsReader(
  { DataType, Precision }: Arrow,
  batch: RecordBatch,
  name: string,
): ((index: number) => Float32Array | Float64Array | null) | undefined {
  const column = batch.getChild(name);
  if (column === null) return undefined;
  const { type } = column;
  if (!DataType.isList(type) && !DataType.isFixedSizeList(type)) return undefined;
  const item = type.children[0]!.type;
  if (!DataType.isFloat(item) || item.precision === Precision.HALF) return undefined;
  return (index) => {
    const list = column.get(index) as Vector<Float32 | Float64> | null;
    return list === null || list.nullCount > 0 ? null : list.toArray();
  };
}

const INTEGER_MAX = { u64be: 2n ** 63n - 1n, u32be: 2n ** 32n - 1n } as const;

function checkedKey(value: unknown, column: string, encoding: KeyEncoding): Key {
  if (encoding === "u64be" || encoding === "u32be") {
    if (typeof value === "number" ? isKeyNumber(value, encoding) : isKeyBigint(value, encoding)) {
      return value as number | bigint;
    }
    const max = encoding === "u64be" ? "2^63 - 1" : "2^32 - 1";
    throw wrongKey(value, column, `a whole number from 0 to ${max}, for encoding ${encoding}`);
  }
  if (typeof value === "string" && value.isWellFormed()) return value;
  if (value instanceof Uint8Array) return value;
  throw wrongKey(value, column, `text or bytes, for encoding ${encoding}`);
}

function isKeyNumber(value: number, encoding: "u64be" | "u32be"): boolean {
  return Number.isSafeInteger(value) && value >= 0 && (encoding === "u64be" || value <= 0xffff_ffff);
}

function isKeyBigint(value: unknown, encoding: "u64be" | "u32be"): boolean {
  return typeof value === "bigint" && value >= 0n && value <= INTEGER_MAX[encoding];
}

function wrongKey(value: unknown, column: string, expected: string): ConfigValidationError {
  const advice = value === null || value === undefined || Number.isNaN(value) ? "; leave such rows out" : "";
  return new ConfigValidationError(
    `Cannot use column "${column}" as a key as it must be ${expected}: current value is ${shownValue(value)}${advice}`,
    "key",
  );
}

function storedValue(value: unknown, column: string): string | Uint8Array {
  if (value instanceof Uint8Array || (typeof value === "string" && value.isWellFormed())) return value;
  throw new ConfigValidationError(
    `Cannot store column "${column}" as it must be bytes or text: current value is ${shownValue(value)}; leave rows ` +
      "without a value out, and give columns of other types as JSON",
    "value",
  );
}

function shownValue(value: unknown): string {
  if (value === undefined) return "null";
  if (value instanceof OtherValue) return `of type ${value.type}, which has to be cast before`;
  return typeof value === "bigint" ? String(value) : shown(value);
}
