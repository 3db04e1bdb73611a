/**
 * What a table's `CREATE TABLE` statement says of it.
 * @module
 */
import type { SqlValue } from "./record.ts";

/** A column of a table. */
export interface ColumnDefinition {
  readonly name: string;
  /** What rows have that were written before the column was added; null unless it is a literal. */
  readonly defaultValue: SqlValue;
}

/** A table as its statement defines it. */
export interface TableDefinition {
  /** In the order of the statement, which is that of `SELECT *`; virtual generated columns are left out. */
  readonly columns: readonly ColumnDefinition[];
  /** Whether the table is an index b-tree ordered by its primary key. */
  readonly isWithoutRowid: boolean;
  /** Columns of the primary key in its order; empty without one. */
  readonly primaryKey: readonly string[];
  /** Position in `columns` of the column that is another name of the row id; -1 without one. */
  readonly rowidColumn: number;
}

/** Names of tables and columns are equal whatever the case of ASCII letters. */
export function isSameName(one: string, other: string): boolean {
  return lowerAscii(one) === lowerAscii(other);
}

/** The text with small letters for capitals, of ASCII only. */
export function lowerAscii(name: string): string {
  return name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
