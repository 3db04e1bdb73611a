/**
 * Renders manifests: SQLite databases of two tables (WIRE_FORMATS 3), as `read_manifest.ts` reads them.
 *
 * JSON columns have the form of Python's `json.dumps(sort_keys=True)`. Manifests whose `custom` has the object
 * `shardyfusion` are ours, and carry a digest of themselves there, which is added on writing and taken out on reading.
 * @module
 */
import { dumpJson, type JsonObject } from "../bytes/python_json.ts";
import { jsonStamp } from "../bytes/timestamps.ts";
import { ConfigValidationError } from "../errors.ts";
import { shown } from "../option_fields.ts";
import type { RoutingSpec } from "../routing/router.ts";
import { writeDatabase } from "../sqlite/database_writer.ts";
import type { SqlValue } from "../sqlite/record.ts";
import { checkRunId } from "./layout.ts";
import type { Manifest, ShardEntry } from "./manifest.ts";
import { headOf, MANIFEST_FORMAT_VERSION, shardOf, shardsOf } from "./manifest_checks.ts";
import {
  MANIFEST_DIGEST,
  MANIFEST_ROWS,
  manifestDigest,
  NO_DIGEST,
  ownFields,
  ROW_DIGEST,
  rowDigest,
  WHOLE_SHARDS_MAX,
  withOwn,
} from "./manifest_digest.ts";

/** As many empty shards are listed; where there are more, each shard takes a bit. */
const EMPTY_LIST_MAX = 1000;
/** Empty shards of more are not recorded, and the manifest has to be read whole. */
const BITMAP_SHARDS_MAX = 1 << 22;

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
 * Renders a manifest: the same content gives the same bytes.
 *
 * @throws {ConfigValidationError} when readers would refuse the manifest, a shard has no URL, shards are not ascending,
 * or `custom` or a `writerInfo` holds what JSON cannot.
 */
export async function writeManifest(manifest: Manifest): Promise<Uint8Array<ArrayBuffer>> {
  const { meta, shards } = checkedRows(manifest, signedRows);
  return await writeDatabase([
    { name: "build_meta", sql: BUILD_META_SQL, rows: [{ rowid: 1, values: Object.values(meta) }] },
    {
      name: "shards",
      sql: SHARDS_SQL,
      // The row id is the value of its alias `db_id`, whose place in the record stays empty.
      rows: shards.map(({ db_id, ...others }) => ({ rowid: db_id, values: [null, ...Object.values(others)] })),
    },
  ]) as Uint8Array<ArrayBuffer>;
}

/**
 * The rows of a manifest as other databases may hold them, without digests.
 *
 * @throws {ConfigValidationError} as {@linkcode writeManifest}.
 */
export function manifestRows(manifest: Manifest): ManifestRows {
  return checkedRows(manifest, plainRows);
}

/** The rows of a manifest, columns in the order of the tables. */
export interface ManifestRows {
  readonly meta: MetaRow;
  readonly shards: readonly ShardRow[];
}

function checkedRows(manifest: Manifest, render: (manifest: Manifest) => ManifestRows): ManifestRows {
  checkForWriting(manifest);
  const { meta, shards } = render(manifest);
  headOf(meta, refuseToWrite);
  shardsOf(shards, { shardCount: manifest.shardCount, readRow: shardOf }, refuseToWrite);
  for (const row of [meta, ...shards]) checkTexts(row);
  return { meta, shards };
}

function plainRows(manifest: Manifest): ManifestRows {
  return { meta: buildMetaRow(manifest), shards: manifest.shards.map(shardRow) };
}

type MetaRow = Readonly<Record<string, SqlValue>>;
type ShardRow = MetaRow & { readonly db_id: number };

/** The rows with their digests, where the manifest is one of ours. */
function signedRows(manifest: Manifest): ManifestRows {
  if (ownFields(manifest.custom) === undefined) return plainRows(manifest);
  const record = rowsRecord(manifest);
  const shards = manifest.shards.map((shard) =>
    record === null ? shardRow(shard) : signed(
      (digest) => shardRow({ ...shard, writerInfo: withOwn(shard.writerInfo, { [ROW_DIGEST]: digest }) }),
      (row) => rowDigest(manifest.runId, row, NO_DIGEST),
    )
  );
  const meta = signed(
    (digest) => {
      const fields = { [MANIFEST_DIGEST]: digest, [MANIFEST_ROWS]: record ?? undefined };
      return buildMetaRow({ ...manifest, custom: withOwn(manifest.custom, fields) });
    },
    (row) => manifestDigest(row, record === null ? shards : [], NO_DIGEST),
  );
  return { meta, shards };
}

/** Renders a row without its digest, then with it. */
function signed<R>(render: (digest: string) => R, digestOf: (row: R) => string): R {
  return render(digestOf(render(NO_DIGEST)));
}

/** What a large manifest says of its rows; null for others. */
function rowsRecord({ shards, shardCount }: Manifest): JsonObject | null {
  if (shards.length <= WHOLE_SHARDS_MAX || shards.some(({ writerInfo }) => !ownFields(writerInfo))) return null;
  const emptyCount = shardCount - shards.length;
  if (emptyCount > EMPTY_LIST_MAX && shardCount > BITMAP_SHARDS_MAX) return null;
  return {
    "full_shards": shards.length,
    "row_count": shards.reduce((sum, { rowCount }) => sum + rowCount, 0),
    "db_bytes": shards.reduce((sum, { dbBytes }) => sum + dbBytes, 0),
    ...(emptyCount > 0 ? { "empty_shards": emptyShards(shards, shardCount) } : {}),
  };
}

function emptyShards(shards: readonly ShardEntry[], shardCount: number): JsonObject[string] {
  const full = new Set(shards.map(({ shardId }) => shardId));
  if (shardCount - full.size <= EMPTY_LIST_MAX) {
    return Array.from({ length: shardCount }, (_, shardId) => shardId).filter((shardId) => !full.has(shardId));
  }
  const bit = (shardId: number): number => shardId < shardCount && !full.has(shardId) ? 1 : 0;
  return Array.from({ length: Math.ceil(shardCount / 4) }, (_, digit) => {
    const first = 4 * digit;
    return (bit(first) + 2 * bit(first + 1) + 4 * bit(first + 2) + 8 * bit(first + 3)).toString(16);
  }).join("");
}

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
function shardRow(shard: ShardEntry): ShardRow {
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

/** The column `sharding` as JSON. */
export function shardingFields(routing: RoutingSpec): JsonObject {
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
