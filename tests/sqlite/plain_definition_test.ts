// Judge: SQLite's own PRAGMA table_info for the same statement, and which column changes when the row id does.
import { deepEqual, equal } from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import fc from "fast-check";
import { parsePlainTable } from "../../src/sqlite/plain_definition.ts";

interface Judged {
  readonly names: string[];
  readonly primaryKey: string[];
  readonly isWithoutRowid: boolean;
  readonly rowidColumn: number;
}

/** What SQLite makes of a statement; undefined when it refuses it. */
function judged(sql: string): Judged | undefined {
  const database = new DatabaseSync(":memory:");
  try {
    database.exec(sql);
    const [table] = database.prepare("PRAGMA table_list(t)").all();
    const columns = database.prepare("PRAGMA table_info(t)").all();
    const names = columns.map((column) => String(column["name"]));
    const isWithoutRowid = table!["wr"] === 1;
    const key = columns.filter((column) => Number(column["pk"]) > 0).sort((a, b) => Number(a["pk"]) - Number(b["pk"]));
    return {
      names,
      primaryKey: key.map((column) => String(column["name"])),
      isWithoutRowid,
      rowidColumn: isWithoutRowid ? -1 : rowidColumnOf(database, names),
    };
  } catch {
    return undefined;
  } finally {
    database.close();
  }
}

function rowidColumnOf(database: DatabaseSync, names: readonly string[]): number {
  const values = names.map((_, i) => `${i + 1}`).join(", ");
  database.exec(`INSERT INTO t VALUES (${values}); UPDATE t SET _rowid_ = 4321`);
  const row = database.prepare("SELECT * FROM t").get()!;
  return names.findIndex((name) => row[name] === 4321);
}

function check(sql: string): boolean {
  const table = parsePlainTable(sql);
  if (table === undefined) return false;
  const { columns, primaryKey, isWithoutRowid, rowidColumn } = table;
  deepEqual({ names: columns.map(({ name }) => name), primaryKey, isWithoutRowid, rowidColumn }, judged(sql), sql);
  return true;
}

const PLAIN = [
  "CREATE TABLE t (k BLOB PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID",
  "CREATE TABLE t (\n    a  INTEGER NOT NULL PRIMARY KEY,\n    b TEXT,\n    c TEXT NOT NULL DEFAULT '{}'\n)",
  "create table t(a,b integer,c)",
  "CREATE TABLE t (a, B, db_id INTEGER PRIMARY KEY)",
  "CREATE TABLE t (a INT PRIMARY KEY, b)",
  "CREATE TABLE t (a BIG INTEGER PRIMARY KEY, b)",
  "CREATE TABLE t (a INTEGER PRIMARY KEY, b) WITHOUT ROWID",
  "CREATE TABLE t (a DEFAULT 'primary key', b TEXT DEFAULT 'x' NOT NULL)",
];

const REFUSED = [
  "CREATE TABLE t (a INTEGER PRIMARY KEY DESC, b)",
  "CREATE TABLE t (a INTEGER UNIQUE PRIMARY KEY, b)",
  "CREATE TABLE t (a, b, PRIMARY KEY (b))",
  "CREATE TABLE t (a, b CHECK (b > 1))",
  'CREATE TABLE t ("a", b)',
  "CREATE TABLE t ([a], b)",
  "CREATE TABLE t (a -- , b\n)",
  "CREATE TABLE t (a 'INTEGER' PRIMARY KEY, b)",
  "CREATE TABLE t (a DEFAULT ',', b)",
  "CREATE TABLE t (a, CONSTRAINT b)",
  "CREATE TABLE t (a, b) STRICT",
  "CREATE VIEW t AS SELECT 1 AS a",
];

for (const sql of PLAIN) {
  test(`parsePlainTable() understands ${sql.replaceAll("\n", " ")} as SQLite does`, () => equal(check(sql), true));
}

for (const sql of REFUSED) {
  test(`parsePlainTable() refuses ${sql.replaceAll("\n", " ")}`, () => equal(parsePlainTable(sql), undefined));
}

test("parsePlainTable() understands any statement as SQLite does, or refuses it", () => {
  const word = fc.constantFrom(
    ...[
      "a",
      "B",
      "integer",
      "INTEGER",
      "int",
      "primary key",
      "PRIMARY  KEY",
      "not null",
      "unique",
      "'{}'",
      "'x'",
      "desc",
    ],
    ...[
      "default",
      "default 'primary key'",
      "5",
      "text",
      "constraint",
      "(1)",
      '"q"',
      "--\n",
      "/**/",
      "autoincrement",
      "-",
      "null",
    ],
  );
  const column = fc.array(word, { minLength: 1, maxLength: 5 }).map((words) => words.join(" "));
  const columns = fc.array(column, { minLength: 1, maxLength: 3 }).map((list) => list.join(", "));
  const tail = fc.constantFrom("", "", " WITHOUT ROWID", " strict");
  fc.assert(
    fc.property(columns, tail, (list, end) => {
      const sql = `CREATE TABLE t (${list})${end}`;
      // What SQLite refuses is in no file.
      if (judged(sql) !== undefined) check(sql);
    }),
    { numRuns: 1500 },
  );
});
