/**
 * The tables in which PostgreSQL keeps manifests, as the Python package has them (WIRE_FORMATS 20).
 *
 * ```text
 * <manifests>_builds   one row for each manifest, which is called by its run
 * <manifests>_shards   one row for each of its shards that has rows
 * <pointer>            one row for each move of the pointer: the newest one counts
 * ```
 *
 * Manifests of ours carry a digest, `postgres_xxh3_64` in the object `shardyfusion` of the column `custom`: made as
 * `manifest_xxh3_64` of manifests in objects, of the texts that the server gives for what it stores.
 * @module
 */
import { parseStamp } from "../bytes/timestamps.ts";
import { ObjectNotFoundError } from "../errors.ts";
import type { Manifest, ManifestRef } from "./manifest.ts";
import { headOf, MANIFEST_FORMAT_VERSION, type ManifestRow, shardOf, shardsOf } from "./manifest_checks.ts";
import { manifestDigest, NO_DIGEST, ownFields, withOwn } from "./manifest_digest.ts";
import type { CurrentPointer } from "./manifest_store.ts";
import { PREVIOUS_REFS_MAX } from "./pointer.ts";
import type { Query, TextRows } from "./postgres_connection.ts";
import { publicHead, refusalOf } from "./read_manifest.ts";
import { fieldsOfTenures, type Tenure } from "./tenures.ts";
import { manifestRows } from "./write_manifest.ts";

/** Names of the tables, with their schema or without. */
export interface TableNames {
  readonly builds: string;
  readonly shards: string;
  readonly pointer: string;
}

/** Version of the pointer while the newest manifest stands in for it. */
export const NO_MOVES = "newest manifest";
/** Name of the digest in the object `shardyfusion`. */
const POSTGRES_DIGEST = "postgres_xxh3_64";
/** So many moves are read at a time, to find the manifests that the pointer named before. */
const MOVES_PAGE = 64;
/** Rows of shards in one statement. */
const SHARDS_PAGE = 5_000;

/** Creates the tables that are missing. */
export async function createTables({ builds, shards, pointer }: TableNames, query: Query): Promise<void> {
  // Two at once would meet in the catalogue.
  await query("SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))::text", [`shardyfusion ${pointer}`]);
  await query(`CREATE TABLE IF NOT EXISTS ${builds} (
    run_id TEXT PRIMARY KEY, created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(), num_dbs INTEGER NOT NULL,
    s3_prefix TEXT NOT NULL, key_col TEXT NOT NULL DEFAULT '_key',
    db_path_template TEXT NOT NULL DEFAULT 'db={db_id:05d}', shard_prefix TEXT NOT NULL DEFAULT 'shards',
    key_encoding TEXT NOT NULL DEFAULT 'u64be', sharding JSONB NOT NULL, custom JSONB NOT NULL DEFAULT '{}')`);
  await query(`CREATE TABLE IF NOT EXISTS ${shards} (
    run_id TEXT NOT NULL REFERENCES ${builds}(run_id), db_id INTEGER NOT NULL,
    db_url TEXT, attempt INTEGER NOT NULL DEFAULT 0, row_count INTEGER NOT NULL DEFAULT 0,
    db_bytes BIGINT NOT NULL DEFAULT 0, checkpoint_id TEXT, min_key JSONB, max_key JSONB, writer_info JSONB,
    PRIMARY KEY (run_id, db_id))`);
  await query(`CREATE TABLE IF NOT EXISTS ${pointer} (
    updated_at TIMESTAMPTZ NOT NULL DEFAULT NOW(), manifest_ref TEXT NOT NULL)`);
  await query(
    `CREATE INDEX IF NOT EXISTS idx_${pointer.split(".").at(-1)}_updated_at ON ${pointer} (updated_at DESC)`,
  );
}

/** Whether all tables are there; asks for no right that readers lack. */
export async function hasTables({ builds, shards, pointer }: TableNames, query: Query): Promise<boolean> {
  const [row] = await query(
    "SELECT (to_regclass($1::text) IS NOT NULL AND to_regclass($2::text) IS NOT NULL AND " +
      "to_regclass($3::text) IS NOT NULL)::text",
    [builds, shards, pointer],
  );
  return row![0] === "true";
}

