/**
 * What a manifest must be like (WIRE_FORMATS 5 and 6): from rows as SQLite stores them to checked values.
 *
 * Readers and writers share these checks; each says by its own error what is wrong.
 * @module
 */
import { type JsonObject, type JsonValue, parseJson } from "../bytes/python_json.ts";
import { parseStamp } from "../bytes/timestamps.ts";
import { shown } from "../option_fields.ts";
import type { KeyEncoding } from "../routing/key.ts";
import type { RoutingSpec } from "../routing/router.ts";
import type { SqlValue } from "../sqlite/record.ts";
import type { Manifest, ShardEntry } from "./manifest.ts";

/** The one version of the manifest's format that there is. */
export const MANIFEST_FORMAT_VERSION = 4;

/** A row by the names of its columns; a column that the table lacks is undefined. */
export type ManifestRow = Readonly<Record<string, SqlValue | undefined>>;

/** A manifest without its shards: what the table `build_meta` says. */
export type ManifestHead = Omit<Manifest, "shards">;

/** Throws; `problem` completes the sentence "Cannot … as …", `path` names the column or the JSON field. */
export type Refuse = (problem: string, path: string) => never;

const KEY_ENCODINGS: readonly string[] = ["u64be", "u32be", "utf8", "raw"] satisfies KeyEncoding[];
const SHARDING_FIELDS = ["cel_columns", "cel_expr", "hash_algorithm", "routing_values", "strategy"];

/**
 * Checks the row of `build_meta` and gives its content.
 *
 * @param refuse Called at the first thing that is wrong.
 */
export function headOf(row: ManifestRow, refuse: Refuse): ManifestHead {
  const columns = new Columns(row, refuse);
  const routing = routingOf(columns.json("sharding"), columns);
  const custom = columns.object("custom");
  const createdAt = columns.text("created_at");
  const head: ManifestHead = {
    runId: columns.text("run_id"),
    createdAtMicros: parseStamp(createdAt) ?? columns.wrong("created_at", "a date-time", createdAt),
    shardCount: columns.count("num_dbs", 1),
    s3Prefix: columns.text("s3_prefix"),
    keyColumn: columns.text("key_col"),
    routing,
    dbPathTemplate: columns.text("db_path_template"),
    shardPrefix: columns.text("shard_prefix"),
    keyEncoding: keyEncodingOf(columns),
    custom,
  };
  const version = columns.count("format_version", 0);
  if (version !== MANIFEST_FORMAT_VERSION) columns.wrong("format_version", String(MANIFEST_FORMAT_VERSION), version);
  const values = routing.strategy === "cel" ? routing.routingValues : null;
  if (values !== null && head.shardCount !== Math.max(1, values.length)) {
    refuse(
      `there must be one shard for each of the ${values.length} routing values, not ${head.shardCount}`,
      "num_dbs",
    );
  }
  return head;
}

/** Checks a row of `shards` and gives its content. */
export function shardOf(row: ManifestRow, refuse: Refuse): ShardEntry {
  const columns = new Columns(row, refuse);
  return {
    shardId: columns.count("db_id", 0),
    dbUrl: columns.textOrNull("db_url"),
    attempt: columns.count("attempt", 0),
    rowCount: columns.count("row_count", 0),
    dbBytes: columns.count("db_bytes", 0),
    minKey: columns.key("min_key"),
    maxKey: columns.key("max_key"),
    checkpointId: columns.textOrNull("checkpoint_id"),
    writerInfo: columns.object("writer_info"),
  };
}

/**
 * Checks the rows of `shards`, which may come in any order, and what they are together.
 *
 * @param readRow Gives the content of a row: {@linkcode shardOf}, or what checks more than it does.
 */
export function shardsOf(
  rows: readonly ManifestRow[],
  { shardCount, readRow }: { readonly shardCount: number; readonly readRow: typeof shardOf },
  refuse: Refuse,
): ShardEntry[] {
  if (rows.length > shardCount) {
    refuse(`there are ${rows.length} rows of shards but only ${shardCount} shards`, "num_dbs");
  }
  const shards = rows.map((row) => readRow(row, refuse)).sort((one, other) => one.shardId - other.shardId);
  shards.forEach(({ shardId }, index) => {
    if (shardId === shards[index - 1]?.shardId) refuse(`shard ${shardId} has two rows`, "db_id");
    if (shardId >= shardCount) refuse(`shard ${shardId} is none of the ${shardCount} shards`, "db_id");
  });
  return shards;
}

