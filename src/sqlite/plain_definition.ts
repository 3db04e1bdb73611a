/**
 * Reads the statements of the tables in snapshots: less than a tenth of SQL's, and a tenth of the code.
 * @module
 */
import type { TableDefinition } from "./table_definition.ts";

const STATEMENT = /^create table \w+\s*\(([^()]*)\)( without rowid)?$/i;
/** A name and bare words; the only string is a default. */
const COLUMN = /^\s*(?!constraint\b)(\w+)((?:\s+(?:default\s+'[^']*'|\w+))*)\s*$/i;

/**
 * Columns and key of a table whose statement has bare names and words only, and its key at a column. Defaults are not
 * read: they matter to tables that columns were added to.
 *
 * @returns undefined for any other statement: `parseCreateTable` may understand it.
 *
 * @example
 * ```ts
 * import { parsePlainTable } from "./plain_definition.ts";
 *
 * const table = parsePlainTable("CREATE TABLE kv (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID");
 * if (table?.primaryKey[0] !== "k" || parsePlainTable('CREATE TABLE t ("a b")')) throw new Error("unexpected columns");
 * ```
 */
export function parsePlainTable(sql: string): TableDefinition | undefined {
  const [, list, withoutRowid] = STATEMENT.exec(sql) ?? [];
  const parts = list?.split(",").map((part) => COLUMN.exec(part));
  if (!parts?.every((part) => part !== null)) return undefined;
  const columns = parts.map(([, name]) => ({ name: name!, defaultValue: null }));
  const words = parts.map(([, , rest]) => rest!.replace(/'[^']*'/g, "").trim().replace(/\s+/g, " ").toLowerCase());
  const keyAt = words.findIndex((text) => text.includes("primary key"));
  const rowidColumn = withoutRowid ? -1 : words.findIndex((text) => /^integer (?:not null )?primary key$/.test(text));
  // Some other keys of integers are the row id as well.
  if (rowidColumn < 0 && !withoutRowid && words[keyAt]?.startsWith("integer")) return undefined;
  return {
    columns,
    isWithoutRowid: withoutRowid !== undefined,
    primaryKey: columns.slice(keyAt, keyAt + 1).map(({ name }) => name),
    rowidColumn,
  };
}
