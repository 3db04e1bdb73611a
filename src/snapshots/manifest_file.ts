/**
 * The manifest as a file: a SQLite database of two tables (WIRE_FORMATS 3).
 *
 * ```text
 * build_meta   one row: what the snapshot is and how it is sharded
 * shards       one row per shard that has rows, ascending by db_id
 * ```
 *
 * Columns are found by name, so that tables may have more of them. `sharding`, `custom`, `min_key`, `max_key` and
 * `writer_info` hold JSON in the form of Python's `json.dumps(sort_keys=True)`. Manifests whose `custom` has the object
 * `shardyfusion` are ours, and carry a digest of themselves there, which is added on writing and taken out on reading.
 * @module
 */
import { dumpJson, type JsonObject } from "../bytes/python_json.ts";
import { jsonStamp } from "../bytes/timestamps.ts";
import { ConfigValidationError, ManifestParseError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { RoutingSpec } from "../routing/router.ts";
import { type Database, openDatabase } from "../sqlite/database_reader.ts";
import { writeDatabase } from "../sqlite/database_writer.ts";
import { memoryPages } from "../sqlite/page_source.ts";
import type { SqlValue } from "../sqlite/record.ts";
import { checkRunId } from "./layout.ts";
import type { Manifest, ShardEntry } from "./manifest.ts";
import { MANIFEST_FORMAT_VERSION, manifestOf, type ManifestRow } from "./manifest_checks.ts";
import { hasOwnDigest, withDigest, withoutDigest } from "./manifest_digest.ts";

const MAGIC = new TextEncoder().encode("SQLite format 3\0");

/** As the Python package has it, blank by blank: other readers may compare. */
const BUILD_META_SQL = `CREATE TABLE build_meta (
    run_id           TEXT    NOT NULL,
    created_at       TEXT    NOT NULL,
    num_dbs          INTEGER NOT NULL,
    s3_prefix        TEXT    NOT NULL,
    key_col          TEXT    NOT NULL,
    sharding         TEXT    NOT NULL,
    db_path_template TEXT    NOT NULL,
    shard_prefix     TEXT    NOT NULL,
    format_version   INTEGER NOT NULL,
    key_encoding     TEXT    NOT NULL,
    custom           TEXT    NOT NULL DEFAULT '{}'
)`;
const SHARDS_SQL = `CREATE TABLE shards (
    db_id         INTEGER NOT NULL PRIMARY KEY,
    db_url        TEXT,
    attempt       INTEGER NOT NULL,
    row_count     INTEGER NOT NULL,
    db_bytes      INTEGER NOT NULL,
    min_key       TEXT,
    max_key       TEXT,
    checkpoint_id TEXT,
    writer_info   TEXT    NOT NULL DEFAULT '{}'
)`;

/**
 * Reads a manifest and checks all of it. Extra columns and unknown names in JSON columns are let through.
 *
 * @param ref URL of the manifest, for errors.
 * @throws {ManifestParseError} when it is no manifest, is damaged, or contradicts itself.
 */
export async function readManifest(bytes: Uint8Array, ref: string): Promise<Manifest> {
  if (!MAGIC.every((byte, index) => bytes[index] === byte)) {
    throw new ManifestParseError(`Cannot read the manifest "${ref}" as it must be a SQLite database`, ref);
  }
  const rows = await readTables(bytes, ref);
  const manifest = manifestOf(rows.meta, rows.shards, refuse);
  if (!await hasOwnDigest(manifest.custom, rows)) refuse("its content does not have the digest that it states");
  return { ...manifest, custom: withoutDigest(manifest.custom) };

  function refuse(problem: string): never {
    throw new ManifestParseError(`Cannot read the manifest "${ref}" as ${problem}`, ref);
  }
}

async function readTables(bytes: Uint8Array, ref: string): Promise<{ meta: ManifestRow; shards: ManifestRow[] }> {
  let meta: ManifestRow | undefined;
  let shards: ManifestRow[];
  try {
    const database = await openDatabase(memoryPages(bytes));
    [meta] = await readRows(database, "build_meta");
    shards = await readRows(database, "shards");
  } catch (cause) {
    const reason = cause instanceof Error ? `: ${cause.message}` : "";
    throw new ManifestParseError(`Cannot read the tables of the manifest "${ref}"${reason}`, ref, { cause });
  }
  if (meta !== undefined) return { meta, shards };
  throw new ManifestParseError(`Cannot read the manifest "${ref}" as its table "build_meta" has no row`, ref);
}

async function readRows(database: Database, tableName: string): Promise<ManifestRow[]> {
  const table = database.rowidTable(tableName);
  const columns = table.columns.map((name) => name.toLowerCase());
  const result: ManifestRow[] = [];
  for await (const rows of table.rows()) {
    for (const { values } of rows) {
      result.push(Object.fromEntries(columns.map((name, index) => [name, values[index]])));
    }
  }
  return result;
}

/**
 * Renders a manifest: the same content gives the same bytes.
 *
 * @throws {ConfigValidationError} when readers would refuse the manifest, a shard has no URL, shards are not ascending,
 * or `custom` or a `writerInfo` holds what JSON cannot.
 */
export async function writeManifest(manifest: Manifest): Promise<Uint8Array<ArrayBuffer>> {
  checkForWriting(manifest);
  const meta = buildMetaRow(manifest);
  const shards = manifest.shards.map(shardRow);
  manifestOf(meta, shards, refuseToWrite);
  for (const row of [meta, ...shards]) checkTexts(row);
  // Replaced in place: the order of the names is that of the columns.
  const signed = { ...meta, custom: dumpJson(await withDigest(manifest.custom, { meta, shards })) };
  return await writeDatabase([
    { name: "build_meta", sql: BUILD_META_SQL, rows: [{ rowid: 1, values: Object.values(signed) }] },
    {
      name: "shards",
      sql: SHARDS_SQL,
      // The row id is the value of its alias `db_id`, whose place in the record stays empty.
      rows: shards.map(({ db_id, ...others }) => ({ rowid: db_id, values: [null, ...Object.values(others)] })),
    },
  ]) as Uint8Array<ArrayBuffer>;
}

type MetaRow = Readonly<Record<string, SqlValue>>;

/** Columns in the order of the table: they become the record by position. */
function buildMetaRow(manifest: Manifest): MetaRow {
  return {
    "run_id": manifest.runId,
    "created_at": jsonStamp(manifest.createdAtMicros),
    "num_dbs": manifest.shardCount,
    "s3_prefix": manifest.s3Prefix,
    "key_col": manifest.keyColumn,
    "sharding": dumpJson(shardingFields(manifest.routing), { path: "sharding" }),
    "db_path_template": manifest.dbPathTemplate,
    "shard_prefix": manifest.shardPrefix,
    "format_version": MANIFEST_FORMAT_VERSION,
    "key_encoding": manifest.keyEncoding,
    "custom": dumpJson(manifest.custom, { path: "custom" }),
  };
}

/** Columns in the order of the table. */
function shardRow(shard: ShardEntry): MetaRow & { readonly db_id: number } {
  return {
    "db_id": shard.shardId,
    "db_url": shard.dbUrl,
    "attempt": shard.attempt,
    "row_count": shard.rowCount,
    "db_bytes": shard.dbBytes,
    "min_key": shard.minKey === null ? null : dumpJson(shard.minKey),
    "max_key": shard.maxKey === null ? null : dumpJson(shard.maxKey),
    "checkpoint_id": shard.checkpointId,
    "writer_info": dumpJson(shard.writerInfo, { path: "writerInfo" }),
  };
}

function shardingFields(routing: RoutingSpec): JsonObject {
  const isCel = routing.strategy === "cel";
  return {
    "cel_columns": isCel ? routing.columns : null,
    "cel_expr": isCel ? routing.expr : null,
    "hash_algorithm": "xxh3_64",
    "routing_values": isCel ? routing.routingValues : null,
    "strategy": routing.strategy,
  };
}

/** What readers tolerate and writers must not write. */
function checkForWriting({ runId, createdAtMicros, shards }: Manifest): void {
  checkRunId(runId);
  if (!Number.isSafeInteger(createdAtMicros)) {
    refuseToWrite(`"createdAtMicros" must be a safe integer: current value is ${shown(createdAtMicros)}`, "created_at");
  }
  shards.forEach(({ shardId, dbUrl }, index) => {
    if (index > 0 && shardId <= shards[index - 1]!.shardId) {
      refuseToWrite(`shard ${shardId} must not follow shard ${shards[index - 1]!.shardId}`, "db_id");
    }
    if (dbUrl === null) refuseToWrite(`shard ${shardId} must have a URL, or no row at all`, "db_url");
  });
}

function checkTexts(row: MetaRow): void {
  for (const [name, value] of Object.entries(row)) {
    if (typeof value !== "string" || value.isWellFormed()) continue;
    refuseToWrite(`"${name}" must be text without lone surrogates: current value is ${shown(value)}`, name);
  }
}

function refuseToWrite(problem: string, path: string): never {
  throw new ConfigValidationError(`Cannot write a manifest as ${problem}`, path);
}
