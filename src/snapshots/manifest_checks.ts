/**
 * What a manifest must be like (WIRE_FORMATS 5 and 6): from rows as SQLite stores them to a checked `Manifest`.
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

/** Throws; `problem` completes the sentence "Cannot … as …", `path` names the column or the JSON field. */
export type Refuse = (problem: string, path: string) => never;

const KEY_ENCODINGS: readonly string[] = ["u64be", "u32be", "utf8", "raw"] satisfies KeyEncoding[];
const HASH_ALGORITHM = "xxh3_64";
const SHARDING_FIELDS = ["cel_columns", "cel_expr", "hash_algorithm", "routing_values", "strategy"];

/**
 * Checks the rows of a manifest and gives their content.
 *
 * @param meta The one row of `build_meta`.
 * @param shardRows The rows of `shards`, in any order.
 * @param refuse Called at the first thing that is wrong.
 */
export function manifestOf(meta: ManifestRow, shardRows: readonly ManifestRow[], refuse: Refuse): Manifest {
  const routing = routingOf(jsonColumn(meta, "sharding", refuse), refuse);
  const custom = jsonObjectColumn(meta, "custom", refuse);
  const shards = shardRows.map((row) => shardOf(row, refuse)).sort((one, other) => one.shardId - other.shardId);
  const createdAt = textColumn(meta, "created_at", refuse);
  const keyEncoding = textColumn(meta, "key_encoding", refuse);
  const manifest: Manifest = {
    runId: textColumn(meta, "run_id", refuse),
    createdAtMicros: parseStamp(createdAt) ?? refuse(mustBe("created_at", "a date-time", createdAt), "created_at"),
    shardCount: countColumn(meta, ["num_dbs", 1], refuse),
    s3Prefix: textColumn(meta, "s3_prefix", refuse),
    keyColumn: textColumn(meta, "key_col", refuse),
    routing,
    dbPathTemplate: textColumn(meta, "db_path_template", refuse),
    shardPrefix: textColumn(meta, "shard_prefix", refuse),
    keyEncoding: isKeyEncoding(keyEncoding)
      ? keyEncoding
      : refuse(mustBe("key_encoding", KEY_ENCODINGS.join(", "), keyEncoding), "key_encoding"),
    custom,
    shards,
  };
  const version = countColumn(meta, ["format_version", 0], refuse);
  if (version !== MANIFEST_FORMAT_VERSION) {
    refuse(mustBe("format_version", String(MANIFEST_FORMAT_VERSION), version), "format_version");
  }
  checkShardIds(manifest, refuse);
  checkRoutingCount(manifest, refuse);
  return manifest;
}

function isKeyEncoding(name: string): name is KeyEncoding {
  return KEY_ENCODINGS.includes(name);
}

function shardOf(row: ManifestRow, refuse: Refuse): ShardEntry {
  return {
    shardId: countColumn(row, ["db_id", 0], refuse),
    dbUrl: textOrNullColumn(row, "db_url", refuse),
    attempt: countColumn(row, ["attempt", 0], refuse),
    rowCount: countColumn(row, ["row_count", 0], refuse),
    dbBytes: countColumn(row, ["db_bytes", 0], refuse),
    minKey: keyColumn(row, "min_key", refuse),
    maxKey: keyColumn(row, "max_key", refuse),
    checkpointId: textOrNullColumn(row, "checkpoint_id", refuse),
    writerInfo: jsonObjectColumn(row, "writer_info", refuse),
  };
}

function checkShardIds({ shards, shardCount }: Manifest, refuse: Refuse): void {
  if (shards.length > shardCount) {
    refuse(`there are ${shards.length} rows of shards but only ${shardCount} shards`, "num_dbs");
  }
  shards.forEach(({ shardId }, index) => {
    if (shardId === shards[index - 1]?.shardId) refuse(`shard ${shardId} has two rows`, "db_id");
    if (shardId >= shardCount) refuse(`shard ${shardId} is none of the ${shardCount} shards`, "db_id");
  });
}

function checkRoutingCount({ routing, shardCount }: Manifest, refuse: Refuse): void {
  const values = routing.strategy === "cel" ? routing.routingValues : null;
  if (values === null || shardCount === Math.max(1, values.length)) return;
  refuse(`there must be one shard for each of the ${values.length} routing values, not ${shardCount}`, "num_dbs");
}

