/**
 * Opens a SQLite database for reading and finds its tables. No SQL, no native library, no I/O of its own.
 * @module
 */
import { CorruptFileError } from "../errors.ts";
import { isSameName, parseCreateTable, type TableDefinition } from "./create_table.ts";
import { parseFileHeader } from "./file_header.ts";
import { type IndexBuilderOf, KeyValueTable } from "./key_value_table.ts";
import type { PageSource } from "./page_source.ts";
import { RowidTable } from "./rowid_table.ts";
import { type TreeShape, treeShape } from "./tree_shape.ts";

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

const SCHEMA_TABLE: TableDefinition = {
  columns: ["type", "name", "tbl_name", "rootpage", "sql"].map((name) => ({ name, defaultValue: null })),
  isWithoutRowid: false,
  primaryKey: [],
  rowidColumn: -1,
};

/** An open database. Holds nothing but its schema; the source is the caller's to close. */
export class Database {
  readonly #shape: TreeShape;
  readonly #schema: readonly SchemaEntry[];

  constructor(shape: TreeShape, schema: readonly SchemaEntry[]) {
    this.#shape = shape;
    this.#schema = schema;
  }

  /** Length of each page. */
  get pageSizeBytes(): number {
    return this.#shape.pageSizeBytes;
  }

  /** Pages that belong to the database. */
  get pageCount(): number {
    return this.#shape.pageCount;
  }

  /** What the database consists of, in the order of `sqlite_schema`. */
  schema(): readonly SchemaEntry[] {
    return this.#schema;
  }

  /** The table of a name, whatever its case; undefined when there is none. */
  table(name: string): SchemaEntry | undefined {
    return this.#schema.find((entry) => entry.type === "table" && isSameName(entry.name, name));
  }

  /**
   * An ordinary table.
   *
   * @throws {CorruptFileError} when there is no such table, or it has no row ids.
   */
  rowidTable(name: string): RowidTable {
    const { rootPage, definition } = this.#tableToRead(name);
    if (definition.isWithoutRowid) {
      throw unfitTable(name, "it must have row ids");
    }
    return new RowidTable(this.#shape, rootPage, definition);
  }

  /**
   * A WITHOUT ROWID table whose primary key is one blob column.
   *
   * @throws {CorruptFileError} when there is no such table, or it has not these columns.
   */
  keyValueTable(name: string = "kv", options: KeyValueTableOptions = {}): KeyValueTable {
    const { rootPage, definition } = this.#tableToRead(name);
    const { key = "k", value = "v", indexed } = options;
    const { primaryKey } = definition;
    const isKey = definition.isWithoutRowid && primaryKey.length === 1 && isSameName(primaryKey[0]!, key);
    // Records begin with the primary key, whatever the order of the columns in the statement.
    const others = definition.columns.filter((column) => !isSameName(column.name, key));
    const valueIndex = others.findIndex((column) => isSameName(column.name, value));
    if (!isKey || valueIndex < 0) {
      throw unfitTable(name, `it must be WITHOUT ROWID with primary key "${key}" and a column "${value}"`);
    }
    return new KeyValueTable({ shape: this.#shape, rootPage, valueColumn: valueIndex + 1 }, indexed);
  }

  #tableToRead(name: string): { rootPage: number; definition: TableDefinition } {
    const entry = this.table(name);
    const definition = entry?.sql ? parseCreateTable(entry.sql) : undefined;
    if (entry === undefined || definition === undefined) {
      throw unfitTable(name, "the database has no table of that name");
    }
    const { rootPage } = entry;
    if (!Number.isInteger(rootPage) || rootPage < 2 || rootPage > this.#shape.pageCount) {
      throw unfitTable(name, `its root page must be from 2 to ${this.#shape.pageCount}: current value is ${rootPage}`);
    }
    return { rootPage, definition };
  }
}

/**
 * Opens a database: reads the file header and the schema, which is page 1 for all but large schemas.
 *
 * @throws {CorruptFileError} when the file is no SQLite database, holds text as UTF-16, or its schema is damaged.
 *
 * @example Look up a key in a file that lies in memory
 * ```ts
 * import { memoryPages } from "./page_source.ts";
 * import { openDatabase } from "./database_reader.ts";
 *
 * async function look(file: Uint8Array, key: Uint8Array): Promise<Uint8Array | null> {
 *   const database = await openDatabase(memoryPages(file));
 *   return await database.keyValueTable("kv").get(key);
 * }
 * if (typeof look !== "function") throw new Error("unreachable");
 * ```
 */
export async function openDatabase(source: PageSource, signal?: AbortSignal): Promise<Database> {
  signal?.throwIfAborted();
  const first = source.peek(1) ?? await source.load(1, signal);
  const header = parseFileHeader(first, source.pageCount * source.pageSizeBytes);
  const shape = treeShape(source, header);
  const schema: SchemaEntry[] = [];
  const options = signal === undefined ? {} : { signal };
  for await (const rows of new RowidTable(shape, 1, SCHEMA_TABLE).rows(options)) {
    for (const row of rows) schema.push(schemaEntry(row.values));
  }
  return new Database(shape, schema);
}

function schemaEntry(values: readonly unknown[]): SchemaEntry {
  const [type, name, tblName, rootPage, sql] = values;
  const isType = /^(?:table|index|view|trigger)$/.test(String(type));
  const isText = typeof name === "string" && typeof tblName === "string" && (sql === null || typeof sql === "string");
  if (!isType || !isText || (typeof rootPage !== "number" && rootPage !== null)) {
    throw new CorruptFileError("Cannot read a row of the schema as its columns must be of the right types", -1);
  }
  return { type: type as SchemaEntry["type"], name, tblName, rootPage: rootPage ?? 0, sql };
}

function unfitTable(name: string, problem: string): CorruptFileError {
  return new CorruptFileError(`Cannot read table "${name}" as ${problem}`, -1);
}
