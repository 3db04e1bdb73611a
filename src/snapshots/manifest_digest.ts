/**
 * The digest that a manifest of ours carries of itself, `shardyfusion.manifest_xxh3_64` in its column `custom`.
 *
 * It covers the values of all columns, not the bytes of the file: what a wrong byte may change unnoticed otherwise is
 * the number of shards, a row that is missing, or a digest of a shard. Manifests of the Python package have none.
 * @module
 */
import { createDigest } from "../bytes/fast_digest.ts";
import { dumpJson, type JsonObject, type JsonValue, parseJson } from "../bytes/python_json.ts";
import type { ManifestRow } from "./manifest_checks.ts";

const OWN = "shardyfusion";
const DIGEST = "manifest_xxh3_64";

/** What is covered; another version may add columns. */
const META_COLUMNS = [
  "run_id",
  "created_at",
  "num_dbs",
  "s3_prefix",
  "key_col",
  "sharding",
  "db_path_template",
  "shard_prefix",
  "format_version",
  "key_encoding",
];
const SHARD_COLUMNS = [
  "db_id",
  "db_url",
  "attempt",
  "row_count",
  "db_bytes",
  "min_key",
  "max_key",
  "checkpoint_id",
  "writer_info",
];

/** The rows of a manifest that was checked. */
export interface ManifestRows {
  readonly meta: ManifestRow;
  /** Ascending by `db_id`. */
  readonly shards: readonly ManifestRow[];
}

/** The value of `custom` with the digest of the rows in it; as it is where the manifest is not one of ours. */
export async function withDigest(custom: JsonObject, rows: ManifestRows): Promise<JsonObject> {
  const own = custom[OWN];
  if (!isObject(own)) return custom;
  return { ...custom, [OWN]: { ...own, [DIGEST]: await digestOf(rows) } };
}

/** The value of `custom` as it was before {@linkcode withDigest}. */
export function withoutDigest(custom: JsonObject): JsonObject {
  const own = custom[OWN];
  if (!isObject(own) || own[DIGEST] === undefined) return custom;
  const { [DIGEST]: _, ...others } = own;
  return { ...custom, [OWN]: others };
}

/** Whether the rows are those that the digest was made from, or carry none. */
export async function hasOwnDigest(custom: JsonObject, rows: ManifestRows): Promise<boolean> {
  const own = custom[OWN];
  const recorded = isObject(own) ? own[DIGEST] : undefined;
  return recorded === undefined || recorded === await digestOf(rows);
}

/** XXH3-64 of JSON: `custom` without the digest itself, the other columns of the snapshot, those of each shard. */
async function digestOf({ meta, shards }: ManifestRows): Promise<string> {
  const custom = parseJson(String(meta["custom"])) as JsonObject;
  const values = [withoutDigest(custom), pick(meta, META_COLUMNS), ...shards.map((row) => pick(row, SHARD_COLUMNS))];
  const digest = await createDigest();
  digest.update(new TextEncoder().encode(dumpJson(values)));
  return digest.hex();
}

function pick(row: ManifestRow, columns: readonly string[]): JsonValue {
  return columns.map((name) => row[name] as JsonValue);
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