/** Whether a value of JSON is an object. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The columns of a row, checked as they are asked for. */
class Columns {
  readonly #row: ManifestRow;
  readonly refuse: Refuse;

  constructor(row: ManifestRow, refuse: Refuse) {
    this.#row = row;
    this.refuse = refuse;
  }

  wrong(name: string, expected: string, value: unknown): never {
    const state = value === undefined ? "it is missing" : `current value is ${shown(value)}`;
    this.refuse(`"${name}" must be ${expected}: ${state}`, name);
  }

  text(name: string): string {
    const value = this.#row[name];
    return typeof value === "string" ? value : this.wrong(name, "text", value);
  }

  textOrNull(name: string): string | null {
    return this.#row[name] === null ? null : this.text(name);
  }

  count(name: string, least: number): number {
    const value = this.#row[name];
    if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
    return this.wrong(name, `a whole number from ${least} up`, value);
  }

  json(name: string): JsonValue {
    const text = this.text(name);
    try {
      return parseJson(text);
    } catch {
      return this.wrong(name, "JSON", text);
    }
  }

  object(name: string): JsonObject {
    const value = this.json(name);
    return isJsonObject(value) ? value : this.wrong(name, "a JSON object", value);
  }

  key(name: string): bigint | string | null {
    const value = this.#row[name] === null ? null : this.json(name);
    return value === null ? null : wholeOrText(value) ?? this.wrong(name, "a whole number or a string", value);
  }
}

function keyEncodingOf(columns: Columns): KeyEncoding {
  const name = columns.text("key_encoding");
  return KEY_ENCODINGS.includes(name)
    ? name as KeyEncoding
    : columns.wrong("key_encoding", KEY_ENCODINGS.join(", "), name);
}

/** Reads the column `sharding`, which takes no fields beyond the five known ones. */
function routingOf(value: JsonValue, columns: Columns): RoutingSpec {
  const wrong = (name: string, expected: string): never =>
    columns.wrong(`sharding.${name}`, expected, (value as JsonObject)[name]);
  if (!isJsonObject(value)) return columns.wrong("sharding", "a JSON object", value);
  const unknown = Object.keys(value).find((name) => !SHARDING_FIELDS.includes(name));
  if (unknown !== undefined) columns.refuse(`"sharding" has the unknown field "${unknown}"`, `sharding.${unknown}`);
  const { strategy, cel_expr: expr, cel_columns: types, routing_values: values = null } = value;
  if (value["hash_algorithm"] !== "xxh3_64") wrong("hash_algorithm", '"xxh3_64"');
  if (strategy === "hash") {
    const extra = ["cel_expr", "cel_columns", "routing_values"].find((name) => (value[name] ?? null) !== null);
    return extra === undefined ? { strategy } : wrong(extra, "null with hash sharding");
  }
  if (strategy !== "cel") wrong("strategy", '"hash" or "cel"');
  if (typeof expr !== "string" || expr === "") return wrong("cel_expr", "a non-empty string");
  // Whether the types exist is found out when the expression is compiled.
  const isTypes = isJsonObject(types) && Object.values(types).every((type) => typeof type === "string");
  if (!isTypes || Object.keys(types).length === 0) return wrong("cel_columns", "a non-empty object of type names");
  const routingValues = values === null ? null : routingValuesOf(values);
  if (routingValues === undefined) {
    return wrong("routing_values", "null or an array of different whole numbers, or of different strings");
  }
  return { strategy: "cel", expr, columns: types as Readonly<Record<string, string>>, routingValues };
}

/** Undefined when they are wrong. */
function routingValuesOf(value: JsonValue): readonly (bigint | string)[] | undefined {
  const values = Array.isArray(value) ? (value as readonly JsonValue[]).map(wholeOrText) : [null];
  const isOneKind = values.every((item) => item !== null && typeof item === typeof values[0]);
  return isOneKind && new Set(values).size === values.length ? values as (bigint | string)[] : undefined;
}

function wholeOrText(value: JsonValue): bigint | string | null {
  if (typeof value === "string" || typeof value === "bigint") return value;
  return typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : null;
}
