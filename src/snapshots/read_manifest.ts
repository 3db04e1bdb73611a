/**
 * Reads manifests: SQLite databases of two tables (WIRE_FORMATS 3).
 *
 * ```text
 * build_meta   one row: what the snapshot is and how it is sharded
 * shards       one row per shard that has rows, ascending by db_id
 * ```
 *
 * Columns are found by name, so that tables may have more of them. `sharding`, `custom`, `min_key`, `max_key` and
 * `writer_info` hold JSON.
 * @module
 */
import { CorruptFileError, ManifestParseError } from "../errors.ts";
import { memoryPages } from "../sqlite/page_source.ts";
import { openPlainDatabase, type PlainDatabase } from "../sqlite/plain_database.ts";
import type { RowidRow } from "../sqlite/rowid_rows.ts";
import type { Manifest } from "./manifest.ts";
import { headOf, type ManifestHead, type ManifestRow, type Refuse, shardOf, shardsOf } from "./manifest_checks.ts";
import {
  checkManifestDigest,
  intactShard,
  MANIFEST_DIGEST,
  MANIFEST_ROWS,
  ownFields,
  rowsRecordOf,
  withOwn,
} from "./manifest_digest.ts";

/**
 * Reads a manifest and checks all of it. Extra columns and unknown names in JSON columns are let through.
 *
 * @param ref URL of the manifest, for errors.
 * @throws {ManifestParseError} when it is no manifest, is damaged, or contradicts itself.
 */
export async function readManifest(bytes: Uint8Array, ref: string): Promise<Manifest> {
  const refuse = refusalOf(ref);
  if (!isSqlite(bytes)) refuse("it must be a SQLite database", "");
  const rows = await readTables(bytes, ref);
  const head = headOf(rows.meta, refuse);
  const record = rowsRecordOf(head);
  const readRow = record === null ? shardOf : (row: ManifestRow) => intactShard(head.runId, row, refuse);
  const shards = shardsOf(rows.shards, { shardCount: head.shardCount, readRow }, refuse);
  checkManifestDigest(rows, head, refuse);
  if (
    record !== null && (shards.length !== record.fullShards || shards.some(({ shardId }) => record.isEmpty(shardId)))
  ) {
    refuse("rows of its shards are missing", "shards");
  }
  return { ...publicHead(head), shards };
}

/** A function that throws what is wrong with a manifest. */
export function refusalOf(ref: string): Refuse {
  return (problem) => {
    throw new ManifestParseError(`Cannot read the manifest "${ref}" as ${problem}`, ref);
  };
}

/** The head without what only {@linkcode checkManifestDigest} needs. */
export function publicHead(head: ManifestHead): ManifestHead {
  if (ownFields(head.custom) === undefined) return head;
  return { ...head, custom: withOwn(head.custom, { [MANIFEST_DIGEST]: undefined, [MANIFEST_ROWS]: undefined }) };
}

/** A row of a table by the names of its columns in lower case. */
export function manifestRow(columns: readonly string[], { values }: Pick<RowidRow, "values">): ManifestRow {
  return Object.fromEntries(columns.map((name, index) => [name.toLowerCase(), values[index]]));
}

/** The row of `build_meta`. @throws {CorruptFileError} */
export async function readMeta(database: PlainDatabase, signal?: AbortSignal): Promise<ManifestRow> {
  const table = database.rowidTable("build_meta");
  for await (const [row] of table.rows({ signal })) return manifestRow(table.columns, row!);
  throw new CorruptFileError('Cannot read the table "build_meta" as it must have a row', -1);
}

/** The error for tables that cannot be read. */
export function tablesError(ref: string, cause: unknown): ManifestParseError {
  const reason = cause instanceof Error ? `: ${cause.message}` : "";
  return new ManifestParseError(`Cannot read the tables of the manifest "${ref}"${reason}`, ref, { cause });
}

function isSqlite(bytes: Uint8Array): boolean {
  return new TextDecoder().decode(bytes.subarray(0, 16)) === "SQLite format 3\0";
}

async function readTables(bytes: Uint8Array, ref: string): Promise<{ meta: ManifestRow; shards: ManifestRow[] }> {
  try {
    const database = await openPlainDatabase(memoryPages(bytes));
    return { meta: await readMeta(database), shards: await readRows(database, "shards") };
  } catch (cause) {
    throw tablesError(ref, cause);
  }
}

async function readRows(database: PlainDatabase, tableName: string): Promise<ManifestRow[]> {
  const table = database.rowidTable(tableName);
  const result: ManifestRow[] = [];
  for await (const rows of table.rows()) {
    for (const row of rows) result.push(manifestRow(table.columns, row));
  }
  return result;
}
