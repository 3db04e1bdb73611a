/**
 * Finds the tables of a database: what both openings of databases share.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { type IndexBuilderOf, KeyValueTable } from "./key_value_table.ts";
import type { PageSource } from "./page_source.ts";
import { RowidRows, type RowidTree } from "./rowid_rows.ts";
import { isSameName, type TableDefinition } from "./table_definition.ts";
import { type TreeShape, treeShapeOf } from "./tree_shape.ts";

/** A row of `sqlite_schema`. */
export interface SchemaEntry {
  readonly type: "table" | "index" | "view" | "trigger";
  readonly name: string;
  /** The table that an index or a trigger belongs to; else the name again. */
  readonly tblName: string;
  /** Where the b-tree begins; 0 for views, triggers and virtual tables. */
  readonly rootPage: number;
  /** The statement that made it; null for indexes that SQLite made by itself. */
  readonly sql: string | null;
}

/** Names of the two columns of a key-value table, and how it is looked up. */
export interface KeyValueTableOptions {
  /** @default {"k"} */
  readonly key?: string;
  /** @default {"v"} */
  readonly value?: string;
  /**
   * Give `keyIndexBuilder` to have many lookups in memory answered by a hash table, which they themselves build.
   * Without it every lookup searches the tree.
   */
  readonly indexed?: IndexBuilderOf | undefined;
}

/** What a file consists of. */
export interface Schema {
  readonly shape: TreeShape;
  readonly entries: readonly SchemaEntry[];
  /** Understands the statements. */
  readonly parse: (sql: string) => TableDefinition | undefined;
}

const SCHEMA_TABLE: TableDefinition = { columns: [], isWithoutRowid: false, primaryKey: [], rowidColumn: -1 };

/** Reads the file header and the schema. @throws {CorruptFileError} */
export async function readSchema(source: PageSource, parse: Schema["parse"], signal?: AbortSignal): Promise<Schema> {
  signal?.throwIfAborted();
  const shape = treeShapeOf(source, source.peek(1) ?? await source.load(1, signal));
  const entries: SchemaEntry[] = [];
  for await (const rows of new RowidRows({ shape, rootPage: 1, definition: SCHEMA_TABLE }).rows({ signal })) {
    for (const { values } of rows) entries.push(schemaEntry(values));
  }
  return { shape, entries, parse };
}

function schemaEntry([type, name, tblName, rootPage, sql]: readonly unknown[]): SchemaEntry {
  const texts = [type, name, tblName, sql ?? ""];
  if (texts.some((text) => typeof text !== "string") || typeof (rootPage ?? 0) !== "number") {
    throw new CorruptFileError("Cannot read a row of the schema as its columns must be of the right types", -1);
  }
  return { type, name, tblName, rootPage: rootPage ?? 0, sql: sql ?? null } as SchemaEntry;
}

/** The table of a name, whatever its case; undefined when there is none. */
export function findTable({ entries }: Schema, name: string): SchemaEntry | undefined {
  return entries.find((entry) => entry.type === "table" && isSameName(entry.name, name));
}

/** Where an ordinary table is. @throws {CorruptFileError} when there is no such table, or it has no row ids. */
export function rowidTreeOf(schema: Schema, name: string): RowidTree {
  const { rootPage, definition } = tableToRead(schema, name);
  if (definition.isWithoutRowid) throw unfitTable(name, "it must have row ids");
  return { shape: schema.shape, rootPage, definition };
}

/**
 * A WITHOUT ROWID table whose primary key is one blob column.
 *
 * @throws {CorruptFileError} when there is no such table, or it has not these columns.
 */
export function keyValueTableOf(schema: Schema, name: string, options: KeyValueTableOptions = {}): KeyValueTable {
  const { rootPage, definition } = tableToRead(schema, name);
  const { key = "k", value = "v", indexed } = options;
  const { columns, isWithoutRowid, primaryKey } = definition;
  // Records begin with the primary key, whatever the order of the columns in the statement.
  const others = columns.filter((column) => !isSameName(column.name, key));
  const valueColumn = 1 + others.findIndex((column) => isSameName(column.name, value));
  if (!isWithoutRowid || primaryKey.length !== 1 || !isSameName(primaryKey[0]!, key) || valueColumn === 0) {
    throw unfitTable(name, `it must be WITHOUT ROWID with primary key "${key}" and a column "${value}"`);
  }
  return new KeyValueTable({ shape: schema.shape, rootPage, valueColumn }, indexed);
}

function tableToRead(schema: Schema, name: string): { rootPage: number; definition: TableDefinition } {
  const { rootPage, sql } = findTable(schema, name) ?? { rootPage: 0, sql: null };
  const definition = sql === null ? undefined : schema.parse(sql);
  if (definition === undefined) throw unfitTable(name, "the database has none of that name that can be read");
  const { pageCount } = schema.shape;
  if (!Number.isInteger(rootPage) || rootPage < 2 || rootPage > pageCount) {
    throw unfitTable(name, `its root page must be from 2 to ${pageCount}: current value is ${rootPage}`);
  }
  return { rootPage, definition };
}

function unfitTable(name: string, problem: string): CorruptFileError {
  return new CorruptFileError(`Cannot read table "${name}" as ${problem}`, -1);
}
