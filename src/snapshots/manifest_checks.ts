/**
 * What a manifest must be like (WIRE_FORMATS 5 and 6): from rows as SQLite stores them to checked values.
 *
 * Readers and writers share these checks; each says by its own error what is wrong.
 * @module
 */
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";
import type { RoutingSpec } from "../routing/router.ts";
import type { SqlValue } from "../sqlite/record.ts";
import { isJsonObject, jsonObject, jsonOf, type Kind, readerOf, type Refuse, stamp, text } from "./checked_fields.ts";
import type { Manifest, ShardEntry } from "./manifest.ts";

export type { Refuse } from "./checked_fields.ts";

/** The one version of the manifest's format that there is. */
export const MANIFEST_FORMAT_VERSION = 4;

/** A row by the names of its columns; a column that the table lacks is undefined. */
export type ManifestRow = Readonly<Record<string, SqlValue | undefined>>;

/** A manifest without its shards: what the table `build_meta` says. */
export type ManifestHead = Omit<Manifest, "shards">;

const CEL_FIELDS = ["cel_expr", "cel_columns", "routing_values"];

const filledText: Kind<string> = ["text that is not empty", (value) => text[1](value) || undefined];
const count: Kind<number> = countFrom(0);
const key: Kind<bigint | string | null> = ["a whole number or a string", (value) => {
  const parsed = value === null ? null : jsonOf(value);
  return parsed === null ? null : wholeOrText(parsed);
}];
// Whether the types exist is found out when the expression is compiled.
const typeNames: Kind<Readonly<Record<string, string>>> = ["a non-empty object of type names", (value) => {
  const names = isJsonObject(value) ? Object.values(value) : [];
  const isRight = names.length > 0 && names.every((name) => typeof name === "string");
  return isRight ? value as Readonly<Record<string, string>> : undefined;
}];
const tokens: Kind<readonly (bigint | string)[]> = [
  "an array of different whole numbers, or of different strings",
  (value) => {
    const values = Array.isArray(value) ? (value as readonly JsonValue[]).map(wholeOrText) : [undefined];
    const isOneKind = values.every((item) => item !== undefined && typeof item === typeof values[0]);
    return isOneKind && new Set(values).size === values.length ? values as (bigint | string)[] : undefined;
  },
];

/**
 * Checks the row of `build_meta` and gives its content.
 *
 * @param refuse Called at the first thing that is wrong.
 */
export function headOf(row: ManifestRow, refuse: Refuse): ManifestHead {
  const column = readerOf(row, refuse, "");
  column("format_version", oneOf(MANIFEST_FORMAT_VERSION));
  const head: ManifestHead = {
    runId: column("run_id", text),
    createdAtMicros: column("created_at", stamp),
    shardCount: column("num_dbs", countFrom(1)),
    s3Prefix: column("s3_prefix", text),
    keyColumn: column("key_col", text),
    routing: routingOf(column("sharding", jsonObject), refuse),
    dbPathTemplate: column("db_path_template", text),
    shardPrefix: column("shard_prefix", text),
    keyEncoding: column("key_encoding", oneOf("u64be", "u32be", "utf8", "raw")),
    custom: column("custom", jsonObject),
  };
  const values = head.routing.strategy === "cel" ? head.routing.routingValues : null;
  if (values !== null && head.shardCount !== Math.max(1, values.length)) {
    refuse(`there must be one shard for each of ${values.length} routing values, not ${head.shardCount}`, "num_dbs");
  }
  return head;
}

/** Checks a row of `shards` and gives its content. */
export function shardOf(row: ManifestRow, refuse: Refuse): ShardEntry {
  const column = readerOf(row, refuse, "");
  return {
    shardId: column("db_id", count),
    dbUrl: column("db_url", orNull(text)),
    attempt: column("attempt", count),
    rowCount: column("row_count", count),
    dbBytes: column("db_bytes", count),
    minKey: column("min_key", key),
    maxKey: column("max_key", key),
    checkpointId: column("checkpoint_id", orNull(text)),
    writerInfo: column("writer_info", jsonObject),
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

function countFrom(least: number): Kind<number> {
  return [
    `a whole number from ${least} up`,
    (value) => typeof value === "number" && Number.isSafeInteger(value) && value >= least ? value : undefined,
  ];
}

function oneOf<const T extends string | number>(...options: readonly T[]): Kind<T> {
  return [options.join(" or "), (value) => options.find((option) => option === value)];
}

function orNull<T>([expected, read]: Kind<T>): Kind<T | null> {
  return [`${expected} or null`, (value) => value === null ? null : read(value)];
}

/** Reads the column `sharding`, which takes no fields beyond the five known ones. */
export function routingOf(sharding: JsonObject, refuse: Refuse): RoutingSpec {
  const { hash_algorithm: _algorithm, strategy: _strategy, ...cel } = sharding;
  const field = readerOf(sharding, refuse, "sharding.");
  field("hash_algorithm", oneOf("xxh3_64"));
  const isCel = field("strategy", oneOf("hash", "cel")) === "cel";
  for (const name in cel) {
    if (!CEL_FIELDS.includes(name)) refuse(`"sharding" has the unknown field "${name}"`, `sharding.${name}`);
    if (!isCel) field(name, ["null with hash sharding", (value) => value === null || undefined]);
  }
  if (!isCel) return { strategy: "hash" };
  return {
    strategy: "cel",
    expr: field("cel_expr", filledText),
    columns: field("cel_columns", typeNames),
    routingValues: cel["routing_values"] === undefined ? null : field("routing_values", orNull(tokens)),
  };
}

function wholeOrText(value: JsonValue | undefined): bigint | string | undefined {
  if (typeof value === "string" || typeof value === "bigint") return value;
  return typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : undefined;
}