/** The pointer: the newest move, or, before the first one, the newest manifest. */
export async function readPointer({ builds, pointer }: TableNames, query: Query): Promise<CurrentPointer | null> {
  const moves = `SELECT manifest_ref, ${stampText("updated_at")} FROM ${pointer} ` +
    "ORDER BY updated_at DESC, manifest_ref DESC";
  let rows = await query(`${moves} LIMIT ${MOVES_PAGE}`);
  if (rows.length === 0) {
    const [newest] = refsOf(
      await query(
        `SELECT run_id, ${stampText("created_at")} FROM ${builds} ORDER BY created_at DESC, run_id LIMIT 1`,
      ),
    );
    return newest === undefined ? null : { ...newest, generation: null, previous: null, version: NO_MOVES };
  }
  let tenures = tenuresIn(rows);
  if (rows.length === MOVES_PAGE && tenures.length < PREVIOUS_REFS_MAX) {
    rows = await query(moves);
    tenures = tenuresIn(rows);
  }
  const [current] = refsOf(rows);
  return { ...current!, generation: null, ...fieldsOfTenures(tenures), version: rows[0]![1]! };
}

/** Moves the pointer, to a later time than any before; gives that time as text. */
export async function insertMove(
  { pointer }: TableNames,
  { ref, atStamp }: { ref: string; atStamp: string | null },
  query: Query,
): Promise<string> {
  const [row] = await query(
    `INSERT INTO ${pointer} (updated_at, manifest_ref)
     SELECT GREATEST(coalesce($2::text::timestamptz, clock_timestamp()), max(updated_at) + interval '1 microsecond'), $1
     FROM ${pointer} RETURNING ${stampText("updated_at")}`,
    [ref, atStamp],
  );
  return row![0]!;
}

/** Whether this very move was made. */
export async function hasMove(
  { pointer }: TableNames,
  { ref, stamp }: { ref: string; stamp: string },
  query: Query,
): Promise<boolean> {
  const found = await query(
    `SELECT manifest_ref FROM ${pointer} WHERE manifest_ref = $1::text AND updated_at = $2::text::timestamptz`,
    [ref, stamp],
  );
  return found.length > 0;
}

/** Whether there is a manifest of this ref. */
export async function hasManifest({ builds }: TableNames, ref: string, query: Query): Promise<boolean> {
  return (await query(`SELECT run_id FROM ${builds} WHERE run_id = $1::text`, [ref])).length > 0;
}

/** Manifests, newest first by the time when they were made; those of the same time ascending. */
export async function listManifests({ builds }: TableNames, limit: number, query: Query): Promise<ManifestRef[]> {
  const statement = `SELECT run_id, ${stampText("created_at")} FROM ${builds} ` +
    `ORDER BY created_at DESC, run_id COLLATE "C" LIMIT $1::text::bigint`;
  return refsOf(await query(statement, [String(limit)]));
}

/** Removes manifests with their shards. */
export async function deleteManifests(
  { builds, shards }: TableNames,
  refs: readonly string[],
  query: Query,
): Promise<void> {
  const among = "run_id IN (SELECT jsonb_array_elements_text($1::text::jsonb))";
  await query(`DELETE FROM ${shards} WHERE ${among}`, [JSON.stringify(refs)]);
  await query(`DELETE FROM ${builds} WHERE ${among}`, [JSON.stringify(refs)]);
}

/** Stores a manifest; false when there is one of this run already. */
export async function insertManifest(names: TableNames, manifest: Manifest, query: Query): Promise<boolean> {
  const isOurs = ownFields(manifest.custom) !== undefined;
  const custom = isOurs ? withOwn(manifest.custom, { [POSTGRES_DIGEST]: NO_DIGEST }) : manifest.custom;
  const { meta, shards } = manifestRows({ ...manifest, custom });
  const columns = Object.keys(meta).filter((name) => name !== "format_version");
  const inserted = await query(
    `INSERT INTO ${names.builds} (${columns.join(", ")})
     SELECT ${columns.join(", ")} FROM jsonb_populate_record(NULL::${names.builds}, $1::text::jsonb)
     ON CONFLICT (run_id) DO NOTHING RETURNING run_id`,
    [rowText(meta, ["sharding", "custom"])],
  );
  if (inserted.length === 0) return false;
  const shardColumns = ["run_id", ...Object.keys(shards[0] ?? {})];
  for (let start = 0; start < shards.length; start += SHARDS_PAGE) {
    const page = shards.slice(start, start + SHARDS_PAGE).map((row) =>
      rowText({ run_id: manifest.runId, ...row }, ["min_key", "max_key", "writer_info"])
    );
    await query(
      `INSERT INTO ${names.shards} (${shardColumns.join(", ")})
       SELECT ${shardColumns.join(", ")} FROM jsonb_populate_recordset(NULL::${names.shards}, $1::text::jsonb)`,
      [`[${page.join(",")}]`],
    );
  }
  if (isOurs) await sign(names, manifest.runId, query);
  return true;
}

