/**
 * The digests that a manifest of ours carries of itself.
 *
 * What a wrong byte may change unnoticed otherwise is the number of shards, a row that is missing, or a digest of a
 * shard. Manifests are ours when their column `custom` has the object `shardyfusion`; there stands
 *
 * ```text
 * manifest_xxh3_64   XXH3-64 of lines: the row of build_meta, then each row of shards ascending
 * manifest_rows      only in large manifests, whose readers want single rows. The digest covers build_meta alone then,
 *                    and each row of shards has its own: row_xxh3_64, in the object shardyfusion of its writer_info
 *   full_shards      how many rows there are
 *   row_count        their sum
 *   db_bytes         their sum
 *   empty_shards     which shards have no row: numbers, or hex digits, whose digit i stands for the shards 4i to
 *                    4i + 3, the lowest bit for the first. Absent where each shard has a row
 * ```
 *
 * A line is a JSON array without blanks, of the values of the columns in the order of the table, ended by `\n`; that
 * of a single row begins with the run id. In place of the digest itself stand zeros. Further columns are not covered.
 * Manifests of the Python package carry no digests.
 * @module
 */
import type { JsonObject, JsonValue } from "../bytes/python_json.ts";
import { xxh3Hex } from "../bytes/xxh3.ts";
import type { ShardEntry } from "./manifest.ts";
import { isJsonObject, type Refuse } from "./checked_fields.ts";
import { type ManifestHead, type ManifestRow, shardOf } from "./manifest_checks.ts";

/** Names in the object `shardyfusion`. */
export const MANIFEST_DIGEST = "manifest_xxh3_64";
/** @see MANIFEST_DIGEST */
export const MANIFEST_ROWS = "manifest_rows";
/** @see MANIFEST_DIGEST */
export const ROW_DIGEST = "row_xxh3_64";
/** Manifests with more rows let readers check single rows: nobody should have to read megabytes for one key. */
export const WHOLE_SHARDS_MAX = 10_000;
/** What stands in place of a digest while it is made. */
export const NO_DIGEST = "0000000000000000";

const OWN = "shardyfusion";
const META_COLUMNS = ("run_id created_at num_dbs s3_prefix key_col sharding db_path_template shard_prefix " +
  "format_version key_encoding custom").split(" ");
const SHARD_COLUMNS = "db_id db_url attempt row_count db_bytes min_key max_key checkpoint_id writer_info".split(" ");

/** What a large manifest says of its rows. */
export interface RowsRecord {
  readonly fullShards: number;
  readonly rowCount: number;
  readonly dbBytes: number;
  /** Whether a shard has no row because it is empty; if it has none and is not empty, it was lost. */
  isEmpty(shardId: number): boolean;
}

/** What stands for us in `custom` or in a `writer_info`. */
export function ownFields(column: JsonObject): JsonObject | undefined {
  const own = column[OWN];
  return isJsonObject(own) ? own : undefined;
}

/** The value of `custom` or of a `writer_info` with other fields of ours; those that are undefined are left out. */
export function withOwn(column: JsonObject, fields: Readonly<Record<string, JsonValue | undefined>>): JsonObject {
  const own: Record<string, JsonValue | undefined> = { ...ownFields(column), ...fields };
  for (const name in fields) if (own[name] === undefined) delete own[name];
  return { ...column, [OWN]: own as JsonObject };
}

/** `manifest_xxh3_64` of rows that have `recorded` in its place. */
export function manifestDigest(meta: ManifestRow, shards: readonly ManifestRow[], recorded: JsonValue): string {
  return digestOf([
    lineOf([], { ...meta, custom: zeroed(meta["custom"], recorded) }, META_COLUMNS),
    ...shards.map((row) => lineOf([], row, SHARD_COLUMNS)),
  ]);
}

/** `row_xxh3_64` of a row that has `recorded` in its place. */
export function rowDigest(runId: string, row: ManifestRow, recorded: JsonValue): string {
  return digestOf([lineOf([runId], { ...row, "writer_info": zeroed(row["writer_info"], recorded) }, SHARD_COLUMNS)]);
}

/** What a large manifest says of its rows; null where one digest covers all. */
export function rowsRecordOf({ custom }: ManifestHead): RowsRecord | null {
  const record = ownFields(custom)?.[MANIFEST_ROWS];
  if (!isJsonObject(record)) return null;
  const { full_shards: fullShards, row_count: rowCount, db_bytes: dbBytes, empty_shards: empty } = record;
  const listed = new Set(Array.isArray(empty) ? empty : []);
  return {
    fullShards: fullShards as number,
    rowCount: rowCount as number,
    dbBytes: dbBytes as number,
    isEmpty: (shardId) =>
      typeof empty === "string" ? (parseInt(empty[shardId >> 2]!, 16) >> (shardId & 3)) % 2 === 1 : listed.has(shardId),
  };
}

/**
 * Checks the digest of a manifest of ours; those of others pass.
 *
 * @param rows All rows, checked; those of `shards` need not be given where {@linkcode rowsRecordOf} says something.
 */
export function checkManifestDigest(
  { meta, shards }: { readonly meta: ManifestRow; readonly shards: readonly ManifestRow[] },
  head: ManifestHead,
  refuse: Refuse,
): void {
  const own = ownFields(head.custom);
  const recorded = own?.[MANIFEST_DIGEST] ?? null;
  const covered = rowsRecordOf(head) === null ? shards : [];
  if (own === undefined || recorded === manifestDigest(meta, covered, recorded)) return;
  refuse("its content does not have the digest that it states", "custom");
}

/** The content of a row that carries its own digest, without it. */
export function intactShard(runId: string, row: ManifestRow, refuse: Refuse): ShardEntry {
  const shard = shardOf(row, refuse);
  const recorded = ownFields(shard.writerInfo)?.[ROW_DIGEST] ?? null;
  if (recorded !== rowDigest(runId, row, recorded)) {
    refuse(`the row of shard ${shard.shardId} does not have the digest that it states`, "writer_info");
  }
  return { ...shard, writerInfo: withOwn(shard.writerInfo, { [ROW_DIGEST]: undefined }) };
}

function zeroed(column: ManifestRow[string], recorded: JsonValue): string {
  return String(column).replace(String(recorded), NO_DIGEST);
}

function lineOf(first: readonly string[], row: ManifestRow, columns: readonly string[]): string {
  return `${JSON.stringify([...first, ...columns.map((name) => row[name])])}\n`;
}

function digestOf(lines: readonly string[]): string {
  return xxh3Hex(new TextEncoder().encode(lines.join("")));
}