/** Reads the column `sharding`, which takes no fields beyond the five known ones. */
function routingOf(value: JsonValue, refuse: Refuse): RoutingSpec {
  if (!isObject(value)) return refuse(mustBe("sharding", "a JSON object", value), "sharding");
  const unknown = Object.keys(value).find((name) => !SHARDING_FIELDS.includes(name));
  if (unknown !== undefined) refuse(`"sharding" has the unknown field "${unknown}"`, `sharding.${unknown}`);
  const { strategy } = value;
  const algorithm = value["hash_algorithm"];
  if (algorithm !== HASH_ALGORITHM) {
    refuse(mustBe("sharding.hash_algorithm", `"${HASH_ALGORITHM}"`, algorithm), "sharding.hash_algorithm");
  }
  if (strategy === "hash") {
    for (const name of ["cel_expr", "cel_columns", "routing_values"]) {
      if ((value[name] ?? null) !== null) {
        refuse(mustBe(`sharding.${name}`, "null with hash sharding", value[name]), "sharding");
      }
    }
    return { strategy };
  }
  if (strategy !== "cel") refuse(mustBe("sharding.strategy", '"hash" or "cel"', strategy), "sharding.strategy");
  const expr = value["cel_expr"];
  if (typeof expr !== "string" || expr === "") {
    return refuse(mustBe("sharding.cel_expr", "a non-empty string", expr), "sharding.cel_expr");
  }
  return {
    strategy: "cel",
    expr,
    columns: celColumnsOf(value["cel_columns"], refuse),
    routingValues: routingValuesOf(value["routing_values"] ?? null, refuse),
  };
}

/** Names and types of columns. Whether the types exist is found out when the expression is compiled. */
function celColumnsOf(value: JsonValue | undefined, refuse: Refuse): Readonly<Record<string, string>> {
  const isTypes = isObject(value) && Object.values(value).every((type) => typeof type === "string");
  if (isTypes && Object.keys(value).length > 0) return value as Record<string, string>;
  return refuse(mustBe("sharding.cel_columns", "a non-empty object of type names", value), "sharding.cel_columns");
}

function routingValuesOf(value: JsonValue, refuse: Refuse): readonly (bigint | string)[] | null {
  const path = "sharding.routing_values";
  if (value === null) return null;
  if (!Array.isArray(value)) return refuse(mustBe(path, "null or an array", value), path);
  const values = (value as readonly JsonValue[]).map((item) =>
    wholeOrText(item) ?? refuse(mustBe(path, "whole numbers or strings", item), path)
  );
  if (new Set(values.map((item) => typeof item)).size > 1) refuse(`"${path}" mixes numbers and strings`, path);
  if (new Set(values).size < values.length) refuse(`"${path}" has a value twice`, path);
  return values;
}

function keyColumn(row: ManifestRow, name: string, refuse: Refuse): bigint | string | null {
  if (row[name] === null) return null;
  const value = jsonColumn(row, name, refuse);
  if (value === null) return null;
  return wholeOrText(value) ?? refuse(mustBe(name, "a whole number or a string", value), name);
}

function wholeOrText(value: JsonValue): bigint | string | null {
  if (typeof value === "string" || typeof value === "bigint") return value;
  return typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : null;
}

function jsonObjectColumn(row: ManifestRow, name: string, refuse: Refuse): JsonObject {
  const value = jsonColumn(row, name, refuse);
  return isObject(value) ? value : refuse(mustBe(name, "a JSON object", value), name);
}

function jsonColumn(row: ManifestRow, name: string, refuse: Refuse): JsonValue {
  const text = textColumn(row, name, refuse);
  try {
    return parseJson(text);
  } catch {
    return refuse(mustBe(name, "JSON", text), name);
  }
}

function textOrNullColumn(row: ManifestRow, name: string, refuse: Refuse): string | null {
  return row[name] === null ? null : textColumn(row, name, refuse);
}

function textColumn(row: ManifestRow, name: string, refuse: Refuse): string {
  const value = row[name];
  return typeof value === "string" ? value : refuse(mustBe(name, "text", value), name);
}

function countColumn(row: ManifestRow, [name, least]: readonly [string, number], refuse: Refuse): number {
  const value = row[name];
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least) return value;
  return refuse(mustBe(name, `a whole number from ${least} up`, value), name);
}

function mustBe(name: string, expected: string, value: unknown): string {
  const state = value === undefined ? "it is missing" : `current value is ${shown(value)}`;
  return `"${name}" must be ${expected}: ${state}`;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
