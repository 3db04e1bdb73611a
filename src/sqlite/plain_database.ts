/**
 * Opens the databases that snapshots consist of: manifests and shards, whose tables are defined in plain words.
 * @module
 */
import type { KeyValueTable } from "./key_value_table.ts";
import type { PageSource } from "./page_source.ts";
import { parsePlainTable } from "./plain_definition.ts";
import { RowidRows } from "./rowid_rows.ts";
import { keyValueTableOf, readSchema, rowidTreeOf } from "./schema.ts";

/** An open database: the part of `Database` that readers of snapshots need. */
export interface PlainDatabase {
  /** An ordinary table. @throws {CorruptFileError} when there is no such table, or it has no row ids. */
  rowidTable(name: string): RowidRows;
  /** A table of blob keys `k` and values `v`. @throws {CorruptFileError} when there is no such table. */
  keyValueTable(name: string): KeyValueTable;
}

/**
 * As `openDatabase`, but for databases with tables in plain words only, and with half its code.
 *
 * @throws {CorruptFileError} as `openDatabase`; a table whose statement has more than bare words is refused when it is
 * asked for.
 */
export async function openPlainDatabase(source: PageSource, signal?: AbortSignal): Promise<PlainDatabase> {
  const schema = await readSchema(source, parsePlainTable, signal);
  return {
    rowidTable: (name) => new RowidRows(rowidTreeOf(schema, name)),
    keyValueTable: (name) => keyValueTableOf(schema, name),
  };
}