/**
 * Reads a manifest and checks all of it.
 *
 * @param url Of the database, for errors.
 * @throws {ManifestParseError} @throws {ObjectNotFoundError}
 */
export async function selectManifest(
  names: TableNames,
  { ref, url }: { ref: string; url: string },
  query: Query,
): Promise<Manifest> {
  const rows = await selectRows(names, ref, query);
  if (rows === null) {
    throw new ObjectNotFoundError(`Cannot find the manifest "${ref}" in the table "${names.builds}"`, {
      url: `${url}/${ref}`,
      status: 404,
    });
  }
  const refuse = refusalOf(ref);
  const head = headOf(rows.meta, refuse);
  const shards = shardsOf(rows.shards, { shardCount: head.shardCount, readRow: shardOf }, refuse);
  const recorded = ownFields(head.custom)?.[POSTGRES_DIGEST];
  if (recorded === undefined) return { ...publicHead(head), shards };
  if (recorded !== manifestDigest(rows.meta, rows.shards, recorded)) {
    refuse("its content does not have the digest that it states", "custom");
  }
  const { custom, ...others } = publicHead(head);
  return { ...others, custom: withOwn(custom, { [POSTGRES_DIGEST]: undefined }), shards };
}

/** Puts the digest in: of what the server stores, as it writes JSON in a way of its own. */
async function sign(names: TableNames, runId: string, query: Query): Promise<void> {
  const { meta, shards } = (await selectRows(names, runId, query))!;
  await query(
    `UPDATE ${names.builds} SET custom = jsonb_set(custom, '{shardyfusion,${POSTGRES_DIGEST}}', to_jsonb($2::text))
     WHERE run_id = $1::text`,
    [runId, manifestDigest(meta, shards, NO_DIGEST)],
  );
}

/** All of a manifest by one statement, so that it is of one moment. */
async function selectRows(
  { builds, shards }: TableNames,
  ref: string,
  query: Query,
): Promise<{ meta: ManifestRow; shards: ManifestRow[] } | null> {
  const [row] = await query(
    `SELECT json_build_object(
       'run_id', run_id, 'created_at', ${stampText("created_at")}, 'num_dbs', num_dbs, 's3_prefix', s3_prefix,
       'key_col', key_col, 'sharding', sharding::text, 'db_path_template', db_path_template,
       'shard_prefix', shard_prefix, 'key_encoding', key_encoding, 'custom', custom::text)::text,
     (SELECT json_agg(json_build_object(
       'db_id', db_id, 'db_url', db_url, 'attempt', attempt, 'row_count', row_count, 'db_bytes', db_bytes,
       'min_key', min_key::text, 'max_key', max_key::text, 'checkpoint_id', checkpoint_id,
       'writer_info', coalesce(writer_info::text, '{}')) ORDER BY db_id)::text
      FROM ${shards} WHERE ${shards}.run_id = $1::text)
     FROM ${builds} WHERE run_id = $1::text`,
    [ref],
  );
  if (row === undefined) return null;
  const meta = JSON.parse(row[0]!) as ManifestRow;
  return { meta: { ...meta, "format_version": MANIFEST_FORMAT_VERSION }, shards: JSON.parse(row[1] ?? "[]") };
}

/** A row as a text of JSON, in which some columns are such texts already. */
function rowText(row: ManifestRow, jsonColumns: readonly string[]): string {
  const fields = Object.entries(row).map(([name, value]) => {
    const text = jsonColumns.includes(name) && value !== null ? String(value) : JSON.stringify(value);
    return `${JSON.stringify(name)}:${text}`;
  });
  return `{${fields.join(",")}}`;
}

function stampText(column: string): string {
  return `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

function refsOf(rows: TextRows): ManifestRef[] {
  return rows.map(([ref, stamp]) => ({ ref: ref!, runId: ref!, publishedAtMicros: parseStamp(stamp!)! }));
}

/** What was current before, newest first, each once, and until when. */
function tenuresIn(moves: TextRows): Tenure[] {
  const refs = refsOf(moves);
  const tenures = new Map<string, Tenure>();
  for (const [index, { ref }] of refs.entries()) {
    if (index === 0 || ref === refs[0]!.ref || tenures.has(ref)) continue;
    tenures.set(ref, { ref, untilMicros: refs[index - 1]!.publishedAtMicros });
  }
  return [...tenures.values()];
}

/** The same content, however the JSON in it is written. */
export function isSameContent(one: Manifest, other: Manifest): boolean {
  const text = (manifest: Manifest): string => {
    const { meta, shards } = manifestRows(manifest);
    return JSON.stringify([meta, shards]);
  };
  return text(one) === text(other);
}
