/**
 * Opens a SQLite database for reading and finds its tables. No SQL, no native library, no I/O of its own.
 * @module
 */
import { parseCreateTable } from "./create_table.ts";
import type { KeyValueTable } from "./key_value_table.ts";
import type { PageSource } from "./page_source.ts";
import { RowidTable } from "./rowid_table.ts";
import {
  findTable,
  keyValueTableOf,
  type KeyValueTableOptions,
  readSchema,
  rowidTreeOf,
  type Schema,
  type SchemaEntry,
} from "./schema.ts";

export type { KeyValueTableOptions, SchemaEntry } from "./schema.ts";

/** An open database. Holds nothing but its schema; the source is the caller's to close. */
export class Database {
  readonly #schema: Schema;

  /** Use {@linkcode openDatabase}. */
  constructor(schema: Schema) {
    this.#schema = schema;
  }

  /** Length of each page. */
  get pageSizeBytes(): number {
    return this.#schema.shape.pageSizeBytes;
  }

  /** Pages that belong to the database. */
  get pageCount(): number {
    return this.#schema.shape.pageCount;
  }

  /** What the database consists of, in the order of `sqlite_schema`. */
  schema(): readonly SchemaEntry[] {
    return this.#schema.entries;
  }

  /** The table of a name, whatever its case; undefined when there is none. */
  table(name: string): SchemaEntry | undefined {
    return findTable(this.#schema, name);
  }

  /**
   * An ordinary table.
   *
   * @throws {CorruptFileError} when there is no such table, or it has no row ids.
   */
  rowidTable(name: string): RowidTable {
    return new RowidTable(rowidTreeOf(this.#schema, name));
  }

  /**
   * A WITHOUT ROWID table whose primary key is one blob column.
   *
   * @throws {CorruptFileError} when there is no such table, or it has not these columns.
   */
  keyValueTable(name: string = "kv", options: KeyValueTableOptions = {}): KeyValueTable {
    return keyValueTableOf(this.#schema, name, options);
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
  return new Database(await readSchema(source, parseCreateTable, signal));
}
